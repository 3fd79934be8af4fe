"""notebooks/words.ipynb from the command line: what the words of templates say that keys do not.

    python -m commands.words                                                           two simulated logs
    python -m commands.words --data bgl_time --changed hdfs_2pct_supervised --encoder FOLDER

`make words DATA=... CHANGED=... MODEL=... SEED=... ENCODER=...` calls it.
"""

import argparse
import sys
from pathlib import Path

from commands.folders import parse
from commands.notebooks import execute, prepare_environment
from commands.options import check, parser_of, said
from core.data import LABELED_SAMPLE, SAMPLE_OPTIONS, UPDATED_SAMPLE, open_data
from core.errors import BadInput
from runs.folder import RESULTS


def main(arguments: list[str] | None = None) -> int:
    """Execute words.ipynb with these parameters; return the exit code."""
    options = read_options(arguments)
    return said(lambda: run(options))


def run(options: argparse.Namespace) -> int:
    """Make the simulated logs that are wanted and missing, and execute the notebook."""
    check(options)
    for name in (options.data, options.changed):
        folder = Path("data") / name
        if name in SAMPLE_OPTIONS and not (folder / "manifest.json").is_file():
            parse([*SAMPLE_OPTIONS[name]], folder)
    if not open_data(options.data).is_chronological:
        raise BadInput(
            f"data/{options.data} is not split by time, so nothing comes new in it; make a folder with --protocol "
            f"chronological, such as: python parse_logs.py {' '.join(SAMPLE_OPTIONS[UPDATED_SAMPLE])}"
        )
    open_data(options.changed)
    wanted = ("data", "changed", "model", "seed", "encoder")
    parameters = {name.upper(): getattr(options, name) for name in wanted}
    output = RESULTS / options.data / "words" / "words.ipynb"
    execute("notebooks/words", output, parameters)
    print(f"\nOpen {output.as_posix()}; `make table PROMOTE={options.data}` takes the rows into the tables")
    return 0


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of(__doc__, "--model", "--seed", "--encoder")
    parser.add_argument("--data", default=UPDATED_SAMPLE, help=f"folder of data/ by time (default: {UPDATED_SAMPLE})")
    parser.add_argument(
        "--changed", default=LABELED_SAMPLE, help=f"folder whose texts are changed (default: {LABELED_SAMPLE})"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    prepare_environment()
    sys.exit(main())
