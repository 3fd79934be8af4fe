"""Pretrained models by name: keys that begin from their templates, LoRA, and the same scores however they come back."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from core.errors import BadInput
from evaluation.verdicts import score_gap
from methods.next_key import NextKey, training
from methods.next_key.embeddings import key_words, mean_rows, noise_rows, template_rows, template_words
from methods.next_key.vocabulary import BEGIN
from methods.parts.choices import PRESETS, find_checkpoint, original
from methods.parts.recipes import RECIPES, TrainingSettings
from tests.methods.checkpoints import FAMILIES, TEMPLATES, save_checkpoint, tokenizer
from tests.methods.test_next_key import _Killed, grammar

pytestmark = pytest.mark.slow  # each of them trains a model

LORA = TrainingSettings(
    context=48, batch_size=8, max_epochs=3, learning_rate=1e-2, heaviest=4, lora_rank=4, lora_alpha=8
)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A function from family and tying to a checkpoint folder, made once a session."""
    made: dict[tuple[str, bool], Path] = {}

    def make(family: str = "llama", tied: bool = False) -> str:
        if (family, tied) not in made:
            made[family, tied] = save_checkpoint(tmp_path_factory.mktemp(f"{family}-{tied}"), family, tied)
        return str(made[family, tied])

    return make


def detector_of(folder: str, key_embeddings: str | None = "template", settings: TrainingSettings = LORA) -> NextKey:
    return NextKey(folder, 0, settings=settings, templates=TEMPLATES, key_embeddings=key_embeddings)


def fitted(folder: str, tmp_path: Path, key_embeddings: str | None = "template") -> NextKey:
    detector = detector_of(folder, key_embeddings)
    detector.fit(grammar(80), grammar(20, seed=1), tmp_path / "checkpoints")
    return detector


