"""The stages, one after the other; after each the weights are kept, so an interrupted training goes on from there.

Every stage has an optimizer and random numbers of its own, made of seed and stage: a training that goes on ends at the
same weights as one that ran through.
"""

import json
import time
from dataclasses import dataclass
from math import ceil, cos, pi
from pathlib import Path

import numpy as np
import polars as pl
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from sklearn.metrics import average_precision_score
from torch import Tensor

from core.errors import BadInput
from core.files import replace, told
from core.progress import progress
from methods.parts.classifiers import in_batches
from methods.supervised.logllm.batches import Draws, Messages, chunks
from methods.supervised.logllm.messages import MessageVectors
from methods.supervised.logllm.network import LogLLMNetwork
from methods.supervised.logllm.recipes import LEAST_DRAWS, Settings, Stage

POSITIONS_AT_ONCE = 8_192  # of a batch that is judged, with padding
CLIPPED = 1.0  # norm of the gradient


@dataclass(frozen=True)
class Validation:
    """Distinct labeled sequences and how often each occurs."""

    sequences: list[Messages]
    labels: np.ndarray
    weights: np.ndarray


@dataclass
class Training:
    """What the stages work on; `rows` is the curve so far."""

    network: LogLLMNetwork
    messages: MessageVectors
    draws: Draws
    validation: Validation
    settings: Settings
    seed: int
    rows: list[dict]

    def run(self, saved: Path, belongs_to: str) -> pl.DataFrame:
        """Do the stages that are left; return the curve, one row a look at validation."""
        done = _resume(saved, self, belongs_to)
        started = time.perf_counter() - (self.rows[-1]["seconds"] if self.rows else 0.0)
        for place, stage in enumerate(self.settings.stages):
            if place >= done:
                self._stage(place, stage, started)
                _keep(saved, self, place + 1, belongs_to)
        self.network.eval()
        if self.messages.model is not None:
            self.messages.refill()
        return pl.DataFrame(self.rows, infer_schema_length=None)

    def _stage(self, place: int, stage: Stage, started: float) -> None:
        """Do one stage; of the last one the weights that validation likes best are kept."""
        torch.manual_seed(self.seed * 1_009 + place)
        chance = np.random.default_rng([self.seed, place])
        weights = self.network.learn_only(stage.learns)
        optimizer = torch.optim.AdamW(weights, lr=stage.learning_rate)
        steps = stage_steps(stage, self.draws.size, self.settings.batch_size)
        is_last = place == len(self.settings.stages) - 1
        looks = self.settings.evaluations if is_last else 1
        every, losses = ceil(steps / max(looks, 1)), []
        best: tuple[float, dict[str, Tensor]] | None = None
        for step in progress(range(steps), steps, f"stage {stage.name}", "steps"):
            for group in optimizer.param_groups:
                group["lr"] = stage.learning_rate * rate(step, steps, self.settings)
            losses.append(self._step(optimizer, weights, chance))
            if self.settings.published or not ((step + 1) % every == 0 or step + 1 == steps):
                continue
            found = self._look(stage, losses, started)
            if is_last and found is not None and (best is None or found < best[0]):
                best = found, self.network.learned_state()
        if self.settings.published:
            self._look(stage, losses, started)
        if best is not None:
            self.network.load_state_dict(best[1], strict=False)

    def _step(self, optimizer: torch.optim.Optimizer, weights: list, chance: np.random.Generator) -> float:
        batch = self.draws.batch(chance)
        vectors, sequences = self.messages.of(batch.sequences)
        counts = torch.from_numpy(batch.weights).to(vectors.device)
        loss = (self.network.losses(vectors, sequences, batch.labels.tolist()) * counts).sum() / counts.sum()
        optimizer.zero_grad()
        loss.backward()
        if not self.settings.published:
            torch.nn.utils.clip_grad_norm_(weights, CLIPPED)
        optimizer.step()
        return loss.item()

    def _look(self, stage: Stage, losses: list[float], started: float) -> float | None:
        """Add a row to the curve; return the validation loss, None without both classes to validate on."""
        in_training = [module for module in self.network.modules() if module.training]
        self.network.eval()
        if self.messages.model is not None:
            self.messages.refill()
        found = validate(self.network, self.messages, self.validation)
        for module in in_training:
            module.training = True
        about = {"epoch": len(self.rows) + 1, "stage": stage.name, "training_loss": float(np.mean(losses))}
        self.rows.append(about | found | {"seconds": time.perf_counter() - started})
        losses.clear()
        shown = {name: value for name, value in self.rows[-1].items() if isinstance(value, float)}
        print(f"stage {stage.name}   " + "   ".join(f"{name} {value:.4f}" for name, value in shown.items()), flush=True)
        if not np.isfinite(found["validation_loss"]):
            raise BadInput("The validation loss is no number: the training diverged; train again with another SEED.")
        return None if found["average_precision"] is None else found["validation_loss"]


