"""What a person says of templates that training never saw: a reworded old one, or a new event (evolution.csv).

Similarity and context cannot tell the two apart, so a proposal changes nothing until somebody has answered `same`.
methods/words/matching.py makes the proposals.
"""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from core import cells
from core.answers import read_filled
from core.keys import Sequences

SAME, NEW = "same", "new"
EVOLUTION = "evolution.csv"  # its name in a data folder
EVOLUTION_SCHEMA: dict[str, type[pl.DataType]] = {
    "key": pl.String,
    "template": pl.String,
    "proposed_key": pl.String,  # null where nothing speaks for any old key
    "proposed_template": pl.String,
    "similarity": pl.Float64,  # of the two templates, 1 for the same words
    "context": pl.Float64,  # fit of the old key to the neighbors, mean log-probability in nats; null without any
    "old_vanished": pl.Boolean,  # the old key does not occur in the new log
    "lines": pl.Int64,
    "answer": pl.String,
}


def write_evolution(folder: Path, table: pl.DataFrame) -> None:
    """Write a data folder's evolution.csv; a template that begins like a formula is text to a spreadsheet."""
    cells.guard(table).write_csv(folder / EVOLUTION)


def read_evolution(path: Path) -> pl.DataFrame:
    """Return an evolution.csv that a person has filled in: `same`, `new` in any case, or nothing yet.

    Raises BadInput as `read_filled`; `same` needs a proposed key, which a person may have written or changed.
    """
    return cells.unguard(read_filled(path, EVOLUTION_SCHEMA, {SAME: "proposed_key", NEW: None}, "parse_logs.py"))


def keep_answers(fresh: pl.DataFrame, old: pl.DataFrame) -> pl.DataFrame:
    """Return fresh proposals with the answers of an old table, and the old keys that were answered about."""
    kept = old.drop_nulls("answer").select("key", "proposed_key", "proposed_template", "answer")
    return fresh.update(kept, on="key", how="left")


def accepted(table: pl.DataFrame) -> dict[str, str]:
    """Return the old key of each key that is answered `same`."""
    return dict(table.filter(pl.col("answer") == SAME).select("key", "proposed_key").iter_rows())


def apply(sequences: Sequences, old_keys: Mapping[str, str]) -> list[list[str]]:
    """Return the sequences with each key of `accepted` read as its old key; all other keys stay."""
    return [[old_keys.get(key, key) for key in keys] for keys in sequences]