SEQUENCES = [*grammar(30, seed=2), ["open", *["read", "write"] * 40, "close"], ["open", "never seen", "close"]]


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_equal_alone_batched_reloaded_and_merged(family, tied, checkpoint, tmp_path):
    """A resized vocabulary that will not reload, or comes back changed, is the commonest complaint about LoRA."""
    detector = fitted(checkpoint(family, tied), tmp_path)
    together = detector.score(SEQUENCES)
    for keys, row in zip(SEQUENCES[-4:], together[-4:].iter_slices(1), strict=True):
        assert score_gap(row, detector.score([keys])) < 1e-4
    detector.save(tmp_path / "model")
    loaded = NextKey.load(tmp_path / "model")
    assert score_gap(together, loaded.score(SEQUENCES)) < 1e-4
    loaded.merge(tmp_path / "merged")
    assert score_gap(together, NextKey.load(tmp_path / "merged").score(SEQUENCES)) < 1e-4
    assert not [path for path in tmp_path.rglob("model/*") if path.suffix in (".bin", ".pt", ".pkl")]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_merged_model_is_a_plain_one_with_the_keys_as_its_vocabulary(family, checkpoint, tmp_path):
    detector = fitted(checkpoint(family, True), tmp_path)
    detector.merge(tmp_path / "merged")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", local_files_only=True)
    assert plain.get_output_embeddings().weight.shape[0] == detector.vocabulary.tokens == 9
    assert plain.config.tie_word_embeddings
    assert plain.get_output_embeddings().weight is plain.get_input_embeddings().weight


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize(
    ("family", "key_embeddings"), [*((name, "template") for name in FAMILIES), ("llama", "random"), ("llama", "paper")]
)
def test_an_interrupted_lora_training_resumes_to_the_same_model(
    family, key_embeddings, tied, checkpoint, tmp_path, monkeypatch
):
    whole = fitted(checkpoint(family, tied), tmp_path / "whole", key_embeddings)
    original_evaluate, calls = training.WeightedTrainer.evaluate, []

    def killed_in_the_second_epoch(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise _Killed
        return original_evaluate(self, *arguments, **options)

    monkeypatch.setattr(training.WeightedTrainer, "evaluate", killed_in_the_second_epoch)
    with pytest.raises(_Killed):
        fitted(checkpoint(family, tied), tmp_path / "cut", key_embeddings)
    monkeypatch.undo()
    resumed = fitted(checkpoint(family, tied), tmp_path / "cut", key_embeddings)
    assert score_gap(whole.score(SEQUENCES), resumed.score(SEQUENCES)) < 1e-4


def test_the_best_epoch_is_loaded_back_with_its_key_rows(checkpoint, tmp_path):
    settings = TrainingSettings(
        context=48, batch_size=4, max_epochs=20, patience=2, learning_rate=5e-2, lora_rank=4, lora_alpha=8
    )
    detector = detector_of(checkpoint(), settings=settings)
    curve = detector.fit(grammar(12), grammar(40, seed=1), tmp_path / "checkpoints")
    assert curve["epoch"].max() < 20, "never stopped early: the test shows nothing"
    assert curve["validation_loss"].arg_min() < len(curve) - 1
    assert detector.loss(grammar(40, seed=1)) == pytest.approx(curve["validation_loss"][1:].min(), abs=1e-5)


def test_a_merged_model_needs_nothing_of_its_checkpoint(tmp_path):
    """It is whole: it must load and score on a machine that has neither the hub nor the folder it came from."""
    folder = save_checkpoint(tmp_path / "base", "llama", False)
    detector = fitted(str(folder), tmp_path)
    before = detector.score(SEQUENCES)
    detector.merge(tmp_path / "merged")
    shutil.rmtree(folder)
    assert score_gap(before, NextKey.load(tmp_path / "merged").score(SEQUENCES)) < 1e-4


def test_an_adapter_of_a_four_bit_build_loads_on_its_original_where_there_is_no_gpu(checkpoint, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    fitted(checkpoint(), tmp_path).save(tmp_path / "model")
    path = tmp_path / "model" / "next_key.json"
    about = json.loads(path.read_text()) | {"checkpoint": PRESETS["llama-3.2-1b"], "revision": "0" * 40}
    path.write_text(json.dumps(about))
    loaded = NextKey.load(tmp_path / "model")
    assert (loaded.checkpoint, loaded.revision) == ("unsloth/Llama-3.2-1B-Instruct", None)


def test_a_run_keeps_the_owner_of_a_hub_model_and_no_path_of_a_folder(checkpoint):
    assert NextKey("HuggingFaceTB/SmolLM2-135M").describe()["checkpoint"] == "HuggingFaceTB/SmolLM2-135M"
    assert "/" not in NextKey(checkpoint()).describe()["checkpoint"]


# ------------------------------------------------------------------------------------------------------- key rows


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_key_begins_from_the_words_of_its_template(tied, checkpoint):
    """Less what all keys have in common, at the length of random rows, on either side from its own rows."""
    folder, words = checkpoint("llama", tied), tokenizer()
    base = AutoModelForCausalLM.from_pretrained(folder)
    detector = detector_of(folder)
    detector.prepare(grammar(80))
    vocabulary = detector.vocabulary
    ids = key_words(vocabulary, TEMPLATES, words)
    token = vocabulary.encode(["close"])[1]
    assert ids[token] == words("Closing block", add_special_tokens=False)["input_ids"]
    assert ids[BEGIN] == [words.bos_token_id]
    for number, side in enumerate(("get_input_embeddings", "get_output_embeddings")):
        own, kept = getattr(base, side)().weight.detach(), getattr(detector.model, side)().weight.detach()
        means = torch.stack([own[one].mean(0) if one else own.mean(0) for one in ids])
        own_part = means[token] - means.mean(0)
        length = noise_rows(own, vocabulary.tokens, 0 if tied else number).norm(dim=1).mean()
        assert torch.allclose(kept[token], own_part / own_part.norm() * length, atol=1e-5)


def test_variable_parts_are_not_words_and_a_template_of_nothing_else_is_kept():
    words = tokenizer()
    assert template_words("Closing <*> block <NUM>", words) == template_words("Closing block", words)
    assert template_words("<*>", words) == words("<*>", add_special_tokens=False)["input_ids"]


def test_keys_whose_words_are_the_same_begin_apart_where_nothing_else_is_left():
    """Less what they have in common they were nothing, and their length a division by zero."""
    rows = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(template_rows(rows, [[3, 4]] * 5, 0), noise_rows(rows, 5, 0))
    two_kinds = template_rows(rows, [[1], [1], [2], [2]], 0)
    assert torch.equal(two_kinds[0], two_kinds[1]) and torch.allclose(two_kinds[0], -two_kinds[2])


def test_mean_rows_by_hand():
    rows = torch.tensor([[0.0, 2.0], [2.0, 4.0], [4.0, 0.0]])
    assert mean_rows(rows, [[0, 1], [2], []]).tolist() == [[1.0, 3.0], [4.0, 0.0], [2.0, 2.0]]


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_the_papers_rows_are_the_first_of_the_vocabulary_and_stay(tied, checkpoint, tmp_path):
    base = AutoModelForCausalLM.from_pretrained(checkpoint("qwen2", tied))
    detector = fitted(checkpoint("qwen2", tied), tmp_path, "paper")
    first = base.get_input_embeddings().weight[: detector.vocabulary.tokens]
    assert torch.equal(detector.model.get_input_embeddings().weight, first)
    assert torch.equal(
        detector.model.get_output_embeddings().weight,
        base.get_output_embeddings().weight[: detector.vocabulary.tokens],
    )
    assert detector.score(SEQUENCES)["rank"].min() >= 1


def test_random_rows_are_noise_of_the_models_own_spread_and_depend_on_the_seed(checkpoint):
    first, again, other = (NextKey(checkpoint(), seed, settings=LORA, key_embeddings="random") for seed in (0, 0, 1))
    rows = []
    for detector in (first, again, other):
        detector.prepare([[f"key{number}" for number in range(200)]])
        rows.append(detector.model.get_input_embeddings().weight.detach())
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])
    base = AutoModelForCausalLM.from_pretrained(checkpoint()).get_input_embeddings().weight
    assert rows[0].std().item() == pytest.approx(base.std().item(), rel=0.05)


