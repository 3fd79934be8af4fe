"""A CSV that people open in spreadsheets, read strictly: what is wrong is said with its line, never guessed."""

import csv
from collections.abc import Collection
from pathlib import Path

import polars as pl

from core.asked import shown
from core.errors import BadInput

_CONFLICT = ("<<<<<<<", "=======", ">>>>>>>")  # what git leaves where two versions meet
_WORDS = {"true": True, "false": False}  # a spreadsheet writes them in capitals


def read_table(
    path: Path, schema: dict[str, type[pl.DataType]], remedy: str, added: Collection[str] = ()
) -> pl.DataFrame:
    """Return the rows of a CSV with exactly these columns; raise BadInput with the line at fault and `remedy`.

    An empty cell is null, and so are the columns `added` since the file was begun. A whole number that a spreadsheet
    wrote as 8.0 is taken for 8.
    """
    heads, rows = read_cells(path, remedy)
    wanted = [name for name in schema if name in heads or name not in added]
    if heads != wanted:
        raise BadInput(f"{path.as_posix()} line 1 {_what_differs(heads, wanted)}; {remedy}")
    columns = {name: pl.Series(name, [None] * len(rows), dtype=schema[name]) for name in schema}
    for place, name in enumerate(wanted):
        cells = pl.Series(name, [cells[place] or None for _, cells in rows], dtype=pl.String)
        columns[name], wrong = _as_kind(cells, schema[name])
        if wrong is not None:
            line = rows[wrong][0]
            raise BadInput(f"{path.as_posix()} line {line}: {name} cannot be {shown(cells[wrong])}; {remedy}")
    return pl.DataFrame(columns, schema=schema)


def read_cells(path: Path, remedy: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the heads of a CSV, and each row with its line; raise BadInput with the line at fault and `remedy`."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            heads = next(reader, [])
            rows = [(reader.line_num, row) for row in reader if row]
    except (OSError, ValueError, csv.Error) as error:
        raise BadInput(f"{path.as_posix()} cannot be read as a CSV in UTF-8 ({error}); {remedy}") from error
    for line, cells in [(1, heads), *rows]:
        if cells and cells[0].startswith(_CONFLICT):
            raise BadInput(f"{path.as_posix()} line {line} is a conflict mark of git: choose one version; {remedy}")
        if len(cells) != len(heads):
            raise BadInput(f"{path.as_posix()} line {line} has {len(cells)} cells, not {len(heads)}; {remedy}")
    return heads, rows


def _what_differs(heads: list[str], wanted: list[str]) -> str:
    if not heads:
        return "is empty"
    if len(heads) == 1 and ";" in heads[0]:
        return "is separated by semicolons, not commas"
    missing, added = ([one for one in a if one not in b] for a, b in ((wanted, heads), (heads, wanted)))
    if missing:
        return f"has no column {missing[0]}"
    return (
        f"has a column {shown(added[0])} that nobody knows" if added else "has its columns in another order, or twice"
    )


def _as_kind(cells: pl.Series, kind: type[pl.DataType]) -> tuple[pl.Series, int | None]:
    """Return the column as its type, and the number of the first row that does not fit, if any."""
    if kind == pl.Boolean:
        found = cells.str.to_lowercase().replace_strict(_WORDS, default=None, return_dtype=pl.Boolean)
    elif kind == pl.Int64:
        exact, written = cells.cast(pl.Int64, strict=False), cells.cast(pl.Float64, strict=False)
        whole = written.cast(pl.Int64, strict=False)
        found = pl.select(pl.when(exact.is_null() & (whole == written)).then(whole).otherwise(exact)).to_series()
    else:
        found = cells.cast(kind, strict=False)
    wrong = found.is_null() & cells.is_not_null()
    return found.alias(cells.name), wrong.arg_true()[0] if wrong.any() else None
