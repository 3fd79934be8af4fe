"""Tables that a person fills in: questions in rows, the answers in a column of their own."""

import csv
from collections.abc import Collection, Mapping
from pathlib import Path

import polars as pl

from core.errors import BadInput


def read_filled(
    path: Path,
    schema: dict[str, type[pl.DataType]],
    answers: Mapping[str, str | None],
    program: str,
    optional: Collection[str] = (),
) -> pl.DataFrame:
    """Return a table of `schema`, which has `key` and `answer`: one of `answers` in any case, or nothing yet.

    Each answer names the column that must not be empty with it, or None. Numbers that a spreadsheet has rewritten are
    null, and so are `optional` columns that the file lacks. `program` is what makes the table. Raises BadInput if the
    file cannot be read, a column is missing, an answer is another word or lacks its column, or a key stands twice.
    """
    remedy = f"mend it, or rename it and run {program} for a new one."
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets put a mark before the first column
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise BadInput(f"{path.as_posix()} cannot be read as UTF-8 ({error}); {remedy}") from error
    if missing := [name for name in schema if name not in columns and name not in optional]:
        raise BadInput(f"{path.as_posix()} line 1 has no column {missing[0]}, separated by commas; {remedy}")
    cells = [{name: (row.get(name) or "").strip() or None for name in schema} for _, row in rows]
    _refuse_unclear(path, {line: cell for (line, _), cell in zip(rows, cells, strict=True)}, answers, program)
    table = pl.DataFrame(cells, schema=dict.fromkeys(schema, pl.String))
    truths = [name for name, dtype in schema.items() if dtype == pl.Boolean]  # spreadsheets write TRUE
    table = table.with_columns(pl.col("answer").str.to_lowercase(), pl.col(truths).str.to_lowercase() == "true")
    return table.cast(pl.Schema(schema), strict=False)


def _refuse_unclear(path: Path, rows: dict[int, dict], answers: Mapping[str, str | None], program: str) -> None:
    lines: dict[str, int] = {}
    for line, row in rows.items():
        answer, key, place = row["answer"] or "", row["key"] or "", f"{path.as_posix()} line {line}"
        if answer and answer.lower() not in answers:
            raise BadInput(
                f"{place}: the answer {answer!r} is neither {' nor '.join(answers)}; write one of the two, or leave it "
                f"empty, and run {program} again."
            )
        needed = answers.get(answer.lower())
        if needed and not row[needed]:
            raise BadInput(
                f"{place}: the answer {answer} needs a {needed}, which is empty; write it, or another answer."
            )
        if key in lines:
            raise BadInput(
                f"{place}: key {key} stands in line {lines[key]}, too; mend it, or rename it and run {program} for a "
                "new one."
            )
        lines[key] = line
