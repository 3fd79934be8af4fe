"""A log file as numbered lines, a block at a time: plain or packed (core/packed.py), UTF-8 or UTF-16."""

import codecs
import errno
import gzip
import io
import tarfile
import zipfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl

from core.errors import BadInput
from core.packed import BROKEN, command_to_test, is_plain, unpacked

BLOCK_BYTES = 8 << 20  # about 60,000 lines: smaller is slower, larger takes memory for little
LINE_BYTES = 1 << 20  # of the longest line: no program logs a megabyte at once, and a small .gz can hold a line of any
IS_TOO_LONG = pl.col("text").str.len_bytes() > LINE_BYTES
LONGEST_LETTER = 4  # bytes of UTF-8
IS_BLANK = pl.col("text").str.strip_chars() == ""
BLANK = "blank line"  # the reason of these in rejected.csv
SHOWN_OF_LONG = 1_000  # letters
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
NEWLINE = ord("\n")
PICKED: dict[str, type[pl.DataType]] = {"line": pl.Int64, "text": pl.String}  # columns of `pick`
MANY_RETURNS = 10  # a progress bar that is the only line of a log has fewer
OF_THE_PACKING = (None, errno.EINVAL)  # of a library's own error; of a zip that points outside itself
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass
class LogFile:
    """A log being read. The counters are final once `blocks` is exhausted.

    `member` names the file inside an archive; without it the archive must hold one file that ends in .log or .csv.
    UTF-16 is read by its mark. Bytes that are neither become U+FFFD: the line stays an event of its session, is counted
    in `undecodable`, and the first one is named in `first_undecodable` (1-based). Memory does not grow with the length
    of a line: of one of more than LINE_BYTES little more than these may be kept (see `IS_TOO_LONG`). `done` is the
    share of the log that has been read, 0 as long as nothing is known of its size.
    """

    path: Path
    member: str | None = None
    lines: int = 0
    undecodable: int = 0
    first_undecodable: int | None = None
    done: float = 0.0

    @property
    def paths(self) -> list[Path]:
        """Return the files that are read."""
        return [self.path]

    def anew(self) -> "LogFile":
        """Return the same log, nothing of it read yet."""
        return LogFile(self.path, self.member)

    def head(self, count: int) -> pl.DataFrame:
        """Return the first `count` lines, or those of two blocks: a last line without its end is the second."""
        with closing(self.blocks()) as blocks:
            return pl.concat(islice(blocks, 2)).head(count)

    def blocks(self, first: int = 1, last: int | None = None) -> Generator[pl.DataFrame, None, None]:
        """Yield consecutive frames `line: int64 (1-based), text: str` of the lines `first` to `last`, both included.

        Raise BadInput for a missing, empty or broken file.
        """
        for block in self._line_blocks():
            begin = self.lines + 1
            if begin == 1:
                self._refuse_other_text(block)
                block = block.removeprefix(BYTE_ORDER_MARK)
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

    def pick(self, numbers: Iterable[int]) -> pl.DataFrame:
        """Return `line, text` of those of these lines that the log has, in order, as `blocks` would yield them.

        The others are passed over unread, which takes a fraction of the time.
        """
        wanted = np.unique(np.fromiter(numbers, np.int64))
        found: dict[int, str] = {}
        with closing(self._line_blocks()) as blocks:
            while len(wanted) and wanted[-1] > self.lines and (block := next(blocks, None)):
                block = block if self.lines else block.removeprefix(BYTE_ORDER_MARK)
                ends = np.flatnonzero(np.frombuffer(block, np.uint8) == NEWLINE)  # of each line
                first, last = np.searchsorted(wanted, [self.lines + 1, self.lines + len(ends) + 1])
                for place in wanted[first:last] - self.lines - 1:
                    line = block[ends[place - 1] + 1 if place else 0 : ends[place]]
                    found[self.lines + 1 + int(place)] = line.removesuffix(b"\r").decode("utf-8", "replace")
                self.lines += len(ends)
        return pl.DataFrame({"line": list(found), "text": list(found.values())}, PICKED)

    def number_lines(self, block: bytes) -> pl.DataFrame:
        """Return the next lines as a frame, numbered after the previous ones; every line of `block` has its newline."""
        frame = pl.read_lines(io.BytesIO(self._decode(block)), name="text")  # without \n or \r\n
        begin = self.lines + 1
        self.lines += len(frame)
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

    def _refuse_other_text(self, block: bytes) -> None:
        """Raise BadInput if the first block is UTF-16 without a mark, or has the carriage returns of old Macs alone."""
        remedy = ""
        if _is_half_nul(block):
            problem, remedy = "is UTF-16 without its mark", "iconv -f UTF-16LE -t UTF-8"
        elif block.count(b"\n") == 1 and block.count(b"\r", 0, -2) >= MANY_RETURNS:
            problem, remedy = "ends its lines with a carriage return alone", "tr '\\r' '\\n'"
        if remedy:
            files = f" < {self.path} > {self.path.stem}.utf8.log" if is_plain(self.path) else ", and unpack it first"
            raise BadInput(f"{self.path} {problem}; convert the log with: {remedy}{files}")

    def _line_blocks(self) -> Generator[bytes, None, None]:
        """Yield blocks of whole lines, each line with its newline, and keep `done` up to date."""
        with self._explained(), self.path.open("rb") as stored, unpacked(stored, self.path, self.member) as file:
            size = self.path.stat().st_size
            for block in whole_lines(as_utf8(iter(partial(file.read, BLOCK_BYTES), b""))):
                self.done = stored.tell() / size if size else 0.0  # a pipe has neither a size nor a place
                yield block

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
                f"{self.path} is not what its ending says, or damaged ({error}); "
                f"look with: file {self.path}, and rename or fetch it again"
            ) from error
        except (*BROKEN, OSError) as error:
            if isinstance(error, OSError) and error.errno not in OF_THE_PACKING:
                raise
            raise BadInput(
                f"{self.path} ends early: its compressed data break off after line {self.lines:,}; "
                f"fetch it again and test it with: {command_to_test(self.path)}"
            ) from error


