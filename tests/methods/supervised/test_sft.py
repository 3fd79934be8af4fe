"""Text classifiers: every family the same alone, batched, padded and reloaded; what they learn, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from core.data import Labeled
from core.errors import BadInput
from methods.supervised.sft import RECIPES, SFT, Settings
from methods.supervised.sft.models import TINY, TextClassifier, tiny_tokenizer
from methods.supervised.sft.recipes import choose_settings
from tests.methods.checkpoints import save_encoder
from tests.methods.test_methods import count_steps

QUICK = Settings(max_epochs=1, batch_size=16)
CAUSAL = ("tiny-llama", "tiny-gemma3", "tiny-qwen2", "tiny-qwen3", "tiny-gpt2")


def texts(rows: int, first: int = 0) -> Labeled:
    """Jobs whose runtime is 17 seconds, and every third of 91, which is anomalous."""
    labels = np.array([row % 3 == 0 for row in range(rows)], dtype=np.int8)
    shown = [[f"queue_delay is {first + row}.0 runtime is {91 if label else 17}"] for row, label in enumerate(labels)]
    return Labeled(shown, labels)


TRAIN, OTHER = texts(48), texts(12, 900)
# Of different lengths, so that a batch of them is padded.
ASKED = [
    ["runtime is 17"],
    ["queue_delay is 5.0 runtime is 91 runtime is 17 runtime is 91"],
    ["91"],
    OTHER.sequences[0],
]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A function from a name to its tiny detector, trained for an epoch, once."""
    made = {}

    def of(name: str) -> SFT:
        if name not in made:
            made[name] = SFT(name, settings=QUICK)
            made[name].fit(TRAIN, OTHER, tmp_path_factory.mktemp("checkpoints"))
        return made[name]

    return of


def log_odds(detector: SFT, sequences) -> np.ndarray:
    return detector.score(sequences)["log_odds"].to_numpy()


# ------------------------------------------------------------------------------------------------------ every family


@pytest.mark.parametrize("name", TINY)
def test_scores_are_equal_alone_in_a_batch_and_after_loading(name, fitted, tmp_path):
    detector = fitted(name)
    together = log_odds(detector, ASKED)
    assert np.ptp(together) > 1e-4  # else it would not be seen if padding were read
    np.testing.assert_allclose(np.concatenate([log_odds(detector, [one]) for one in ASKED]), together, atol=1e-5)
    detector.save(tmp_path / "model")
    loaded = SFT.load(tmp_path / "model", TRAIN)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    np.testing.assert_allclose(log_odds(loaded, ASKED), together, atol=1e-5)
    assert loaded.parameters == detector.parameters > 0
    assert (loaded.method, loaded.name, loaded.describe()) == ("sft", name, detector.describe())


@pytest.mark.parametrize("name", CAUSAL)
def test_padding_on_the_left_changes_no_score_of_a_causal_model(name, fitted, monkeypatch):
    """Positions are counted from each row's own begin, and the head reads its own last token."""
    detector = fitted(name)
    assert (detector.network.is_causal, detector.network.side) == (True, "right")
    right = log_odds(detector, ASKED)
    monkeypatch.setattr(detector.network, "side", "left")
    np.testing.assert_allclose(log_odds(detector, ASKED), right, atol=1e-5)


@pytest.mark.parametrize("name", TINY)
def test_the_same_seed_gives_the_same_model_and_another_seed_another(name, fitted, tmp_path):
    again, other = (SFT(name, seed, settings=Settings(max_epochs=0)) for seed in (0, 1))
    first = SFT(name, settings=Settings(max_epochs=0))
    for number, detector in enumerate((first, again, other)):
        detector.fit(TRAIN, OTHER, tmp_path / str(number))
    np.testing.assert_array_equal(log_odds(again, ASKED), log_odds(first, ASKED))
    assert not np.allclose(log_odds(other, ASKED), log_odds(first, ASKED), atol=1e-4)


# ------------------------------------------------------------------------------------------------------------ learning


def test_it_learns_the_runtime_of_jobs_whose_other_numbers_it_never_saw(tmp_path):
    detector = SFT("tiny-bert", settings=Settings(max_epochs=8, batch_size=16))
    curve = detector.fit(texts(150), texts(30, 500), tmp_path)
    asked = texts(50, 1_000)
    assert f1_score(asked.labels, log_odds(detector, asked.sequences) > 0) >= 0.9
    assert curve["validation_loss"].min() < 0.7 * curve["validation_loss"][0]


def test_each_distinct_text_is_judged_once(fitted, monkeypatch):
    detector, seen, original = fitted("tiny-bert"), [], TextClassifier.tokens

    def counted(self, texts):
        seen.extend(texts)
        return original(self, texts)

    monkeypatch.setattr(TextClassifier, "tokens", counted)
    found = log_odds(detector, [*ASKED, *ASKED[::-1], *ASKED])
    assert seen == [text for (text,) in ASKED]
    np.testing.assert_array_equal(found, np.concatenate([found[:4], found[3::-1], found[:4]]))


