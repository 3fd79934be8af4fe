"""What the benchmarks share as programs: their figures as a table and as JSON, and their end in one sentence."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl

from core.ending import said_in_a_sentence
from core.files import write


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that has --json; a benchmark adds its own options."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    return parser


def run(options: argparse.Namespace, measure: Callable[[argparse.Namespace], dict], table: bool = True) -> None:
    """Measure, print a `table` of the figures, write --json, and end the program; BadInput ends in one sentence."""

    def work() -> int:
        figures = measure(options)
        width = max(map(len, figures), default=0)
        for name, value in figures.items() if table else ():
            print(f"{name.replace('_', ' '):<{width}}  {readable(value):>14}")
        if options.json:
            options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        return 0

    sys.exit(said_in_a_sentence(work, Path(sys.argv[0]).stem))


def once(folder: Path, about: dict, measure: Callable[[], dict]) -> None:
    """Keep `about` and what `measure` returns as a file of `folder`, named by the values; nothing if it is kept."""
    name = "-".join(map(str, about.values())).replace(", ", "-").replace(" ", "_")
    if not (path := folder / f"{name}.json").is_file():
        write(path, about | measure())


def kept(folder: Path) -> pl.DataFrame:
    """Return what `once` has kept in `folder`, a row a file."""
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return pl.DataFrame(rows, infer_schema_length=None)


def readable(value: float | bool | None) -> str:
    """Return a figure as text: whole numbers whole, others with four digits."""
    if value is None or isinstance(value, bool):
        return {None: "-", True: "yes", False: "no"}[value]
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 1_000 else f"{value:,.0f}"