def stage_steps(stage: Stage, balanced: int, batch_size: int) -> int:
    """Return the steps of a stage: as many as it says, or its epochs of all draws, 50,000 at least, as published."""
    draws = stage.draws or max(balanced, LEAST_DRAWS)
    return stage.steps or ceil(stage.epochs * draws / batch_size)


def rate(step: int, steps: int, settings: Settings) -> float:
    """Return what the learning rate is multiplied by: warm-up and cosine, or as published times .7 each tenth."""
    if settings.published:
        return 0.7 ** (10 * step // steps)
    warm = max(1, round(steps * settings.warmup_share))
    return (step + 1) / warm if step < warm else 0.5 * (1 + cos(pi * (step - warm) / max(1, steps - warm)))


def validate(network: LogLLMNetwork, messages: MessageVectors, validation: Validation) -> dict:
    """Return `validation_loss`, nats a sequence by the log-odds alone, and `average_precision`, None of one class."""
    log_odds = judge(network, messages.table, validation.sequences)
    signs = np.where(validation.labels == 1, -1.0, 1.0)
    loss = float(np.average(np.logaddexp(0, signs * log_odds), weights=validation.weights))
    if len(np.unique(validation.labels)) < 2 or not np.isfinite(loss):
        return {"validation_loss": loss, "average_precision": None}
    weighted = average_precision_score(validation.labels, log_odds, sample_weight=validation.weights)
    return {"validation_loss": loss, "average_precision": float(weighted)}


@torch.no_grad()
def judge(network: LogLLMNetwork, vectors: Tensor, sequences: list[Messages], most: int = 128) -> np.ndarray:
    """Return the log-odds (sequences,) of distinct sequences; of one in chunks that of its most suspicious chunk."""
    owners, parts = [], []
    for row, messages in enumerate(sequences):
        shown = chunks(messages, most)
        owners += [row] * len(shown)
        parts += shown
    found = np.empty(len(parts), np.float64)
    batches = list(in_batches(parts, POSITIONS_AT_ONCE, network.prompt.longest))
    for rows in progress(batches, len(batches), "judging", "batches"):
        found[rows] = network.log_odds(vectors, [parts[row] for row in rows]).cpu().numpy()
    largest = np.full(len(sequences), -np.inf)
    np.maximum.at(largest, owners, found)
    return largest


# ----------------------------------------------------------------------------------------------------------- on disk


def _keep(saved: Path, training: Training, done: int, belongs_to: str) -> None:
    """Write the weights after a stage, whole or not at all."""
    tensors = {name: one.cpu().contiguous() for name, one in training.network.learned_state().items()}
    about = {"rows": json.dumps(training.rows), "done": str(done), "belongs_to": belongs_to}
    with told(saved):
        saved.parent.mkdir(parents=True, exist_ok=True)
    with told(saved), replace(saved) as place:
        save_file(tensors, place, about)


def _resume(saved: Path, training: Training, belongs_to: str) -> int:
    """Put the last kept stage into the training; return how many are done. BadInput if it is of another training."""
    if not saved.is_file():
        return 0
    try:
        with safe_open(saved, framework="pt") as file:
            about, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        rows, done, owner = json.loads(about["rows"]), int(about["done"]), about["belongs_to"]
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        print(f"{saved.as_posix()} is damaged ({error}): the training begins anew", flush=True)
        return 0
    if owner != belongs_to:
        raise BadInput(
            f"{saved.as_posix()} was left by a training of {owner}, not {belongs_to}; remove {saved.parent.as_posix()} "
            "to train from the start."
        )
    wanted = {name: one.shape for name, one in training.network.learned_state().items()}
    if {name: one.shape for name, one in tensors.items()} != wanted:
        print(f"{saved.as_posix()} is of a model with other sizes: the training begins anew", flush=True)
        return 0
    training.network.load_state_dict(tensors, strict=False)
    training.rows[:] = rows
    print(f"going on after stage {training.settings.stages[done - 1].name}", flush=True)
    return done
