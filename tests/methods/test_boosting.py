"""Boosting kept as arrays: scikit-learn's verdicts, before and after, and no damaged tree is ever followed."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from methods.parts.boosting import OF_NODES, Boosting
from methods.parts.labels import SUREST

SETTINGS = {"max_iter": 12, "max_leaf_nodes": 15, "early_stopping": False}


@pytest.fixture(scope="module")
def rows():
    """Types 3, 5, 9 or none in the first column, which decide half of the labels; numbers, some missing, the rest."""
    chance = np.random.default_rng(0)
    found = chance.normal(size=(600, 4))
    found[:, 0] = chance.choice([3.0, 5.0, 9.0, np.nan], size=600)
    found[chance.random((600, 4)) < 0.1] = np.nan
    return found


@pytest.fixture(scope="module")
def labels(rows):
    return ((rows[:, 0] == 5) ^ (np.nan_to_num(rows[:, 1]) > 0.5)).astype(int)


@pytest.fixture(scope="module")
def judged(rows):
    """Rows of training, and some with a type that training never saw and with infinite numbers."""
    other = rows[:50].copy()
    other[:20, 0], other[20:30, 1], other[30:40, 2] = 7.0, np.inf, -np.inf
    return np.concatenate([rows, other])


@pytest.mark.parametrize("typed", [True, False])
def test_log_odds_are_those_of_scikit_learn_before_and_after_they_were_kept(typed, rows, labels, judged):
    """The trees are asked past scikit-learn's own door, which a new version of it could move."""
    kind = [0] if typed else None
    theirs = HistGradientBoostingClassifier(**SETTINGS, random_state=3, categorical_features=kind).fit(rows, labels)
    ours = Boosting(SETTINGS, 3, typed=typed).fit(rows, labels)
    expected = np.clip(theirs.decision_function(judged), -SUREST, SUREST)
    np.testing.assert_allclose(ours.log_odds(judged), expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(Boosting.of(ours.arrays()).log_odds(judged), ours.log_odds(judged))
    assert Boosting.of(ours.arrays()).size == ours.size == sum(len(t.nodes) for s in theirs._predictors for t in s)


@pytest.mark.parametrize("name", [*OF_NODES[2:], "sizes", "places", "sets", "known", "types"])
def test_a_changed_tree_is_refused_and_never_followed(name, rows, labels):
    """Compiled code reads where a node points to: a shared folder must not make it read beyond the tree."""
    kept = Boosting(SETTINGS, 0, typed=True).fit(rows, labels).arrays()
    changed = {
        "left": kept["left"] * 0,  # a circle
        "right": kept["right"] + 10_000,
        "feature_idx": kept["feature_idx"] - 50,
        "bitset_idx": kept["bitset_idx"] + 10_000,
        "sizes": kept["sizes"] * 2,
        "places": kept["places"] + 9,
        "sets": kept["sets"][:1],
        "known": kept["known"][:, :2],
        "types": kept["types"].repeat(100),
    }
    with pytest.raises((ValueError, IndexError)):
        Boosting.of(kept | {name: changed[name]})


def test_rows_with_other_columns_are_refused(rows, labels):
    with pytest.raises(ValueError, match="4 columns, not 3"):
        Boosting(SETTINGS, 0).fit(rows, labels).log_odds(rows[:, :3])
