"""What there was before neural networks: six detectors on counts of log keys, and an n-gram; learned on normals alone.

- `pca`: Xu et al., "Detecting Large-Scale System Problems by Mining Console Logs" (SOSP 2009), on weighted counts.
- `isolation_forest`: Liu, Ting and Zhou, "Isolation Forest" (ICDM 2008), on counts.
- `one_class_svm`: Schoelkopf et al., "Estimating the Support of a High-Dimensional Distribution" (2001), on scaled
  counts. LogBERT's code takes the +1 that scikit-learn gives an inlier for an alarm; here is a score and no label.
- `log_cluster`: Lin et al., "Log Clustering Based Problem Identification for Online Service Systems" (ICSE-C 2016): the
  cosine distance to the nearest cluster. Not implemented: weights by contrast with a laboratory, clusters that grow.
- `invariants`: Lou et al., "Mining Invariants from Console Logs for System Problem Detection" (USENIX ATC 2010): linear
  relations of two or three counts that normals keep. Not implemented: longer ones, and grouping by parameter values.
- `ngram`: a trigram that judges every event by rank and tail probability, see core/ngrams.py.
- `nearest_counts`: ECVC of Landauer, Skopik and Wurzenberger, "A Critical Review of Common Log Data Sets Used for
  Evaluation of Sequence-Based Anomaly Detection Techniques" (FSE 2024): the distance to the nearest training vector,
  which is what LightAD (Yu et al., ICSE 2024) does with k = 1, but here without anomalies to learn from.

PCA, clusters and invariants follow logpai/loglizer, the usual source of these baselines. Different on purpose: they
give scores, and the shared rules decide. Every model but the n-gram sees one more count, of all keys that training
never saw. A vector that occurs n times is read once and counts like n copies.
"""

import time
from collections.abc import Callable, Mapping
from itertools import combinations, product
from math import gcd, log
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist, pdist
from sklearn.ensemble import IsolationForest
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from core.errors import BadInput
from core.keys import KeyNumbers, Sequences, distinct, weigh
from core.ngrams import NGram
from methods.parts import disk
from methods.parts.judging import judge_ngrams

COMPARED_AT_ONCE = 1_024


class Learned(NamedTuple):
    """A fitted model: what gives count vectors (rows, V + 1) their scores (rows,), and how many numbers it holds."""

    score: Callable[[np.ndarray], np.ndarray]
    parameters: int


def pca(vectors: np.ndarray, weights: np.ndarray, *, variance: float) -> Learned:
    """Return the squared prediction error: the squared distance from the principal subspace of the normals.

    The covariance is weighted, which scikit-learn's PCA cannot do; on copies both find the same subspace.
    """
    rarity, total = _rarity(vectors, weights), weights.sum()
    mean = weights @ (vectors * rarity) / total
    centered = vectors * rarity - mean
    values, axes = np.linalg.eigh((centered * weights[:, None]).T @ centered / total)
    explained = np.cumsum(values[::-1])  # eigh sorts up
    size = np.searchsorted(explained, variance * explained[-1]) + 1 if explained[-1] > 1e-12 else 0
    kept = axes[:, ::-1][:, :size]

    def score(shown: np.ndarray) -> np.ndarray:
        deviation = shown * rarity - mean
        return np.square(deviation - deviation @ kept @ kept.T).sum(1)

    return Learned(score, kept.size + mean.size + rarity.size)


def isolation_forest(vectors: np.ndarray, weights: np.ndarray, *, trees: int, rows_a_tree: int, seed: int) -> Learned:
    """Return how few random splits isolate a vector, 0 to 1; 1 with a key never seen: trees split varying counts.

    Copies are real rows here, because trees draw rows without replacement.
    """
    rows = np.repeat(vectors, weights, axis=0)
    forest = IsolationForest(n_estimators=trees, max_samples=min(rows_a_tree, len(rows)), random_state=seed).fit(rows)
    nodes = sum(tree.tree_.node_count for tree in forest)
    return Learned(lambda shown: np.where(shown[:, -1] > 0, 1.0, -forest.score_samples(shown)), nodes)


