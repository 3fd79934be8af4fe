"""Files that are whole or not there: written beside and renamed, locked, read with a remedy, told apart by hashes."""

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from uuid import uuid4

import polars as pl
import psutil
from filelock import FileLock, Timeout

from core.errors import BadInput

LOCK_SECONDS = 60  # the ledger is held for well under a second
_HOST = socket.gethostname()


def is_first_process() -> bool:
    """Return whether this is the first process of a launcher, or the only one: it alone changes a run folder."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def replace(path: Path) -> Iterator[Path]:
    """Yield a new place beside `path`; what is there when the block ends well replaces `path`, else it is removed.

    `path` is a file or a folder, and so is what is written. The place has a name of its own, so two processes never
    write to the same one; what a killed process left beside `path` is removed on the way.
    """
    _remove_leftovers(path)
    place = path.with_name(f".{path.name}.{_HOST}-{os.getpid()}-{uuid4().hex[:8]}.new{path.suffix}")
    try:
        yield place
        if place.is_dir() and path.is_dir():
            _swap(place, path)
        else:
            place.replace(path)
    finally:
        _remove(place)


def _swap(new: Path, folder: Path) -> None:
    """Put a folder in the place of another one; a folder with content cannot be renamed over."""
    old = new.with_suffix(".old")
    folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _remove_leftovers(path: Path) -> None:
    """Remove what processes of this machine that run no more were writing beside `path`."""
    for place in path.parent.glob(f".{escape(path.name)}.{escape(_HOST)}-*"):
        number = place.name.removeprefix(f".{path.name}.{_HOST}-").partition("-")[0]
        if not number.isdigit() or psutil.pid_exists(int(number)):
            continue
        if place.suffix == ".old" and not path.exists():  # killed between the two renames
            place.rename(path)
        else:
            _remove(place)


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


def write(path: Path, content: dict | pl.DataFrame | str, about: dict[str, str] | None = None) -> None:
    """Write text, JSON, CSV or Parquet by the type of `content` and the ending of `path`, whole or not at all.

    `about` goes into the metadata of a Parquet file. Of the processes of a launcher only the first one writes.
    """
    if not is_first_process():
        return
    with replace(path) as place:
        if isinstance(content, str):
            place.write_text(content, encoding="utf-8")
        elif isinstance(content, dict):
            place.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        elif path.suffix == ".csv":
            content.write_csv(place)
        else:
            content.write_parquet(place, metadata=about)


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold `path` against other processes while it is read and written; raise BadInput if one holds it too long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.lock")
    try:
        with FileLock(beside, timeout=LOCK_SECONDS):
            yield
    except Timeout as error:
        raise BadInput(
            f"{path.as_posix()} has been held by another process for {LOCK_SECONDS} s; wait for it, or remove "
            f"{beside.as_posix()} if none runs."
        ) from error


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_folder(folder: Path) -> str:
    """Return the first 16 hex digits of a SHA-256 over the names and contents of the files in `folder`."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole.update(f"{path.relative_to(folder).as_posix()} {sha256(path)}\n".encode())
    return whole.hexdigest()[:16]


def read_json(path: Path, remedy: str) -> dict:
    """Return the content of a JSON file; raise BadInput with `remedy`, what to do next, if it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path.as_posix()} does not exist; {remedy}") from error
    except ValueError as error:
        raise BadInput(f"{path.as_posix()} is broken ({error}); {remedy}") from error