class Recoder:
    """Bytes of a log, as they come, in UTF-8: those of UTF-16, which begin with its mark, decoded."""

    def __init__(self) -> None:
        self._begin: bytes | None = b""
        self._decoder: codecs.IncrementalDecoder | None = None

    def add(self, chunk: bytes) -> bytes:
        """Return what can be told of the bytes by now; nothing of the first one until the second has come."""
        if self._begin is not None:
            self._begin += chunk
            if len(self._begin) < len(UTF16_MARKS[0]):
                return b""
            is_wide = self._begin.startswith(UTF16_MARKS)
            self._decoder = codecs.getincrementaldecoder("utf-16")("replace") if is_wide else None
            chunk, self._begin = self._begin, None
        return self._decoder.decode(chunk).encode("utf-8", "replace") if self._decoder else chunk

    def finish(self) -> bytes:
        """Return what was held back at the end of the log."""
        begin, self._begin = self._begin or b"", None
        return begin + (self._decoder.decode(b"", final=True).encode() if self._decoder else b"")


def as_utf8(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks of a log in UTF-8."""
    recoder = Recoder()
    for chunk in chunks:
        if text := recoder.add(chunk):
            yield text
    if rest := recoder.finish():
        yield rest


def whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file read in chunks, many at a time, each with its newline, also the last.

    Of a line that is longer than LINE_BYTES when its chunk ends only the begin is kept, which is longer, too.
    """
    rest, passing = b"", False
    for chunk in chunks:
        if passing:
            chunk = chunk[chunk.find(b"\n") :] if b"\n" in chunk else b""
        whole, newline, rest = (rest + chunk).rpartition(b"\n")
        if newline:
            yield whole + newline
        passing = (passing and not newline) or len(rest) > LINE_BYTES + LONGEST_LETTER
        rest = _begin(rest)
    if rest:
        yield rest + b"\n"


def _begin(line: bytes) -> bytes:
    """Return at most the first LINE_BYTES + LONGEST_LETTER bytes of a line, up to a whole letter of UTF-8."""
    end = LINE_BYTES + LONGEST_LETTER
    if len(line) <= end:
        return line
    while end > LINE_BYTES + 1 and line[end] & 0xC0 == 0x80:  # a byte in the middle of a letter
        end -= 1
    return line[:end]


def _is_half_nul(block: bytes) -> bool:
    """Return whether every other byte is a NUL, as in UTF-16 without its mark."""
    begin = block[:1_000]
    shares = sorted(begin[first::2].count(0) / max(len(begin) // 2, 1) for first in (0, 1))
    return len(begin) > 20 and shares[0] < 0.1 and shares[1] > 0.8
