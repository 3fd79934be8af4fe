"""Many runs of the language model for one table: every model on every data set with every seed.

    python -m commands.sweep --data hdfs_keys --models tiny-llama --seeds 0 1 2 3 4 --prevalence 0.0293

`make sweep DATA="..." MODELS="..." SEEDS="..."` calls it. One seed sets both the weights and the split: seed 1 of
`hdfs_keys` runs on `data/hdfs_keys-split1`, the same sequences split anew (a split by time has no seed, and is used as
it is). Each run has a process of its own (runs/many.py), with `--engine ray` on any node of a cluster (docs/scale.md).
"""

import argparse
import sys
from functools import partial

from commands.folders import split_folder
from commands.notebooks import prepare_environment
from commands.options import ALPHA, changes, check, parser_of, said
from core.asked import short_name
from core.data import open_data
from methods.words.reader import TemplateReader
from runs.many import run_all
from runs.task import Wanted


def main(arguments: list[str] | None = None) -> int:
    """Do what is missing; return 0 if all runs are done, 1 if some failed, 2 if one cannot even begin."""
    options = read_options(arguments)
    return said(lambda: sweep(options))


def sweep(options: argparse.Namespace) -> int:
    """Run them all and say how many are done."""
    check(options)
    wanted = [
        _wanted(model, split_folder(data, seed), seed, options)
        for data in options.data
        for model in options.models
        for seed in options.seeds
    ]
    status = run_all(wanted, options.engine)["status"]
    done = int(status.str.starts_with("done").sum())
    print(f"{done} of {len(wanted)} runs are done; `make table PROMOTE={options.data[0]}` takes them into the tables")
    return int(done < len(wanted))


def _wanted(model: str, folder: str, seed: int, options: argparse.Namespace) -> Wanted:
    """Return one run on a folder that is split by its seed."""
    from methods.next_key import NextKey  # here: with a GPU it imports Unsloth, which takes its time

    make, templates = partial(NextKey, model, changes=changes(options)), open_data(folder).templates
    settings = make(seed=seed, templates=templates).describe()
    asked = (ALPHA, options.prevalence, options.unseen, TemplateReader(options.encoder))
    return Wanted(make, NextKey.method, short_name(model), folder, seed, settings, *asked)


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of(__doc__, "--seeds", "--set", "--prevalence", "--unseen", "--encoder", "--engine")
    parser.add_argument("--data", nargs="+", default=["sample"], help="folders of data/ (default: sample)")
    parser.add_argument("--models", nargs="+", default=["tiny-llama"], help="MODEL of each run (default: tiny-llama)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    prepare_environment()
    sys.exit(main())
