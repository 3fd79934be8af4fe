"""Unigram and bigram of log keys: what counting alone achieves under the same rules, in a second and without a GPU.

Interpolated with Witten-Bell weights (Witten and Bell 1991; Chen and Goodman 1998, section 2.4): a context that was
followed by many different keys trusts its own counts less. The unigram is interpolated with the uniform distribution.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from core.data import Data
from evaluation import floors
from evaluation.rules import RANK_RULES, RULE_TITLES

NGRAMS = {"unigram": 1, "bigram": 2}
TITLES = {f"{name}_{rule}": f"trivial: {name}, {RULE_TITLES[rule]}" for name in NGRAMS for rule in RANK_RULES}


@dataclass(frozen=True)
class NGram:
    """Rank and tail probability of every choice after every context.

    Both tables are (V + 2, V + 1): contexts are the keys, the begin and a key never seen; choices the keys and the end.
    """

    keys: list[str]
    ranks: np.ndarray
    tails: np.ndarray

    def score(self, sequences: pl.Series) -> pl.DataFrame:
        """`rank` (largest), `tail_probability` (smallest) and `has_unseen_key`, one row a sequence, as the model's."""
        size = len(self.keys)
        rows, events = _events(sequences, self.keys)
        context, target = _pairs(rows, events, size)
        seen = target <= size
        ranks = np.where(seen, self.ranks[context, np.minimum(target, size)], size + 2)
        tails = np.where(seen, self.tails[context, np.minimum(target, size)], 0.0)
        frame = pl.DataFrame({"row": _with_ends(rows), "rank": ranks, "tail_probability": tails, "unseen": ~seen})
        grouped = frame.group_by("row", maintain_order=True).agg(
            pl.col("rank").max(), pl.col("tail_probability").min(), has_unseen_key=pl.col("unseen").any()
        )
        return grouped.sort("row").drop("row")


def fit(training: pl.Series, order: int) -> NGram:
    """The n-gram of this order (1 or 2) of the training sequences, lists of keys."""
    keys = sorted(training.explode().unique().drop_nulls())
    size = len(keys)
    context, target = _pairs(*_events(training, keys), size)
    counts = np.zeros((size + 2, size + 1))
    np.add.at(counts, (context, target), 1)
    unigram = _interpolate(counts.sum(0)[None], np.full(size + 1, 1 / (size + 1)))
    table = _interpolate(counts, unigram[0]) if order == 2 else np.repeat(unigram, size + 2, axis=0)
    return NGram(keys, *_ranks_and_tails(table))


def scores_of(data: Data, split: str) -> dict[str, pl.DataFrame]:
    """Scores of unigram and bigram of the training split on a split, as far as the rules read them."""
    train, asked = data.split("train")["keys"], data.split(split)["keys"]
    seen = floors.familiarity_of(data, split).select("count_vector_seen")
    return {name: pl.concat([fit(train, order).score(asked), seen], how="horizontal") for name, order in NGRAMS.items()}


def _interpolate(counts: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Witten-Bell: (count + kinds * lower) / (all counts + kinds); `lower` where a context was never seen."""
    total, kinds = counts.sum(1, keepdims=True), (counts > 0).sum(1, keepdims=True)
    weights = np.where(total > 0, total + kinds, 1)
    return np.where(total > 0, (counts + kinds * lower) / weights, lower)


def _ranks_and_tails(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each entry, how many in its row are at least as large, and the sum of those at most as large."""
    order = np.sort(table, axis=1)
    sums = np.concatenate([np.zeros((len(table), 1)), np.cumsum(order, axis=1)], axis=1)
    ranks, tails = np.empty(table.shape, int), np.empty(table.shape)
    for row in range(len(table)):
        ranks[row] = table.shape[1] - np.searchsorted(order[row], table[row], side="left")
        tails[row] = sums[row][np.searchsorted(order[row], table[row], side="right")]
    return ranks, np.minimum(tails, 1.0)


def _events(sequences: pl.Series, keys: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The row and the number of each key; keys that training never saw have the number V + 1."""
    frame = sequences.alias("key").to_frame().with_row_index("row").explode("key")
    numbers = dict(zip(keys, range(len(keys)), strict=True))
    coded = frame["key"].replace_strict(numbers, default=len(keys) + 1, return_dtype=pl.Int64)
    return frame["row"].to_numpy(), coded.to_numpy()


def _with_ends(rows: np.ndarray) -> np.ndarray:
    """The row of each target: every key, and the end after the last one."""
    lasts = _lasts(rows)
    return np.insert(rows, lasts + 1, rows[lasts])


def _lasts(rows: np.ndarray) -> np.ndarray:
    """Where the last key of each sequence is."""
    return np.flatnonzero(np.diff(rows, append=rows[-1] + 1))


def _pairs(rows: np.ndarray, events: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Context and target of every prediction; V as a context is the begin, as a target the end."""
    lasts = _lasts(rows)
    targets = np.insert(events, lasts + 1, size)
    contexts = np.concatenate([[size], targets[:-1]])
    return contexts, targets
