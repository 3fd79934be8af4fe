"""Sessions that the log cuts off: it ended, or began, while they were still going on.

After its last event a session is still open if the log ends sooner than the longest pause that training ever saw after
an event with that key: another event may well have followed. It had begun before the log if its first event comes
sooner than the longest pause that training ever saw before that key. Pauses are time, or lines where lines have no
time. Windows are cut on purpose: none of them is open.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from parsing.sequences.group import Groups, batches
from parsing.sequences.store import EventStore


@dataclass(frozen=True)
class Cut:
    """Of each sequence, in order, whether the log shows its begin, and whether it shows all of it (`closed`)."""

    begun: np.ndarray
    closed: np.ndarray


@dataclass(frozen=True)
class Pauses:
    """The longest pause that training ever saw before and after each key: microseconds, or lines without times."""

    before: dict[str, int]
    after: dict[str, int]


def nothing_cut(count: int) -> Cut:
    """Return that the log shows all of `count` sequences."""
    return Cut(np.ones(count, bool), np.ones(count, bool))


def find_cut(
    store: EventStore, groups: Groups, trained: np.ndarray, keys: np.ndarray, known: Pauses | None = None
) -> tuple[Cut, Pauses]:
    """Return which sessions the log cuts off, and the pauses of training that say so.

    `trained` says which sessions training learns from; `keys` gives the key of each message number. With `known`
    pauses, those of the training of another log, these decide.
    """
    names, numbers = np.unique(keys, return_inverse=True)
    pauses, edges = _measure(store, groups, trained, numbers, len(names))
    found = Pauses(*(dict(zip(names.tolist(), own.tolist(), strict=True)) for own in pauses))
    used = known or found
    before, after = (np.array([own.get(name, 0) for name in names.tolist()]) for own in (used.before, used.after))
    begun = edges.firsts[0] - edges.begin >= before[edges.firsts[1]]
    return Cut(begun, begun & (edges.end - edges.lasts[0] >= after[edges.lasts[1]])), used


@dataclass
class _Edges:
    """First and last event of each session, time and key number (2, sessions), and when the log begins and ends."""

    firsts: np.ndarray
    lasts: np.ndarray
    begin: int = np.iinfo(np.int64).max
    end: int = np.iinfo(np.int64).min


def _measure(
    store: EventStore, groups: Groups, trained: np.ndarray, keys: np.ndarray, count: int
) -> tuple[np.ndarray, _Edges]:
    """Return the longest pauses before and after each key in training, (2, count), and where sessions begin and end."""
    before, after = pauses = np.zeros((2, count), np.int64)
    edges = _Edges(*np.empty((2, 2, len(groups)), np.int64))
    for part, times, numbers, offsets in _sessions(store, groups, keys):
        edges.begin, edges.end = min(edges.begin, int(times.min())), max(edges.end, int(times.max()))
        for own, at in ((edges.firsts, offsets[:-1]), (edges.lasts, offsets[1:] - 1)):
            own[:, part] = times[at], numbers[at]
        learned = np.repeat(trained[part], np.diff(offsets))
        inside = np.ones(len(times), bool)
        inside[offsets[1:] - 1] = False  # after the last event there is no pause
        followed = np.flatnonzero(learned & inside)
        waited = times[followed + 1] - times[followed]
        np.maximum.at(after, numbers[followed], waited)
        np.maximum.at(before, numbers[followed + 1], waited)
    return pauses, edges


def _sessions(
    store: EventStore, groups: Groups, keys: np.ndarray
) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield some sessions at a time: which, the times and key numbers of their events, and where each begins."""
    clock = "time" if "time" in store.names else "line"
    for batch in batches(groups):
        rows, offsets = batch.events(groups)
        times = store.read(clock, batch.start, batch.stop)[rows]
        yield slice(batch.first, batch.last), times, keys[store.read("message", batch.start, batch.stop)[rows]], offsets