def one_class_svm(vectors: np.ndarray, weights: np.ndarray, *, outside: float) -> Learned:
    """Return minus the decision function of an RBF kernel on standardized counts; more than 0 is outside.

    A key that never varies keeps its scale. The width is scikit-learn's default: 1 / (columns x variance).
    """
    scaler = StandardScaler().fit(vectors, sample_weight=weights)
    width = 1 / max(int((scaler.var_ > 1e-9).sum()), 1)
    machine = OneClassSVM(gamma=width, nu=outside, tol=1e-6)  # ours: copies and weights end within the tolerance
    machine.fit(scaler.transform(vectors), sample_weight=weights)
    parameters = machine.support_vectors_.size + machine.dual_coef_.size + 1 + 2 * vectors.shape[1]
    return Learned(lambda shown: -machine.decision_function(scaler.transform(shown)), parameters)


def log_cluster(vectors: np.ndarray, weights: np.ndarray, *, max_distance: float, most_clustered: int) -> Learned:
    """Return cosine distance to the nearest mean of a cluster (complete linkage, cut at `max_distance`).

    The linkage takes the square of what it clusters, so that is the `most_clustered` commonest vectors; the others
    stand for themselves.
    """
    rarity = _rarity(vectors, weights)
    order = np.argsort(-weights, kind="stable")
    weighted, copies = vectors[order] * rarity, weights[order][:most_clustered]
    common, others = np.split(weighted, [most_clustered])
    clusters = np.zeros(len(common), dtype=int)
    if len(common) > 1:
        distances = pdist(_unit(common), "sqeuclidean") / 2  # of unit vectors that is the cosine distance
        clusters = fcluster(linkage(distances, "complete"), max_distance, "distance") - 1
    sums = np.zeros((clusters.max() + 1, weighted.shape[1]))
    np.add.at(sums, clusters, common * copies[:, None])
    means = _unit(np.concatenate([sums, others]))
    return Learned(lambda shown: _nearest(_unit(shown * rarity), means, "sqeuclidean") / 2, means.size + rarity.size)


def invariants(vectors: np.ndarray, weights: np.ndarray, *, support: float, largest: int, most_keys: int) -> Learned:
    """Return the summed surprise at the invariants that a vector breaks: minus the log of how often normals break them.

    Searched are a x = b y and a x + b y = c z, the coefficients whole and at most `largest`, among the constant 1 and
    the keys in at least 1 - `support` of the normals, of these the `most_keys` commonest. Support counts the normals in
    which one of the keys occurs, or any two rare keys would be equal. What follows from invariants found before is left
    out. That there is no key that training never saw is the last invariant.
    """
    occurs = weights @ (vectors > 0) / weights.sum()
    often = np.argsort(-occurs, kind="stable")[:most_keys]
    often = np.sort(often[occurs[often] >= 1 - support])
    order = np.argsort(-weights, kind="stable")  # the commonest refute most candidates
    table = np.column_stack([np.ones(len(vectors)), vectors[:, often]])[order]
    found = _mine(table, weights[order].astype(float), 1 - support, largest)
    relations = np.array([each.coefficients for each in found]).reshape(-1, table.shape[1])
    surprise = np.array([log((each.normals + 2) / (each.broken + 1)) for each in found])

    def score(shown: np.ndarray) -> np.ndarray:
        values = relations[:, 0] + shown[:, often] @ relations[:, 1:].T
        return (values != 0) @ surprise + (shown[:, -1] > 0) * log(weights.sum() + 2)

    return Learned(score, int(np.count_nonzero(relations)) + len(found) + 1)


class Invariant(NamedTuple):
    """Coefficients of the columns, the sum of which is 0 in all but `broken` of the `normals` that it speaks of."""

    coefficients: np.ndarray
    broken: float
    normals: float


