"""Templates that come new beside the known ones: the score worked by hand, what is rated as if new, what is encoded."""

import numpy as np
import polars as pl
import pytest

from methods.words import newcomers
from methods.words.encoders import OFFLINE
from methods.words.faults import FaultWords
from methods.words.matching import jaccard
from methods.words.newcomers import NOVELTY, Remembered, parts_of, rate
from methods.words.reader import TemplateReader


def test_what_is_like_no_known_template_reads_a_little_more_like_a_fault():
    """Two templates of one score would be one question at a time for the analyst, and a tie in the order of windows."""
    known = {"a": "served block", "b": "opened file"}
    new = {"x": "served block", "y": "failed block", "z": "quite else"}
    found = rate(FaultWords(), jaccard, known, new).filter(~pl.col("is_known"))
    assert found["key"].to_list() == ["x", "y", "z"]
    expected = [0.0, 1 + NOVELTY * (1 - 1 / 3), NOVELTY]
    np.testing.assert_allclose(found["fault_score"], expected)
    assert found["nearest_template"].to_list()[:2] == ["served block", "served block"]
    np.testing.assert_allclose(found["similarity"], [1, 1 / 3, 0])


def test_known_templates_are_rated_as_if_new_beside_the_others_and_never_beside_themselves():
    """Beside itself each would be known already, and the threshold too low."""
    known = {"a": "one", "b": "two", "c": "two three"}
    found = rate(FaultWords(), jaccard, known, {"x": "one"})
    assert found.select("key", "is_known").rows() == [("a", True), ("b", True), ("c", True), ("x", False)]
    assert found["nearest_key"].to_list()[1:] == ["c", "b", "a"]
    np.testing.assert_allclose(found["fault_score"], [NOVELTY, NOVELTY / 2, NOVELTY / 2, 0])


@pytest.mark.parametrize(("known", "new"), [({}, {"x": "lost"}), ({"a": "fine"}, {}), ({"a": "fine"}, {"x": "lost"})])
def test_few_templates_or_none_are_rated_all_the_same(known, new):
    found = rate(FaultWords(), jaccard, known, new)
    assert found.filter(~found["is_known"])["key"].to_list() == list(new)
    assert found["fault_score"].is_finite().all()


def test_each_distinct_text_is_encoded_once():
    asked = []

    def encoder(texts):
        asked.extend(texts)
        return np.array([[float(len(text))] for text in texts])

    remembered = Remembered(encoder)
    assert remembered(["aa", "b", "aa"]).tolist() == [[2], [1], [2]]
    assert remembered(["b", "ccc"]).tolist() == [[1], [3]]
    assert asked == ["aa", "b", "ccc"]


def test_without_an_encoder_a_list_of_words_reads(monkeypatch):
    reader, similarity = parts_of(None)
    assert reader.name == "fault words" and similarity(["a b"], ["a b"])[0, 0] == pytest.approx(1)
    monkeypatch.setattr(newcomers, "text_encoder", lambda name, texts: lambda asked: np.ones((len(asked), 2)))
    reader, _ = parts_of("some/encoder")
    assert "encoder" in reader.name and OFFLINE not in reader.name


def test_a_template_without_a_word_is_not_rated():
    """Accepted unread, a fault that the masks left nothing of would be no alarm."""
    found = rate(FaultWords(), jaccard, {"a": "fine"}, {"x": "<*> <*>", "y": "", "z": "lost"})
    assert found.filter(~pl.col("is_known"))["key"].to_list() == ["z"]


def test_an_empty_name_is_no_encoder():
    """`ENCODER=` gave the scores of hashed words under the name of the list."""
    assert parts_of("")[0].name == TemplateReader("").identity["encoder"] == "fault words"
