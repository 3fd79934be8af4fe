"""Many runs of the language model for one table: every model on every data set with every seed.

    python -m commands.sweep --data hdfs_keys --models tiny-llama --seeds 0 1 2 3 4 --prevalence 0.0293

`make sweep DATA="..." MODELS="..." SEEDS="..."` calls it. One seed sets both the weights and the split: seed 1 of
`hdfs_keys` runs on `data/hdfs_keys-split1`, the same sequences split anew (a split by time has no seed, and is used as
it is). Each run has a process of its own (runs/many.py).
"""

import argparse
import sys
from functools import partial

from commands.folders import split_folder
from commands.notebooks import prepare_environment
from commands.options import ALPHA, parser_of, said_in_a_sentence
from runs.folder import short_name
from runs.many import Wanted, run_all


def main(arguments: list[str] | None = None) -> int:
    """Do what is missing; return 0 if all runs are done, 1 if some failed, 2 if one cannot even begin."""
    options = read_options(arguments)
    return said_in_a_sentence(lambda: sweep(options))


def sweep(options: argparse.Namespace) -> int:
    """Run them all and say how many are done."""
    from methods.next_key import NextKey  # here: with a GPU it imports Unsloth, which takes its time

    wanted = [
        Wanted(
            partial(NextKey, model),
            NextKey.method,
            short_name(model),
            split_folder(data, seed),
            seed,
            ALPHA,
            options.prevalence,
            options.drift,
        )
        for data in options.data
        for model in options.models
        for seed in options.seeds
    ]
    status = run_all(wanted)["status"]
    done = int(status.str.starts_with("done").sum())
    print(f"{done} of {len(wanted)} runs are done; `make table PROMOTE={options.data[0]}` takes them into the tables")
    return int(done < len(wanted))


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of(__doc__, "--seeds", "--prevalence", "--drift")
    parser.add_argument("--data", nargs="+", default=["sample"], help="folders of data/ (default: sample)")
    parser.add_argument("--models", nargs="+", default=["tiny-llama"], help="MODEL of each run (default: tiny-llama)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    prepare_environment()
    sys.exit(main())
