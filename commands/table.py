"""The result tables of README.md and results/README.md, from the reference ledger results/results.csv.

    python -m commands.table                       rebuild the tables and their figure
    python -m commands.table --promote hdfs        first take the rows of this data set over from results/runs.csv

`make table PROMOTE=hdfs` calls it. Nothing else changes the reference ledger.
"""

import argparse
import sys
from pathlib import Path

import polars as pl
from matplotlib import rc_context

from commands.options import said
from core.errors import BadInput
from core.files import replace
from evaluation import ledger
from evaluation.report import markdown
from evaluation.show import compare_plots
from runs.folder import LEDGER, REFERENCE, RESULTS


def main(arguments: list[str] | None = None) -> int:
    """Rebuild the tables; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promote", metavar="DATA", help="take the rows of this data set over from results/runs.csv")
    options = parser.parse_args(arguments)
    return said(lambda: rebuild(options.promote))


def rebuild(promoted: str | None) -> int:
    """Take the rows of `promoted`, if any, over into the reference ledger, and make the tables from it."""
    if promoted:
        promote(promoted)
        print(f"{REFERENCE.as_posix()} has the rows of {promoted} from {LEDGER.as_posix()} now")
    markdown.write_tables(Path("README.md"), RESULTS)
    draw(ledger.read(REFERENCE), Path("docs") / "results.svg")
    return 0


def draw(runs: pl.DataFrame, path: Path) -> None:
    """Draw the figure of README.md; the same ledger gives the same bytes."""
    best = {}
    for about, rows in markdown.on_the_first_page(runs):
        found = markdown.best_rows(rows)
        wanted = (markdown.OURS, markdown.FLOOR, markdown.RIVAL)
        best[markdown.label(about)] = {name: row["f1"] if (row := found[name]) else None for name in wanted}
    with rc_context({"svg.hashsalt": "results", "svg.fonttype": "none"}), replace(path) as place:
        compare_plots.headline(best).savefig(place, format="svg", metadata={"Date": None})


def promote(data: str) -> None:
    """Take the rows of a data set over into the reference ledger; raise BadInput if there are none."""
    rows = ledger.read(LEDGER).filter(pl.col("data") == data)
    if rows.is_empty():
        raise BadInput(f"{LEDGER.as_posix()} has no row of {data}; make some first with: make run DATA={data}")
    ledger.record(REFERENCE, rows.to_dicts())


if __name__ == "__main__":
    sys.exit(main())
