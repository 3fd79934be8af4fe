"""The result tables of README.md and results/README.md, from the reference ledger results/results.csv.

    python -m commands.table                       rebuild the tables
    python -m commands.table --promote hdfs        first take the rows of this data set over from results/runs.csv

`make table PROMOTE=hdfs` calls it. Nothing else changes the reference ledger.
"""

import argparse
import sys
from pathlib import Path

import polars as pl

from core.errors import EXIT_CODE, BadInput
from evaluation import ledger
from evaluation.report import markdown
from utils import LEDGER

RESULTS = Path("results")


def main(arguments: list[str] | None = None) -> int:
    """Rebuild the tables; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promote", metavar="DATA", help="take the rows of this data set over from results/runs.csv")
    options = parser.parse_args(arguments)
    try:
        if options.promote:
            promote(options.promote)
    except BadInput as error:
        print(f"commands.table: {error}", file=sys.stderr)
        return EXIT_CODE
    markdown.write_tables(Path("README.md"), RESULTS)
    return 0


def promote(data: str) -> None:
    """Take the rows of a data set over into the reference ledger; raises BadInput if there are none."""
    rows = ledger.read(LEDGER).filter(pl.col("data") == data)
    if rows.is_empty():
        raise BadInput(f"{LEDGER.as_posix()} has no row of {data}; make some first with: make run DATA={data}")
    ledger.record(RESULTS / "results.csv", rows.to_dicts())


if __name__ == "__main__":
    sys.exit(main())
