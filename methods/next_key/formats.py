"""fp32 or bf16 on a CPU that computes in both: timed before training, and its scores compared with fp32 after it."""

import time
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.keys import Sequences
from methods.next_key import processes
from methods.next_key.batches import chunk, pad
from methods.next_key.models.machine import Plan
from methods.next_key.scoring import forward, judge_all
from methods.next_key.vocabulary import Vocabulary

LEAST_GAIN = 1.2  # times as fast as fp32; for less its rounding is not worth having
MOST_LOSS_MOVED = 0.1  # share of the loss before training, where single log-probabilities mean nothing yet
TIMED, COMPARED = 8, 32  # distinct sequences: of a step that is timed, and whose scores are compared
REPEATS = 3


def first_distinct(vocabulary: Vocabulary, sequences: Sequences, count: int) -> list[list[int]]:
    """Return the token ids of the first `count` distinct sequences."""
    return [vocabulary.encode(keys) for keys in list(dict.fromkeys(map(tuple, sequences)))[:count]]


def recast_frozen(model: nn.Module, dtype: torch.dtype) -> None:
    """Turn the weights that are not trained to `dtype`, in place."""
    for parameter in model.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)


def seconds_of_a_step(model: PreTrainedModel, plan: Plan, batch: dict[str, Tensor]) -> float:
    """Return the seconds of one forward and backward pass, the shortest of a few after a first one."""
    seconds = []
    for _ in range(1 + REPEATS):
        started = time.perf_counter()
        with plan.arithmetic(), plan.attention():
            logits = forward(model, batch)
        logits.float().logsumexp(-1).mean().backward()
        seconds.append(time.perf_counter() - started)
        model.zero_grad()
    return min(seconds[1:])


def choose_format(
    model: PreTrainedModel, plan: Plan, vocabulary: Vocabulary, sequences: Sequences, context: int
) -> Plan:
    """Return an undecided plan as bf16 where a training step is enough faster so and the loss stays, else as fp32.

    `model`, as it will be trained, is in fp32; its frozen weights are left rounded. Processes of a launcher agree.
    """
    encoded = first_distinct(vocabulary, sequences, TIMED)
    batch = pad([chunk(number, ids, context)[0] for number, ids in enumerate(encoded)])
    plans = [replace(plan, dtype=dtype, undecided=False) for dtype in ("float32", "bfloat16")]
    seconds, losses = [], []
    for one in plans:
        recast_frozen(model, one.torch_dtype)
        seconds.append(seconds_of_a_step(model, one, batch))
        losses.append(-float(log_probabilities(model, one, vocabulary, encoded, context).mean()))
    seconds = processes.agreed(seconds)
    is_bf16 = seconds[0] >= LEAST_GAIN * seconds[1] and abs(losses[1] - losses[0]) <= MOST_LOSS_MOVED * losses[0]
    why = (
        f"a training step takes {seconds[1]:.2f} s in bf16 and {seconds[0]:.2f} s in fp32, and the loss before "
        f"training is {losses[1]:.3f} and {losses[0]:.3f} nats a key"
    )
    return replace(plans[is_bf16], why="; ".join(filter(None, [plan.why, why])))


def checked_format(
    model: PreTrainedModel, plan: Plan, vocabulary: Vocabulary, sequences: Sequences, context: int
) -> Plan:
    """Return the plan by which a trained model scores: in fp32 if bf16 on a CPU moves a log-probability too far.

    Both ways the reason says by how much; `model` has the format that is returned.
    """
    if plan.device != "cpu" or plan.dtype != "bfloat16":
        return plan
    encoded, exact = first_distinct(vocabulary, sequences, COMPARED), replace(plan, dtype="float32")
    rounded = log_probabilities(model, plan, vocabulary, encoded, context)
    recast_frozen(model, torch.float32)
    difference = np.abs(rounded - log_probabilities(model, exact, vocabulary, encoded, context)).max(initial=0)
    where = f"{difference:.2g} nats at most in {len(encoded)} validation sequences"
    if difference <= plan.tolerance:
        recast_frozen(model, torch.bfloat16)
        return replace(plan, why=f"{plan.why}; trained, its log-probabilities differ from those in fp32 by {where}")
    return replace(exact, why=f"{plan.why}; trained in bf16 but scored in fp32, from which bf16 differs by {where}")


def log_probabilities(
    model: PreTrainedModel, plan: Plan, vocabulary: Vocabulary, encoded: list[list[int]], context: int
) -> np.ndarray:
    """Return the log-probabilities in nats of all known events and ends under `plan`."""
    with plan.arithmetic():
        found = judge_all(model, encoded, vocabulary.unseen_rank, context).log_probabilities
    return found[found != -np.inf].astype(float)
