"""Packed log files read as a stream: .gz, .bz2, .xz, .zst, a member of a .tar.gz or .zip; nothing is extracted."""

import bz2
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from shlex import quote
from typing import IO, BinaryIO

import pyarrow as pa

from core.errors import BadInput, printable

READ_AT_ONCE = 8 << 20
BROKEN = (EOFError, zlib.error, lzma.LZMAError)  # what unpackers raise in the middle of a file
TESTS = {".zip": "unzip -t", ".zst": "zstd -t", ".bz2": "bzip2 -t", ".xz": "xz -t"}  # for every other ending gzip -t
NAMED = 3  # members in a sentence
ENDINGS = (".tar.gz", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".zip")
OPENERS: dict[str, Callable] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def is_plain(path: Path) -> bool:
    """Return whether a log is read as it stands, by the ending of its name."""
    return not path.name.endswith(ENDINGS)


@contextmanager
def unpacked(
    stored: BinaryIO, path: Path, member: str | None
) -> Iterator[IO[bytes] | gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile]:
    """Yield the log, unpacked while it is read: nothing is ever extracted to a path that an archive names.

    `member` names the file inside an archive; without it the archive must hold one file that ends in .log or .csv,
    else BadInput is raised.
    """
    if path.name.endswith((".tar.gz", ".tgz")):
        with _member_of_tar(stored, path, member) as file:
            yield file
    elif path.suffix == ".zip":
        with _member_of_zip(stored, path, member) as file:
            yield file
    elif path.suffix == ".zst":
        with pa.CompressedInputStream(stored, "zstd") as file:
            yield file
    elif path.suffix in OPENERS:
        with OPENERS[path.suffix](stored, "rb") as file:
            yield file
    else:
        yield stored


def command_to_test(path: Path) -> str:
    """Return the command that tells whether a packed file is whole."""
    return f"{TESTS.get(path.suffix, 'gzip -t')} {path}"


@contextmanager
def _member_of_tar(stored: BinaryIO, path: Path, member: str | None) -> Iterator[IO[bytes]]:
    if member is None:
        about = path.stat()
        _refuse_several(path, _logs_in_tar(path, about.st_mtime_ns, about.st_size), "tar -xzf")
    with gzip.open(stored, "rb") as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
        for entry in archive:
            if entry.isfile() and _is_wanted(entry.name, member) and (file := archive.extractfile(entry)):
                yield file
                while packed.read(READ_AT_ONCE):  # the checksum is compared at the end of the file
                    pass
                return
    raise _no_member(path, member)


@lru_cache(maxsize=16)  # a log is looked into before it is read
def _logs_in_tar(path: Path, _changed: int, _size: int) -> tuple[str, ...]:
    """Return the names of the logs in an archive, which a stream would show only after the first one was read.

    Of a broken archive these are the names before the break, and reading says where that is.
    """
    names = []
    try:
        with tarfile.open(path, "r|gz") as archive:
            names += [entry.name for entry in archive if entry.isfile() and _is_wanted(entry.name, None)]
    except (*BROKEN, tarfile.TarError, OSError):
        pass
    return tuple(names)


@contextmanager
def _member_of_zip(stored: BinaryIO, path: Path, member: str | None) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(stored) as archive:
        names = [name for name in archive.namelist() if _is_wanted(name, member)]
        if not names:
            raise _no_member(path, member)
        _refuse_several(path, names, "unzip")
        with archive.open(names[0]) as file:
            yield file


def _refuse_several(path: Path, names: list[str] | tuple[str, ...], unpack: str) -> None:
    if len(names) < 2:
        return
    first = ", ".join(printable(name, 100) for name in names[:NAMED]) + ", ..." * (len(names) > NAMED)
    raise BadInput(
        f"{path} holds {len(names)} logs ({first}); unpack the one that you want and give that, with: "
        f"{unpack} {quote(str(path))} {quote(names[0])}"
    )


def _is_wanted(name: str, member: str | None) -> bool:
    base = name.rsplit("/", 1)[-1]
    if base.startswith("._"):  # what macOS packs beside each file
        return False
    return base == member if member else base.endswith((".log", ".csv"))


def _no_member(path: Path, member: str | None) -> BadInput:
    return BadInput(f"{path} holds no file {member or 'ending in .log'}; list its files with: tar -tf {path}")
