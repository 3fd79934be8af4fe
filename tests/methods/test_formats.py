"""bf16 on a CPU: taken where it is timed faster, kept only while its scores are those of fp32, and then for good."""

import json
import re

import numpy as np
import pytest
import torch

from evaluation.verdicts import score_gap
from methods.next_key import NextKey, formats
from methods.next_key.checkpoints import keep_plan
from methods.next_key.models import machine
from methods.next_key.models.machine import TRANSFORMERS, Plan
from methods.parts.recipes import TrainingSettings
from tests.methods.checkpoints import TEMPLATES, save_checkpoint
from tests.methods.test_next_key import grammar

LORA = TrainingSettings(context=48, batch_size=8, max_epochs=1, lora_rank=4, lora_alpha=8)
TRAIN, VALIDATION = grammar(30), grammar(10, seed=1)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> str:
    return str(save_checkpoint(tmp_path_factory.mktemp("base"), "llama", True))


@pytest.fixture
def timed(monkeypatch):
    """A function that says how many seconds a step takes in fp32 and in bf16; returns the formats that were timed."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(machine, "cpu_has_bf16", lambda: True)
    monkeypatch.setattr(machine, "LEAST_WEIGHTS", 0)

    def force(**seconds: float) -> list[str]:
        asked: list[str] = []

        def answer(model, plan, batch) -> float:
            asked.append(plan.dtype)
            return seconds[plan.dtype]

        monkeypatch.setattr(formats, "seconds_of_a_step", answer)
        return asked

    return force


@pytest.fixture
def moved(monkeypatch):
    """A function that moves every log-probability in bf16 from its `call`-th asking on (0 before training)."""
    original = formats.log_probabilities

    def move(by: float, call: int) -> None:
        calls = []

        def answer(model, plan, *rest) -> np.ndarray:
            calls.append(plan.dtype)
            late = calls.count("bfloat16") > call
            return original(model, plan, *rest) + (by if plan.is_mixed and late else 0)

        monkeypatch.setattr(formats, "log_probabilities", answer)

    return move


def fitted(base: str, folder) -> NextKey:
    detector = NextKey(base, settings=LORA, templates=TEMPLATES)
    detector.fit(TRAIN, VALIDATION, folder / "checkpoints")
    return detector


def frozen(detector: NextKey) -> set[torch.dtype]:
    return {one.dtype for one in detector.model.parameters() if not one.requires_grad}


def test_the_faster_format_is_taken_recorded_and_used_again_after_loading(base, timed, tmp_path):
    asked = timed(float32=1.0, bfloat16=0.4)
    detector = fitted(base, tmp_path)
    assert (detector.plan.dtype, frozen(detector)) == ("bfloat16", {torch.bfloat16})
    assert "a training step takes 0.40 s in bf16 and 1.00 s in fp32" in detector.plan.why
    assert 0 < float(re.search(r"differ from those in fp32 by (\S+) nats at most", detector.plan.why)[1]) < 0.3
    detector.save(tmp_path / "model")
    timed(float32=0.1, bfloat16=1.0)  # what a busy moment might say tomorrow
    loaded = NextKey.load(tmp_path / "model")
    assert loaded.plan.describe() == detector.plan.describe()
    assert score_gap(detector.score(VALIDATION), loaded.score(VALIDATION)) < 1e-4
    assert asked == ["float32", "bfloat16"], "timed more than once"


def test_bf16_that_is_hardly_faster_is_not_taken_and_not_tried_again_after_loading(base, timed, tmp_path):
    timed(float32=1.0, bfloat16=0.9)
    detector = fitted(base, tmp_path)
    assert (detector.plan.dtype, frozen(detector)) == ("float32", {torch.float32})
    assert "0.90 s in bf16 and 1.00 s in fp32" in detector.plan.why
    detector.save(tmp_path / "model")
    asked = timed(float32=1.0, bfloat16=0.1)
    assert NextKey.load(tmp_path / "model").plan.dtype == "float32"
    assert asked == []


def test_a_trained_model_whose_scores_move_too_far_in_bf16_scores_in_fp32(base, timed, moved, tmp_path):
    timed(float32=1.0, bfloat16=0.4)
    moved(0.5, call=1)
    detector = fitted(base, tmp_path)
    assert (detector.plan.dtype, frozen(detector)) == ("float32", {torch.float32})
    assert "trained in bf16 but scored in fp32, from which bf16 differs by 0.5 nats at most" in detector.plan.why
    detector.save(tmp_path / "model")
    assert NextKey.load(tmp_path / "model").plan.dtype == "float32"


@pytest.mark.parametrize("by", [-2.0, np.nan])
def test_bf16_that_moves_the_loss_is_not_trained_in_however_fast(by, base, timed, moved):
    """Infinities in bf16 would else be met as a loss that is no number, which is refused."""
    timed(float32=1.0, bfloat16=0.1)
    moved(by, call=0)
    detector = NextKey(base, settings=LORA, templates=TEMPLATES)
    detector.prepare(TRAIN)
    assert (detector.plan.dtype, frozen(detector)) == ("float32", {torch.float32})


def test_lora_begins_the_same_whether_or_not_formats_were_timed(base, timed):
    """A notebook prepares twice and a command once; the timing must not use up random numbers."""
    timed(float32=1.0, bfloat16=0.4)
    detector = NextKey(base, settings=LORA, templates=TEMPLATES)
    weights = []
    for _ in range(2):
        detector.prepare(TRAIN)
        weights.append([one.detach().clone() for one in detector.model.parameters() if one.requires_grad])
    assert all(torch.equal(first, second) for first, second in zip(*weights, strict=True))


def test_a_resumed_training_goes_on_in_its_format(base, timed, tmp_path):
    asked = timed(float32=1.0, bfloat16=0.9)
    keep_plan(tmp_path / "checkpoints", Plan(TRANSFORMERS, "cpu", "bfloat16", False, "it was faster yesterday"))
    detector = fitted(base, tmp_path)
    assert (detector.plan.dtype, asked) == ("bfloat16", [])
    assert json.loads((tmp_path / "checkpoints" / "plan.json").read_text())["dtype"] == "bfloat16"


def test_what_a_cpu_lacks_or_a_small_model_cannot_use_is_not_timed(base, timed, monkeypatch):
    asked = timed(float32=1.0, bfloat16=0.1)
    monkeypatch.setattr(machine, "LEAST_WEIGHTS", 20_000_000)
    detector = NextKey(base, settings=LORA, templates=TEMPLATES)
    detector.prepare(TRAIN)
    assert "a model of this size gains nothing" in detector.plan.why
    monkeypatch.setattr(machine, "cpu_has_bf16", lambda: False)
    assert "no arithmetic for bf16" in machine.choose_plan(10**9, already_four_bit=False).why
    there = Plan(TRANSFORMERS, "cpu", "float32", False, "", undecided=True)
    saved = {"device": "cpu", "dtype": "bfloat16", "why": "faster"}
    assert there.as_trained(saved).dtype == "float32"
    assert "trained in bf16, which this CPU" in there.as_trained(saved).why
    assert asked == []


def test_the_timing_itself_leaves_no_gradients(base):
    detector = NextKey(base, settings=LORA, templates=TEMPLATES)
    detector.prepare(TRAIN)
    batch = formats.pad([formats.chunk(0, detector.vocabulary.encode(TRAIN[0]), 48)[0]])
    assert formats.seconds_of_a_step(detector.model, detector.plan, batch) > 0
    assert all(one.grad is None for one in detector.model.parameters())
