"""What an interrupted training left: the newest checkpoint that is whole; a damaged one is removed, and said so."""

import json
import shutil
import zipfile
from pathlib import Path

from safetensors import SafetensorError, safe_open

from core.files import is_first_process, write
from methods.next_key.models.machine import Plan
from methods.next_key.vocabulary import Vocabulary

_FAULTS = (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError, zipfile.BadZipFile)
_WEIGHTS = ("model.safetensors", "adapter_model.safetensors")


def keep_plan(checkpoints: Path, plan: Plan) -> None:
    """Write how the model runs, so that a training that is resumed goes on in the same number format."""
    if is_first_process():
        checkpoints.mkdir(parents=True, exist_ok=True)
        write(checkpoints / "plan.json", plan.describe())


def kept_plan(checkpoints: Path) -> dict[str, str] | None:
    """Return what `keep_plan` wrote; None where nothing whole is kept."""
    try:
        found = json.loads((checkpoints / "plan.json").read_text(encoding="utf-8"))
        return {name: found[name] for name in ("device", "dtype", "why")}
    except _FAULTS:
        return None


def last_checkpoint(checkpoints: Path) -> tuple[Path | None, float]:
    """Return the newest whole checkpoint, if any, and the seconds of training that led to it.

    The trainer writes `trainer_state.json` last, so a checkpoint without it was cut off and is passed over. One that is
    damaged, or whose best epoch is, is removed: the training goes on from the one before, or begins anew.
    """
    found = checkpoints.glob("checkpoint-*/trainer_state.json")
    for folder in sorted((path.parent for path in found), key=_step, reverse=True):
        try:
            state = _whole(folder)
            best = state.get("best_model_checkpoint")
            if best and Path(best).name != folder.name:
                _whole(checkpoints / Path(best).name)
            return folder, max((row.get("seconds", 0.0) for row in state["log_history"]), default=0.0)
        except _FAULTS as error:
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            print(f"{folder.as_posix()} is damaged ({why[:100]}) and is not gone on from", flush=True)
            if is_first_process():
                shutil.rmtree(folder, ignore_errors=True)
    return None, 0.0


def _step(folder: Path) -> int:
    number = folder.name.removeprefix("checkpoint-")
    return int(number) if number.isdecimal() else -1


def _whole(folder: Path) -> dict:
    """Return the state of a checkpoint; raise one of `_FAULTS` if a file of it is missing, cut off or changed."""
    state = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
    if not isinstance(state["log_history"], list) or not isinstance(state["global_step"], int):
        raise ValueError("trainer_state.json does not fit")
    weights = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise FileNotFoundError("it has no weights")
    with safe_open(weights, framework="pt"):  # reads the header and compares the size
        pass
    for path in [folder / "optimizer.pt", folder / "scheduler.pt", *folder.glob("*.pth")]:
        with zipfile.ZipFile(path) as packed:
            if bad := packed.testzip():
                raise ValueError(f"{path.name} has a wrong checksum at {bad}")
    Vocabulary.load(folder)
    return state