def test_what_is_trained_and_what_is_frozen(checkpoint):
    trained = {}
    for choice in ("template", "paper"):
        detector = detector_of(checkpoint(), choice)
        detector.prepare(grammar(80))
        trained[choice] = {name for name, one in detector.model.named_parameters() if one.requires_grad}
        assert all(one.dtype == torch.float32 for one in detector.model.parameters() if one.requires_grad)
    assert all("lora_" in name for name in trained["paper"])
    rows = trained["template"] - trained["paper"]
    assert len(rows) == 2
    assert any("embed_tokens" in name for name in rows)
    assert any("lm_head" in name for name in rows)
    for projection in ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"):
        assert any(projection in name for name in trained["paper"]), projection


def test_the_paper_recipe_holds_the_published_values():
    paper = RECIPES["paper"]
    assert (paper.lora_rank, paper.lora_alpha, paper.learning_rate, paper.context) == (32, 64, 2e-4, 128)
    assert (paper.batch_size, paper.max_epochs, paper.patience) == (3072, 200, 3)


# ----------------------------------------------------------------------------------------------- names and bad input


def test_presets_are_hub_names_and_four_bit_builds_have_an_original():
    assert {"qwen2.5-0.5b", "gemma-3-1b", "llama-3.2-1b"} <= set(PRESETS)
    assert original("unsloth/gemma-3-1b-it-unsloth-bnb-4bit") == "unsloth/gemma-3-1b-it"
    assert original("unsloth/Llama-3.2-1B-Instruct-bnb-4bit") == "unsloth/Llama-3.2-1B-Instruct"
    assert find_checkpoint("llama-3.2-1b", gpu=False) == "unsloth/Llama-3.2-1B-Instruct"
    assert find_checkpoint("llama-3.2-1b", gpu=True) == PRESETS["llama-3.2-1b"]


def test_a_model_that_cannot_be_reached_is_a_sentence():
    with pytest.raises(BadInput, match=r"neither on the hub nor in the cache.*give MODEL a local folder"):
        NextKey("nobody/no-such-model").prepare([["a"]])
    with pytest.raises(BadInput, match="neither on the hub nor in the cache"):  # and not that it has no tokenizer
        NextKey("nobody/no-such-model", templates={"a": "started"}).prepare([["a"]])


