"""Models that are asked and not trained: what they are shown, and what their score is, worked from the model itself."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from core.data import Labeled
from core.errors import BadInput
from methods.supervised import prompted
from methods.supervised.prompted import ANSWERS, INSTRUCTION, WORDINGS, InContext, ZeroShot
from tests.methods.checkpoints import save_checkpoint, tokenizer

TEXTS = [[f"Reading block {number} of size {number}"] for number in range(8)]
TRAIN = Labeled(TEXTS, np.array([0, 1] * 4, dtype=np.int8))
OTHER = Labeled([["Closing block 99"], ["Connection lost"]], np.array([0, 1], dtype=np.int8))
ASKED = [["Opening block 5 for client 7"], ["Closing block 5", "Connection lost"], ["Opening block 5 for client 7"]]


@pytest.fixture(scope="module")
def causal(tmp_path_factory) -> str:
    return str(save_checkpoint(tmp_path_factory.mktemp("causal"), "llama", False))


@pytest.fixture
def apart(monkeypatch):
    """Answers that the small vocabulary begins with two tokens; each of its own begins with that of a blank."""
    monkeypatch.setattr(prompted, "ANSWERS", (" block", " size"))
    return prompted.ANSWERS


def in_context(checkpoint: str, tmp_path, train=TRAIN, **wanted) -> InContext:
    detector = InContext(checkpoint, **wanted)
    detector.fit(train, OTHER, tmp_path)
    return detector


def test_the_score_is_the_log_probability_of_one_answer_minus_that_of_the_other(causal, apart, tmp_path):
    detector = in_context(causal, tmp_path, examples=1)
    scores = detector.score(ASKED)
    normal, anomalous = (detector.asked.tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in apart)
    assert normal != anomalous
    for row, text in enumerate(["Opening block 5 for client 7", "Closing block 5 ; Connection lost"]):
        ids = torch.tensor([detector.asked.tokenizer(f"{detector.lead}{text}:")["input_ids"]])
        with torch.no_grad():
            following = torch.log_softmax(detector.asked.model(input_ids=ids).logits[0, -1], 0)
        assert scores["log_odds"][row] == pytest.approx(float(following[anomalous] - following[normal]), abs=1e-4)
    assert scores["log_odds"][0] == scores["log_odds"][2]  # the rows are in the order that was asked for
    assert scores["score"].equals(scores["log_odds"].rename("score"))
    assert not scores["has_unseen_key"].any()


def test_examples_are_of_training_alone_and_of_both_classes_in_turn(causal, apart, tmp_path):
    """One that is drawn from what is asked for would hold the answer."""
    lead = in_context(causal, tmp_path, examples=2).lead
    assert lead.startswith(INSTRUCTION)
    lines = lead.removeprefix(INSTRUCTION).splitlines()
    shown = [line.rpartition(":") for line in lines]
    assert [answer for _, _, answer in shown] == [*apart, *apart]
    labels = {text: label for (text,), label in zip(TRAIN.sequences, TRAIN.labels.tolist(), strict=True)}
    assert [apart[labels[text]] for text, _, _ in shown] == [*apart, *apart]
    assert len(set(lines)) == 4


def test_examples_are_drawn_by_the_seed(causal, apart, tmp_path):
    leads = [in_context(causal, tmp_path, seed=seed, examples=2).lead for seed in (0, 0, 1, 2, 3)]
    assert leads[0] == leads[1]
    assert len(set(leads)) > 1


def test_a_prompt_longer_than_the_model_reads_is_one_sentence_and_nothing_is_cut_off(causal, apart, tmp_path):
    detector = in_context(causal, tmp_path, examples=1)
    with pytest.raises(BadInput, match=r"prompt of [\d,]+ tokens is longer than the 512 .* fewer examples"):
        detector.score([["Reading block <*> of size <*>" * 200]])


def test_answers_with_the_same_first_token_are_one_sentence_as_their_difference_is_always_zero(causal, tmp_path):
    words = tokenizer()
    first, second = (words(word, add_special_tokens=False)["input_ids"][0] for word in ANSWERS)
    assert first == second  # of the blank before them
    with pytest.raises(BadInput, match="the same token"):
        in_context(causal, tmp_path)


@pytest.mark.parametrize("make", [InContext, ZeroShot])
def test_a_model_from_a_config_knows_no_language_and_is_refused(make):
    with pytest.raises(BadInput, match="tiny-llama is made from a config"):
        make("tiny-llama")


@pytest.mark.parametrize("label", [0, 1])
def test_examples_of_one_class_are_one_sentence(label, causal, tmp_path):
    with pytest.raises(BadInput, match=r"no labeled (anomaly|normal)"):
        in_context(causal, tmp_path, TRAIN._replace(labels=np.full(8, label, np.int8)))


def test_its_name_says_the_model_and_how_many_examples(causal):
    found = InContext("owner/some-model", examples=5)
    assert (found.method, found.name) == ("in_context", "some-model-5")
    assert ZeroShot("owner/some-model", wording="cause").name == "some-model-cause"


# ---------------------------------------------------------------------------------------------------------- entailment


def save_judge(folder, *names: str) -> str:
    """A random model of natural language inference with these classes."""
    words = tokenizer()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        pad_token_id=words.pad_token_id,
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
        initializer_range=0.5,  # so that no two texts are the same to it
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("wording", WORDINGS)
@pytest.mark.parametrize("place", [2, 0])
def test_the_score_is_by_how_much_more_the_second_sentence_is_entailed(wording, place, tmp_path):
    """The class is found by its name, whatever its case and its number."""
    names = ["contradiction", "neutral", "ENTAILMENT"] if place == 2 else ["entailment", "neutral", "contradiction"]
    detector = ZeroShot(save_judge(tmp_path / "judge", *names), wording=wording)
    detector.fit(TRAIN, OTHER, tmp_path)
    scores = detector.score(ASKED)["log_odds"].to_list()
    normal, anomalous = WORDINGS[wording]
    for row, text in enumerate(["Opening block 5 for client 7", "Closing block 5 ; Connection lost"]):
        entailed = SimpleNamespace()
        for said, name in ((normal, "normal"), (anomalous, "anomalous")):
            with torch.no_grad():
                logits = detector.model(**detector.tokenizer(text, said, return_tensors="pt")).logits[0]
            setattr(entailed, name, float(torch.log_softmax(logits, 0)[place]))
        assert scores[row] == pytest.approx(entailed.anomalous - entailed.normal, abs=1e-4)
    assert scores[0] == scores[2]
    assert abs(scores[0] - scores[1]) > 1e-3


def test_classes_without_entailment_are_one_sentence_that_names_them(tmp_path):
    detector = ZeroShot(save_judge(tmp_path / "judge", "negative", "positive"))
    with pytest.raises(BadInput, match="classes negative, positive and none that says entailment"):
        detector.fit(TRAIN, OTHER, tmp_path)


def test_an_unknown_wording_is_one_sentence_with_the_known_ones():
    with pytest.raises(BadInput, match="'rude'; choose one of plain, cause, finding"):
        ZeroShot("owner/some-model", wording="rude")


@pytest.mark.parametrize("make", [InContext, ZeroShot])
def test_a_folder_without_weights_is_one_sentence(make, tmp_path):
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(BadInput, match=tmp_path.name):
        make(str(tmp_path)).fit(TRAIN, OTHER, tmp_path)
