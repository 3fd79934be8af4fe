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


def nothing_cut(count: int) -> Cut:
    """Return that the log shows all of `count` sequences."""
    return Cut(np.ones(count, bool), np.ones(count, bool))


def find_cut(store: EventStore, groups: Groups, trained: np.ndarray, keys: np.ndarray) -> Cut:
    """Return which sessions the log cuts off.

    `trained` says which of them training learns from; `keys` gives the key number of each message number.
    """
    count = int(keys.max(initial=0)) + 1
    before, after = np.zeros(count, np.int64), np.zeros(count, np.int64)  # the longest pause before and after each key
    firsts, lasts = np.empty((2, len(groups)), np.int64), np.empty((2, len(groups)), np.int64)  # time and key
    begin, end = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    for part, times, numbers, offsets in _sessions(store, groups, keys):
        begin, end = min(begin, times.min()), max(end, times.max())
        firsts[:, part], lasts[:, part] = ((times[at], numbers[at]) for at in (offsets[:-1], offsets[1:] - 1))
        learned = np.repeat(trained[part], np.diff(offsets))
        inside = np.ones(len(times), bool)
        inside[offsets[1:] - 1] = False  # after the last event there is no pause
        followed = np.flatnonzero(learned & inside)
        pauses = times[followed + 1] - times[followed]
        np.maximum.at(after, numbers[followed], pauses)
        np.maximum.at(before, numbers[followed + 1], pauses)
    begun = firsts[0] - begin >= before[firsts[1]]
    return Cut(begun, begun & (end - lasts[0] >= after[lasts[1]]))


def _sessions(
    store: EventStore, groups: Groups, keys: np.ndarray
) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield some sessions at a time: which, the times and key numbers of their events, and where each begins."""
    clock = "time" if "time" in store.names else "line"
    for batch in batches(groups):
        rows, offsets = batch.events(groups)
        times = store.read(clock, batch.start, batch.stop)[rows]
        yield slice(batch.first, batch.last), times, keys[store.read("message", batch.start, batch.stop)[rows]], offsets
