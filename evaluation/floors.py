"""The trivial detectors that stand in every table: set look-ups against the training split, and counts of n-grams.

Look-ups after Landauer, Skopik and Wurzenberger (FSE 2024, arXiv 2309.02854), whose detectors of this kind match deep
models. Unigram and bigram (core/ngrams.py) are what counting alone achieves under the rules, in a second and without a
GPU. Each distinct sequence is looked up and counted once: half a million sessions are a few thousand distinct ones.
"""

from functools import cached_property

import numpy as np
import polars as pl

from core.data import Data
from core.keys import UNSEEN, KeyNumbers, Windows, make_windows
from core.ngrams import NGram
from evaluation import cut
from evaluation.rules import RANK_RULES, RULE_TITLES

ESCAPE = "unseen_key_where_rare"
TRIVIAL = ("unseen_key", "unseen_key_or_length", "unseen_count_vector", "unseen_bigram")
TRIVIAL_TITLES = {
    "unseen_key": "trivial: unseen key",
    "unseen_key_or_length": "trivial: unseen key or unseen length",
    "unseen_count_vector": "trivial: unseen count vector",
    "unseen_bigram": "trivial: unseen pair of neighbors",
    ESCAPE: "trivial: unseen key where new ones are rare",
}
NGRAMS = {"unigram": 1, "bigram": 2}  # name: order
MOST_KEYS = 5_000  # of which pairs are counted: their table takes 8 bytes V squared, several times over
_COUNTS = pl.col("keys").list.sort().list.join(cut.GAP)  # the same of sequences with the same keys as often
NGRAM_TITLES = {f"{name}_{rule}": f"trivial: {name}, {RULE_TITLES[rule]}" for name in NGRAMS for rule in RANK_RULES}


def _distinct(sequences: pl.Series, cuts: pl.DataFrame | None = None) -> tuple[pl.DataFrame, pl.Series]:
    """Return `joined, begun, closed, keys, count` of the distinct sequences, and for each sequence which of them it is.

    `cuts` has `begun, closed`; without it the log shows every sequence whole.
    """
    shown = cuts if cuts is not None else pl.select(pl.repeat(True, len(sequences)).alias(name) for name in cut.COLUMNS)
    joined = pl.concat([sequences.alias("keys").to_frame(), shown.select(cut.COLUMNS)], how="horizontal")
    joined = joined.with_columns(same=cut.told_apart("keys"))
    different = joined.group_by("same", maintain_order=True).agg(pl.all().first(), count=pl.len())
    numbers = different.select("same").with_row_index("number")
    rows = joined.select("same").join(numbers, on="same", how="left", maintain_order="left")["number"]
    return different.with_columns(joined=pl.col("keys").list.join(cut.GAP)), rows


# ------------------------------------------------------------------------------------------------------- look-ups


class Known:
    """What training had seen, in the forms in which it is looked up: made once, asked as often as sequences come."""

    def __init__(self, training: pl.Series) -> None:
        """`training` are lists of keys."""
        known, _ = _distinct(training)
        self._sequences, self._lengths = known["joined"].implode(), known["keys"].list.len()
        self._counts = known.select(_COUNTS).to_series().implode()
        self._keys, self._pairs = (items.explode().unique().implode() for items in (known["keys"], _pairs(known)))
        self._distinct = known["keys"]

    @cached_property
    def _vectors(self) -> tuple[KeyNumbers, np.ndarray]:
        """The known keys, and the distinct count vectors (vectors, V)."""
        numbers = KeyNumbers.of(self._distinct)
        return numbers, np.unique(numbers.counts(self._distinct.to_list()), axis=0)

    def familiarity(self, sequences: pl.Series, cuts: pl.DataFrame | None = None) -> pl.DataFrame:
        """Return what of each sequence occurred in training: five bool columns, one row a sequence.

        `in_training` (the same sequence), `count_vector_seen` (the same keys as often), `length_seen`, `all_keys_seen`,
        `all_pairs_seen` (neighbors, with begin and end). `sequences` are lists of keys, `cuts` their `begun, closed`:
        of an open one it counts what it can still grow into.
        """
        asked, rows = _distinct(sequences, cuts)
        length = pl.col("keys").list.len()
        open_length = ~pl.col("closed") & (length <= self._lengths.max())
        seen = asked.select(
            in_training=pl.col("joined").is_in(self._sequences),
            count_vector_seen=_COUNTS.is_in(self._counts) | self._growing(asked),
            length_seen=length.is_in(self._lengths.implode()) | open_length,
            all_keys_seen=_all_among(self._keys, asked["keys"]),
            all_pairs_seen=_all_among(self._pairs, _pairs(asked)),
        )
        return seen[rows]

    def _growing(self, asked: pl.DataFrame) -> pl.Series:
        """Return which of the sequences asked about are open and can still grow into the key counts of a known one."""
        growing = np.zeros(len(asked), bool)
        is_open = np.flatnonzero(~asked["closed"].to_numpy())
        if len(is_open):
            numbers, known = self._vectors
            shown = asked["keys"][is_open].to_list()
            all_known = [UNSEEN not in numbers.encode(keys) for keys in shown]
            growing[is_open] = cut.can_grow_into(numbers.counts(shown), known) & np.array(all_known)
        return pl.Series(growing)


