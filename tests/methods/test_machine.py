"""Which way a model takes on which machine; the GPU's ways with stand-ins, since no test needs one."""

import os
import sys
import types
from typing import ClassVar

import pytest
import torch
from huggingface_hub.errors import GatedRepoError

from core.errors import BadInput
from evaluation.verdicts import score_gap
from methods.next_key import NextKey, training
from methods.next_key.models import hub, machine
from methods.next_key.models.machine import GIB, TRANSFORMERS, UNSLOTH, Plan
from methods.parts.loading import loading_fault
from tests.methods.checkpoints import TEMPLATES, save_checkpoint
from tests.methods.test_next_key import grammar
from tests.methods.test_pretrained import LORA


@pytest.fixture
def card(monkeypatch):
    """A function that pretends a card of a name, with or without bf16, and its free memory in GiB."""

    def pretend(name: str, bf16: bool, free: float) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: name)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bf16)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (int(free * GIB), int(free * GIB)))
        monkeypatch.setattr("importlib.util.find_spec", lambda name: name)

    return pretend


def test_a_t4_computes_in_fp16_and_an_a100_in_bf16(card, monkeypatch):
    """bf16 forced on a T4 is what breaks the released notebooks on the free runtime."""
    monkeypatch.setattr(machine, "WHY_NOT_UNSLOTH", "")
    card("Tesla T4", False, 14.6)
    plan = machine.choose_plan(1_200_000_000, already_four_bit=False)
    assert (plan.path, plan.device, plan.dtype, plan.four_bit) == (UNSLOTH, "cuda:0", "float16", False)
    assert "Tesla T4 has no bf16" in plan.why
    card("NVIDIA A100", True, 39.0)
    assert machine.choose_plan(1_200_000_000, already_four_bit=False).dtype == "bfloat16"


def test_four_bits_by_memory_and_said(card):
    card("Tesla T4", False, 14.6)
    plan = machine.choose_plan(8_000_000_000, already_four_bit=False)
    assert plan.four_bit
    assert "the weights take 14.9 GiB in 16 bits, 14.6 GiB are free, so 4 bits" in plan.why
    assert machine.choose_plan(1_000_000_000, already_four_bit=True).four_bit


def test_without_a_gpu_everything_is_fp32_and_the_reason_is_said():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    plan = machine.choose_plan(1_000_000_000, already_four_bit=False)
    assert (plan.path, plan.dtype, plan.four_bit) == (TRANSFORMERS, "float32", False)
    assert "Unsloth" in plan.why


