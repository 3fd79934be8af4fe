"""How likely each event was: rank, tail probability and log-probability, the same for every model of keys."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from core.keys import Sequences, distinct, make_windows
from core.ngrams import NGram

if TYPE_CHECKING:
    from torch import Tensor

SCORE_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "length": pl.Int32,
    "rank": pl.Int32,
    "tail_probability": pl.Float32,
    "worst_event": pl.Int32,
    "has_unseen_key": pl.Boolean,
    "event_ranks": pl.List(pl.Int32),
    "event_tail_probabilities": pl.List(pl.Float32),
    "event_log_probabilities": pl.List(pl.Float32),
}
NGRAMS_AT_ONCE = 4_096


def judge_events(
    log_probabilities: "Tensor", targets: "Tensor", unseen_rank: int
) -> tuple["Tensor", "Tensor", "Tensor"]:
    """Return rank (1 = likeliest), tail probability and log-probability of each target; all of shape (targets,).

    `log_probabilities` is (targets, choices), `targets` holds columns of it, negative for an unseen key. Ties count
    against the model, so a flat distribution never looks sure. The tail probability sums all choices at most as
    probable as the true one. An unseen key has `unseen_rank`, tail probability 0 and log-probability minus infinity.
    """
    unseen = targets < 0
    true = log_probabilities.gather(1, targets.clamp(min=0)[:, None])  # (targets, 1)
    ranks = (log_probabilities >= true).sum(1)
    tails = log_probabilities.exp().where(log_probabilities <= true, 0.0).sum(1).clamp(max=1.0)
    return (
        ranks.masked_fill(unseen, unseen_rank),
        tails.masked_fill(unseen, 0.0),
        true[:, 0].masked_fill(unseen, -np.inf),
    )


def summarize(
    ranks: np.ndarray,
    tail_probabilities: np.ndarray,
    log_probabilities: np.ndarray,
    ends: np.ndarray,
    unseen_rank: int,
    judged_ends: bool = True,
) -> pl.DataFrame:
    """Return one row a sequence, from flat arrays over the events of all; sequence i owns `ends[i-1]:ends[i]`.

    `length` (keys), `rank` (largest), `tail_probability` (smallest), `worst_event` (0-based position of that smallest;
    `length` means the end came too early), `has_unseen_key`, and the lists `event_ranks`, `event_tail_probabilities`,
    `event_log_probabilities` with one entry a key and, with `judged_ends`, one for the end.
    """
    rows = []
    for begin, end in zip([0, *ends[:-1]], ends, strict=True):
        own = slice(int(begin), int(end))
        rows.append(
            {
                "length": int(end - begin) - judged_ends,
                "rank": int(ranks[own].max(initial=1)),
                "tail_probability": float(tail_probabilities[own].min(initial=1.0)),
                "worst_event": int(tail_probabilities[own].argmin()) if end > begin else 0,
                "has_unseen_key": bool((ranks[own] == unseen_rank).any()),
                "event_ranks": ranks[own],
                "event_tail_probabilities": tail_probabilities[own],
                "event_log_probabilities": log_probabilities[own],
            }
        )
    return pl.DataFrame(rows, schema=SCORE_SCHEMA)


def judge_ngrams(counted: NGram, sequences: Sequences) -> pl.DataFrame:
    """Judge by counts; one row a sequence, in order, columns as in `summarize`. Each distinct n-gram is judged once."""
    different, rows = distinct(sequences)
    windows = make_windows(counted.keys, different, counted.history)
    events = np.column_stack([windows.histories, windows.targets])  # (events, order)
    ngrams, of_event = np.unique(events, axis=0, return_inverse=True)
    parts = [_judge_some(counted, part) for part in np.array_split(ngrams, -(-len(ngrams) // NGRAMS_AT_ONCE))]
    ranks, tails, logs = (np.concatenate(column)[of_event.reshape(-1)] for column in zip(*parts, strict=True))
    return summarize(ranks, tails, logs, windows.ends, len(counted.keys) + 2)[rows]


def _judge_some(counted: NGram, ngrams: np.ndarray) -> tuple[np.ndarray, ...]:
    import torch  # here: nothing else that is judged by counts needs it

    contexts, of_ngram = np.unique(ngrams[:, :-1], axis=0, return_inverse=True)
    log_probabilities = torch.from_numpy(np.log(counted.probabilities(contexts))[of_ngram.reshape(-1)])
    judged = judge_events(log_probabilities, torch.from_numpy(ngrams[:, -1]), len(counted.keys) + 2)
    return tuple(part.numpy() for part in judged)
