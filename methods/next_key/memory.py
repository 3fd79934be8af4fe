"""Batch sizes from the free memory, and what to give up, in which order, when a training step did not fit."""

import gc
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import find_executable_batch_size
from transformers import PreTrainedModel

from core.errors import BadInput
from methods.next_key.models.machine import SMALL, Plan, free_memory

Found = TypeVar("Found")

# Bytes of activations a token and layer for one unit of width, in 16 bits: Korthikanti et al. 2022 (arXiv 2205.05198),
# equation 2 without the attention scores, which fused attention does not keep.
ACTIVATION_BYTES = 34
SCORING_TOKENS = 16_384  # of one scoring batch on a CPU; more is no faster on two cores
SCORING_TOKENS_GPU = 131_072


@dataclass(frozen=True)
class Load:
    """How an optimizer step is cut up on each device: `micro_batch` rows at a time, `accumulation` times."""

    micro_batch: int
    accumulation: int
    checkpointing: bool = False
    four_bit: bool = False


def first_load(model: PreTrainedModel, plan: Plan, batch_size: int, longest: int) -> Load:
    """Return the largest part of the batch whose activations should take at most half of the free memory."""
    config = model.config.get_text_config()
    wide = config.hidden_size * config.num_hidden_layers * (1 if plan.is_mixed else 2)
    share = max(1, batch_size // PartialState().num_processes)
    load = Load(share, 1)
    while load.micro_batch * longest * wide * ACTIVATION_BYTES > free_memory(plan.device) / 2 and load.micro_batch > 1:
        load = _halved(load)
    return load


def _halved(load: Load) -> Load:
    """Return the next smaller micro-batch that still divides the batch evenly, so that the step stays the same."""
    share = load.micro_batch * load.accumulation
    part = next(size for size in range(load.micro_batch // 2, 0, -1) if share % size == 0)
    return replace(load, micro_batch=part, accumulation=share // part)


def lighter(load: Load, plan: Plan) -> tuple[Load, str] | None:
    """Return the next step down the ladder and its name; None at the bottom."""
    if load.micro_batch > 1:
        smaller = _halved(load)
        return smaller, f"{smaller.micro_batch} rows at a time, {smaller.accumulation} times a step"
    if not load.checkpointing:
        return replace(load, checkpointing=True), "with gradient checkpointing"
    can_quantize = plan.path != SMALL and plan.device.startswith("cuda") and importlib.util.find_spec("bitsandbytes")
    if can_quantize and not plan.four_bit:
        return replace(load, four_bit=True), "with the frozen weights in 4 bits"
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a device or the machine has no memory left; PyTorch has an error type for CUDA's alone."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and ("out of memory" in str(error) or "can't allocate memory" in str(error))
    )


def _try(call: Callable[..., Found], *arguments) -> Found | None:
    """Return the result, or None if it did not fit in memory; the tensors of a failed call are then free."""
    try:
        return call(*arguments)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return None


def release() -> None:
    """Give freed memory back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def fit_in_memory(attempt: Callable[[Load], list[dict]], load: Load, plan: Callable[[], Plan]) -> list[dict]:
    """Return what `attempt` does under the first load that fits, beginning with `load`; print every step down.

    A later attempt goes on from the checkpoints of an earlier one, and a step of the optimizer stays the same.
    """
    while (rows := _try(attempt, load)) is None:
        release()
        step = lighter(load, plan())
        if step is None:
            raise BadInput(
                "The model does not fit into memory, one row at a time, with gradient checkpointing and the smallest "
                "weights that this machine can use; choose a smaller MODEL or a shorter context."
            )
        load, what = step
        print(f"out of memory: trying again {what}", flush=True)
    return rows


def scoring_tokens(model: PreTrainedModel) -> int:
    """Return the tokens of a scoring batch: a quarter of the free memory, at one layer's activations a token."""
    device = str(model.device)
    most = SCORING_TOKENS_GPU if device.startswith("cuda") else SCORING_TOKENS
    width = model.config.get_text_config().hidden_size
    return max(1, min(most, free_memory(device) // (4 * 2 * ACTIVATION_BYTES * width)))


def score_in_memory(score: Callable[[int], Found], tokens: int) -> Found:
    """Return `score(tokens)`, with fewer tokens a batch after each time that it was out of memory.

    It begins anew each time, so it should score its largest batch first.
    """
    if (found := _try(score, tokens)) is not None:
        return found
    try:  # only now, as it collects garbage before each try, a third of a second
        return find_executable_batch_size(score, starting_batch_size=tokens // 2)()
    except RuntimeError as error:
        if "No executable batch size found" not in str(error):
            raise
        raise BadInput(
            "Not even one sequence can be scored in the free memory; choose a smaller MODEL or context."
        ) from error