def test_templates_of_a_log_sequence_are_joined_in_their_order(fitted, monkeypatch):
    detector = fitted("tiny-bert")
    several, joined = ["runtime is 17", "runtime is 91"], ["runtime is 17 ; runtime is 91"]
    first, second, third = log_odds(detector, [several, joined, several[::-1]])
    assert first == second != third


def test_numbers_that_training_never_had_are_pieces_of_two_digits_and_not_unknown():
    tokenizer = tiny_tokenizer(["runtime is 17.5"], 64)
    assert tokenizer.tokenize("runtime is 98765.04") == ["runtime", "is", "98", "76", "5", ".", "04"]
    assert tokenizer.tokenize("delay is 3") == ["[UNK]", "is", "3"]
    ids = tokenizer("runtime is 98765.04")["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert [ids[0], ids[-1]] == [tokenizer.cls_token_id, tokenizer.sep_token_id]


def test_published_draws_every_copy_once_an_epoch_and_the_house_by_weight():
    weights = torch.tensor([3.0, 1.0, 2.0])
    settings = Settings(keep_last=True, batch_size=4)
    rows, counts = zip(*SFT(recipe="published", settings=settings)._batches(weights), strict=True)
    assert [len(part) for part in rows] == [4, 2]
    assert sorted(torch.cat(rows).tolist()) == [0, 0, 0, 1, 2, 2]
    assert (torch.cat(counts) == 1).all()
    drawn = torch.cat([row for row, _ in SFT(settings=Settings(batch_size=4))._batches(weights)])
    assert len(drawn) == 32  # eight batches at least


@pytest.mark.parametrize("keep_last", [True, False])
def test_published_keeps_the_last_epoch_and_the_house_the_best(keep_last, tmp_path):
    """Validation has the labels turned around, so that its loss is lowest before training."""
    turned = OTHER._replace(labels=1 - OTHER.labels)
    settings = Settings(max_epochs=3, patience=1, batch_size=16, learning_rate=3e-3, keep_last=keep_last)
    detector = SFT(recipe="published" if keep_last else "house", settings=settings)
    curve = detector.fit(TRAIN, turned, tmp_path)
    losses, kept = curve["validation_loss"].to_list(), log_odds(detector, turned.sequences)
    loss = np.mean(np.logaddexp(0, kept * (1 - 2 * turned.labels)))
    assert loss == pytest.approx(losses[-1] if keep_last else min(losses), abs=1e-5)
    assert losses[-1] != pytest.approx(min(losses), abs=1e-3)
    assert len(curve) == 4 or not keep_last  # patience does not end it


def test_the_recipes_are_those_of_their_model_and_published_is_the_paper_s():
    published = choose_settings("published", True, True)
    assert (published.learning_rate, published.batch_size, published.max_epochs) == (5e-5, 64, 3)
    assert published.keep_last and published.lora_rank == 8
    assert choose_settings("published", True, False).lora_rank is None
    assert choose_settings("house", True, True) == RECIPES["house, LoRA"]
    assert choose_settings("house", True, False) == RECIPES["house, pretrained"]
    assert SFT().settings == RECIPES["house"]
    assert SFT(recipe="published").name == "tiny-bert-published"


def test_an_interrupted_fit_goes_on_to_the_same_scores(tmp_path, monkeypatch):
    settings = Settings(max_epochs=3, batch_size=16)
    through, cut, resumed = (SFT(seed=1, settings=settings) for _ in range(3))
    steps = count_steps(monkeypatch)
    through.fit(TRAIN, OTHER, tmp_path / "through")
    total, steps.limit = steps.count, steps.count + int(0.6 * steps.count)
    with pytest.raises(KeyboardInterrupt):
        cut.fit(TRAIN, OTHER, tmp_path / "cut")
    steps.limit, before = None, steps.count
    resumed.fit(TRAIN, OTHER, tmp_path / "cut")
    assert steps.count - before < total
    np.testing.assert_allclose(log_odds(resumed, ASKED), log_odds(through, ASKED), atol=1e-5)


# ---------------------------------------------------------------------------------------------------------------- LoRA


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("bases") / "bert")


@pytest.fixture(scope="module")
def adapted(base, tmp_path_factory) -> SFT:
    detector = SFT(str(base), lora=True, settings=Settings(max_epochs=1, lora_rank=4, batch_size=16))
    detector.fit(TRAIN, OTHER, tmp_path_factory.mktemp("checkpoints"))
    return detector


def test_with_lora_adapters_and_the_head_alone_learn(adapted):
    learning = {name for name, weights in adapted.network.named_parameters() if weights.requires_grad}
    for kind in ("lora_A", "lora_B", "classifier"):
        assert any(kind in name for name in learning)
    assert all("lora_" in name or "classifier" in name for name in learning)
    assert adapted.parameters < sum(weights.numel() for weights in adapted.network.parameters())
    assert adapted.name == "bert-lora"


