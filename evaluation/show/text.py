"""A table as text: what a terminal shows, and the cells that a notebook shows, too."""

import polars as pl

from core.errors import printable
from evaluation.show.formats import head, readable


def as_text(frame: pl.DataFrame, caption: str) -> str:
    """Return a table with its caption for a terminal."""
    heads, cells, right = as_cells(frame)
    widths = [max(len(values[column]) for values in [heads, *cells]) for column in range(len(heads))]

    def row(values: list[str]) -> str:
        columns = zip(values, widths, right, strict=True)
        return "  " + "  ".join(
            text.rjust(width) if is_right else text.ljust(width) for text, width, is_right in columns
        )

    rule = "  " + "  ".join("-" * width for width in widths)
    return "\n".join(line.rstrip() for line in [printable(caption), row(heads), rule, *map(row, cells)])


def as_cells(frame: pl.DataFrame) -> tuple[list[str], list[list[str]], list[bool]]:
    """Return heads, cells as text, and which columns are figures; what a terminal would obey is written out."""
    heads = [printable(head(name)) for name in frame.columns]
    cells = [
        [printable(readable(name, value)) for name, value in zip(frame.columns, row, strict=True)]
        for row in frame.iter_rows()
    ]
    return heads, cells, [dtype.is_numeric() for dtype in frame.dtypes]
