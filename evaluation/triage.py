"""The queue of questions about keys that training never saw, and the answers of a person: triage.csv of a run."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from core.answers import read_filled
from core.raw_lines import RawLines
from evaluation.unseen import ALERT, BENIGN, first_sequences

TRIAGE = "triage.csv"  # its name in a run folder, or in that of a judged log
WORDS: dict[str, type[pl.DataType]] = {
    "fault_score": pl.Float64,  # higher for what reads more like a fault; null without words
    "nearest_known": pl.String,  # the template of training whose words are nearest
    "example_line": pl.String,  # the first line that has the key, where the log is at hand
}
TRIAGE_SCHEMA: dict[str, type[pl.DataType]] = {
    "key": pl.String,
    "template": pl.String,
    "first_sequence": pl.String,
    "first_line": pl.Int64,
    "count": pl.Int64,
    **WORDS,
    "answer": pl.String,
}


def triage(
    sequences: pl.DataFrame,
    unseen: pl.DataFrame,
    templates: Mapping[str, str | None],
    rated: pl.DataFrame | None = None,
    raw_lines: RawLines | None = None,
) -> pl.DataFrame:
    """Return the questions of a real run, columns of `TRIAGE_SCHEMA`; `answer` is empty.

    The most fault-like stand first where `rated`, a table of fault scores, is given; the others by first occurrence.
    `template` is the key itself where there is none, `count` the number of sequences that have the key;
    `raw_lines` are those of the log.
    """
    asked = first_sequences(sequences, unseen).with_columns(
        template=pl.Series([templates.get(key) or key for key in unseen["key"]], dtype=pl.String),
        first_line=pl.col("lines").list.get(pl.col("position")),
        count=pl.col("rows").list.len(),
        answer=pl.lit(None, pl.String),
    )
    stood = raw_lines.at(asked["first_line"]) if raw_lines else {}
    asked = asked.with_columns(
        example_line=pl.Series([stood.get(number) for number in asked["first_line"]], dtype=pl.String)
    )
    asked = asked.rename({"sequence_id": "first_sequence"})
    asked = asked.join(_words_of(rated), on="key", how="left", maintain_order="left")
    asked = asked.sort("fault_score", descending=True, nulls_last=True, maintain_order=True)
    return asked.select(*TRIAGE_SCHEMA).cast(pl.Schema(TRIAGE_SCHEMA))


def _words_of(rated: pl.DataFrame | None) -> pl.DataFrame:
    if rated is None:
        return pl.DataFrame(schema={"key": pl.String, "fault_score": pl.Float64, "nearest_known": pl.String})
    return rated.filter(~pl.col("is_known")).select("key", "fault_score", nearest_known="nearest_template")


def keep_answers(fresh: pl.DataFrame, old: pl.DataFrame) -> pl.DataFrame:
    """Return a fresh queue with the answers of an old one; answered keys that are no longer asked stand at its end."""
    kept = old.drop_nulls("answer")
    asked = fresh.drop("answer").join(kept.select("key", "answer"), on="key", how="left", maintain_order="left")
    return pl.concat([asked, kept.join(fresh, on="key", how="anti", maintain_order="left")])


def answered(queue: pl.DataFrame) -> dict[str, str]:
    """Return the answer to each key of a queue that has one."""
    return dict(queue.drop_nulls("answer").select("key", "answer").iter_rows())


def read_answers(path: Path) -> pl.DataFrame:
    """Return the queue in a triage.csv that a person has filled in: `benign`, `alert` in any case, or nothing yet.

    A fresh queue brings numbers of its own for those that a spreadsheet has rewritten, and the words that a file of an
    earlier version lacks. Raises BadInput as `read_filled`.
    """
    return read_filled(path, TRIAGE_SCHEMA, {BENIGN: None, ALERT: None}, "test.ipynb", optional=tuple(WORDS))
