"""Text classifiers: the same alone, padded and after loading; nothing cut; what is asked of a recipe."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from core.data import Labeled
from core.errors import BadInput
from methods.supervised.sft import SFT, Settings
from methods.supervised.sft.models import TINY, tiny_tokenizer
from tests.methods.checkpoints import save_encoder

QUICK = Settings(max_epochs=1)
CAUSAL = ("tiny-llama", "tiny-gemma3", "tiny-qwen2", "tiny-qwen3", "tiny-gpt2")


def texts(rows: int, seed: int = 0) -> Labeled:
    """Texts of different lengths, anomalous where the runtime is above 60."""
    chance = np.random.default_rng(seed)
    runtimes = chance.integers(10, 99, rows)
    found = [[f"runtime {value} queue {chance.integers(9)}" + " more" * int(chance.integers(7))] for value in runtimes]
    return Labeled(found, (runtimes > 60).astype(np.int8))


def scores(detector, sequences) -> np.ndarray:
    return detector.score(sequences)["log_odds"].to_numpy()


@pytest.mark.slow
@pytest.mark.parametrize("model", TINY)
def test_loaded_alone_and_padded_on_the_other_side_it_judges_the_same(model, tmp_path):
    train, test = texts(96), texts(40, 1).sequences
    detector = SFT(model, settings=QUICK)
    detector.fit(train, texts(32, 2), tmp_path / "c")
    found = scores(detector, test)
    detector.save(tmp_path / "m")
    np.testing.assert_allclose(scores(SFT.load(tmp_path / "m", train), test), found, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([scores(detector, [one]) for one in test]), found, atol=1e-4)
    if model in CAUSAL:
        detector.network.side = "left"
        np.testing.assert_allclose(scores(detector, test), found, atol=1e-4)


def test_it_learns_what_the_texts_say(tmp_path):
    detector = SFT("tiny-bert", settings=Settings(max_epochs=8))
    detector.fit(texts(200), texts(80, 1), tmp_path)
    part = texts(100, 2)
    assert f1_score(part.labels, scores(detector, part.sequences) > 0) >= 0.9


def test_each_distinct_text_is_judged_once_and_a_sequence_is_its_templates_joined(tmp_path):
    detector = SFT("tiny-bert", settings=QUICK)
    detector.fit(texts(64), texts(32, 1), tmp_path)
    shown, tokens = [], detector.network.tokens
    detector.network.tokens = lambda found: shown.extend(found) or tokens(found)
    found = scores(detector, [["open", "close"], ["open"], ["open", "close"], ["open ; close"]])
    assert sorted(shown) == ["open", "open ; close"] and found[0] == found[2] == found[3] != found[1]


def test_nothing_is_cut_off_a_text_that_is_longer_than_the_model_reads(tmp_path):
    detector = SFT("tiny-bert", settings=Settings(max_epochs=1, longest=32))
    detector.fit(texts(64), texts(32, 1), tmp_path)
    with pytest.raises(BadInput, match=r"\d+ tokens is longer than the 32"):
        detector.score([["runtime " * 60]])


def test_a_number_that_training_never_had_is_made_of_pieces_it_knows():
    tokenizer = tiny_tokenizer(["runtime is 12.5"], 64)
    unknown = tokenizer.unk_token_id
    assert unknown not in tokenizer("runtime is 9876.25")["input_ids"]
    assert unknown in tokenizer("memory is 12.5")["input_ids"]


def test_as_published_every_copy_is_learned_once_an_epoch_and_the_last_epoch_is_kept(tmp_path):
    import torch

    detector = SFT("tiny-bert", recipe="published")
    batches = list(detector._batches(torch.tensor([3.0, 1.0, 2.0])))
    rows = torch.cat([rows for rows, _ in batches]).tolist()
    assert sorted(rows) == [0, 0, 0, 1, 2, 2] and all((counts == 1).all() for _, counts in batches)
    curve = detector.fit(texts(32), texts(32, 1), tmp_path)
    assert curve["epoch"].to_list() == [0, 1, 2, 3] and detector.settings.learning_rate == 5e-5


@pytest.mark.slow
def test_with_lora_adapters_and_head_learn_and_another_base_is_refused(tmp_path):
    base = save_encoder(tmp_path / "base")
    detector = SFT(str(base), lora=True, settings=Settings(max_epochs=1, lora_rank=4))
    train, test = texts(64), texts(24, 1).sequences
    detector.fit(train, texts(32, 2), tmp_path / "c")
    learning = {name for name, weights in detector.network.named_parameters() if weights.requires_grad}
    assert learning and all("lora_" in name or "classifier" in name for name in learning)
    found = scores(detector, test)
    detector.save(tmp_path / "m")
    np.testing.assert_allclose(scores(SFT.load(tmp_path / "m", train), test), found, atol=1e-5)
    save_encoder(base, seed=1)
    with pytest.raises(BadInput, match="was trained with"):
        SFT.load(tmp_path / "m")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model": "tiny-bert", "lora": True}, "LoRA on random weights"),
        ({"model": "tiny-bert", "recipe": "best"}, "no recipe"),
        ({"model": "tiny-nothing"}, "no model"),
    ],
)
def test_what_cannot_be_trained_is_said(arguments, said):
    with pytest.raises(BadInput, match=said):
        SFT(**arguments)


def test_labels_of_one_class_and_texts_of_other_data_are_refused(tmp_path):
    train = texts(64)
    detector = SFT("tiny-bert", settings=QUICK)
    with pytest.raises(BadInput, match="no labeled anomaly"):
        detector.fit(train._replace(labels=np.zeros_like(train.labels)), train, tmp_path / "c")
    detector.fit(train, texts(32, 1), tmp_path / "c")
    detector.save(tmp_path / "m")
    with pytest.raises(BadInput, match="texts of another data set"):
        SFT.load(tmp_path / "m", texts(64, 9))