def _mine(table: np.ndarray, weights: np.ndarray, allowed: float, largest: int) -> list[Invariant]:
    """Return independent invariants of the columns of `table`, of which the first is 1: shorter, better kept first."""
    absent = (table == 0).astype(float)
    none_occurs = np.einsum("r,ri,rj,rk->ijk", weights, absent, absent, absent, optimize=True)
    found: list[Invariant] = []
    basis = np.zeros((0, table.shape[1]))
    for length in (2, 3):
        columns = np.array(list(combinations(range(table.shape[1]), length)), dtype=int).reshape(-1, length)
        normals = weights.sum() - none_occurs[tuple(columns[:, [0, 1, -1]].T)]
        for candidate in _candidates(table, weights, columns, normals, allowed, largest):
            left = candidate.coefficients - basis.T @ (basis @ candidate.coefficients)
            if np.linalg.norm(left) > 1e-6:
                basis = np.vstack([basis, left / np.linalg.norm(left)])
                found.append(candidate)
    return found


def _candidates(
    table: np.ndarray, weights: np.ndarray, columns: np.ndarray, normals: np.ndarray, allowed: float, largest: int
) -> list[Invariant]:
    """Return the invariants of these `columns` (sets, length) that at most the share `allowed` breaks, best first."""
    tenth = np.searchsorted(weights.cumsum(), weights.sum() / 10)
    first = slice(np.clip(tenth, 64, 1_000))  # they refute most
    found: list[Invariant] = []
    for signs in _coefficients(columns.shape[1], largest):
        values = sum(sign * table[first, column] for sign, column in zip(signs, columns.T, strict=True))
        left = np.flatnonzero(weights[first] @ (values != 0) <= allowed * normals)
        rows = np.zeros((len(left), table.shape[1]))
        rows[np.arange(len(left))[:, None], columns[left]] = signs
        broken = weights @ (table @ rows.T != 0)
        good = broken <= allowed * normals[left]
        found += map(Invariant, rows[good], broken[good], normals[left][good])
    return sorted(found, key=lambda each: each.broken / each.normals)


def _coefficients(length: int, largest: int) -> list[tuple[int, ...]]:
    """Return whole numbers without 0 and a common divisor, of both signs, the first positive; small ones first."""
    numbers = [sign * size for size in range(1, largest + 1) for sign in (1, -1)]
    return [signs for signs in product(numbers, repeat=length) if signs[0] > 0 > min(signs) and gcd(*signs) == 1]


def nearest_counts(vectors: np.ndarray, weights: np.ndarray) -> Learned:
    """Return ECVC's distance to the nearest training vector: L1, divided by the sum of the larger counts; 0 to 1.

    As in ait-aecid/anomaly-detection-log-datasets (0a425ec) without IDF; there the threshold is chosen on test data.
    It is 2 b / (1 + b) of Bray-Curtis, L1 by the sum of all counts, so the nearest is the same.
    """
    return Learned(lambda shown: 2 - 2 / (1 + _nearest(shown, vectors, "braycurtis")), vectors.size)


