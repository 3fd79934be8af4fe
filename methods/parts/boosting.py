"""Gradient boosting of histogram trees that is kept as arrays, so that loading it takes no fit and evaluates nothing.

The trees are scikit-learn's (`HistGradientBoostingClassifier`, after Ke et al., NeurIPS 2017), and so is the code that
asks them; what is private there is used here alone, and a test holds both to the same log-odds.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from threadpoolctl import threadpool_limits

from methods.parts.labels import SUREST

# What a tree is asked by; the other fields of a node are of the training.
OF_NODES = ("value", "num_threshold", "feature_idx", "left", "right", "bitset_idx")
CATEGORIES, WORDS = 256, 8  # a set of categories has 256 bits, in 8 words of 32
FLAGS = ("missing_go_to_left", "is_leaf", "is_categorical")


class Boosting:
    """Trees of two classes; with `typed` the first column holds numbers of types, which have no order."""

    def __init__(self, settings: Mapping[str, Any], seed: int, *, typed: bool = False) -> None:
        self._settings, self._seed, self._typed = dict(settings), seed, typed

    def fit(self, rows: np.ndarray, targets: np.ndarray) -> "Boosting":
        """Learn rows (n, columns) with their labels; nan is a number that is not known."""
        self._types = np.unique(rows[~np.isnan(rows[:, 0]), 0]) if self._typed else np.empty(0)
        model = HistGradientBoostingClassifier(
            **self._settings, random_state=self._seed, categorical_features=[0] if self._typed else None
        )
        # 34,661 jobs take 2 s in one thread, and 22 s in two that wait passively, as those of the notebooks do.
        with threadpool_limits(1, user_api="openmp"):
            model.fit(self._coded(rows), targets)
        self._trees = [tree for stage in model._predictors for tree in stage]
        self._base = float(model._baseline_prediction.item())
        self._known, self._places = model._bin_mapper.make_known_categories_bitsets()
        return self

    def log_odds(self, rows: np.ndarray) -> np.ndarray:
        """Return the log-odds (n,) of an anomaly, within plus and minus `SUREST`."""
        if rows.shape[1] != len(self._places):
            raise ValueError(f"the trees were learned from {len(self._places)} columns, not {rows.shape[1]}")
        coded, found = self._coded(rows), np.full(len(rows), self._base)
        for tree in self._trees:
            found += tree.predict(coded, self._known, self._places, 1)  # in one thread, as above
        return np.clip(found, -SUREST, SUREST)

    @property
    def size(self) -> int:
        """How many nodes the trees have."""
        return sum(len(tree.nodes) for tree in self._trees)

    def _coded(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows with types as 0, 1, ... in their order, nan for one that training never saw."""
        coded = np.array(rows, dtype=np.float64, order="C")
        if self._typed:
            places = np.minimum(np.searchsorted(self._types, coded[:, 0]), len(self._types) - 1)
            coded[:, 0] = np.where(self._types[places] == coded[:, 0], places, np.nan)
        return coded

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all that `log_odds` needs."""
        nodes = np.concatenate([tree.nodes for tree in self._trees])
        sets = np.concatenate([tree.raw_left_cat_bitsets.reshape(-1, WORDS) for tree in self._trees])
        found = {name: nodes[name].astype(np.float64) for name in OF_NODES[:2]}
        found |= {name: nodes[name].astype(np.int32) for name in OF_NODES[2:]}
        found |= {name: nodes[name].astype(np.uint8) for name in FLAGS}
        sizes = [(len(tree.nodes), len(tree.raw_left_cat_bitsets)) for tree in self._trees]
        found |= {"sizes": np.array(sizes, dtype=np.int32), "sets": sets.astype(np.int64), "base": np.array(self._base)}
        found |= {"known": self._known.astype(np.int64), "places": self._places.astype(np.int64), "types": self._types}
        return found

    @classmethod
    def of(cls, kept: Mapping[str, np.ndarray]) -> "Boosting":
        """Return what `arrays` gave; raise ValueError if the nodes are no trees."""
        model = cls({}, 0, typed=len(kept["types"]) > 0)
        model._base, model._types = float(kept["base"]), kept["types"]
        model._known, model._places = kept["known"].astype(np.uint32), kept["places"].astype(np.uint32)
        nodes = np.zeros(len(kept["value"]), dtype=PREDICTOR_RECORD_DTYPE)
        for name in (*OF_NODES, *FLAGS):
            nodes[name] = kept[name]
        ends = np.cumsum(kept["sizes"], axis=0)[:-1]
        parts = zip(np.split(nodes, ends[:, 0]), np.split(kept["sets"].astype(np.uint32), ends[:, 1]), strict=True)
        model._trees = [TreePredictor(own, np.empty((0, WORDS), np.uint32), sets) for own, sets in parts]
        sound = len(model._types) <= CATEGORIES and model._known.shape[1:] == (WORDS,)
        if not sound or not all(_is_a_tree(tree, model._places, len(model._known)) for tree in model._trees):
            raise ValueError("the nodes are no trees")
        return model


def _is_a_tree(tree: TreePredictor, places: np.ndarray, known: int) -> bool:
    """Return whether every node leads on, within its tree and the columns: compiled code follows without looking."""
    rows = np.flatnonzero(tree.nodes["is_leaf"] == 0)
    inner = tree.nodes[rows]
    on = all(((inner[side] > rows) & (inner[side] < len(tree.nodes))).all() for side in ("left", "right"))
    within = ((inner["feature_idx"] >= 0) & (inner["feature_idx"] < len(places))).all()
    if not (len(tree.nodes) and on and within):
        return False
    typed = inner[inner["is_categorical"] == 1]
    sets = (typed["bitset_idx"] < len(tree.raw_left_cat_bitsets)).all()
    return bool(sets and (places[typed["feature_idx"]] < known).all())
