"""Faults that only checkpoints as people have them showed: their tokenizers, their formats."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import MambaConfig, MambaForCausalLM, PreTrainedTokenizerFast

from commands import run
from core.errors import BadInput
from methods.next_key import NextKey
from methods.next_key.embeddings import doubtful_words, key_words, mean_rows
from methods.next_key.vocabulary import BEGIN, END, Vocabulary
from methods.parts.choices import find_checkpoint
from methods.parts.loading import loading_fault
from methods.parts.recipes import TrainingSettings
from runs import steps
from tests.methods.checkpoints import TEMPLATES, save_checkpoint, save_encoder, tokenizer
from tests.methods.test_next_key import grammar

LORA = TrainingSettings(context=48, batch_size=8, max_epochs=1, lora_rank=4, lora_alpha=8)


def letters() -> PreTrainedTokenizerFast:
    """What a tokenizer is that has lost its merges: one token a letter."""
    text = "".join(TEMPLATES.values())
    model = Tokenizer(WordLevel({letter: number for number, letter in enumerate(sorted(set(text) | {"?"}))}, "?"))
    model.pre_tokenizer = Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=model, unk_token="?")


# ---------------------------------------------------------------------------------------------------- the tokenizer


def test_begin_and_end_start_from_rows_of_their_own_where_one_token_is_both():
    """SmolLM2 has eos = bos: of tied layers one row was read at the begin and chosen at the end."""
    words, vocabulary = tokenizer(), Vocabulary(TEMPLATES)
    words.bos_token = words.eos_token
    rows = torch.randn(len(words), 4, generator=torch.Generator().manual_seed(0))
    started = mean_rows(rows, key_words(vocabulary, TEMPLATES, words))
    assert not torch.allclose(started[BEGIN], started[END])
    assert torch.equal(started[END], rows[words.eos_token_id])


def test_a_tokenizer_of_single_letters_is_told_once_before_training(tmp_path, capsys):
    """It trained to the end on keys that began as means of letters, and nobody was told."""
    folder = save_checkpoint(tmp_path / "model", "llama", True)
    letters().save_pretrained(folder)
    detector = NextKey(str(folder), settings=LORA, templates=TEMPLATES, key_embeddings="template")
    detector.prepare(grammar(20))
    detector.fit(grammar(20), grammar(5, seed=1), tmp_path / "checkpoints")
    said = capsys.readouterr().out
    assert said.count("tokens for a word of the templates") == 1
    assert "The tokenizer of model takes" in said and tmp_path.as_posix() not in said


def test_a_whole_tokenizer_and_templates_without_words_raise_no_doubt():
    assert doubtful_words(TEMPLATES, tokenizer(), "model") == ""
    assert doubtful_words({"a": "<*>", "b": None}, letters(), "model") == ""


# ------------------------------------------------------------------------------------------------------- the format


@pytest.mark.parametrize("config", [False, True], ids=["alone", "beside a config"])
def test_gguf_is_told_what_to_do_and_not_that_it_lacks_a_tokenizer(config, tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    if config:
        (tmp_path / "config.json").write_text("{}")
    for name in (str(tmp_path), str(tmp_path / "model.gguf"), "models/model.gguf"):
        with pytest.raises(BadInput, match=r"is GGUF, which is not read here; give MODEL the safetensors checkpoint"):
            find_checkpoint(name, gpu=False)


def test_gguf_beside_a_whole_checkpoint_is_no_fault(tmp_path):
    for file in ("model.gguf", "config.json", "model.safetensors"):
        (tmp_path / file).touch()
    assert find_checkpoint(str(tmp_path), gpu=False) == str(tmp_path)


def test_what_has_no_config_is_told_so_in_a_folder_and_on_the_hub(tmp_path):
    with pytest.raises(BadInput, match=r"has no config\.json, so there is no language model in it"):
        find_checkpoint(str(tmp_path), gpu=False)
    error = OSError("unsloth/x-GGUF does not appear to have a file named config.json. Checkout 'https://...'")
    assert "builds in GGUF alone have none" in str(loading_fault(error, "unsloth/x-GGUF"))


# ------------------------------------------------------------------------------------------------------- the folder


def test_a_context_that_the_model_does_not_reach_is_a_sentence(tmp_path):
    """Positions that a model learned one by one end in an index error, far into the training."""
    folder = save_checkpoint(tmp_path / "base", "llama", True)
    with pytest.raises(BadInput, match=r"reads 512 tokens at most, not 513; give context=512 .SET of a run"):
        NextKey(str(folder), changes="context=513").prepare([["a", "b"]])
    NextKey(str(folder), changes="context=512").prepare([["a", "b"]])


def test_weights_that_the_config_speaks_of_and_that_are_not_there_are_a_sentence(tmp_path):
    """A third layer was noise, another one at each load; the run was called done."""
    folder = save_checkpoint(tmp_path / "base", "llama", True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(BadInput, match=r"lack model\.layers\.2\.\S+ and \d+ more, which its config\.json speaks of"):
        NextKey(str(folder), settings=LORA).prepare([["a", "b"]])


def test_a_model_that_lora_cannot_be_put_into_is_a_sentence(tmp_path):
    config = MambaConfig(vocab_size=len(tokenizer()), hidden_size=32, state_size=4, num_hidden_layers=1)
    MambaForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(BadInput, match=r"no LoRA into a model of type mamba .*; choose another MODEL"):
        NextKey(str(tmp_path), settings=LORA).prepare([["a", "b"]])


def test_a_base_without_a_head_is_taken_and_damaged_weights_are_a_sentence(tmp_path):
    folder = save_checkpoint(tmp_path / "base", "llama", False)
    weights = load_file(folder / "model.safetensors")
    save_file({name: one for name, one in weights.items() if name != "lm_head.weight"}, folder / "model.safetensors")
    NextKey(str(folder), settings=LORA).prepare([["a", "b"]])
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(BadInput, match="cannot be loaded"):
        NextKey(str(folder), settings=LORA).prepare([["a", "b"]])


def test_a_run_of_an_earlier_version_with_a_longer_context_is_still_judged(tmp_path):
    """Positions that are computed go on beyond the limit; what was trained so keeps its scores."""
    folder = save_checkpoint(tmp_path / "base", "llama", True)
    detector = NextKey(str(folder), settings=LORA)
    detector.fit(grammar(20), grammar(5), tmp_path / "checkpoints")
    detector.save(tmp_path / "model")
    about = json.loads((tmp_path / "model" / "next_key.json").read_text())
    about["settings"]["context"] = 600
    (tmp_path / "model" / "next_key.json").write_text(json.dumps(about))
    assert NextKey.load(tmp_path / "model").score(grammar(5)).height == 5


def test_a_checkpoint_without_weights_leaves_no_run_folder(workspace):
    folder = save_checkpoint(workspace / "model", "llama", False)
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadInput, match="safetensors"):
        steps.complete(partial(NextKey, str(folder)), "sample", 0, 0.01, None)
    assert not list(Path("results").rglob("config.json"))


@pytest.mark.slow
def test_a_model_that_train_ipynb_refuses_leaves_no_run_folder(workspace, monkeypatch, capsys):
    """The encoder that was refused stood in the way of the next run with that folder name."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    save_encoder(workspace / "model")
    assert run.main(["--model", str(workspace / "model")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not Path("results/sample/next_key-model-s0").exists()
