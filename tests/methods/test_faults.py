"""How much a template reads like a fault: each reader worked by hand, and what they must agree on."""

import numpy as np
import pytest
import torch

from core.errors import BadInput
from methods.words import faults
from methods.words.encoders import OfflineEncoder
from methods.words.faults import HARMLESS, NEAREST, OF_FAULTS, QUESTION, Anchors, Asked, FaultWords, Trained
from methods.words.sentence_encoders import plain
from tests.methods.checkpoints import save_checkpoint

TEXTS = ["Connection to <*> lost: write failed", "Served block <*> to <*>", "uncorrectable errorCount <*>"]


def by_first_word(texts: list[str]) -> np.ndarray:
    """An encoder of two directions: texts that begin with `bad`, and all others."""
    return np.array([[1.0, 0.0] if text.startswith("bad") else [0.0, 1.0] for text in texts])


def test_fault_words_are_counted_by_their_begin_and_inside_capitals_too():
    """`errorCount` is two words; `to` in `<*>` or a word that merely holds `bad` somewhere is none."""
    np.testing.assert_array_equal(FaultWords()([*TEXTS, "", "Forbade nothing"]), [2, 0, 1, 0, 0])


def test_anchors_are_the_nearest_sentences_of_each_side_worked_by_hand(monkeypatch):
    """With the mean of all of them one sentence that fits is lost among seventeen that do not."""
    monkeypatch.setattr(faults, "OF_FAULTS", ("bad one", "bad two", "bad three", "good four"))
    monkeypatch.setattr(faults, "HARMLESS", ("good", "good", "bad", "good"))
    # a bad text: cosines to faults 1 1 1 0, to the harmless 0 0 1 0; the three largest have the means 1 and 1/3
    np.testing.assert_allclose(Anchors(by_first_word, "x")(["bad"]), [1 - 1 / 3], atol=1e-6)
    np.testing.assert_allclose(Anchors(by_first_word, "x")(["well"]), [1 / 3 - 1], atol=1e-6)


def test_an_anchor_itself_reads_as_the_side_that_it_stands_on():
    reader = Anchors(OfflineEncoder([*OF_FAULTS, *HARMLESS]), "word-hash")
    assert (reader(OF_FAULTS) > 0).all() and (reader(HARMLESS) < 0).all()
    assert len(OF_FAULTS) == len(HARMLESS) > NEAREST


def test_a_text_without_words_reads_like_nothing():
    assert Anchors(OfflineEncoder([*OF_FAULTS, *HARMLESS]), "word-hash")([""]).tolist() == [0.0]


def test_a_causal_model_is_asked_for_its_log_odds_and_samples_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(faults, "ANSWERS", (" block", " size"))  # which the small vocabulary begins apart
    reader = Asked(str(save_checkpoint(tmp_path, "llama", False)))
    asked = reader._asked
    ids = torch.tensor([asked.tokenizer(f"{QUESTION}Message: {TEXTS[0]}\nFailure:")["input_ids"]])
    with torch.no_grad():
        following = torch.log_softmax(asked.model(input_ids=ids).logits[0, -1], 0)
    found = reader(TEXTS)
    assert found[0] == pytest.approx(float(following[asked.second] - following[asked.first]), abs=1e-4)
    np.testing.assert_array_equal(found, reader(TEXTS))


def test_a_model_that_begins_both_answers_alike_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(faults, "ANSWERS", (" block", " block"))
    with pytest.raises(BadInput, match="same token"):
        Asked(str(save_checkpoint(tmp_path, "llama", False)))


def test_a_line_longer_than_the_model_reads_is_one_sentence_and_nothing_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(faults, "ANSWERS", (" block", " size"))
    reader = Asked(str(save_checkpoint(tmp_path, "llama", False)))
    with pytest.raises(BadInput, match=r"prompt of [\d,]+ tokens is longer than the 512 .* reads longer texts"):
        reader(["Reading block <*> of size <*>" * 200])


def test_a_model_from_a_config_knows_no_language_and_is_refused():
    with pytest.raises(BadInput, match="tiny-llama is made from a config"):
        Asked("tiny-llama")


def test_what_labeled_texts_of_another_system_teach_carries_to_words_they_share():
    texts = ["disk failed", "node failed twice", "disk mounted", "node started"]
    reader = Trained(OfflineEncoder(texts), "word-hash", texts, [1, 1, 0, 0])
    bad, good = reader(["fan failed", "fan started"])
    assert bad > 0 > good


def test_labels_of_one_kind_alone_teach_nothing_and_say_so():
    with pytest.raises(BadInput, match="all of one"):
        Trained(by_first_word, "x", ["bad", "worse"], [1, 1])


@pytest.mark.parametrize("reader", [FaultWords(), Anchors(OfflineEncoder(OF_FAULTS), "word-hash")])
def test_each_text_is_read_by_itself(reader):
    """The order of texts, or which others are asked, must not move a score: thresholds are kept."""
    whole = reader(TEXTS)
    np.testing.assert_allclose([reader([text])[0] for text in TEXTS], whole, atol=1e-6)
    np.testing.assert_allclose(reader(TEXTS[::-1])[::-1], whole, atol=1e-6)


def test_wildcards_are_no_words_of_a_sentence_encoder():
    assert plain("Served <*> blocks") == "served blocks"
