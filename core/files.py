"""Files that are whole or not there: written beside and renamed, locked, read with a remedy, told apart by hashes."""

import errno
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from glob import escape
from pathlib import Path
from uuid import uuid4

import polars as pl
import psutil
from filelock import FileLock, Timeout

from core.errors import BadInput

LOCK_SECONDS = 60  # the ledger is held for well under a second
_HOST = socket.gethostname()
_READ_AT_ONCE = 1 << 20  # bytes
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_WORDS = ("No space left on device", "Disk quota exceeded", "os error 28")  # of libraries without an errno
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)

Version = tuple[Path, int, int, int]  # of a file: path, inode, time of the last change, size


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

    `about` goes into the metadata of a Parquet file. Of the processes of a launcher only the first one writes. Raise
    BadInput if the disk is full or `path` cannot be written to.
    """
    if not is_first_process():
        return
    with told(path), replace(path) as place:
        if isinstance(content, str):
            place.write_text(content, encoding="utf-8")
        elif isinstance(content, dict):
            place.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        elif path.suffix == ".csv":
            content.write_csv(place)
        else:
            content.write_parquet(place, metadata=about)


@contextmanager
def lock(path: Path, seconds: float | None = None) -> Iterator[None]:
    """Hold `path`, a file or a folder, against other processes that do the same; no lock file is left.

    Raise BadInput if another one holds it for longer than `seconds`, those of the ledger if nothing is said.
    """
    seconds, beside = LOCK_SECONDS if seconds is None else seconds, path.with_name(f".{path.name}.lock")
    held = FileLock(beside)
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            held.acquire(timeout=seconds)
        except Timeout as error:
            since = f"has been held by another process for {seconds:g} s" if seconds else "is held by another process"
            raise BadInput(f"{path.as_posix()} {since}; wait until it ends, then try again.") from error
    try:
        yield
    finally:
        with suppress(OSError):  # filelock sees that a lock file was removed while another process waited for it
            beside.unlink()
        held.release()


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn a full disk, or a place that cannot be written to, into BadInput that names `path`."""
    try:
        yield
    except Exception as error:
        if (fault := disk_fault(error, path.as_posix())) is None:
            raise
        raise fault from error


def disk_fault(error: BaseException, path: str = "the folder") -> BadInput | None:
    """Return the sentence for a full disk or a place that cannot be written to; None for any other error.

    Libraries that write weights say it in words alone.
    """
    number, text = getattr(error, "errno", None), str(error)
    if number == errno.EFBIG or "File too large" in text:
        return BadInput(
            f"{path} could not be written: a file may not be so large here; see `ulimit -f`, then try again."
        )
    if number in _FULL or any(words in text for words in _FULL_WORDS):
        return BadInput(f"The disk is full: {path} could not be written; free some space, then try again.")
    is_closed = number in _CLOSED or isinstance(error, (NotADirectoryError, FileExistsError))
    if is_closed or any(words in text for words in ("Permission denied", "Read-only file system")):
        place, reason = getattr(error, "filename", None) or path, getattr(error, "strerror", None) or text
        return BadInput(f"{place} cannot be read or written ({reason}); see to its permissions, then try again.")
    return None


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex; of a file that has not changed it is made once in a process."""
    return _sha256(_version_of(path))


def _version_of(path: Path) -> Version:
    """Return what is another one as soon as the file has changed."""
    about = path.stat()
    return path.resolve(), about.st_ino, about.st_mtime_ns, about.st_size


@lru_cache(maxsize=1_024)
def _sha256(file: Version) -> str:
    with file[0].open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def data_hash(folder: Path) -> str:
    """Return 16 hex digits over what a method reads; runs and decisions carry it and are refused on other data."""
    files = [folder / name for name in ("sequences.parquet", "templates.csv")]
    jobs = folder / "jobs.parquet"  # of workflow jobs alone
    return _joint_hash(tuple(map(_version_of, [*files, *([jobs] if jobs.is_file() else [])])))


@lru_cache(maxsize=64)
def _joint_hash(files: tuple[Version, ...]) -> str:
    digest = hashlib.sha256()
    for path, *_ in files:
        with path.open("rb") as opened:
            while block := opened.read(_READ_AT_ONCE):
                digest.update(block)
    return digest.hexdigest()[:16]


def hash_folder(folder: Path) -> str:
    """Return 16 hex digits over the names and contents of the files in `folder`, however deep."""
    return hash_files(folder, [path for path in folder.rglob("*") if path.is_file()])


def hash_files(folder: Path, files: list[Path]) -> str:
    """Return the first 16 hex digits of a SHA-256 over the names within `folder` and the contents of these files."""
    whole = hashlib.sha256()
    for path in sorted(files):
        whole.update(f"{path.relative_to(folder).as_posix()} {sha256(path)}\n".encode())
    return whole.hexdigest()[:16]


def read_parquet(path: Path, columns: dict[str, pl.DataType | type[pl.DataType]], remedy: str) -> pl.DataFrame:
    """Return a Parquet file that has these columns; raise BadInput with `remedy` if it is damaged or lacks one."""
    try:
        found = pl.read_parquet(path, glob=False)
    except FileNotFoundError as error:
        raise BadInput(f"{path.as_posix()} does not exist; {remedy}") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"{path.as_posix()} is damaged ({str(error).splitlines()[0][:80]}); {remedy}") from error
    for name, dtype in columns.items():
        if found.schema.get(name) != dtype:
            raise BadInput(f"{path.as_posix()} has no column {name} of type {dtype}; {remedy}")
    return found
