"""Events of a log as plain arrays on disk, so that memory does not grow with the log."""

from pathlib import Path

import numpy as np
import polars as pl

COLUMNS = {"message": np.uint32, "line": np.int64, "time": np.int64, "label": np.int8, "session": np.uint32}
NO_LABEL = -1


class EventStore:
    """Columns `message, line, time (microseconds), label, session` in one file each, in the order of the log.

    `names` are the columns that this log has; the others are never written.
    """

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self.folder, self.names, self.events = folder, names, 0
        folder.mkdir()

    def append(self, frame: pl.DataFrame) -> None:
        """Add the events of a block."""
        for name in self.names:
            self._save(name, frame[name].to_numpy(), "ab")
        self.events += len(frame)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return the events `start` to `stop` of a column."""
        kind = np.dtype(COLUMNS[name])
        count = (self.events if stop is None else stop) - start
        if not count:
            return np.empty(0, kind)
        return np.fromfile(self.folder / name, kind, count, offset=start * kind.itemsize)

    def write(self, name: str, values: np.ndarray) -> None:
        """Replace a whole column."""
        self._save(name, values, "wb")

    def reorder(self, order: np.ndarray) -> None:
        """Put the events in another order, a column at a time."""
        for name in self.names:
            self.write(name, self.read(name)[order])

    def _save(self, name: str, values: np.ndarray, mode: str) -> None:
        # Not ndarray.tofile, which on a full disk silently loses small arrays and hides the reason for large ones.
        with (self.folder / name).open(mode) as file:
            file.write(np.ascontiguousarray(values, COLUMNS[name]))
