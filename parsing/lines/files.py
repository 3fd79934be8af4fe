"""A log file as numbered lines, a block at a time: plain, .gz, .zst, or one member of a .tar.gz or .zip."""

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

import polars as pl
import pyarrow as pa

from core.errors import BadInput

BLOCK_BYTES = 8 << 20  # about 60,000 lines: smaller is slower, larger takes memory for little


@dataclass
class LogFile:
    """A log being read. The counters are final once `blocks` is exhausted.

    `member` names the file inside an archive; without it the archive must hold one file that ends in .log or .csv.
    Bytes that are not UTF-8 become U+FFFD: the line stays an event of its session, is counted in `undecodable`, and
    the first one is named in `first_undecodable` (1-based). `done` is the share of the log that has been read, 0 as
    long as nothing is known of its size.
    """

    path: Path
    member: str | None = None
    lines: int = 0
    undecodable: int = 0
    first_undecodable: int | None = None
    done: float = 0.0

    def head(self, count: int) -> pl.DataFrame:
        """Return the first `count` lines, or the first block if it has fewer."""
        with closing(self.blocks()) as blocks:
            return next(blocks).head(count)

    def blocks(self, first: int = 1, last: int | None = None) -> Generator[pl.DataFrame, None, None]:
        """Yield consecutive frames `line: int64 (1-based), text: str` of the lines `first` to `last`, both included.

        Raise BadInput for a missing, empty or broken file.
        """
        for block in self._line_blocks():
            begin = self.lines + 1
            frame = self.number_lines(block)
            if begin < first or (last and self.lines > last):
                frame = frame.filter(pl.col("line").is_between(first, last or self.lines))
            if last:
                self.done = max(self.done, min(self.lines / last, 1.0))
            if len(frame):
                yield frame
            if last and self.lines >= last:
                self.lines = min(self.lines, last)
                return
        if self.lines == 0:
            raise BadInput(f"{self.path} is empty; give a log with at least one line.")

    def number_lines(self, block: bytes) -> pl.DataFrame:
        """Return the next lines as a frame, numbered after the previous ones; every line of `block` has its newline."""
        text = self._decode(block)
        frame = pl.read_lines(io.BytesIO(text), name="text")
        begin = self.lines + 1
        self.lines += len(frame)
        if b"\r\n" in text:
            frame = frame.with_columns(pl.col("text").str.strip_suffix("\r"))
        return frame.select("text", line=pl.int_range(begin, self.lines + 1))

    def _decode(self, block: bytes) -> bytes:
        if block.isascii():  # most logs are, and it is quickly seen
            return block
        try:
            block.decode("utf-8")
            return block
        except UnicodeDecodeError as error:
            if self.first_undecodable is None:
                self.first_undecodable = self.lines + 1 + block[: error.start].count(b"\n")
            text = block.decode("utf-8", "replace")
            self.undecodable += sum(line.decode("utf-8", "replace").encode() != line for line in block.split(b"\n"))
            return text.encode()

    def _line_blocks(self) -> Iterator[bytes]:
        """Yield blocks of whole lines, each line with its newline, and keep `done` up to date."""
        with self._explained(), self.path.open("rb") as stored, _unpacked(stored, self.path, self.member) as file:
            rest, size = b"", self.path.stat().st_size
            while block := file.read(BLOCK_BYTES):
                self.done = stored.tell() / size if size else 0.0  # a pipe has neither a size nor a place
                whole, newline, rest = (rest + block).rpartition(b"\n")
                if newline:
                    yield whole + newline
            if rest:
                yield rest + b"\n"

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise BadInput for a file that cannot be read; a full disk and the like pass."""
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise BadInput(
                f"{self.path} does not exist or is a folder; check the path with: ls {self.path.parent}"
            ) from error
        except PermissionError as error:
            raise BadInput(f"{self.path} may not be read; look at its rights with: ls -l {self.path}") from error
        except (gzip.BadGzipFile, zipfile.BadZipFile, tarfile.ReadError, RuntimeError) as error:  # a zip's password
            raise BadInput(
                f"{self.path} is not what its ending says ({error}); "
                f"look with: file {self.path}, and rename or fetch it again"
            ) from error
        except (EOFError, zlib.error, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise BadInput(
                f"{self.path} ends early: its compressed data break off after line {self.lines:,}; "
                f"fetch it again and test it with: gzip -t {self.path}"
            ) from error


@contextmanager
def _unpacked(stored: BinaryIO, path: Path, member: str | None) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """Yield the log, unpacked while it is read: nothing is ever extracted to a path that an archive names."""
    if path.name.endswith((".tar.gz", ".tgz")):
        with _member_of_tar(stored, path, member) as file:
            yield file
    elif path.suffix == ".zip":
        with _member_of_zip(stored, path, member) as file:
            yield file
    elif path.suffix == ".zst":
        with pa.CompressedInputStream(stored, "zstd") as file:
            yield file
    elif path.suffix == ".gz":
        with gzip.open(stored, "rb") as file:
            yield file
    else:
        yield stored


@contextmanager
def _member_of_tar(stored: BinaryIO, path: Path, member: str | None) -> Iterator[IO[bytes]]:
    with gzip.open(stored, "rb") as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
        for entry in archive:
            if entry.isfile() and _is_wanted(entry.name, member) and (file := archive.extractfile(entry)):
                yield file
                while packed.read(BLOCK_BYTES):  # the checksum is compared at the end of the file
                    pass
                return
    raise _no_member(path, member)


@contextmanager
def _member_of_zip(stored: BinaryIO, path: Path, member: str | None) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(stored) as archive:
        names = [name for name in archive.namelist() if _is_wanted(name, member)]
        if not names:
            raise _no_member(path, member)
        if len(names) > 1:
            raise BadInput(f"{path} holds several logs ({', '.join(names[:3])}); unpack the one you want first.")
        with archive.open(names[0]) as file:
            yield file


def _is_wanted(name: str, member: str | None) -> bool:
    base = name.rsplit("/", 1)[-1]
    if base.startswith("._"):  # what macOS packs beside each file
        return False
    return base == member if member else base.endswith((".log", ".csv"))


def _no_member(path: Path, member: str | None) -> BadInput:
    return BadInput(f"{path} holds no file {member or 'ending in .log'}; list its files with: tar -tf {path}")
