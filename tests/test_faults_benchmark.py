"""The benchmark of fault readers: which templates are new, which of them alerts, and what a threshold flags."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from benchmarks.faults import alerts, f1, highest, late_keys, measure_reader
from core.errors import BadInput
from methods.words.faults import FaultWords

TEST = pl.DataFrame(
    {
        "keys": [["a", "up"], ["bad", "a"], ["a"], ["up", "bad"]],
        "event_labels": [[0, 0], [1, 0], [0], [0, 1]],
        "label": [0, 1, 0, 1],
    }
)
WORDS = {"a": "served block", "b": "one failed attempt", "up": "node started", "bad": "disk error, read failed"}


def folder(test: pl.DataFrame = TEST) -> SimpleNamespace:
    """As much of a data folder as is read."""
    training = [["a"], ["a"], ["a", "b"], ["b"]]
    return SimpleNamespace(
        name="x", templates=WORDS, known_keys={"a", "b"}, split=lambda _: test, keys=lambda _: training
    )


def test_a_new_template_is_an_alert_by_the_labels_of_its_own_lines():
    """By those of its sequence `up` would be one half of the time."""
    assert alerts(TEST, {"a", "b"}) == {"bad": True, "up": False}


def test_a_sequence_has_the_highest_score_of_its_new_templates_and_comes_last_without_one():
    np.testing.assert_array_equal(highest(TEST["keys"].to_list(), {"bad": 2.0, "up": -3.0}), [-3, 2, -4, 2])


def test_late_keys_are_those_that_the_first_half_of_training_did_not_have():
    assert late_keys([["a"], ["a", "b"], ["b", "c"], ["a"]]) == {"c"}
    assert late_keys([["a"]]) == {"a"}


def test_f1_worked_by_hand():
    assert f1(np.array([True, True, False]), np.array([1, 0, 1])) == pytest.approx(0.5)
    assert f1(np.array([False]), np.array([0])) == 0


def test_figures_of_fault_words_worked_by_hand():
    """`bad` has two fault words, `up` none; of the known ones `b` has one, so its threshold asks about `bad` alone."""
    found = measure_reader(FaultWords(), folder())
    assert found["AUROC of new templates"] == found["average precision of sequences"] == 1
    assert found["F1, every new template an alarm"] == pytest.approx(0.8)
    assert found["F1, zero"] == found["F1, known 0.8"] == found["F1, late 0.8"] == 1
    assert found["asked, known 0.8"] == 1


def test_no_label_moves_a_threshold():
    """With every label turned round the same templates are asked about."""
    turned = TEST.with_columns(1 - pl.col("label"), event_labels=pl.col("event_labels").list.eval(1 - pl.element()))
    asked = [
        {name: value for name, value in measure_reader(FaultWords(), folder(test)).items() if "asked" in name}
        for test in (TEST, turned)
    ]
    assert asked[0] == asked[1]


def test_new_templates_of_one_kind_alone_are_one_sentence():
    with pytest.raises(BadInput, match="not of both kinds"):
        measure_reader(FaultWords(), folder(TEST[:1]))
