"""A log that is still being written, a file or standard input, as blocks of whole lines as they come."""

import os
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import polars as pl

from core.errors import BadInput
from core.log_files import STDIN
from core.logs import BLOCK_BYTES, BYTE_ORDER_MARK, LINE_BYTES, LogFile, Recoder

WAIT_SECONDS = 0.2  # between two looks at a file that has not grown
GONE_SECONDS = 60.0  # a file may be away for so long while it is rotated
AT_ONCE = 1 << 20  # bytes of standard input


class Tail:
    """Yield blocks of lines, `line: int64 (1-based), text: str`, and an empty one at each look that found nothing.

    A rotated file is read to its end, then the new one from its first line; line numbers go on. `stop_at_end` ends
    where the file ends now, as standard input does by itself.
    """

    def __init__(self, path: Path, stop_at_end: bool = False) -> None:
        self.path, self._stop = path, stop_at_end
        self._rest, self._recoder = b"", Recoder()
        self._numbers, self._was_open = LogFile(path), False

    def blocks(self) -> Iterator[pl.DataFrame]:
        """Yield until the input ends; raise BadInput if the file is not there, or is gone for a minute."""
        if self.path == STDIN:
            yield from self._pipe(sys.stdin.buffer)
            return
        file = self._open()
        try:
            while True:
                block = self._whole_lines(file.read(BLOCK_BYTES))
                if len(block):
                    yield block
                    continue
                if self._is_rotated(file):
                    yield self._whole_lines(file.read())  # what was written between the two looks
                    file.close()
                    yield self._last_line()
                    file = self._open()
                    continue
                yield block
                if self._stop:
                    yield self._last_line()
                    return
                time.sleep(WAIT_SECONDS)
        finally:
            file.close()

    def _pipe(self, stream: IO[bytes]) -> Iterator[pl.DataFrame]:
        """Yield what a pipe gives, as soon as it gives it: what waits there is one block."""
        while True:
            if not _can_read(stream, WAIT_SECONDS):
                yield _NOTHING
                continue
            read = os.read(stream.fileno(), AT_ONCE)
            if not read:
                break
            while len(read) < AT_ONCE and _can_read(stream, 0.0):
                more = os.read(stream.fileno(), AT_ONCE - len(read))
                if not more:
                    break
                read += more
            yield self._whole_lines(read)
        yield self._last_line()

    def _open(self) -> IO[bytes]:
        """Return the file, opened; wait for one that a rotation has moved away."""
        until = time.monotonic() + (GONE_SECONDS if self._was_open else 0.0)
        while True:
            try:
                file = self.path.open("rb")
                self._was_open = True
                return file
            except OSError as error:
                if time.monotonic() >= until:
                    raise BadInput(
                        f"{self.path} cannot be read ({error.strerror}); look with: ls -l {self.path.parent}"
                    ) from error
                time.sleep(WAIT_SECONDS)

    def _is_rotated(self, file: IO[bytes]) -> bool:
        """Return whether another file has the name now, or the file was cut off: it is then read from its begin."""
        try:
            now = self.path.stat()
        except OSError:
            return True  # moved away; the next one may come
        own = os.fstat(file.fileno())
        return (now.st_dev, now.st_ino) != (own.st_dev, own.st_ino) or own.st_size < file.tell()

    def _whole_lines(self, read: bytes) -> pl.DataFrame:
        """Return the lines that are whole by now; of one of more than a megabyte no more is kept."""
        head, newline, tail = (self._rest + self._recoder.add(read)).rpartition(b"\n")
        self._rest = tail[: 2 * LINE_BYTES]
        if not newline:
            return _NOTHING
        lines = (head + newline).removeprefix(b"" if self._numbers.lines else BYTE_ORDER_MARK)
        return self._numbers.number_lines(lines)

    def _last_line(self) -> pl.DataFrame:
        """Return what stands after the last newline."""
        rest, self._rest = self._rest + self._recoder.finish(), b""
        self._recoder = Recoder()  # the next file of a rotation has its own mark
        return self._numbers.number_lines(rest + b"\n") if rest else _NOTHING


def _can_read(stream: IO[bytes], seconds: float) -> bool:
    """Return whether a pipe has something to read within some seconds; Windows, which cannot tell, waits for it."""
    return seconds > 0 if sys.platform == "win32" else bool(select.select([stream], [], [], seconds)[0])


_NOTHING = pl.DataFrame(schema={"text": pl.String, "line": pl.Int64})
