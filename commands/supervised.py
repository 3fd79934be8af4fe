"""notebooks/supervised.ipynb from the command line: what learns from labels, and how few of them it takes.

    python -m commands.supervised                                                          the simulated sample
    python -m commands.supervised --data hdfs_2pct_supervised --seeds 0 1 2 3 4 --splits 0 1 --encoder FOLDER

`make supervised DATA=... METHODS="..." SEEDS="..." SPLITS="..." ENCODER=... OTHER=...` calls it.
"""

import argparse
import sys
from pathlib import Path

from commands.folders import parse
from commands.notebooks import execute, prepare_environment
from commands.options import check, parser_of, said
from core.data import LABELED_SAMPLE, SAMPLE_OPTIONS, Data, open_data
from core.errors import BadInput
from runs.folder import RESULTS


def main(arguments: list[str] | None = None) -> int:
    """Execute supervised.ipynb with these parameters; return the exit code."""
    options = read_options(arguments)
    return said(lambda: run(options))


def run(options: argparse.Namespace) -> int:
    """Make the labeled sample if it is wanted and missing, and execute the notebook."""
    check(options)
    folder = Path("data") / LABELED_SAMPLE
    if options.data == LABELED_SAMPLE and not (folder / "manifest.json").is_file():
        parse([*SAMPLE_OPTIONS[LABELED_SAMPLE]], folder)
    check_labels(open_data(options.data))  # said at once, not by a kernel that had to start first
    if options.other:
        open_data(options.other)
    wanted = ("data", "methods", "seeds", "splits", "encoder", "other")
    parameters = {name.upper(): getattr(options, name) for name in wanted}
    output = RESULTS / options.data / "supervised" / "supervised.ipynb"
    execute("notebooks/supervised", output, parameters)
    print(f"\nOpen {output.as_posix()}; `make table PROMOTE={options.data}` takes the rows into the tables")
    return 0


def check_labels(data: Data) -> None:
    """Raise BadInput if the training of a data folder has no labeled anomaly to learn from."""
    if not data.training_anomalies:
        raise BadInput(
            f"The training of data/{data.name} has no labeled anomaly to learn from; make a data folder with "
            "parse_logs.py --protocol supervised, such as: python parse_logs.py "
            f"{' '.join(SAMPLE_OPTIONS[LABELED_SAMPLE])}"
        )


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of(__doc__, "--seeds")
    parser.add_argument("--data", default=LABELED_SAMPLE, help=f"folder of data/ (default: {LABELED_SAMPLE})")
    parser.add_argument("--methods", nargs="+", help="METHODS of the notebook (default: all)")
    parser.add_argument("--splits", nargs="+", type=int, default=[0], help="seeds of the splits (default: 0)")
    parser.add_argument("--encoder", help="ENCODER of the notebook: a name or folder (default: offline word vectors)")
    parser.add_argument("--other", help="OTHER of the notebook: a folder of data/ to judge after learning this one")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    prepare_environment()
    sys.exit(main())
