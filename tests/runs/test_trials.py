"""Experiments with labels: measured, kept, and not done twice."""

import shutil
from functools import partial
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from core.data import Labeled, open_data
from evaluation.show import label_plots
from methods.supervised.counts import Counts
from methods.supervised.words import Words
from runs import changes, trials
from runs.changes import Parts

TREE = {"counts/tree": partial(Counts, "tree")}


@pytest.fixture
def place(tmp_path, labeled, monkeypatch):
    """A working folder with the labeled data in it."""
    shutil.copytree(labeled, tmp_path / "data" / "small")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parts_by_hand() -> Parts:
    train = Labeled([["a"], ["a", "b"], ["c"]], np.array([0, 0, 1]))
    test = Labeled([["a"], ["a"], ["c"], ["d"], ["b"]], np.array([0, 0, 1, 1, 0]))
    return Parts(train, train, test, None)


def test_figures_of_a_trial_worked_by_hand():
    """Flagged are the second, third and last: one of two anomalies found, two of three normals flagged."""
    found = trials.measured(parts_by_hand(), np.array([-1.0, 1.0, 2.0, -3.0, 4.0]), 0.0)
    assert (found["precision"], found["recall"]) == (pytest.approx(1 / 3), 0.5)
    assert found["f1"] == pytest.approx(0.4)
    assert (found["test_sequences"], found["test_anomalies"]) == (5, 2)
    assert found["labeled_anomalies"] == 2  # one of training, one of validation
    assert found["new_sequences"] == 2
    assert found["f1_new"] == 0.0  # of the two new ones the normal is flagged and the anomaly is not


def test_what_reads_no_label_flags_new_counts_and_fault_words():
    words = SimpleNamespace(templates={"a": "Opened", "b": "Read FAILED with an Error", "c": "closed", "d": None})
    flags = trials.label_free_flags(parts_by_hand()._replace(of=words))
    assert flags["count_vector"].tolist() == [False, False, True, True, True]  # c is known as an anomaly alone
    assert flags["fault_words"].tolist() == [False, False, False, False, True]


@pytest.mark.slow
def test_trials_are_kept_and_not_done_again_whatever_a_change_is_called(place, monkeypatch):
    shown = {"few": partial(changes.few_anomalies, count=5), "as it is": changes.nothing}
    first = trials.run_trials(shown, TREE, "small", [0, 1])
    assert first["change"].to_list() == ["few", "few", "as it is", "as it is"]
    assert first["status"].unique().to_list() == ["done"]
    assert first["labeled_anomalies"].to_list()[:2] == [5, 5]
    monkeypatch.setattr(trials, "ProcessPoolExecutor", None)  # nobody may need it now
    monkeypatch.setattr(trials, "_do", lambda missing, path: None if not missing else pytest.fail("done again"))
    again = trials.run_trials({"another title": changes.nothing}, TREE, "small", [0, 1])
    assert again["change"].unique().to_list() == ["another title"]
    assert again["f1"].to_list() == first["f1"].to_list()[2:]


@pytest.mark.slow
def test_other_data_or_other_settings_are_another_trial(place):
    tree, words = trials.Trial("t", changes.nothing, "x", TREE["counts/tree"], "small", 0), partial(Words, "tfidf")
    assert tree.identity() != trials.Trial("t", changes.nothing, "x", words, "small", 0).identity()
    few = [partial(changes.few_anomalies, count=count) for count in (1, 2)]
    assert len({trials.Trial("t", one, "x", TREE["counts/tree"], "small", 0).identity()["about"] for one in few}) == 2


@pytest.mark.slow
def test_a_trial_that_fails_is_a_row_and_the_others_go_on(place):
    shown = {"none": partial(changes.few_anomalies, count=0), "all": changes.nothing}
    found = trials.run_trials(shown, TREE, "small", [0])
    assert found["status"][0].startswith("failed: The training split has no labeled anomaly")
    assert found["status"][1] == "done"
    assert label_plots.means(found)["change"].to_list() == ["all"]


def test_figures_are_drawn_of_what_was_tried(place):
    rows = trials.label_free({"as it is": changes.nothing}, "small", 0)
    assert rows["method"].to_list() == list(trials.LABEL_FREE.values())
    curve = pl.concat([rows.with_columns(labeled_anomalies=pl.lit(count), f1=pl.lit(count / 9)) for count in (1, 9)])
    figure = label_plots.learning_curve(curve, rows)
    lines = figure.axes[0].get_lines()
    assert lines[0].get_xydata().tolist() == [[1, pytest.approx(1 / 9)], [9, 1.0]]
    assert [line.get_linestyle() for line in lines[-2:]] == ["--", "--"]
    dots = label_plots.by_change(rows, "t").axes[0].collections[0].get_offsets()
    assert dots[:, 0].tolist() == rows["f1"].to_list()
    assert open_data("small").training_anomalies > 9
