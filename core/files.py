"""Files that are whole or not there: written beside and renamed, read with a remedy, told apart by hashes."""

import hashlib
import json
import os
from pathlib import Path

import polars as pl

from core.errors import BadInput


def is_first_process() -> bool:
    """Whether this is the first process of a launcher, or the only one: it alone changes a run folder."""
    return os.environ.get("RANK", "0") == "0"


def write(path: Path, content: dict | pl.DataFrame, about: dict[str, str] | None = None) -> None:
    """Write JSON, CSV or Parquet by the ending of `path`; beside and renamed, so half a file is never left.

    `about` goes into the metadata of a Parquet file. Of the processes of a launcher only the first one writes.
    """
    if not is_first_process():
        return
    beside = path.with_name(f".new-{path.name}")
    if isinstance(content, dict):
        beside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    elif path.suffix == ".csv":
        content.write_csv(beside)
    else:
        content.write_parquet(beside, metadata=about)
    beside.replace(path)


def hash_folder(folder: Path) -> str:
    """The first 16 hex digits of a SHA-256 over the names and contents of the files in `folder`."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()} {digest}\n".encode())
    return whole.hexdigest()[:16]


def read_json(path: Path, remedy: str) -> dict:
    """The content of a JSON file; raises BadInput with `remedy`, what to do next, if it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path.as_posix()} does not exist; {remedy}") from error
    except ValueError as error:
        raise BadInput(f"{path.as_posix()} is broken ({error}); {remedy}") from error
