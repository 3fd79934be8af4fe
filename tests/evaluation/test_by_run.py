"""Figures with intervals over whole runs: what rows of one run share must not pass for independent evidence."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, precision_score, recall_score

from evaluation import by_run

FIGURES = (by_run.f1, by_run.average_precision, by_run.accuracy, by_run.precision, by_run.recall)


def drawn(seed: int, rows: int = 200, runs: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores that say something of them, and runs of ten rows."""
    chance = np.random.default_rng(seed)
    labels = (chance.random(rows) < 0.3).astype(np.int8)
    scores = np.round(chance.normal(size=rows) + labels - 0.5, 1)  # with ties
    return labels, scores, np.repeat([f"montage {run}" for run in range(runs)], rows // runs)


# --------------------------------------------------------------------------------------------------------- the figures


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_scikit_learn_with_weights_as_a_draw_gives_them(seed):
    """A row of a run that is drawn twice counts twice, one of a run that is not drawn does not count."""
    labels, scores, _ = drawn(seed)
    weights = np.random.default_rng(seed).integers(0, 4, len(labels)).astype(float)
    given = {"sample_weight": weights}
    assert by_run.f1(labels, scores, weights) == pytest.approx(f1_score(labels, scores > 0, **given))
    assert by_run.accuracy(labels, scores, weights) == pytest.approx(accuracy_score(labels, scores > 0, **given))
    assert by_run.precision(labels, scores, weights) == pytest.approx(precision_score(labels, scores > 0, **given))
    assert by_run.recall(labels, scores, weights) == pytest.approx(recall_score(labels, scores > 0, **given))
    expected = average_precision_score(labels, scores, **given)
    assert by_run.average_precision(labels, scores, weights) == pytest.approx(expected)


@pytest.mark.parametrize("figure", FIGURES)
def test_whole_weights_are_copies_of_rows(figure):
    labels, scores, _ = drawn(9)
    weights = np.random.default_rng(9).integers(0, 4, len(labels))
    copies = figure(np.repeat(labels, weights), np.repeat(scores, weights), np.ones(weights.sum()))
    assert figure(labels, scores, weights.astype(float)) == pytest.approx(copies)


def test_f1_worked_by_hand_and_a_score_of_0_flags_nothing():
    """Weights 1, 2, 1, 3: 1 hit, 3 flagged, 1 + 3 anomalous, so 2 / 7; the score of 0 is no alarm."""
    labels, scores, weights = np.array([1, 0, 0, 1]), np.array([2.0, 0.1, -1.0, 0.0]), np.array([1.0, 2.0, 1.0, 3.0])
    assert by_run.f1(labels, scores, weights) == pytest.approx(2 / 7)
    assert by_run.accuracy(labels, scores, weights) == pytest.approx(2 / 7)  # 1 + 1 of 7 are right


def test_f1_of_misses_or_false_alarms_alone_is_0_and_not_missing():
    """A detector that flags nothing is bad, not unmeasured."""
    ones = np.ones(3)
    assert by_run.f1(np.array([1, 0, 0]), -ones, ones) == 0.0
    assert by_run.f1(np.zeros(3), ones, ones) == 0.0
    assert np.isnan(by_run.f1(np.zeros(3), -ones, ones))


# ------------------------------------------------------------------------------------------------------- the intervals


@pytest.mark.parametrize("figure", FIGURES)
def test_the_interval_holds_the_figure_of_all_rows(figure):
    labels, scores, runs = drawn(1)
    found, low, high = by_run.measured(figure, labels, scores, runs)
    assert found == figure(labels, scores, np.ones(len(labels)))
    assert low < found < high


def test_rows_of_a_run_that_all_agree_are_one_piece_of_evidence_and_not_fifty():
    """20 runs of 50 copies say no more than 20 rows; as 1,000 single rows they would look seven times as sure."""
    labels, right = np.ones(1_000), np.arange(1_000) // 50 % 4 > 0  # 15 of 20 runs are judged right
    scores = np.where(right, 1.0, -1.0)
    of_runs = by_run.measured(by_run.accuracy, labels, scores, np.repeat(np.arange(20), 50))
    of_rows = by_run.measured(by_run.accuracy, labels, scores, np.arange(1_000))
    of_twenty = by_run.measured(by_run.accuracy, labels[::50], scores[::50], np.arange(20))
    assert of_runs == pytest.approx(of_twenty)
    widths = [high - low for _, low, high in (of_runs, of_rows)]
    assert widths[0] / widths[1] == pytest.approx(50**0.5, rel=0.2)


def test_names_and_order_of_runs_do_not_move_the_interval_beyond_chance():
    """Runs come as texts such as "montage 7", those of one run not always side by side."""
    labels, scores, runs = drawn(2)
    places = np.random.default_rng(0).permutation(len(labels))
    there, mixed = (
        by_run.measured(by_run.f1, labels[rows], scores[rows], runs[rows]) for rows in (slice(None), places)
    )
    assert mixed == pytest.approx(there)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another_one():
    labels, scores, runs = drawn(3)
    first, again, other = (by_run.measured(by_run.f1, labels, scores, runs, seed) for seed in (0, 0, 1))
    assert first == again
    assert first[0] == other[0] and first[1:] != other[1:]


def test_the_interval_covers_the_truth_about_as_often_as_it_says(monkeypatch):
    """Rows of a run share most of their luck: over runs it covers; over rows it would hold the truth half the time."""
    monkeypatch.setattr(by_run, "DRAWS", 200)
    covered = {"runs": 0, "rows": 0}
    for seed in range(60):
        chance = np.random.default_rng([7, seed])
        luck = chance.beta(3.5, 1.5, 30)  # of 30 runs, the mean is 0.7
        scores = np.where(chance.random((30, 20)) < luck[:, None], 1.0, -1.0).ravel()
        for name, runs in (("runs", np.repeat(np.arange(30), 20)), ("rows", np.arange(600))):
            _, low, high = by_run.measured(by_run.accuracy, np.ones(600), scores, runs, seed)
            covered[name] += low <= 0.7 <= high
    assert covered["runs"] >= 0.85 * 60
    assert covered["rows"] < 0.75 * 60


# ---------------------------------------------------------------------------------------------------------- difference


@pytest.mark.parametrize("figure", FIGURES)
def test_the_same_scores_differ_by_exactly_0_whatever_runs_are_drawn(figure):
    """Both must be measured on the same draw, or equal detectors would seem to differ."""
    labels, scores, runs = drawn(4)
    assert by_run.difference(figure, labels, scores, scores.copy(), runs) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("figure", FIGURES)
def test_a_clearly_better_one_is_above_0_and_the_worse_one_as_far_below(figure):
    labels, scores, runs = drawn(5)
    better = np.where(labels == 1, 1.0, -1.0) + scores / 10
    gain, low, high = by_run.difference(figure, labels, better, scores, runs)
    assert 0 < low < gain < high
    assert by_run.difference(figure, labels, scores, better, runs) == pytest.approx((-gain, -high, -low))


# ------------------------------------------------------------------------------------------------------------- no class


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_has_no_average_precision_and_that_is_no_exception(label):
    found = by_run.average_precision(np.full(6, label), np.arange(6.0), np.ones(6))
    assert np.isnan(found)


def test_weights_that_leave_one_class_out_leave_no_average_precision():
    labels = np.array([1, 1, 0, 0])
    assert np.isnan(by_run.average_precision(labels, np.arange(4.0), np.array([1.0, 2.0, 0.0, 0.0])))


@pytest.mark.parametrize("label", [0, 1])
def test_an_interval_of_one_class_alone_is_nan_without_a_warning(label):
    """A warning would stand red in the notebook, whose committed outputs may have none."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = (np.full(6, label), np.arange(6.0), np.arange(6) // 2)
        assert np.isnan(by_run.measured(by_run.average_precision, *rows)).all()
        more = (np.full(6, label), np.arange(6.0), -np.arange(6.0), np.arange(6) // 2)
        assert np.isnan(by_run.difference(by_run.average_precision, *more)).all()


def test_nothing_flagged_of_normals_alone_has_no_f1_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(by_run.measured(by_run.f1, np.zeros(4), -np.ones(4), np.arange(4) // 2)).all()


def test_draws_without_an_anomaly_are_left_out_and_the_others_give_the_interval():
    """Of two runs one has the anomalies: a quarter of the draws lacks them."""
    labels, scores = np.array([1, 0, 0, 0]), np.array([3.0, 1.0, 2.0, -1.0])
    found = by_run.measured(by_run.average_precision, labels, scores, np.array([0, 0, 1, 1]))
    assert np.isfinite(found).all() and found[0] == 1.0
