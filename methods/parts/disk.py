"""A trained detector on disk: `detector.json` (settings and keys) and, for networks, `weights.safetensors`."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from core.data import Labeled
from core.errors import BadInput
from core.files import replace, told
from core.keys import KeyNumbers, Sequences
from core.schemas import SavedDetector, check, read_checked

Settings = TypeVar("Settings")
Weights = TypeVar("Weights")
_FAULTS = (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OSError, SafetensorError)
AGAIN = "remove the run folder and train again."


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`, which takes its place when the block ends well; parents are made."""
    folder = Path(folder)
    with told(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with told(folder), replace(folder) as place:
        place.mkdir()
        yield place


def save(folder: Path, about: dict, keys: KeyNumbers, arrays: dict[str, np.ndarray]) -> None:
    """Write a detector: `about` says of which method it is (`method`) and all that `load` needs beside the arrays."""
    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    with replace_folder(folder) as place:
        content = json.dumps(about | {"keys": keys.keys})  # not indented: thousands of workers are named there
        (place / "detector.json").write_text(content + "\n", encoding="utf-8")
        save_file(whole, place / "weights.safetensors")


def load(
    folder: Path, method: str, train: Sequences | Labeled | None
) -> tuple[dict, KeyNumbers, dict[str, np.ndarray]]:
    """Return what `save` was given; raise BadInput if `folder` holds no detector of this method.

    With `train`, also if its keys are not those of this training split, that is of another data set.
    """
    path = Path(folder) / "detector.json"
    if not path.is_file():
        raise BadInput(f"{Path(folder).as_posix()} holds no trained detector; run compare.ipynb first.")
    about = read_checked(path, SavedDetector, AGAIN)
    if about["method"] != method:
        raise BadInput(f"{Path(folder).as_posix()} holds a detector of {about['method']}, not of {method}.")
    keys = KeyNumbers(about["keys"])
    sequences = train.sequences if isinstance(train, Labeled) else train
    if sequences is not None and KeyNumbers.of(sequences).keys != keys.keys:
        raise BadInput(f"{Path(folder).as_posix()} has the keys of another data set; run compare.ipynb again.")
    return about, keys, load_weights(Path(folder) / "weights.safetensors", load_file)


def load_weights(path: Path, load_file: Callable[[Path], dict[str, Weights]]) -> dict[str, Weights]:
    """Return what a file of safetensors holds; raise BadInput if it is missing or damaged."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path.as_posix()} is missing or damaged ({error}); {AGAIN}") from error


@contextmanager
def fitting(folder: Path) -> Iterator[None]:
    """Raise BadInput if what is made of a saved detector inside does not fit together: a file of it was changed."""
    try:
        yield
    except _FAULTS as error:
        torch = sys.modules.get("torch")
        if torch and isinstance(error, torch.OutOfMemoryError):
            raise
        why = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise BadInput(f"The files in {Path(folder).as_posix()} do not fit together ({why}); {AGAIN}") from error


def settings_of(about: dict, kind: type[Settings], path: Path) -> Settings:
    """Return the settings in what `load` gives; raise BadInput if one is not of its type in `kind`, a dataclass."""
    return check(json.dumps(about.get("settings", {})), kind, path, AGAIN)
