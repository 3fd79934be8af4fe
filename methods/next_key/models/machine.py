"""What this machine offers a model: a device, a number format, and whether Unsloth works. Imported before transformers.

Unsloth rewrites transformers, trl and peft while it is imported, so it must come first; without a GPU its import
fails, so it comes only behind a check.
"""

import importlib.util
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

import psutil
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

Model = TypeVar("Model", bound=nn.Module)

GIB = 2**30
LEAST_WEIGHTS = 20_000_000  # of a model for which bf16 is timed on a CPU; below, casts take what products save
ONE_THREAD_BATCH = 64  # sequences; 1,600 at once are learned 1.5 times as fast on two cores
UNSLOTH, TRANSFORMERS, SMALL = "Unsloth", "Transformers + PEFT", "Transformers, the whole model trained"


@dataclass(frozen=True)
class Plan:
    """How one model runs here, and why; stands in the environment table of a run."""

    path: str
    device: str
    dtype: str
    four_bit: bool
    why: str
    undecided: bool = False  # fp32 until bf16 is timed on the model itself, see formats.py

    @property
    def torch_dtype(self) -> torch.dtype:
        """The format of the frozen weights and of the arithmetic; trained weights are always fp32."""
        return getattr(torch, self.dtype)

    @property
    def is_mixed(self) -> bool:
        """Whether forward passes run under autocast: the frozen weights have 16 bits, the trained ones 32."""
        return self.dtype != "float32"

    @property
    def tolerance(self) -> float:
        """How far log-probabilities in nats may lie apart between two orders of the same sums."""
        return 0.3 if self.is_mixed else 1e-4

    def arithmetic(self) -> AbstractContextManager:
        """Return the context for forward passes outside the trainer, which has an autocast of its own."""
        kind = self.device.partition(":")[0]
        return torch.autocast(kind, self.torch_dtype, enabled=self.is_mixed)

    def attention(self) -> AbstractContextManager:
        """Return the context for the forward pass of a training step.

        On a CPU the backward pass of fused attention takes as long in bf16 as the rest of the layer, in fp32 it does
        not; plain matrix products take bf16's speed.
        """
        is_slow = self.device == "cpu" and self.is_mixed
        return sdpa_kernel(SDPBackend.MATH) if is_slow else nullcontext()

    def is_faster_on_one_thread(self, batch_size: int) -> bool:
        """Return whether training is, see `parts/threads.py`: of a model made from a config in small batches."""
        return self.path == SMALL and batch_size <= ONE_THREAD_BATCH

    def in_four_bits(self, why: str) -> "Plan":
        """Return the same plan with the frozen weights in 4 bits."""
        return replace(self, four_bit=True, why=f"{self.why}; 4 bits because {why}")

    def describe(self) -> dict[str, str | bool]:
        """Return what was decided, for environment.json."""
        return {name: value for name, value in asdict(self).items() if name != "undecided"}

    def as_trained(self, saved: Mapping[str, str]) -> "Plan":
        """Return the plan in the number format in which a CPU trained, or went on to score, if this is a CPU too.

        So scores stay what they were, whatever a timing would say today.
        """
        if not self.device == saved["device"] == "cpu":
            return self
        if saved["dtype"] == "bfloat16" and not cpu_has_bf16():
            return replace(self, undecided=False, why="trained in bf16, which this CPU does not compute in, so fp32")
        return replace(self, dtype=saved["dtype"], why=saved["why"], undecided=False)


def import_unsloth() -> str:
    """Import Unsloth if it can work here; returns "" if it did, else why not. `NEXT_KEY_UNSLOTH=0` leaves it out.

    It returns logits only where `UNSLOTH_RETURN_LOGITS` is set first; without them there is nothing to rank.
    """
    if importlib.util.find_spec("unsloth") is None:
        return "Unsloth is not installed"
    if os.environ.get("NEXT_KEY_UNSLOTH") == "0":
        return "Unsloth was switched off by NEXT_KEY_UNSLOTH=0"
    if not torch.cuda.is_available():
        return "Unsloth is installed, but there is no CUDA device for it"
    os.environ["UNSLOTH_RETURN_LOGITS"] = "1"
    try:
        import unsloth  # noqa: F401
    except (ImportError, NotImplementedError, RuntimeError) as error:
        return f"Unsloth cannot be imported ({str(error).splitlines()[0]})"
    return ""