def familiarity(training: pl.Series, sequences: pl.Series, cuts: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return `Known.familiarity` of sequences that are asked about once."""
    return Known(training).familiarity(sequences, cuts)


def familiarity_of(data: Data, split: str) -> pl.DataFrame:
    """Return what of each sequence of a split the training split had seen; columns of `familiarity`."""
    asked = data.split(split, "keys", *cut.COLUMNS)
    return familiarity(data.split("train", "keys")["keys"], asked["keys"], asked.select(cut.COLUMNS))


def trivial_flags(seen: pl.DataFrame) -> pl.DataFrame:
    """Return `<detector>: bool` for the four look-ups, from the columns of `familiarity`."""
    return seen.select(
        unseen_key=~pl.col("all_keys_seen"),
        unseen_key_or_length=~(pl.col("all_keys_seen") & pl.col("length_seen")),
        unseen_count_vector=~pl.col("count_vector_seen"),
        unseen_bigram=~pl.col("all_pairs_seen"),
    )


def _pairs(sequences: pl.DataFrame) -> pl.Series:
    """Return the neighbors of each sequence as joined strings; begin and end are neighbors, too, if in the log."""
    edges = {"begun": "\x02", "closed": "\x03"}
    begin, end = (
        pl.when(name).then(pl.concat_list(pl.lit(edge))).otherwise(pl.lit([], pl.List(pl.String)))
        for name, edge in edges.items()
    )
    padded = sequences.select(keys=begin.list.concat("keys").list.concat(end))
    rows = padded.with_row_index("row").explode("keys")
    pairs = rows.with_columns(pair=pl.col("keys") + cut.GAP + pl.col("keys").shift(-1).over("row"))
    return pairs.group_by("row", maintain_order=True).agg(pl.col("pair").drop_nulls())["pair"]  # of one event: none


def _all_among(items: pl.Series, asked: pl.Series) -> pl.Series:
    """Return whether every item of each list of `asked` is one of `items`, a list in one row."""
    rows = asked.alias("items").to_frame().with_row_index("row").explode("items", empty_as_null=True)
    seen = rows.with_columns(pl.col("items").is_in(items))  # not in the groups: each would look it all up
    return seen.group_by("row", maintain_order=True).agg(pl.col("items").all())["items"]


# --------------------------------------------------------------------------------------------------------- counts


def ngram_scores(data: Data, split: str) -> dict[str, pl.DataFrame]:
    """Return the scores of unigram and bigram of the training split on a split, as far as the rules read them.

    Of more than `MOST_KEYS` keys, as where each text is a key of its own, none: the table of pairs would not fit.
    """
    if len(data.known_keys) > MOST_KEYS:
        return {}
    training, asked = data.split("train", "keys")["keys"], data.split(split, "keys", *cut.COLUMNS)
    cuts = asked.select(cut.COLUMNS)
    seen = familiarity(training, asked["keys"], cuts).select("count_vector_seen")
    counted = count_ngrams(training, asked["keys"], cuts)
    return {name: pl.concat([own, seen], how="horizontal") for name, own in counted.items()}


def count_ngrams(
    training: pl.Series, sequences: pl.Series, cuts: pl.DataFrame | None = None
) -> dict[str, pl.DataFrame]:
    """Return `rank` (largest), `tail_probability` (smallest) and `has_unseen_key` by name, one row a sequence.

    The bigram has `escape`, too: how probable something new was, by the counts of Witten and Bell, where it was least
    so of all places with an unseen key; null without one. `escape_usual` is the mean over training events.
    """
    (known, _), (asked, rows) = _distinct(training), _distinct(sequences, cuts)
    learned, shown = known["keys"].to_list(), asked["keys"].to_list()
    keys = KeyNumbers.of(learned)
    bigram = NGram(keys, learned, known["count"].to_numpy(), order=2)
    windows = make_windows(keys, shown, bigram.history)
    contexts = np.arange(len(keys) + 2)[:, None]  # every one: the keys, the begin, a key never seen
    tables = {name: bigram.probabilities(contexts[:, : order - 1]) for name, order in NGRAMS.items()}
    spared = cut.spared_events(np.diff(windows.ends, prepend=0), asked)
    found = {name: _judge(table, windows, spared, len(keys) + 2)[rows] for name, table in tables.items()}
    escape = _least_at_unseen(bigram.escapes(contexts)[windows.histories[:, 0]], windows)[rows]
    return found | {"bigram": found["bigram"].with_columns(escape=escape, escape_usual=bigram.usual_escape())}


def _least_at_unseen(values: np.ndarray, windows: Windows) -> pl.Series:
    """Return the least value at an unseen key of each sequence, null where it has none."""
    begins = np.concatenate([[0], windows.ends[:-1]])
    least = np.minimum.reduceat(np.where(windows.targets == UNSEEN, values, np.inf), begins)
    return pl.Series(np.where(np.isfinite(least), least, np.nan)).fill_nan(None)


def escape_flags(bigram: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return which sequences have an unseen key where new ones are rarer than usual, and how rare, in nats.

    A sequence without one is not flagged and comes last. `bigram` is that of `count_ngrams`.
    """
    flags = (bigram["escape"] < bigram["escape_usual"]).fill_null(False).to_numpy()
    return flags, (-bigram["escape"].log()).fill_null(-1.0).to_numpy()


def _judge(table: np.ndarray, windows: Windows, spared: np.ndarray, unseen_rank: int) -> pl.DataFrame:
    """Judge every event by `table`, (contexts, V + 1), and each sequence by its oddest event; one row a sequence."""
    ranks, tails = _ranks_and_tails(table)
    known, place = windows.targets != UNSEEN, (windows.histories[:, 0], windows.targets)
    begins = np.concatenate([[0], windows.ends[:-1]])
    judged_ranks, judged_tails = np.where(spared, 1, ranks[place]), np.where(spared, 1.0, tails[place])
    return pl.DataFrame(
        {
            "rank": np.maximum.reduceat(np.where(known, judged_ranks, unseen_rank), begins),
            "tail_probability": np.minimum.reduceat(np.where(known, judged_tails, 0.0), begins),
            "has_unseen_key": np.logical_or.reduceat(~known, begins),
        }
    )


def _ranks_and_tails(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return of each entry how many in its row are at least as large, and the sum of those at most as large."""
    order = np.sort(table, axis=1)
    sums = np.concatenate([np.zeros((len(table), 1)), np.cumsum(order, axis=1)], axis=1)
    ranks, tails = np.empty(table.shape, int), np.empty(table.shape)
    for row in range(len(table)):
        ranks[row] = table.shape[1] - np.searchsorted(order[row], table[row], side="left")
        tails[row] = sums[row][np.searchsorted(order[row], table[row], side="right")]
    return ranks, np.minimum(tails, 1.0)
