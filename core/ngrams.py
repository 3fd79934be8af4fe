"""An n-gram of log keys: it counts what followed each history.

Interpolated with Witten-Bell weights: Witten and Bell, "The Zero-Frequency Problem" (IEEE Transactions on Information
Theory 1991), in the form of Chen and Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling"
(1998), section 2.4. A context that was followed by many different keys trusts its own counts less and the shorter
context more. The shortest, of no key, is interpolated with the uniform distribution over the V + 1 choices, the keys
and the end.
"""

import numpy as np
from scipy.sparse import csr_matrix

from core.keys import KeyNumbers, Sequences, make_windows


class NGram:
    """Counts of what followed the last 0, 1, ... `order` - 1 keys, the begin and the end counted like keys."""

    def __init__(self, keys: KeyNumbers, sequences: Sequences, weights: np.ndarray, order: int) -> None:
        """Count `sequences`, each as often as its weight says."""
        self.keys, self.history = keys, order - 1
        histories, targets, counts = make_windows(keys, sequences, self.history).weighted(weights)
        self.levels = [self._level(histories[:, self.history - used :], targets, counts) for used in range(order)]

    def _level(
        self, contexts: np.ndarray, targets: np.ndarray, counts: np.ndarray
    ) -> tuple[dict[tuple[int, ...], int], csr_matrix]:
        """Return the row of each context, and counts (contexts + 1, V + 1); the last row, of any other, is empty."""
        numbers: dict[tuple[int, ...], int] = {}
        rows = [numbers.setdefault(context, len(numbers)) for context in map(tuple, contexts.tolist())]
        shape = len(numbers) + 1, len(self.keys) + 1
        return numbers, csr_matrix((counts, (rows, targets)), shape=shape)  # the same context and target: summed

    @property
    def parameters(self) -> int:
        """Return how many counts are not zero."""
        return sum(counts.nnz for _, counts in self.levels)

    def escapes(self, contexts: np.ndarray) -> np.ndarray:
        """Return how probable something new is after each context, (contexts,): kinds / (counts + kinds).

        `contexts` as in `probabilities`. One that never occurred asks the shorter one; with no count at all it is 1.
        """
        found = np.ones(len(contexts))
        longest = contexts.shape[1]
        for used, (numbers, table) in enumerate(self.levels[: longest + 1]):
            shown = map(tuple, contexts[:, longest - used :].tolist())
            rows = table[[numbers.get(context, len(numbers)) for context in shown]]
            total, kinds = np.asarray(rows.sum(1)).ravel(), rows.getnnz(1)
            found = np.where(total > 0, kinds / np.maximum(total + kinds, 1), found)
        return found

    def usual_escape(self) -> float:
        """Return the mean of `escapes` over the events that were counted, each after its longest context."""
        counts = self.levels[-1][1]
        total, kinds = np.asarray(counts.sum(1)).ravel(), counts.getnnz(1)
        return float((total * kinds / np.maximum(total + kinds, 1)).sum() / total.sum())

    def probabilities(self, contexts: np.ndarray) -> np.ndarray:
        """Return the probability of every choice, (contexts, V + 1), V being the end.

        `contexts` (contexts, used) are the last keys before it, as in `Windows`; of fewer than `order` - 1 keys, they
        ask the n-gram of that lower order.
        """
        choices, longest = len(self.keys) + 1, contexts.shape[1]
        lower = np.full((len(contexts), choices), 1 / choices)
        for used, (numbers, table) in enumerate(self.levels[: longest + 1]):
            shown = map(tuple, contexts[:, longest - used :].tolist())
            counts = table[[numbers.get(context, len(numbers)) for context in shown]].toarray()
            total, kinds = counts.sum(1, keepdims=True), (counts > 0).sum(1, keepdims=True)
            lower = np.where(total > 0, (counts + kinds * lower) / np.maximum(total + kinds, 1), lower)
        return lower