WHY_NOT_UNSLOTH = import_unsloth()


def current_device() -> str:
    """Return `cuda:N` (N by the launcher, else 0), `mps` or `cpu`."""
    if torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def free_memory(device: str) -> int:
    """Return bytes that can still be taken on `device`."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def move(model: Model, device: str) -> Model:
    """Return `model` on `device`; transformers' own `to` hides its types."""
    return model.to(device)


def to_full_precision(model: nn.Module) -> None:
    """Turn trained weights to fp32, in place: a loss scaler refuses fp16 gradients, and bf16 loses small steps."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)


def small_plan() -> Plan:
    """Return the plan of the models made from a config: fp32, so that their scores stay comparable between machines."""
    return Plan(SMALL, current_device(), "float32", False, "a model of this size gains nothing from 16 bits")


def whole_plan() -> Plan:
    """Return the plan of a pretrained model that was saved without an adapter, as a merged one is."""
    return Plan(TRANSFORMERS, current_device(), "float32", False, "saved whole, in fp32")


def merging_plan() -> Plan:
    """Return the plan for adding an adapter into its checkpoint for good: in fp32, where the most memory is."""
    return Plan(TRANSFORMERS, "cpu", "float32", False, "merged weights are rounded once, when they are used")


def choose_plan(parameters: int, already_four_bit: bool) -> Plan:
    """Return how a pretrained model of `parameters` weights runs here; `already_four_bit` if its files are."""
    device = current_device()
    dtype, reasons = _precision(device, parameters)
    undecided = device == "cpu" and not reasons
    four_bit = already_four_bit
    if already_four_bit:
        reasons.append("the checkpoint itself is 4-bit")
    elif device.startswith("cuda"):
        four_bit, reason = _needs_four_bit(2 * parameters, free_memory(device))
        reasons.append(reason)
    path = TRANSFORMERS if WHY_NOT_UNSLOTH else UNSLOTH
    reasons += [WHY_NOT_UNSLOTH] if WHY_NOT_UNSLOTH else []
    return Plan(path, device, dtype, four_bit, "; ".join(reasons), undecided and not four_bit)


def cpu_has_bf16() -> bool:
    """Return whether this CPU multiplies matrices of bf16 itself."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def _precision(device: str, parameters: int) -> tuple[str, list[str]]:
    """Return a number format and the reason; none where bf16 on a CPU is still to be timed."""
    if device == "cpu" and not cpu_has_bf16():
        return "float32", ["this CPU has no arithmetic for bf16"]
    if device == "cpu":
        return "float32", [] if parameters >= LEAST_WEIGHTS else ["a model of this size gains nothing from 16 bits"]
    if not device.startswith("cuda"):
        return "float32", [f"16 bits have not been measured on {device}"]
    name = torch.cuda.get_device_name(device)
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bfloat16", [f"{name} computes in bf16"]
    return "float16", [f"{name} has no bf16, so fp16 with a loss scaler"]


def _needs_four_bit(bytes_in_16_bit: int, free: int) -> tuple[bool, str]:
    """Return whether the 16-bit weights would take over 40% of the free memory, and why; activations need the rest."""
    sizes = f"the weights take {bytes_in_16_bit / GIB:.1f} GiB in 16 bits, {free / GIB:.1f} GiB are free"
    if bytes_in_16_bit <= 0.4 * free:
        return False, sizes
    if importlib.util.find_spec("bitsandbytes") is None:
        return False, f"{sizes}; 4 bits would need bitsandbytes, which is not installed"
    return True, f"{sizes}, so 4 bits"
