"""The benchmark of changed words in small: what it changes, what it must leave, and that proposals help."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import unstable
from benchmarks.rewording import FAULTS, FILLERS, HARMLESS, SYNONYMS, edit, replace_all
from benchmarks.unstable_verdicts import learn
from core.data import Data, Labeled, open_folder
from parsing.templates.messages import template_key


@pytest.fixture(scope="module")
def data(labeled) -> Data:
    return open_folder(labeled)


@pytest.fixture(scope="module")
def rows(data) -> pl.DataFrame:
    return unstable.measure_all(data, learn(data), None, (0.3,), 1)


def test_every_listed_word_has_two_other_words():
    for word, others in SYNONYMS.items():
        assert word == word.lower() and len(set(others)) == len(others) >= 2
        assert word not in {other.lower() for other in others}


TEXTS = st.lists(st.sampled_from(["Receiving", "block", "<*>", "size", "src:", "java.io.IOException:"]), min_size=1)


@given(TEXTS.map(" ".join), st.integers(0, 99))
def test_parameters_stay_whatever_the_words_become(text, seed):
    """A text that loses a parameter is another event, and no parser would bring the two together."""
    for how in (edit, replace_all):
        assert how(text, np.random.default_rng(seed)).count("<*>") == text.count("<*>")


@given(TEXTS.map(" ".join), st.integers(0, 99))
def test_at_most_two_words_are_edited_and_every_listed_one_is_replaced(text, seed):
    before, after = text.split(), edit(text, np.random.default_rng(seed)).split()
    assert abs(len(after) - len(before)) <= 2 and len([word for word in after if word in FILLERS]) <= 2
    words = replace_all(text, np.random.default_rng(seed)).lower()
    assert not {"receiving", "block", "size", "src:"} & set(words.split()) and words.count("java.io.ioexception") == (
        text.count("java.io.IOException")
    )


def test_an_update_changes_a_template_in_one_way_and_a_share_of_the_lines_in_many(data):
    test, words = data.labeled("test"), unstable.words_of(data)
    update = unstable.reword(test, words, 0.3, 1, edit, by_line=False)
    before, after = ([key for keys in part.sequences for key in keys] for part in (test, update))
    pairs = {pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]}
    assert pairs and len({old for old, _ in pairs}) == len(pairs)
    lines = unstable.reword(test, words, 0.3, 1, edit, by_line=True)
    before, after = ([key for keys in part.sequences for key in keys] for part in (test, lines))
    changed = np.array(before) != np.array(after)
    assert 0.25 < np.mean(changed) < 0.35 and len(lines.words) > len(pairs)


def test_faults_come_to_normals_alone_and_make_them_anomalous():
    test = Labeled([["a", "b"], ["a"], ["b", "a"]], np.array([0, 1, 0]))
    beside = unstable.insert_new(test, 1.0, 0, FAULTS, fault=True)
    assert beside.labels.tolist() == [1, 1, 1] and beside.made.tolist() == [True, False, True]
    assert [*map(len, beside.sequences)] == [3, 1, 3] and beside.sequences[1] == ["a"]
    instead = unstable.insert_new(test, 1.0, 0, FAULTS[:1], True, ("a",))
    assert instead.sequences == [[template_key(FAULTS[0]), "b"], ["a"], ["b", template_key(FAULTS[0])]]
    harmless = unstable.insert_new(test, 1.0, 0, HARMLESS, fault=False)
    assert harmless.labels.tolist() == [0, 1, 0] and not harmless.made.any()
    assert test.labels.tolist() == [0, 1, 0], "the untouched test is measured, too"


def test_figures_worked_by_hand():
    changed = unstable.Changed([], np.array([1, 1, 0, 0]), {}, np.array([False, True, False, False]))
    found = unstable.figures(np.array([True, False, True, False]), changed)
    assert found == (0.5, 0.5, 0.5, 0.0)
    untouched = changed._replace(made=np.zeros(4, bool))
    assert unstable.figures(np.zeros(4, bool), untouched) == (0.0, 0.0, 0.0, None)


def test_all_arms_methods_and_verdicts_are_measured_and_the_untouched_log_stays(rows):
    assert set(rows["verdict"]) == {"count vector", "bigram", "tree"}
    assert rows["arm"].n_unique() == 9 and rows["method"].n_unique() == 3
    f1 = {
        key: value for *key, value in rows.select("arm", "method", "verdict", "f1").iter_rows() for key in [tuple(key)]
    }
    arm = "edits, line"
    assert f1[arm, "context + TF-IDF", "count vector"] > f1[arm, "nearest, Jaccard", "count vector"]
    assert f1[arm, "nearest, Jaccard", "count vector"] > f1[arm, "exact keys", "count vector"]
    lost = rows.filter(arm="faults in place of an event", verdict="count vector")
    recall = dict(lost.select("method", "made_recall").iter_rows())
    assert recall["exact keys"] == 1 and recall["context + TF-IDF"] < 0.5, "accepting everything must cost something"


def test_the_table_has_a_row_an_arm_verdict_and_method_and_a_column_a_rate(rows):
    lines = unstable.markdown(rows, "f1").splitlines()
    assert lines[0] == "| arm | verdict | method | 0.0 | 0.3 |"
    assert len(lines) == 2 + 9 * 3 * 3
