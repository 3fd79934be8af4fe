"""A log file as numbered lines, a block at a time, and as header fields."""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import polars as pl

from errors import BadInput

BLOCK_BYTES = 16 << 20  # about 100,000 lines: large enough for Polars, small enough for any machine


@dataclass
class LogFile:
    """A log being read. The counters are final once `blocks` is exhausted.

    Bytes that are not UTF-8 become U+FFFD: the line stays an event of its session, is counted in `undecodable`, and
    the first one is named in `first_undecodable` (1-based).
    """

    path: Path
    lines: int = 0
    undecodable: int = 0
    first_undecodable: int | None = field(default=None)

    def blocks(self) -> Iterator[pl.DataFrame]:
        """Consecutive frames `line: int64 (1-based), text: str`; BadInput for a missing, empty or broken file."""
        for block in _line_blocks(self.path, lambda: self.lines):
            texts = pl.Series("text", [self._decode(block)]).str.split("\n").explode()
            first = self.lines + 1
            self.lines += len(texts)
            yield pl.DataFrame(
                {"line": pl.int_range(first, self.lines + 1, eager=True), "text": texts.str.strip_suffix("\r")}
            )
        if self.lines == 0:
            raise BadInput(f"{self.path} is empty; give a log with at least one line.")

    def _decode(self, block: bytes) -> str:
        try:
            return block.decode("utf-8")
        except UnicodeDecodeError as error:
            if self.first_undecodable is None:
                self.first_undecodable = self.lines + 1 + block[: error.start].count(b"\n")
            text = block.decode("utf-8", "replace")
            self.undecodable += sum("\ufffd" in line for line in text.split("\n"))
            return text


def _line_blocks(path: Path, lines_read) -> Iterator[bytes]:
    """Blocks of whole lines, without the last newline."""
    try:
        with _open(path) as file:
            rest = b""
            while block := file.read(BLOCK_BYTES):
                whole, newline, rest = (rest + block).rpartition(b"\n")
                if newline:
                    yield whole
            if rest:
                yield rest
    except (FileNotFoundError, IsADirectoryError) as error:
        raise BadInput(f"{path} does not exist or is a folder; check the path with: ls {path.parent}") from error
    except (EOFError, zlib.error) as error:
        raise BadInput(
            f"{path} ends early: its compressed data break off after line {lines_read():,}; "
            f"fetch it again and test it with: gzip -t {path}"
        ) from error
    except gzip.BadGzipFile as error:
        raise BadInput(
            f"{path} is named .gz but is not gzip; drop the ending or compress it with: gzip FILE"
        ) from error


def _open(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def split_header(lines: pl.DataFrame, header: str, time_format: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events `line, content, timestamp` of the lines that match `header`, and the rows of the lines that do not."""
    fields = lines.select("line", "text", fields=pl.col("text").str.extract_groups(header)).unnest("fields")
    matched = pl.col("content").is_not_null()
    timestamp = pl.concat_str("date", "time", separator=" ").str.to_datetime(time_format, strict=False)
    events = fields.filter(matched).select("line", "content", timestamp=timestamp)
    return events, fields.filter(~matched).select("line", "text")


def sha256(path: Path) -> str:
    """Hex digest of the file as it is stored."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
