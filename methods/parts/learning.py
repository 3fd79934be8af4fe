"""One training loop for the detectors that are small networks of their own: Adam, the best epoch kept, resumable.

After every epoch one safetensors file holds the weights, the best weights and the optimizer, and its header the
curve. Each epoch has a random state of its own, made of seed and epoch, so an interrupted training that goes on ends at
the same weights as one that ran through.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from math import isfinite, isnan
from pathlib import Path
from typing import TypeVar

import polars as pl
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from core.errors import BadInput
from core.files import replace, told

Batch = TypeVar("Batch")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def draw(weights: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Return the batches of an epoch: row numbers, and what each row counts there.

    As many draws as there are rows, but 8 batches at least: few distinct rows must not mean hardly any steps.
    Distinct rows that stand for very different numbers of copies make poor batches: one heavy row is most of the
    gradient. So rows are drawn by the square root of their weight and count by its square root, which gives on average
    the gradient of all the copies (importance sampling); what the rows of a batch count is 1 on average.
    """
    roots = weights.sqrt()
    size = max(len(weights), 8 * batch_size)
    rows = torch.multinomial(roots.cpu(), size, replacement=True).to(weights.device)
    for part in rows.split(batch_size):
        yield part, roots[part] * (roots.mean() / weights.mean())


def learn(
    model: nn.Module,
    batches: Callable[[], Iterable[Batch]],
    loss: Callable[[Batch], Tensor],
    validate: Callable[[], float],
    *,
    learning_rate: float,
    max_epochs: int,
    patience: int,
    seed: int,
    checkpoints: Path,
    belongs_to: str,
    keep_last: bool = False,
) -> pl.DataFrame:
    """Train `model` in place, keep the epoch of lowest validation loss; return one row an epoch, 0 = untrained.

    With `keep_last` all epochs are done and the last one is kept, whatever the validation loss says.

    The learning rate falls from epoch to epoch, linearly from `learning_rate` to nearly nothing in the last one.
    `batches` is called at the begin of every epoch, `loss` gives what a batch adds to the gradient, `validate` the
    validation loss; the model is in training mode for the one and in evaluation mode for the other. `belongs_to` says
    in words what is trained on what: a checkpoint of anything else is refused with BadInput, and so is a training whose
    kept epoch has no finite validation loss. A damaged checkpoint is said and not gone on from. Columns: `epoch,
    training_loss` (mean over batches), `validation_loss`, `seconds` since the start.
    """
    optimizer = torch.optim.Adam((one for one in model.parameters() if one.requires_grad), lr=learning_rate)
    saved = Path(checkpoints) / "epoch.safetensors"
    kept = _read(saved, model, belongs_to) if saved.is_file() else None
    if kept is not None:
        rows, best = _resume(kept, model, optimizer)
    else:
        rows = [{"epoch": 0, "training_loss": None, "validation_loss": _validation(model, validate), "seconds": 0.0}]
        best = _copy(model)
    started = time.perf_counter() - rows[-1]["seconds"]
    while len(rows) <= max_epochs and (keep_last or len(rows) - 1 - _best_epoch(rows) < patience):
        torch.manual_seed(seed * 100_003 + len(rows))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - (len(rows) - 1) / max_epochs)
        training_loss = _train_epoch(model, optimizer, batches(), loss)
        losses = {"training_loss": training_loss, "validation_loss": _validation(model, validate)}
        rows.append({"epoch": len(rows)} | losses | {"seconds": time.perf_counter() - started})
        best = _copy(model) if keep_last or _best_epoch(rows) == len(rows) - 1 else best
        _keep(saved, model, best, optimizer, rows, belongs_to)
        print("epoch {epoch:>4}   training loss {training_loss:.4f}   ".format(**rows[-1]), end="")
        print("validation loss {validation_loss:.4f}   {seconds:5.0f} s".format(**rows[-1]), flush=True)
    _refuse_diverged(rows[-1 if keep_last else _best_epoch(rows)]["validation_loss"])
    model.load_state_dict(best, strict=False)
    model.eval()
    return pl.DataFrame(rows, infer_schema_length=None)


def _train_epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterable[Batch], loss: Callable[[Batch], Tensor]
) -> float:
    model.train()
    losses = []
    for batch in batches:
        optimizer.zero_grad()
        value = loss(batch)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return sum(losses) / len(losses)


@torch.no_grad()
def _validation(model: nn.Module, validate: Callable[[], float]) -> float:
    model.eval()
    return float(validate())


def _best_epoch(rows: list[dict]) -> int:
    """Return the first epoch of the lowest loss; what is no number comes last."""
    return min(range(len(rows)), key=lambda epoch: (isnan(loss := rows[epoch]["validation_loss"]), loss))


def _refuse_diverged(loss: float) -> None:
    if not isfinite(loss):
        raise BadInput(
            f"The validation loss of the kept epoch is {loss}: the weights are no numbers any more; remove the run "
            "folder and train again with a smaller learning rate or another SEED."
        )


def _copy(model: nn.Module) -> dict[str, Tensor]:
    """Return weights and buffers without the frozen weights, of which a language model with LoRA has gigabytes."""
    frozen = {name for name, weights in model.named_parameters() if not weights.requires_grad}
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items() if name not in frozen}


def _keep(
    saved: Path,
    model: nn.Module,
    best: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    rows: list[dict],
    belongs_to: str,
) -> None:
    """Write the checkpoint, whole or not at all."""
    tensors = {f"model.{name}": tensor for name, tensor in _copy(model).items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in state.items()}
    about = {"rows": json.dumps(rows), "belongs_to": belongs_to}
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with told(saved):
        saved.parent.mkdir(parents=True, exist_ok=True)
    with told(saved), replace(saved) as place:
        save_file(plain, place, about)


def _read(saved: Path, model: nn.Module, belongs_to: str) -> tuple[list[dict], dict[str, Tensor]] | None:
    """Return the curve and the tensors of a checkpoint, None if it is damaged; raise BadInput if it is of another one.

    All of it is read and compared with `model` before anything is changed.
    """
    try:
        with safe_open(saved, framework="pt") as file:
            about = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
        rows, owner = json.loads(about["rows"]), about["belongs_to"]
        if rows[-1]["epoch"] != len(rows) - 1:
            raise ValueError("epochs are missing")
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        print(f"{saved.as_posix()} is damaged ({error}): the training begins anew", flush=True)
        return None
    if owner != belongs_to:
        raise BadInput(
            f"{saved.as_posix()} was left by a training of {owner}, not {belongs_to}; remove "
            f"{saved.parent.as_posix()} to train from the start."
        )
    shapes = {name: weights.shape for name, weights in _copy(model).items()}
    if any({name: one.shape for name, one in _under(part, tensors).items()} != shapes for part in ("model.", "best.")):
        print(f"{saved.as_posix()} is of a model with other sizes: the training begins anew", flush=True)
        return None
    return rows, tensors


def _resume(
    kept: tuple[list[dict], dict[str, Tensor]], model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[list[dict], dict[str, Tensor]]:
    """Put the checkpoint into model and optimizer; return the curve so far and the best weights."""
    rows, tensors = kept
    print(f"resuming an interrupted training after epoch {rows[-1]['epoch']}", flush=True)
    model.load_state_dict(_under("model.", tensors), strict=False)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _under("optimizer.", tensors).items():
        number, _, field = name.partition(".")
        state.setdefault(int(number), {})[field] = tensor
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    return rows, _under("best.", tensors)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