def test_an_adapter_is_saved_without_its_base_and_loaded_to_the_same_scores(adapted, base, tmp_path):
    adapted.save(tmp_path / "model")
    loaded = SFT.load(tmp_path / "model", TRAIN)
    np.testing.assert_allclose(log_odds(loaded, ASKED), log_odds(adapted, ASKED), atol=1e-5)
    assert (tmp_path / "model" / "adapter_model.safetensors").stat().st_size < (
        base / "model.safetensors"
    ).stat().st_size
    assert not (tmp_path / "model" / "model.safetensors").exists()


def test_an_adapter_around_another_base_is_refused(tmp_path):
    """It would give scores, and they would be noise."""
    place = save_encoder(tmp_path / "base")
    detector = SFT(str(place), lora=True, settings=Settings(max_epochs=1, lora_rank=4))
    detector.fit(TRAIN, OTHER, tmp_path / "checkpoints")
    detector.save(tmp_path / "model")
    save_encoder(place, seed=1)
    with pytest.raises(BadInput, match="was trained with the checkpoint hash"):
        SFT.load(tmp_path / "model", TRAIN)


def test_a_whole_pretrained_model_is_the_same_alone_in_a_batch_and_after_loading(base, tmp_path):
    detector = SFT(str(base), settings=QUICK)
    detector.fit(TRAIN, OTHER, tmp_path / "checkpoints")
    detector.save(tmp_path / "model")
    np.testing.assert_allclose(
        log_odds(SFT.load(tmp_path / "model", TRAIN), ASKED), log_odds(detector, ASKED), atol=1e-5
    )
    np.testing.assert_allclose(
        np.concatenate([log_odds(detector, [one]) for one in ASKED]), log_odds(detector, ASKED), atol=1e-5
    )


# ------------------------------------------------------------------------------------------------------------- refusals


def test_a_text_longer_than_the_model_reads_is_one_sentence_with_its_tokens_and_nothing_is_cut_off(tmp_path):
    detector = SFT(settings=Settings(max_epochs=1, longest=16))
    detector.fit(TRAIN, OTHER, tmp_path)
    assert np.isfinite(log_odds(detector, [[" ".join(["17"] * 14)]])).all()  # with begin and end 16
    with pytest.raises(BadInput, match="text of 17 tokens is longer than the 16 "):
        detector.score([["17"], [" ".join(["17"] * 15)]])


@pytest.mark.parametrize("name", TINY)
def test_every_family_reads_as_many_tokens_as_it_says(name, tmp_path):
    """RoBERTa counts positions from two on: the last ones would be outside of its table."""
    detector = SFT(name, settings=Settings(max_epochs=0, longest=16))
    detector.fit(TRAIN, OTHER, tmp_path)
    assert detector.network.longest == 16
    assert np.isfinite(log_odds(detector, [[" ".join(["17"] * 14)]])).all()


def test_a_model_of_other_texts_and_a_missing_one_are_one_sentence(fitted, tmp_path):
    fitted("tiny-bert").save(tmp_path / "model")
    with pytest.raises(BadInput, match="another data set"):
        SFT.load(tmp_path / "model", OTHER)
    with pytest.raises(BadInput, match="nothing"):
        SFT.load(tmp_path / "nothing")


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_is_one_sentence(label, tmp_path):
    with pytest.raises(BadInput, match=r"no labeled (anomaly|normal)"):
        SFT().fit(TRAIN._replace(labels=np.full(48, label, np.int8)), OTHER, tmp_path)


def test_an_unknown_recipe_or_model_and_lora_on_random_weights_are_one_sentence():
    with pytest.raises(BadInput, match="no recipe 'paper'"):
        SFT(recipe="paper")
    with pytest.raises(BadInput, match="LoRA on random weights learns nothing"):
        SFT("tiny-bert", lora=True)
    with pytest.raises(BadInput, match="LoRA needs a rank"):
        SFT("owner/model", lora=True, settings=Settings())
    with pytest.raises(BadInput, match="no text classifier 'tiny-mamba'"):
        SFT("tiny-mamba")


def test_a_model_saved_whole_is_loaded_when_what_it_began_as_is_gone(tmp_path):
    """Else a run folder could judge nothing on another machine."""
    base, train = save_encoder(tmp_path / "base"), TRAIN
    detector = SFT(str(base), settings=Settings(max_epochs=1))
    detector.fit(train, OTHER, tmp_path / "c")
    detector.save(tmp_path / "m")
    shutil.rmtree(base)
    again = SFT.load(tmp_path / "m", train)
    assert again.name == detector.name and again.describe()["checkpoint"] == "base"
    np.testing.assert_allclose(log_odds(again, ASKED), log_odds(detector, ASKED), atol=1e-5)
