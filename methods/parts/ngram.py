"""An n-gram of log keys, interpolated with Witten-Bell weights.

Witten and Bell, "The Zero-Frequency Problem" (IEEE Transactions on Information Theory 1991), in the interpolated form
of Chen and Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling" (1998), section 2.4: a context
that was followed by many different keys trusts its own counts less and the shorter context more. The shortest, of no
key, is interpolated with the uniform distribution over the V + 1 choices, the keys and the end.
"""

import numpy as np
import polars as pl
import torch
from scipy.sparse import csr_matrix

from methods.parts.judging import judge, summarize
from methods.parts.keys import KeyNumbers, Sequences, distinct
from methods.parts.windows import make_windows

JUDGED_AT_ONCE = 4_096


class NGram:
    """Counts of what followed the last 0, 1, ... `order` - 1 keys, the begin and the end counted like keys."""

    def __init__(self, keys: KeyNumbers, sequences: Sequences, weights: np.ndarray, order: int) -> None:
        """Count `sequences`, each as often as its weight says; `order` is 2 or more."""
        self.keys, self.history = keys, order - 1
        histories, targets, counts = make_windows(keys, sequences, self.history).weighted(weights)
        self.levels = [self._level(histories[:, self.history - used :], targets, counts) for used in range(order)]

    def _level(
        self, contexts: np.ndarray, targets: np.ndarray, counts: np.ndarray
    ) -> tuple[dict[tuple[int, ...], int], csr_matrix]:
        """The row of each context, and the counts (contexts + 1, V + 1); the last row, of any other, is empty."""
        numbers: dict[tuple[int, ...], int] = {}
        rows = [numbers.setdefault(context, len(numbers)) for context in map(tuple, contexts.tolist())]
        shape = len(numbers) + 1, len(self.keys) + 1
        return numbers, csr_matrix((counts.astype(np.float64), (rows, targets)), shape=shape)

    @property
    def parameters(self) -> int:
        """How many counts are not zero."""
        return sum(counts.nnz for _, counts in self.levels)

    def probabilities(self, contexts: np.ndarray) -> np.ndarray:
        """Of every choice (contexts, V + 1), V being the end, after contexts (contexts, order - 1) as in `Windows`."""
        choices = len(self.keys) + 1
        lower = np.full((len(contexts), choices), 1 / choices)
        for used, (numbers, table) in enumerate(self.levels):
            shown = map(tuple, contexts[:, self.history - used :].tolist())
            counts = table[[numbers.get(context, len(numbers)) for context in shown]].toarray()
            total, kinds = counts.sum(1, keepdims=True), (counts > 0).sum(1, keepdims=True)
            lower = np.where(total > 0, (counts + kinds * lower) / np.maximum(total + kinds, 1), lower)
        return lower

    def score(self, sequences: Sequences) -> pl.DataFrame:
        """One row a sequence, in order; columns as in `judging.summarize`. Each distinct n-gram is judged once."""
        different, rows = distinct(sequences)
        windows = make_windows(self.keys, different, self.history)
        events = np.column_stack([windows.histories, windows.targets])
        ngrams, of_event = np.unique(events, axis=0, return_inverse=True)
        parts = [self._judge(part) for part in np.array_split(ngrams, -(-len(ngrams) // JUDGED_AT_ONCE))]
        judged = (np.concatenate(column)[of_event.reshape(-1)] for column in zip(*parts, strict=True))
        return summarize(*judged, windows.ends, len(self.keys) + 2)[rows]

    def _judge(self, ngrams: np.ndarray) -> tuple[np.ndarray, ...]:
        contexts, of_ngram = np.unique(ngrams[:, :-1], axis=0, return_inverse=True)
        log_probabilities = torch.from_numpy(np.log(self.probabilities(contexts))[of_ngram.reshape(-1)])
        judged = judge(log_probabilities, torch.from_numpy(ngrams[:, -1]), len(self.keys) + 2)
        return tuple(part.numpy() for part in judged)
