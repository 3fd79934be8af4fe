"""The trivial detectors that stand in every table: set look-ups against the training split, nothing learned.

After Landauer, Skopik and Wurzenberger (FSE 2024, arXiv 2309.02854), whose detectors of this kind match deep models.
"""

import polars as pl

from core.data import Data

TRIVIAL = ("unseen_key", "unseen_key_or_length", "unseen_count_vector", "unseen_bigram")
TRIVIAL_TITLES = {
    "unseen_key": "trivial: unseen key",
    "unseen_key_or_length": "trivial: unseen key or unseen length",
    "unseen_count_vector": "trivial: unseen count vector",
    "unseen_bigram": "trivial: unseen pair of neighbors",
}
_GAP = "\x1f"  # joins keys; no key holds a control character or a blank


def familiarity(training: pl.Series, sequences: pl.Series) -> pl.DataFrame:
    """What of each sequence occurred in training: five bool columns, one row a sequence.

    `in_training` (the same sequence), `count_vector_seen` (the same keys as often), `length_seen`, `all_keys_seen`,
    `all_pairs_seen` (neighbors, with begin and end). Both arguments are lists of keys.
    """
    known, asked = training.alias("keys").to_frame(), sequences.alias("keys").to_frame()
    whole = pl.col("keys").list.join(_GAP)
    counts = pl.col("keys").list.sort().list.join(_GAP)
    length = pl.col("keys").list.len()
    return asked.select(
        in_training=whole.is_in(known.select(whole).to_series().implode()),
        count_vector_seen=counts.is_in(known.select(counts).to_series().implode()),
        length_seen=length.is_in(known.select(length).to_series().implode()),
        all_keys_seen=_all_seen(known["keys"], asked["keys"]),
        all_pairs_seen=_all_seen(_pairs(known["keys"]), _pairs(asked["keys"])),
    )


def familiarity_of(data: Data, split: str) -> pl.DataFrame:
    """What of each sequence of a split the training split had seen; columns of `familiarity`."""
    return familiarity(data.split("train")["keys"], data.split(split)["keys"])


def trivial_flags(seen: pl.DataFrame) -> pl.DataFrame:
    """`<detector>: bool` for the four trivial detectors, from the columns of `familiarity`."""
    return seen.select(
        unseen_key=~pl.col("all_keys_seen"),
        unseen_key_or_length=~(pl.col("all_keys_seen") & pl.col("length_seen")),
        unseen_count_vector=~pl.col("count_vector_seen"),
        unseen_bigram=~pl.col("all_pairs_seen"),
    )


def _pairs(sequences: pl.Series) -> pl.Series:
    """Neighbors of each sequence as joined strings, the begin and the end being neighbors, too."""
    padded = sequences.to_frame("keys").select(
        pl.concat_list(pl.lit("\x02").alias("begin"), "keys", pl.lit("\x03").alias("end")).alias("keys")
    )
    rows = padded.with_row_index("row").explode("keys")
    pairs = rows.with_columns(pair=pl.col("keys") + _GAP + pl.col("keys").shift(-1).over("row"))
    return pairs.drop_nulls("pair").group_by("row", maintain_order=True).agg("pair")["pair"]


def _all_seen(known: pl.Series, asked: pl.Series) -> pl.Series:
    """Whether every item of each list of `asked` occurs in a list of `known`."""
    items = known.explode().unique()
    rows = asked.alias("items").to_frame().with_row_index("row").explode("items")
    return rows.group_by("row", maintain_order=True).agg(pl.col("items").is_in(items.implode()).all())["items"]
