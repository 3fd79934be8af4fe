"""Events to sequences: sessions, time windows or line windows, as ranges of events in an order.

Windows are half-open: a time window [start, start + seconds) holds the event at its start and not the one at its
end, a line window of n holds n events, the last one may hold fewer. Windows without an event do not exist. With a
step below the size windows overlap, and an event is in several.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from core.errors import BadInput
from parsing.sequences.store import EventStore

CHUNK = 1 << 20
BATCH_EVENTS = 1 << 19


@dataclass(frozen=True)
class Grouping:
    """By session id, or windows of `seconds` every `step` seconds, or of `lines` every `step` lines."""

    kind: str  # "session", "seconds" or "lines"
    size: float = 0
    step: float = 0

    def __post_init__(self) -> None:
        if self.kind != "session" and not 0 < self.step <= self.size:
            raise BadInput(
                f"Windows of {self.size:g} {self.kind} every {self.step:g} would lose lines or never end; "
                "give a step above 0 and at most the window."
            )


@dataclass(frozen=True)
class Groups:
    """Sequence i holds the events `starts[i]:stops[i]` of the store; both are sorted."""

    starts: np.ndarray
    stops: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def overlap(self) -> bool:
        """Return whether some event is in two sequences."""
        return bool((self.starts[1:] < self.stops[:-1]).any())


class Batch(NamedTuple):
    """Consecutive sequences `first:last` and the range `start:stop` of their events."""

    first: int
    last: int
    start: int
    stop: int

    def events(self, groups: Groups) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows, counted from `start`, of all events one sequence after the other, and the offsets.

        Sequence i owns `offsets[i]:offsets[i + 1]` of them.
        """
        starts = groups.starts[self.first : self.last]
        sizes = groups.stops[self.first : self.last] - starts
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        return np.repeat(starts - self.start - offsets[:-1], sizes) + np.arange(offsets[-1]), offsets


def batches(groups: Groups) -> Iterator[Batch]:
    """Yield consecutive sequences of about half a million events."""
    first = 0
    while first < len(groups):
        last = int(np.searchsorted(groups.stops, groups.starts[first] + BATCH_EVENTS, side="right"))
        last = max(last, first + 1)
        yield Batch(first, last, int(groups.starts[first]), int(groups.stops[last - 1]))
        first = last


def group(store: EventStore, grouping: Grouping) -> Groups:
    """Return the sequences of a log, in the order of their first events, and put the store in their order."""
    if grouping.kind == "session":
        return by_session(store)
    if grouping.kind == "lines":
        return by_lines(store.events, int(grouping.size), int(grouping.step))
    return by_seconds(store, grouping.size, grouping.step)


def by_session(store: EventStore) -> Groups:
    """Return the sessions, and sort the store by them; their codes follow the order of first appearance."""
    sessions = store.read("session")
    stops = np.cumsum(np.bincount(sessions))
    store.reorder(np.argsort(sessions, kind="stable"))
    return Groups(np.concatenate([[0], stops[:-1]]), stops)


def by_lines(events: int, size: int, step: int) -> Groups:
    """Return windows of `size` events every `step`, without those that only repeat the end of the one before."""
    starts = np.arange(0, max(events - (size - step), 1), step)
    return Groups(starts, np.minimum(starts + size, events))


def by_seconds(store: EventStore, size: float, step: float) -> Groups:
    """Return windows from the first event on; the store is in time order."""
    micro_step, micro_size = round(step * 1e6), round(size * 1e6)
    begin = int(store.read("time", 0, 1)[0])
    windows = np.unique(np.concatenate([np.unique((times - begin) // micro_step) for times in _chunks(store)]))
    if size > step:  # an event is also in the windows that began up to size - step before its own step
        reach = -(-(micro_size - micro_step) // micro_step)
        windows = np.unique(np.concatenate([windows - back for back in range(reach + 1)]))
        windows = windows[windows >= 0]
    edges = begin + windows * micro_step
    starts, stops = _positions(store, edges), _positions(store, edges + micro_size)
    return Groups(starts[stops > starts], stops[stops > starts])


def sort_by_time(store: EventStore) -> dict[str, int]:
    """Put the events in time order, lines of equal time in file order; return how many went back in time.

    And `seconds_back_in_time`, how far behind the newest event before it a line was at most.
    """
    backwards, before, newest, latest = 0, np.iinfo(np.int64).min, int(store.read("time", 0, 1)[0]), 0
    for times in _chunks(store):
        backwards += int((np.diff(times) < 0).sum()) + int(times[0] < before)
        ahead = np.maximum(np.maximum.accumulate(times), newest)
        latest, newest, before = max(latest, int((ahead - times).max())), int(ahead[-1]), times[-1]
    if backwards:
        store.reorder(np.argsort(store.read("time"), kind="stable"))
    return {"lines_back_in_time": backwards, "seconds_back_in_time": -(-latest // 1_000_000)}


def _chunks(store: EventStore) -> Iterator[np.ndarray]:
    """Yield the times, a million at once: memory must not grow with the log."""
    for start in range(0, store.events, CHUNK):
        yield store.read("time", start, min(start + CHUNK, store.events))


def _positions(store: EventStore, edges: np.ndarray) -> np.ndarray:
    """Return for each of the sorted `edges` the number of events before it."""
    positions, placed, start = np.full(len(edges), store.events), 0, 0
    for times in _chunks(store):
        upto = np.searchsorted(edges, times[-1], side="right")
        positions[placed:upto] = start + np.searchsorted(times, edges[placed:upto])
        placed, start = upto, start + len(times)
    return positions