def _rarity(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weight of each key, (V + 1,): ln((1 + normals) / (1 + normals with it)) + 1.

    loglizer's has no + 1. On normals alone that gives the keys of every session the weight 0: nobody would miss them.
    """
    return np.log((1 + weights.sum()) / (1 + weights @ (vectors > 0))) + 1


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _nearest(vectors: np.ndarray, references: np.ndarray, metric: str) -> np.ndarray:
    parts = np.array_split(vectors, -(-len(vectors) // COMPARED_AT_ONCE))
    return np.concatenate([cdist(part, references, metric).min(1) for part in parts])


MODELS: dict[str, tuple[Callable, dict]] = {
    "pca": (pca, {"variance": 0.95}),  # loglizer
    "isolation_forest": (isolation_forest, {"trees": 100, "rows_a_tree": 256}),  # Liu et al.
    "one_class_svm": (one_class_svm, {"outside": 0.01}),  # ours: nu as the false-alarm rate; scikit-learn's is 0.5
    "log_cluster": (log_cluster, {"max_distance": 0.3, "most_clustered": 5_000}),  # loglizer's demo; ours, for memory
    "invariants": (invariants, {"support": 0.98, "largest": 3, "most_keys": 40}),  # loglizer; ours, for time
    "nearest_counts": (nearest_counts, {}),
    "ngram": (NGram, {"order": 3}),  # ours
}
CLASSICAL = tuple(MODELS)


class Classical:
    """One of `CLASSICAL`. `fit`, then `score`; `save` and `load` give the same scores."""

    method = "classical"
    reads, learns = "keys", "normals"

    def __init__(self, model: str, seed: int = 0, *, templates: Mapping[str, str | None] | None = None) -> None:
        """`templates` is what every detector is offered; these read keys alone. Only the forest has use for `seed`."""
        if model not in MODELS:
            raise BadInput(f"There is no classical detector {model!r}; take one of {', '.join(CLASSICAL)}.")
        self.name, self.seed, self.settings = model, seed, MODELS[model][1]

    def describe(self) -> dict:
        """Return the settings that a run keeps in its `config.json`."""
        return dict(self.settings)

    @property
    def parameters(self) -> int:
        """How many numbers are learned: of axes, support vectors, representatives, invariants or counts; tree nodes."""
        return self.learned.parameters

    def fit(self, train_sequences: Sequences, validation: Sequences, checkpoints: Path) -> pl.DataFrame:
        """Learn the training split; one row, `epoch` 0 and `seconds`. Nothing is chosen on `validation`.

        A fit takes seconds, so an interrupted one starts again and leaves nothing in `checkpoints`.
        """
        started = time.perf_counter()
        self.keys = KeyNumbers.of(train_sequences)
        self._learn(*weigh(train_sequences))
        return pl.DataFrame({"epoch": [0], "seconds": [time.perf_counter() - started]})

    def _learn(self, sequences: Sequences, weights: np.ndarray) -> None:
        self.train_sequences, self.weights = sequences, weights.astype(np.int64)
        if self.name == "ngram":
            self.learned: Learned | NGram = NGram(self.keys, sequences, self.weights, **self.settings)
            return
        vectors, rows = self._vectors(sequences)
        counts = np.bincount(rows, weights=self.weights).astype(np.int64)
        chance = {"seed": self.seed} if self.name == "isolation_forest" else {}
        self.learned = MODELS[self.name][0](vectors, counts, **self.settings, **chance)

    def _vectors(self, sequences: Sequences) -> tuple[np.ndarray, np.ndarray]:
        """Return distinct count vectors (rows, V + 1), keys never seen in the last column; which each sequence has."""
        known = self.keys.counts(sequences)
        unseen = np.array([*map(len, sequences)]) - known.sum(1)
        vectors, rows = np.unique(np.column_stack([known, unseen]), axis=0, return_inverse=True)
        return vectors, rows.reshape(-1)

    def score(self, sequences: Sequences) -> pl.DataFrame:
        """Return one row a sequence, in order: `score`, or of the n-gram the columns of `judging.summarize`."""
        if isinstance(self.learned, NGram):
            return judge_ngrams(self.learned, sequences)
        different, of_sequence = distinct(sequences)
        vectors, rows = self._vectors(different)
        return pl.DataFrame({"score": self.learned.score(vectors)[rows][of_sequence]})

    def save(self, folder: Path) -> None:
        """Return the distinct training sequences with their counts, and the settings; the models have no safe format.

        Written beside `folder` and renamed. `load` fits them again, which takes seconds and ends the same.
        """
        about = {"method": self.method, "model": self.name, "seed": self.seed, "settings": self.settings}
        encoded = [*map(self.keys.encode, self.train_sequences)]
        arrays = {"keys": np.concatenate(encoded), "ends": np.cumsum([*map(len, encoded)]), "weights": self.weights}
        disk.save(folder, about, self.keys, arrays)

    @classmethod
    def load(cls, folder: Path, train_sequences: Sequences | None = None) -> "Classical":
        """Return a saved detector, fitted again on what was saved; raise BadInput as `disk.load`."""
        about, keys, arrays = disk.load(folder, cls.method, train_sequences)
        with disk.fitting(folder):
            detector = cls(about["model"], about["seed"])
            detector.settings, detector.keys = about["settings"], keys
            names = np.array(keys.keys, dtype=object)[arrays["keys"]]
            sequences = [tuple(part) for part in np.split(names, arrays["ends"][:-1])]
            detector._learn(sequences, arrays["weights"])
        return detector
