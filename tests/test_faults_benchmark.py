"""The benchmark of fault readers: which templates are new, which of them alerts, and what a threshold flags."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from benchmarks import faults
from benchmarks.faults import (
    alerts,
    f1,
    held_out,
    highest,
    known_and_test,
    measure_reader,
    measure_stretch,
    read_labeled,
)
from core.errors import BadInput
from methods.words.faults import FaultWords
from methods.words.matching import jaccard

TEST = pl.DataFrame(
    {
        "keys": [["a", "up"], ["bad", "a"], ["a"], ["up", "bad"]],
        "event_labels": [[0, 0], [1, 0], [0], [0, 1]],
        "label": [0, 1, 0, 1],
    }
)
BEFORE = pl.DataFrame(
    {"keys": [["b"], ["a"], ["worse"], ["b"]], "event_labels": [[0], [0], [1], [0]], "label": [0, 0, 1, 0]}
)
WORDS = {
    "a": "served block",
    "b": "one failed attempt",
    "up": "node started",
    "bad": "disk error, read failed",
    "worse": "x",
}


def folder(test: pl.DataFrame = TEST) -> SimpleNamespace:
    """As much of a data folder as is read: four sequences to learn from, then the test."""
    return SimpleNamespace(name="x", templates=WORDS, sequences=pl.concat([BEFORE, test]))


def test_a_new_template_is_an_alert_by_the_labels_of_its_own_lines():
    """By those of its sequence `up` would be one half of the time."""
    assert alerts(TEST, {"a", "b"}) == {"bad": True, "up": False}


def test_a_sequence_has_the_highest_score_of_its_new_templates_and_comes_last_without_one():
    np.testing.assert_array_equal(highest(TEST["keys"].to_list(), {"bad": 2.0, "up": -3.0}), [-3, 2, -4, 2])


def test_known_are_the_templates_of_normal_sequences_alone_in_their_order():
    known, test = known_and_test(folder(), (0, 0.5, 1))
    assert list(known) == ["b", "a"] and test["label"].to_list() == [0, 1, 0, 1]


def test_each_way_rates_known_templates_beside_others_and_never_beside_themselves():
    known = {"a": "one two", "b": "one", "c": "two", "d": "three"}
    found = dict(held_out(FaultWords(), jaccard, known))
    np.testing.assert_allclose(found["each"], [0.05, 0.05, 0.05, 0.1])
    np.testing.assert_allclose(found["groups"], found["each"])  # four templates are four groups
    np.testing.assert_allclose(found["later"], [0.05, 0.1])


def test_f1_worked_by_hand():
    assert f1(np.array([True, True, False]), np.array([1, 0, 1])) == pytest.approx(0.5)
    assert f1(np.array([False]), np.array([0])) == 0


def test_figures_of_fault_words_worked_by_hand():
    """`bad` has two fault words, `up` none; of the known ones `b` has one, so its threshold asks about `bad` alone."""
    found = measure_stretch(FaultWords(), jaccard, folder(), (0, 0.5, 1))
    assert found["AUROC of new templates"] == found["average precision"] == 1
    assert found["F1, every new template an alarm"] == found["F1, zero"] == pytest.approx(0.8)
    assert found["F1, each 0.4"] == 1 and found["asked, each 0.4"] == 1


def test_no_label_moves_a_threshold():
    """With every label turned round the same templates are asked about."""
    turned = TEST.with_columns(
        label=1 - pl.col("label"), event_labels=pl.col("event_labels").list.eval(1 - pl.element())
    )
    found, other = (measure_stretch(FaultWords(), jaccard, folder(test), (0, 0.5, 1)) for test in (TEST, turned))
    asked = [name for name in found if name.startswith("asked")]
    assert [found[name] for name in asked] == [other[name] for name in asked]


def test_new_templates_of_one_kind_are_refused_in_one_sentence():
    with pytest.raises(BadInput, match="not of both kinds"):
        measure_stretch(FaultWords(), jaccard, folder(TEST.head(1)), (0, 0.75, 1))


def test_a_reader_has_the_figures_of_the_first_stretch_and_the_mean_and_least_of_all(monkeypatch):
    monkeypatch.setattr(faults, "STRETCHES", ((0, 0.5, 1), (0, 0.25, 1)))
    one, other = (measure_stretch(FaultWords(), jaccard, folder(), stretch) for stretch in faults.STRETCHES)
    found = measure_reader(FaultWords(), jaccard, folder())
    assert {name: found[name] for name in one} == one
    values = one["F1, each 0.3"], other["F1, each 0.3"]
    assert found["F1, each 0.3: mean of 2 stretches"] == pytest.approx(sum(values) / 2)
    assert found["F1, each 0.3: least of them"] == min(values)


def test_labeled_templates_of_other_systems_are_read_and_another_table_is_one_sentence(tmp_path):
    path = tmp_path / "labeled.csv"
    path.write_text('template,label\n"disk failed, giving up",1\nserved block,0\n')
    assert read_labeled(path) == (["disk failed, giving up", "served block"], [1, 0])
    path.write_text("text;level\nx;INFO\n")
    with pytest.raises(BadInput, match="columns template and label"):
        read_labeled(path)