def test_a_folder_without_tokenizer_names_the_way_out(checkpoint, tmp_path):
    base = AutoModelForCausalLM.from_pretrained(checkpoint())
    base.save_pretrained(tmp_path / "bare")
    with pytest.raises(BadInput, match=r"has no tokenizer.*KEY_EMBEDDINGS = 'random'"):
        detector_of(str(tmp_path / "bare")).prepare(grammar(5))
    assert detector_of(str(tmp_path / "bare"), "random").prepare(grammar(5))["trained"] > 0


def test_a_folder_without_weights_or_with_others_than_safetensors_is_a_sentence(checkpoint, tmp_path):
    folder = save_checkpoint(tmp_path / "model", "llama", False)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BadInput, match="safetensors"):
        detector_of(str(folder)).prepare(grammar(5))


def test_a_trained_detector_is_not_a_model_to_start_from(checkpoint, tmp_path):
    fitted(checkpoint(), tmp_path).save(tmp_path / "model")
    with pytest.raises(BadInput, match="keys of another data set as its vocabulary"):
        NextKey(str(tmp_path / "model"))


def test_a_vocabulary_of_another_data_set_is_refused_when_loading_and_resuming(checkpoint, tmp_path, monkeypatch):
    detector = fitted(checkpoint(), tmp_path)
    detector.save(tmp_path / "model")
    assert NextKey.load(tmp_path / "model", grammar(80)).seed == 0
    with pytest.raises(BadInput, match=r"keys of another data set.*run train\.ipynb again"):
        NextKey.load(tmp_path / "model", [["E1", "E2"]])
    with pytest.raises(BadInput, match=r"trained on the keys of another data set; remove .*checkpoints"):
        detector_of(checkpoint()).fit([["E1", "E2"]] * 9, [["E1", "E2"]], tmp_path / "checkpoints")


def test_an_interrupted_save_leaves_the_earlier_model_whole(checkpoint, tmp_path, monkeypatch):
    detector = fitted(checkpoint(), tmp_path)
    detector.save(tmp_path / "model")
    before = NextKey.load(tmp_path / "model").score(SEQUENCES)

    def killed(*arguments, **options):
        raise _Killed

    monkeypatch.setattr(json, "dumps", killed)
    with pytest.raises(_Killed):
        detector.save(tmp_path / "model")
    monkeypatch.undo()
    assert score_gap(before, NextKey.load(tmp_path / "model").score(SEQUENCES)) == 0.0
    detector.save(tmp_path / "model")
    assert not list(tmp_path.glob(".model*"))


def test_wrong_choices_are_sentences(checkpoint):
    for wrong, match in (
        ({"model": "tiny-llama", "key_embeddings": "template"}, "can only be 'random'"),
        ({"model": checkpoint(), "key_embeddings": "nonsense"}, "choose one of template, random, paper"),
        ({"model": checkpoint(), "key_embeddings": "template"}, "these keys came without"),
        ({"model": checkpoint(), "recipe": "nonsense"}, "choose one of tiny, lora, paper"),
    ):
        with pytest.raises(BadInput, match=match):
            NextKey(**wrong)
    assert NextKey(checkpoint()).key_embeddings == "random"
    assert NextKey(checkpoint(), templates=TEMPLATES).key_embeddings == "random"  # what measured best


def test_it_learns_the_grammar_with_lora_and_template_rows(checkpoint, tmp_path):
    """The floor: LoRA on the projections alone learns next to nothing on a random base."""
    settings = TrainingSettings(context=48, batch_size=8, max_epochs=8, learning_rate=1e-2, lora_rank=8, lora_alpha=16)
    detector = detector_of(checkpoint(), settings=settings)
    curve = detector.fit(grammar(80), grammar(20, seed=1), tmp_path / "checkpoints")
    assert curve["validation_loss"].min() < 0.6 < np.log(6) < curve["validation_loss"][0] * 1.5
