"""Several files of one log, read one after the other as if they were one; and standard input, kept as a file."""

import re
import shutil
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from core.errors import BadInput
from core.logs import PICKED, LogFile

STDIN = Path("-")
KEPT = "stdin.log"  # the name of standard input in a data folder


class LogFiles(LogFile):
    """Files of one log in their order; lines are numbered through, and each has its `file`."""

    def __init__(self, paths: list[Path]) -> None:
        super().__init__(paths[0])
        self._paths = paths

    @property
    def paths(self) -> list[Path]:
        """Return the files."""
        return self._paths

    def anew(self) -> "LogFiles":
        """Return the same files, nothing of them read yet."""
        return LogFiles(self._paths)

    def blocks(self, first: int = 1, last: int | None = None) -> Generator[pl.DataFrame, None, None]:
        """Yield consecutive frames `line, text, file` of the lines `first` to `last`; no frame is of two files."""
        before = 0
        for place, path in enumerate(self._paths):
            part = LogFile(path)
            for block in part.blocks():
                self.done = (place + part.done) / len(self._paths)
                self.lines = before + part.lines
                numbered = block.with_columns(pl.col("line") + before, file=pl.lit(path.name))
                wanted = numbered.filter(pl.col("line").is_between(first, last or self.lines))
                if len(wanted):
                    yield wanted
                if last and self.lines >= last:
                    self.lines = last
                    return
            if part.undecodable and self.first_undecodable is None:
                self.first_undecodable = before + (part.first_undecodable or 0)
            self.undecodable += part.undecodable
            before += part.lines

    def pick(self, numbers: Iterable[int]) -> pl.DataFrame:
        """Return `line, text` of those of these lines that the files have, as `LogFile.pick` does."""
        wanted, found = np.unique(np.fromiter(numbers, np.int64)), [pl.DataFrame(schema=PICKED)]
        for path in self._paths:
            left = wanted[wanted > self.lines]
            if not len(left):
                break
            part = LogFile(path)
            found.append(part.pick(left - self.lines).with_columns(pl.col("line") + self.lines))
            self.lines += part.lines
        return pl.concat(found)


def open_log(paths: list[Path]) -> LogFile:
    """Return the log in one file, or in several."""
    return LogFile(paths[0]) if len(paths) == 1 else LogFiles(paths)


def find_files(places: list[Path]) -> list[Path]:
    """Return the files that are named, and those of the folders that are, numbers in their names by their size.

    Empty files, which a rotation leaves behind, and hidden ones are left out where there are others.
    """
    found = []
    for place in places:
        inside = [one for one in place.rglob("*") if one.is_file()] if place.is_dir() else [place]
        found += sorted((one for one in inside if one == place or not one.name.startswith(".")), key=_natural)
    if not found:
        raise BadInput(f"{places[0]} holds no file; name the log, or a folder of logs.")
    said = [path for path in found if not path.is_file() or path.stat().st_size]
    return said if len(found) > 1 and said else found


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    parts = re.split("([0-9]+)", str(path))
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


@contextmanager
def kept_input(places: list[Path]) -> Iterator[list[Path]]:
    """Yield the places; a pipe or standard input, which can be read once alone, as a file that is there for as long."""
    if STDIN in places and len(places) > 1:
        raise BadInput("- is standard input, which stands for the whole log; leave out the other files.")
    with TemporaryDirectory() as folder:
        yield [_kept(place, Path(folder)) if place == STDIN or place.is_fifo() else place for place in places]


def _kept(place: Path, folder: Path) -> Path:
    path = folder / (KEPT if place == STDIN else f"pipe-{place.name}.log")
    with path.open("wb") as file, nullcontext(sys.stdin.buffer) if place == STDIN else place.open("rb") as source:
        shutil.copyfileobj(source, file)
    return path