def test_unsloth_installed_without_a_gpu_is_no_error(monkeypatch):
    """Its import raises NotImplementedError there."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert machine.import_unsloth() == "Unsloth is installed, but there is no CUDA device for it"


def test_unsloth_that_breaks_or_is_switched_off_is_a_reason(card, monkeypatch):
    card("Tesla T4", False, 14.6)
    monkeypatch.setitem(sys.modules, "unsloth", None)  # its import raises ImportError
    assert "cannot be imported" in machine.import_unsloth()
    monkeypatch.setenv("NEXT_KEY_UNSLOTH", "0")
    assert "switched off" in machine.import_unsloth()


def test_logits_are_asked_for_before_unsloth_is_imported(card, monkeypatch):
    """Without that variable Unsloth returns empty logits, and there is nothing to rank."""
    monkeypatch.delenv("UNSLOTH_RETURN_LOGITS", raising=False)
    card("Tesla T4", False, 14.6)
    monkeypatch.setitem(sys.modules, "unsloth", types.ModuleType("unsloth"))
    assert machine.import_unsloth() == ""
    assert os.environ["UNSLOTH_RETURN_LOGITS"] == "1"
    monkeypatch.delenv("UNSLOTH_RETURN_LOGITS")


class FakeUnsloth:
    """FastLanguageModel over Transformers + PEFT, with the keywords of unsloth 2026.10.7."""

    calls: ClassVar[list] = []

    @staticmethod
    def from_pretrained(
        model_name, *, max_seq_length, dtype, load_in_4bit, use_exact_model_name, use_gradient_checkpointing,
        trust_remote_code,
    ):  # fmt: skip
        FakeUnsloth.calls.append(("load", model_name, max_seq_length, dtype, load_in_4bit))
        return hub.AutoModelForCausalLM.from_pretrained(model_name, dtype=dtype), None

    @staticmethod
    def get_peft_model(
        model, *, r, lora_alpha, target_modules, modules_to_save, ensure_weight_tying, random_state,
        use_gradient_checkpointing,
    ):  # fmt: skip
        from peft import LoraConfig, get_peft_model

        FakeUnsloth.calls.append(("adapt", r, list(modules_to_save), ensure_weight_tying))
        return get_peft_model(
            model,
            LoraConfig(
                r=r,
                lora_alpha=lora_alpha,
                target_modules=target_modules,
                modules_to_save=modules_to_save,
                ensure_weight_tying=ensure_weight_tying,
                task_type="CAUSAL_LM",
            ),
        )


def test_the_unsloth_path_trains_and_scores_through_its_own_calls(tmp_path, monkeypatch):
    module = types.ModuleType("unsloth")
    module.FastLanguageModel = FakeUnsloth
    monkeypatch.setitem(sys.modules, "unsloth", module)
    folder = save_checkpoint(tmp_path / "model", "llama", True)
    detector = NextKey(str(folder), 0, settings=LORA, templates=TEMPLATES)
    detector.plan = Plan(UNSLOTH, "cpu", "float32", False, "a test")
    curve = detector.fit(grammar(80), grammar(20, seed=1), tmp_path / "checkpoints")
    assert curve["validation_loss"][-1] < curve["validation_loss"][0]
    assert FakeUnsloth.calls[0] == ("load", str(folder), LORA.context, torch.float32, False)
    kind, rank, rows, tied = FakeUnsloth.calls[1]
    assert (kind, rank, tied) == ("adapt", LORA.lora_rank, True)
    assert set(rows) == {"embed_tokens", "lm_head"}
    assert detector.score(grammar(5))["rank"].min() >= 1


@pytest.mark.slow
def test_sixteen_bits_train_save_and_load(tmp_path, monkeypatch):
    """The mixed path of a GPU, on the CPU: frozen weights in bf16, what is trained in fp32, under autocast."""
    folder = save_checkpoint(tmp_path / "model", "llama", False)
    detector = NextKey(str(folder), 0, settings=LORA, templates=TEMPLATES)
    detector.plan = Plan(TRANSFORMERS, "cpu", "bfloat16", False, "a test")
    read = []
    original = training.collate_trees
    monkeypatch.setattr(training, "collate_trees", lambda rows: read.append(len(rows)) or original(rows))
    curve = detector.fit(grammar(80), grammar(20, seed=1), tmp_path / "checkpoints")
    assert read, "trees are never used where forward passes need autocast"
    assert curve["validation_loss"][-1] < curve["validation_loss"][0]
    kinds = {one.dtype for one in detector.model.parameters() if not one.requires_grad}
    assert torch.bfloat16 in kinds
    assert {one.dtype for one in detector.model.parameters() if one.requires_grad} == {torch.float32}
    detector.save(tmp_path / "saved")
    loaded = NextKey.load(tmp_path / "saved")
    loaded.plan = detector.plan
    assert score_gap(detector.score(grammar(20)), loaded.score(grammar(20))) < detector.plan.tolerance


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(28, "No space left on device"), r"No space is left for the weights.*HF_HOME"),
        (OSError("You are trying to access a gated repo."), r"is gated: accept its license at https://huggingface\.co/a/b"),
        (OSError("a/b is not a valid model identifier listed on"), "neither on the hub nor in the cache"),
        (ValueError("The checkpoint has model type `new` but"), r"cannot be loaded \(The checkpoint has"),
    ],
)  # fmt: skip
def test_what_goes_wrong_while_loading_is_a_sentence_with_a_way_out(error, sentence, monkeypatch):
    def fails(*arguments, **options):
        raise error

    monkeypatch.setattr(hub.AutoConfig, "from_pretrained", fails)
    with pytest.raises(BadInput, match=sentence):
        NextKey("a/b").prepare([["x"]])


def test_a_gate_is_recognized_behind_the_error_that_wraps_it():
    import httpx

    gate = GatedRepoError("403 Client Error", response=httpx.Response(403, request=httpx.Request("GET", "https://x")))
    wrapped = OSError("cannot fetch")
    wrapped.__cause__ = gate
    assert "is gated" in str(loading_fault(wrapped, "a/b"))
