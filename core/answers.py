"""Tables that a person fills in: questions in rows, the answers in a column of their own."""

import csv
from pathlib import Path

import polars as pl

from core.errors import BadInput


def read_filled(path: Path, schema: dict[str, type[pl.DataType]], words: tuple[str, str], program: str) -> pl.DataFrame:
    """Return a table of `schema`, which has `key` and `answer`: one of two words in any case, or nothing yet.

    Numbers that a spreadsheet has rewritten are null. `program` is what makes the table. Raises BadInput if the file
    cannot be read, a column is missing, an answer is another word, or a key stands twice.
    """
    remedy = f"mend it, or rename it and run {program} for a new one."
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets put a mark before the first column
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise BadInput(f"{path.as_posix()} cannot be read as UTF-8 ({error}); {remedy}") from error
    missing = [name for name in schema if name not in columns]
    if missing:
        raise BadInput(f"{path.as_posix()} line 1 has no column {missing[0]}, separated by commas; {remedy}")
    cells = [{name: (row[name] or "").strip() or None for name in schema} for _, row in rows]
    _refuse_unclear(path, [(line, cell) for (line, _), cell in zip(rows, cells, strict=True)], words, program)
    table = pl.DataFrame(cells, schema=dict.fromkeys(schema, pl.String))
    return table.with_columns(pl.col("answer").str.to_lowercase()).cast(pl.Schema(schema), strict=False)


def _refuse_unclear(path: Path, rows: list[tuple[int, dict]], words: tuple[str, str], program: str) -> None:
    lines: dict[str, int] = {}
    for line, row in rows:
        answer, key = row["answer"] or "", row["key"] or ""
        if answer.lower() not in (*words, ""):
            raise BadInput(
                f"{path.as_posix()} line {line}: the answer {answer!r} is neither {words[0]} nor {words[1]}; "
                f"write one of the two, or leave it empty, and run {program} again."
            )
        if key in lines:
            raise BadInput(
                f"{path.as_posix()} line {line}: key {key} stands in line {lines[key]}, too; "
                f"mend it, or rename it and run {program} for a new one."
            )
        lines[key] = line
