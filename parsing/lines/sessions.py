"""Which sequence an event belongs to: by an id in its message or line, by a field, by its file, or since a begin."""

from collections.abc import Iterable, Iterator

import polars as pl

from parsing.datasets import Spec

MESSAGE, LINE, FIELD, BEGIN, FILE = "message", "line", "field", "begin", "file"
NOTHING = ("", "-")  # what a field without an id holds


def with_file(blocks: Iterable[pl.DataFrame], name: str) -> Iterator[pl.DataFrame]:
    """Yield blocks of lines with the `file` of each; those of one file have its `name`."""
    for block in blocks:
        yield block if "file" in block.columns else block.with_columns(file=pl.lit(name))


def sessions_of(events: pl.DataFrame, fields: pl.DataFrame, block: pl.DataFrame, spec: Spec) -> pl.DataFrame:
    """Return one row per event and session, column `id`, null where the event has none; it may have several.

    `fields` are those of the headers, `block` the lines. Where a pattern begins a sequence, `begins` says whether an
    event does, and `Begun` numbers the sequences later, in the order of the log.
    """
    pattern = spec.session or ""
    if spec.session_by == FIELD:
        of_lines = fields.select("line", id=pl.col(pattern).replace(list(NOTHING), None))
        return events.join(of_lines, on="line", how="left", maintain_order="left")
    if spec.session_by == FILE:
        name = block["file"][0] if "file" in block.columns and len(block) else FILE
        return events.with_columns(id=pl.lit(name))
    if spec.session_by == BEGIN:
        return events.with_columns(begins=pl.col("Content").str.contains(pattern), id=pl.lit(""))
    texts = events["Content"]
    if spec.session_by == LINE:
        lines = block.select("line", "text")
        texts = events.select("line").join(lines, on="line", how="left", maintain_order="left")["text"]
    ids = texts.str.extract_all(pattern).alias("id")
    if (ids.list.len() <= 1).all():
        return events.with_columns(ids.list.first())
    return events.with_columns(ids.list.unique(maintain_order=True)).explode("id", empty_as_null=True)


class Begun:
    """Numbers the sequences that begin where events say so, a block at a time."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, events: pl.DataFrame) -> pl.DataFrame:
        """Return the events with the `id` of their sequence: what stands before the first begin is one, too."""
        if "begins" not in events.columns or events.is_empty():
            return events
        number = events["begins"].cast(pl.Int64).cum_sum() + self._count
        self._count = int(number[-1])
        return events.with_columns(id=pl.format("sequence {}", number)).drop("begins")
