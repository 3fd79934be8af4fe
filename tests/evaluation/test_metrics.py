"""Figures against hand-worked cases and scikit-learn; undefined stays undefined."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, matthews_corrcoef, precision_score, recall_score

from evaluation import metrics


def test_worked_by_hand():
    found = metrics.measure(np.array([1, 1, 1, 0, 0, 0]), np.array([1, 1, 0, 1, 0, 0]))
    assert [found[name] for name in ("true_positives", "false_positives", "false_negatives", "true_negatives")] == [
        2,
        1,
        1,
        2,
    ]
    assert found["precision"] == found["recall"] == found["f1"] == pytest.approx(2 / 3)
    assert found["mcc"] == pytest.approx((2 * 2 - 1 * 1) / 9)
    assert found["false_alarm_rate"] == pytest.approx(1 / 3)
    assert found["f1_low"] <= found["f1"] <= found["f1_high"]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60))
def test_equal_to_scikit_learn_wherever_that_is_defined(pairs):
    flags, labels = (np.array(column, dtype=int) for column in zip(*pairs, strict=True))
    found = metrics.measure(flags, labels)
    if labels.any() and flags.any():
        assert found["precision"] == pytest.approx(precision_score(labels, flags))
        assert found["recall"] == pytest.approx(recall_score(labels, flags))
        assert found["f1"] == pytest.approx(f1_score(labels, flags))
    if labels.any() and not labels.all():
        assert found["mcc"] == pytest.approx(matthews_corrcoef(labels, flags))


def test_nothing_flagged():
    found = metrics.measure(np.zeros(4), np.array([1, 0, 0, 0]))
    assert (found["precision"], found["recall"], found["f1"], found["mcc"]) == (None, 0.0, 0.0, 0.0)


def test_everything_flagged():
    found = metrics.measure(np.ones(4), np.array([1, 0, 0, 0]))
    assert (found["precision"], found["recall"], found["false_alarm_rate"]) == (0.25, 1.0, 1.0)


def test_no_anomaly_has_no_f1_but_a_false_alarm_rate():
    found = metrics.measure(np.array([1, 0, 0, 0]), np.zeros(4))
    assert (found["precision"], found["recall"], found["f1"], found["mcc"]) == (None, None, None, None)
    assert found["false_alarm_rate"] == 0.25
    assert metrics.ranking(np.arange(4.0), np.zeros(4)) == {"auroc": None, "average_precision": None}


def test_ranking_by_hand():
    found = metrics.ranking(np.array([0.9, 0.8, 0.2, 0.1]), np.array([1, 0, 1, 0]))
    assert found["auroc"] == pytest.approx(3 / 4)
    assert found["average_precision"] == pytest.approx((1 + 2 / 3) / 2)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """A detector with recall 0.8 and precision 0.9 in truth; of 500 test sets of 600 sequences 92 to 98%."""
    chance, truth, hits = np.random.default_rng(1), 2 * 0.72 / (2 * 0.72 + 0.08 + 0.18), 0
    flags = np.array([True, True, False, False])
    for _ in range(500):
        cells = chance.multinomial(600, np.array([0.072, 0.008, 0.018, 0.902]))
        labels = np.repeat([1, 0, 1, 0], cells)
        found = metrics.measure(np.repeat(flags, cells), labels)
        hits += found["f1_low"] <= truth <= found["f1_high"]
    assert 0.92 <= hits / 500 <= 0.98


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=4, max_size=60), st.sampled_from([0.01, 0.0293, 0.5]))
def test_a_prevalence_weighs_the_normals_as_scikit_learn_would(pairs, prevalence):
    flags, labels = (np.array(column, dtype=int) for column in zip(*pairs, strict=True))
    if not labels.any() or labels.all() or not flags.any():
        return
    weights = np.where(labels == 1, 1.0, metrics.normal_weight(labels, prevalence))
    assert weights[labels == 1].sum() / weights.sum() == pytest.approx(prevalence)
    found = metrics.measure(flags, labels, prevalence)
    assert found["precision"] == pytest.approx(precision_score(labels, flags, sample_weight=weights))
    assert found["recall"] == pytest.approx(recall_score(labels, flags))
    assert found["f1"] == pytest.approx(f1_score(labels, flags, sample_weight=weights))
    assert found["mcc"] == pytest.approx(matthews_corrcoef(labels, flags, sample_weight=weights), abs=1e-9)


def test_prevalence_by_hand():
    """Half of 4 anomalies found, 1 of 10 normals flagged; at 10% one anomaly stands against nine normals."""
    flags, labels = np.array([1, 1, 0, 0] + [1] + [0] * 9), np.array([1] * 4 + [0] * 10)
    found = metrics.measure(flags, labels, 0.1)
    assert found["precision"] == pytest.approx(0.1 * 0.5 / (0.1 * 0.5 + 0.9 * 0.1))
    assert (found["true_positives"], found["false_positives"], found["false_alarm_rate"]) == (2, 1, 0.1)


def test_average_precision_falls_with_the_prevalence_and_auroc_does_not():
    chance = np.random.default_rng(0)
    labels = np.array([1] * 50 + [0] * 50)
    score = chance.normal(size=100) + labels
    even, rare = metrics.ranking(score, labels), metrics.ranking(score, labels, 0.02)
    assert rare["average_precision"] < even["average_precision"]
    assert rare["auroc"] == even["auroc"]


@pytest.mark.parametrize("prevalence", [None, 0.05])
def test_intervals_hold_the_truth_about_as_often_as_they_say(prevalence):
    """Coverage by simulation: a detector of recall .8 and false-alarm rate .05, 300 test sets of 400."""
    chance, share = np.random.default_rng(0), 0.25
    inside = 0
    used = share if prevalence is None else prevalence
    precision = used * 0.8 / (used * 0.8 + (1 - used) * 0.05)
    truth = 2 * precision * 0.8 / (precision + 0.8)
    for _ in range(300):
        labels = (chance.random(400) < share).astype(int)
        flags = chance.random(400) < np.where(labels == 1, 0.8, 0.05)
        found = metrics.measure(flags, labels, prevalence)
        inside += found["f1_low"] <= truth <= found["f1_high"]
    assert 0.91 <= inside / 300 <= 0.98


def test_the_gain_in_f1_worked_by_hand_and_its_interval():
    """Of ten anomalies one verdict finds all and the other half, without a false alarm: 1 against 2 / 3."""
    labels = np.array([1] * 10 + [0] * 90)
    every, half = labels == 1, np.arange(100) < 5
    gain, low, high = metrics.f1_gain(every, half, labels)
    assert gain == pytest.approx(1 - 2 / 3) and 0 < low < gain < high < 1
    assert metrics.f1_gain(half, every, labels) == pytest.approx((-gain, -high, -low))
    assert metrics.f1_gain(half, half, labels) == (0, 0, 0)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_the_gain_is_the_difference_of_the_two_f1(rows):
    flags, others, labels = (np.array(column) for column in zip(*rows, strict=True))
    gain, low, high = metrics.f1_gain(flags, others, labels.astype(int))
    each = np.nan_to_num([metrics.f1(metrics.confusion(one, labels)) for one in (flags, others)])  # 0 without any
    assert gain == pytest.approx(each[0] - each[1]) and low <= high
