"""Steps cut into parts, spread over processes or run out of memory end at the same model."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from core.errors import BadInput
from evaluation.verdicts import score_gap
from methods.next_key import NextKey, scoring, training
from methods.next_key.batches import chunk
from methods.next_key.memory import Load, fit_in_memory, lighter, score_in_memory
from methods.next_key.models.machine import SMALL, TRANSFORMERS, Plan
from methods.next_key.trees import pack_rows, packs
from methods.parts.recipes import TrainingSettings
from tests.methods.test_next_key import SHORT, fitted, grammar

ROOT = Path(__file__).resolve().parents[2]
CPU = Plan(SMALL, "cpu", "float32", False, "a test")


@pytest.mark.slow
def test_a_step_in_parts_trains_the_same_model(tmp_path, monkeypatch):
    """Accumulation that averages over parts of unequal weight is a classic: each part must count by its keys."""
    whole = fitted("tiny-llama", tmp_path / "whole")
    monkeypatch.setattr("methods.next_key.detector.first_load", lambda *_: Load(2, 4))
    parts = fitted("tiny-llama", tmp_path / "parts")
    assert score_gap(whole.score(grammar(20)), parts.score(grammar(20))) < 1e-4


@pytest.mark.slow
def test_two_processes_train_and_score_as_one(tmp_path, sample):
    """Under torchrun every process takes a share of each step and of the sequences to score."""
    settings = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    code = (
        "from methods.next_key import NextKey, processes\n"
        "processes.join()\n"
        "from tests.methods.test_memory import save_scores\n"
        "save_scores()\n"
        "processes.leave()\n"
    )
    (tmp_path / "job.py").write_text(code)
    scores = []
    for count in (1, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(count), "../job.py"]
        done = subprocess.run(launcher, cwd=folder, env=os.environ | settings, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        scores.append(pl.read_parquet(folder / "scores.parquet"))
    assert score_gap(*scores) < 1e-4
    models = [load_file(next((tmp_path / str(count)).rglob("model*.safetensors"))) for count in (1, 2)]
    assert models[0].keys() == models[1].keys()
    gap = max(float((models[0][name] - models[1][name]).abs().max()) for name in models[0])
    assert gap < 1e-3, gap


def save_scores() -> None:
    """One process of the test above: fit on a grammar, score, and let the first process write."""
    detector = fitted("tiny-llama", Path("checkpoints"))
    scores = detector.score(grammar(30, seed=2))
    if os.environ["RANK"] == "0":
        detector.save(Path("model"))
        scores.write_parquet("scores.parquet")


# ------------------------------------------------------------------------------------------------------- the ladder


def test_the_ladder_halves_then_checkpoints_then_quantizes(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    plan = Plan(TRANSFORMERS, "cuda:0", "bfloat16", False, "a test")
    load, steps = Load(4, 1), []
    while (step := lighter(load, plan)) is not None:
        load, what = step
        steps.append((load.micro_batch, load.accumulation, load.checkpointing, load.four_bit, what.split()[0]))
        plan = plan.in_four_bits("it must") if load.four_bit else plan
    assert steps == [
        (2, 2, False, False, "2"),
        (1, 4, False, False, "1"),
        (1, 4, True, False, "with"),
        (1, 4, True, True, "with"),
    ]


def test_every_part_divides_the_batch_evenly():
    load, parts = Load(3072, 1), []
    while load.micro_batch > 1:
        load, _ = lighter(load, CPU)
        parts.append(load.micro_batch)
        assert load.micro_batch * load.accumulation == 3072
    assert parts[-3:] == [6, 3, 1]


@pytest.mark.slow
def test_what_does_not_fit_is_tried_in_smaller_parts_and_ends_at_the_same_model(tmp_path, monkeypatch, capsys):
    whole = fitted("tiny-llama", tmp_path / "whole")
    original = training.WeightedTrainer.training_step

    def full(self, model, inputs, *arguments, **options):
        if len(inputs["input_ids"]) > 4 or not self.args.gradient_checkpointing:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, model, inputs, *arguments, **options)

    monkeypatch.setattr(training.WeightedTrainer, "training_step", full)
    laddered = fitted("tiny-llama", tmp_path / "laddered")
    printed = capsys.readouterr().out
    assert "out of memory: trying again 4 rows at a time, 2 times a step" in printed
    assert "out of memory: trying again with gradient checkpointing" in printed
    assert score_gap(whole.score(grammar(20)), laddered.score(grammar(20))) < 1e-4


def test_the_bottom_of_the_ladder_is_a_sentence_and_other_faults_pass():
    def never(load):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(BadInput, match=r"does not fit into memory.*smaller MODEL"):
        fit_in_memory(never, Load(2, 1), lambda: CPU)

    def broken(load):
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        fit_in_memory(broken, Load(2, 1), lambda: CPU)


@pytest.mark.slow
def test_scoring_that_does_not_fit_takes_smaller_batches_and_gives_the_same_scores(tmp_path, monkeypatch):
    detector, sizes = fitted("tiny-llama", tmp_path), []
    whole = detector.score(grammar(40, seed=2))
    original = scoring._judge_batch

    def full(model, batch, unseen_rank):
        sizes.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return original(model, batch, unseen_rank)

    monkeypatch.setattr(scoring, "SHARING_PAYS", 1e9)
    monkeypatch.setattr(scoring, "_judge_batch", full)
    monkeypatch.setattr(scoring, "scoring_tokens", lambda model: 64)
    assert score_gap(whole, detector.score(grammar(40, seed=2))) < 1e-4
    assert max(sizes) > 3 and sizes[-1] <= 3


def test_scoring_that_never_fits_is_a_sentence_and_other_faults_pass():
    def never(tokens):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with pytest.raises(BadInput, match="Not even one sequence can be scored"):
        score_in_memory(never, 4)

    def broken(tokens):
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        score_in_memory(broken, 4)


# ------------------------------------------------------------------------------------------------- shared prefixes


def test_a_pack_by_hand():
    """a b c, a b d and x share two nodes; leaves do not go through the model, each node sees its ancestors alone."""
    chunks = [chunk(number, ids, 8)[0] for number, ids in enumerate(([1, 4, 5, 3], [1, 4, 6, 3], [1, 3]))]
    (pack,) = packs(chunks)
    assert [part.sequence for part in pack.chunks] == [2, 0, 1]
    assert pack.tokens.tolist() == [1, 3, 4, 5, 3, 6, 3]
    assert pack.parents.tolist() == [-1, 0, 0, 2, 3, 2, 5]
    assert pack.inner.tolist() == [0, 2, 3, 5]
    rows = pack_rows([pack])
    assert rows["position_ids"].tolist() == [[0, 1, 2, 2]]
    assert rows["attention_mask"][0, 0].int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1]]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny-llama", "tiny-gemma3", "tiny-qwen2", "tiny-qwen3", "tiny-gpt2"])
def test_shared_prefixes_and_plain_batches_give_the_same_scores(name, tmp_path, monkeypatch):
    detector = fitted(name, tmp_path)
    sequences = [*grammar(60, seed=2), ["open", *["read", "write"] * 40, "close"], ["open", "new", "close"]]
    counted = []
    original = scoring._judge_packs
    monkeypatch.setattr(scoring, "SHARING_PAYS", 0)
    monkeypatch.setattr(scoring, "_judge_packs", lambda *given: counted.append(1) or original(*given))
    shared = detector.score(sequences)
    assert len(counted) > 1, "only tried, never used: the test shows nothing"
    monkeypatch.setattr(scoring, "SHARING_PAYS", 1e9)
    assert score_gap(shared, detector.score(sequences)) < 1e-4


def test_trees_and_padded_batches_give_the_same_gradient(monkeypatch):
    """Shared beginnings are read once in training, too; each prediction must count as often as its rows do."""
    sequences = [*grammar(40), ["open", *["read", "write"] * 20, "close"]]
    detector = NextKey("tiny-qwen2", 0, settings=SHORT)
    detector.prepare(sequences)
    rows = training.weighted_rows(detector.vocabulary, sequences, SHORT)
    assert training.collator(detector.model, rows, len(rows)) is training.collate_trees
    gradients = []
    for collate in (training.collate, training.collate_trees):
        batch = collate(rows)
        detector.model.zero_grad()
        shown = {name: batch[name] for name in batch if name not in training.PREDICTIONS}
        training.weighted_loss(detector.model(**shown).logits, batch).backward()
        gradients.append(torch.cat([one.grad.flatten() for one in detector.model.parameters()]))
    assert gradients[0].abs().max() > 0.1
    assert torch.allclose(*gradients, atol=2e-3, rtol=1e-3)


@pytest.mark.slow
def test_a_model_that_ignores_the_tree_is_scored_in_plain_batches(tmp_path, monkeypatch):
    """Recurrent layers, short windows and Unsloth's attention do not follow such a mask."""
    settings = TrainingSettings(context=64, batch_size=8, max_epochs=1)
    detector = NextKey("tiny-gemma3", 0, settings=settings)
    detector.fit(grammar(80), grammar(20, seed=1), tmp_path)
    plain = detector.score(grammar(60, seed=2))

    def without_mask(module, arguments, given):
        return arguments, given | ({"attention_mask": None} if "position_ids" in given else {})

    detector.model.register_forward_pre_hook(without_mask, with_kwargs=True)
    monkeypatch.setattr(scoring, "SHARING_PAYS", 0)
    assert score_gap(plain, detector.score(grammar(60, seed=2))) < 1e-4


@pytest.mark.slow
def test_scores_do_not_depend_on_the_size_of_packs_and_batches(tmp_path, monkeypatch):
    detector = fitted("tiny-llama", tmp_path, SHORT)
    sequences = grammar(60, seed=2)
    wide = detector.score(sequences)
    monkeypatch.setattr(scoring, "SHARING_PAYS", 0)
    monkeypatch.setattr(scoring, "packs", lambda chunks: packs(chunks, 16))
    monkeypatch.setattr(scoring, "scoring_tokens", lambda model: 40)
    assert score_gap(wide, detector.score(sequences)) < 1e-4
