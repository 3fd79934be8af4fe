"""A trained detector on disk: `detector.json` (settings and keys) and, for networks, `weights.safetensors`."""

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from core.errors import BadInput
from methods.parts.keys import KeyNumbers, Sequences


def beside(folder: Path) -> Path:
    """An empty place next to `folder`, made, to be renamed when it is whole."""
    place = Path(folder).with_name(f".{Path(folder).name}.new")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    return place


def rename(place: Path, folder: Path) -> None:
    """Put what was written beside `folder` in its stead."""
    shutil.rmtree(folder, ignore_errors=True)
    place.rename(folder)


def save(folder: Path, about: dict, keys: KeyNumbers, tensors: dict[str, Tensor]) -> None:
    """Write a detector: `about` says of which method it is (`method`) and all that `load` needs beside the tensors."""
    place = beside(folder)
    content = json.dumps(about | {"keys": keys.keys}, indent=2)
    (place / "detector.json").write_text(content + "\n", encoding="utf-8")
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, place / "weights.safetensors"
    )
    rename(place, Path(folder))


def load(folder: Path, method: str, train_sequences: Sequences | None) -> tuple[dict, KeyNumbers, dict[str, Tensor]]:
    """What `save` was given; raises BadInput if `folder` holds no detector of this method.

    With `train_sequences`, also if its keys are not those of these sequences, that is of another data set.
    """
    path = Path(folder) / "detector.json"
    if not path.is_file():
        raise BadInput(f"{Path(folder).as_posix()} holds no trained detector; run compare.ipynb first.")
    about = json.loads(path.read_text(encoding="utf-8"))
    if about["method"] != method:
        raise BadInput(f"{Path(folder).as_posix()} holds a detector of {about['method']}, not of {method}.")
    keys = KeyNumbers(about["keys"])
    if train_sequences is not None and KeyNumbers.of(train_sequences).keys != keys.keys:
        raise BadInput(f"{Path(folder).as_posix()} has the keys of another data set; run compare.ipynb again.")
    return about, keys, load_file(Path(folder) / "weights.safetensors")
