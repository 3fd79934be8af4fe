"""Three classifiers of key counts: what any model that learns from labels has to beat.

- `tree`: a decision tree, as in logpai/loglizer, with scikit-learn's defaults: it grows until every leaf is pure.
- `forest`: a random forest of 100 such trees (Breiman 2001).
- `neighbors`: the nearest labeled count vector, which is LightAD's kNN with k = 1 (Yu et al., "Deep Learning or
  Classical Machine Learning? An Empirical Study on Log-Based Anomaly Detection", ICSE 2024). Not implemented: its
  search for settings by Bayesian optimization.

Each sees one more count, of all keys that training never saw. A vector that occurs n times counts like n copies.
"""

from collections.abc import Mapping

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from core.errors import BadInput
from core.keys import Sequences
from methods.parts.labels import Refitted, to_log_odds

COMPARED_AT_ONCE = 1_024
TREES = 100
COUNTS = ("tree", "forest", "neighbors")


class Counts(Refitted):
    """One of `COUNTS`. `fit`, then `score`; `save` and `load` give the same scores."""

    method = "counts"
    reads = "keys"

    def __init__(self, model: str, seed: int = 0, *, templates: Mapping[str, str | None] | None = None) -> None:
        """`templates` is what every detector is offered; these read keys alone."""
        if model not in COUNTS:
            raise BadInput(f"There is no classifier of counts {model!r}; take one of {', '.join(COUNTS)}.")
        self.name, self.seed = model, seed

    def describe(self) -> dict:
        """Return the settings that a run keeps in its `config.json`."""
        return {"tree": {}, "forest": {"trees": TREES}, "neighbors": {"neighbors": 1}}[self.name]

    def _arguments(self) -> dict:
        return {"model": self.name}

    def _learn(self, sequences: Sequences, labels: np.ndarray, weights: np.ndarray) -> int:
        vectors = self._vectors(sequences)
        if self.name == "neighbors":
            self._known = [vectors[labels == label] for label in (0, 1)]
            return vectors.size
        model = (
            DecisionTreeClassifier(random_state=self.seed)
            if self.name == "tree"
            else RandomForestClassifier(TREES, random_state=self.seed)
        )
        self._model = model.fit(vectors, labels, sample_weight=weights)
        trees = [model] if self.name == "tree" else model.estimators_
        return sum(tree.tree_.node_count for tree in trees)

    def _vectors(self, sequences: Sequences) -> np.ndarray:
        """Return count vectors (rows, V + 1), keys never seen in the last column."""
        known = self.keys.counts(sequences)
        return np.column_stack([known, np.array([*map(len, sequences)]) - known.sum(1)])

    def _log_odds(self, sequences: Sequences) -> np.ndarray:
        """Return log-odds (rows,); of `neighbors` how much nearer the nearest anomaly is than the nearest normal."""
        vectors = self._vectors(sequences)
        if self.name != "neighbors":
            return to_log_odds(self._model.predict_proba(vectors)[:, 1])
        normal, anomalous = (_nearest(vectors, known) for known in self._known)
        return normal - anomalous


def _nearest(vectors: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return the Euclidean distance (rows,) to the nearest of the references."""
    parts = np.array_split(vectors, -(-len(vectors) // COMPARED_AT_ONCE))
    return np.concatenate([cdist(part, references).min(1) for part in parts])
