"""Sequences that the log cut off (`begun`, `closed` of contract 1): what of them is judged, and what counts as seen.

The log ended before an open session did, so its end is not the session's end and is not judged; nor is the first event
of a session that had begun before the log. Both are taken as expected: rank 1, tail probability 1. Its key counts are
familiar if it can still grow into a sequence of training.
"""

import numpy as np
import polars as pl

COLUMNS = ("begun", "closed")
GAP = "\x1f"  # joins keys; no key holds a control character or a blank
_EXPECTED = {"event_ranks": 1, "event_tail_probabilities": 1.0, "event_log_probabilities": 0.0}


def spare(scores: pl.DataFrame, cuts: pl.DataFrame) -> pl.DataFrame:
    """Return the scores without what the log cut off; `cuts` has `begun, closed`, one row a sequence.

    `rank, tail_probability, worst_event` and the lists of events change, of open sequences alone. An unseen key stays
    one wherever it stands. A detector that judges no single event keeps its scores.
    """
    lists = [name for name in _EXPECTED if name in scores.columns]
    if "event_ranks" not in lists or cuts["closed"].all():
        return scores
    numbered = pl.concat([scores, cuts], how="horizontal").with_row_index("row")
    events = (
        numbered.filter(~pl.col("closed"))
        .select("row", "length", *COLUMNS, *lists)
        .explode(lists)
        .with_columns(position=pl.int_range(pl.len()).over("row"))
    )
    seen = pl.col("event_tail_probabilities") > 0
    outside = (pl.col("position") == pl.col("length")) | ((pl.col("position") == 0) & ~pl.col("begun") & seen)
    judged = events.with_columns(pl.when(outside).then(_EXPECTED[name]).otherwise(name).alias(name) for name in lists)
    tails = pl.col("event_tail_probabilities")
    worst = {"rank": pl.col("event_ranks").max(), "tail_probability": tails.min(), "worst_event": tails.arg_min()}
    settled = judged.group_by("row", maintain_order=True).agg(*lists, **worst)
    kinds = {name: scores.schema[name] for name in settled.columns if name != "row"}
    return numbered.update(settled.cast(pl.Schema(kinds | {"row": settled.schema["row"]})), on="row").select(
        scores.columns
    )


def told_apart(keys: str) -> pl.Expr:
    """Return a text that two sequences share if they have the same `keys` and are cut off alike."""
    flags = (pl.col(name).cast(pl.Int8).cast(pl.String) for name in COLUMNS)
    return pl.concat_str(pl.col(keys).cast(pl.List(pl.String)).list.join(GAP), *flags, separator=GAP)


def spared_events(lengths: np.ndarray, cut: pl.DataFrame) -> np.ndarray:
    """Return which events are not judged, flat over sequences of `lengths` events each, their end the last of them."""
    spared = np.zeros(lengths.sum(), bool)
    ends = np.cumsum(lengths)
    spared[ends[~cut["closed"].to_numpy()] - 1] = True
    spared[(ends - lengths)[~cut["begun"].to_numpy()]] = True
    return spared


def can_grow_into(counts: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Return whether each row of `counts` (sequences, V) is nowhere above some row of `training` (rows, V)."""
    return np.array([bool((training >= own).all(axis=1).any()) for own in counts], dtype=bool)
