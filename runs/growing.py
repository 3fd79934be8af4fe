"""Sequences of a log while it is being written: sessions, windows of lines and windows of time, as they grow and end.

Each kind has `place(event)`, which returns the sequences that an event joins, `closed()`, those that have ended since
it was last asked, and `finish()`, those that the batch would have and that have not ended when the log does.
The clock is that of the events: microseconds, or lines without times.
"""

import heapq
from bisect import insort
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from core.events import Event

MOST_EVENTS = 500_000  # of sessions that are held: beyond them those that have been quiet for longest are forgotten
MOST_BEHIND = 100  # events in a row with times before the newest
LONG, GROWTH = 1_000, 1.05  # events of a sequence beyond which it is judged again when it has grown by this much


@dataclass
class Growing:
    """One sequence: its events so far, and what was said of it."""

    name: str
    begun: bool = True
    closed: bool = False
    events: list[Event] = field(default_factory=list)
    is_alarm: bool = False
    due: int = 0  # of a session: when no more event is expected
    judged: int = 0  # events when it was judged last

    def is_worth_judging(self) -> bool:
        """Return whether it has grown enough: to judge a session of a million events at each of them takes forever."""
        return len(self.events) <= LONG or len(self.events) >= GROWTH * self.judged


class Clock:
    """The time of a log that is being written: that of its newest event, unless many in a row lie before it.

    Then that event had a wrong time, by which every session would have ended and no window ever would.
    """

    def __init__(self) -> None:
        self.now, self._behind = 0, 0

    def add(self, clock: int, late: int = 0) -> int:
        """Take the time of an event, which may be `late`, and return what it is now."""
        self._behind = self._behind + 1 if clock < self.now - late else 0
        self.now = clock if self._behind > MOST_BEHIND else max(self.now, clock)
        return self.now


class Sessions:
    """Sessions by their ids. One has ended when it was quiet for longer than training ever saw after its last key."""

    def __init__(self, before: Mapping[str, int], after: Mapping[str, int]) -> None:
        """`before` and `after` are the longest pauses of training before and after each key."""
        self._before, self._after = before, after
        self._held: OrderedDict[str, Growing] = OrderedDict()
        self._due: list[tuple[int, str]] = []
        self._events, self._time = 0, Clock()
        self._begin: int | None = None

    def place(self, event: Event) -> list[Growing]:
        """Return the session of an event, which may be one that had seemed to have ended."""
        self._begin = event.clock if self._begin is None else min(self._begin, event.clock)
        self._time.add(event.clock)
        name = event.session or ""
        if (one := self._held.get(name)) is None:
            one = self._held[name] = Growing(name, event.clock - self._begin >= self._before.get(event.key, 0))
        one.events.append(event)
        one.closed, one.due = False, event.clock + self._after.get(event.key, 0)
        heapq.heappush(self._due, (one.due, name))
        self._held.move_to_end(name)
        self._events += 1
        self._forget()
        return [one]

    def _forget(self) -> None:
        """Keep memory bounded: the sessions, and the times at which they will have ended, most of them put off."""
        while self._events > MOST_EVENTS and len(self._held) > 1:
            self._events -= len(self._held.popitem(last=False)[1].events)
        if self._events > MOST_EVENTS:  # one session that never ends
            (one,) = self._held.values()
            del one.events[: MOST_EVENTS // 2]
            one.begun, one.judged, self._events = False, 0, len(one.events)
        if len(self._due) > 4 * len(self._held) + 1_000:
            self._due = [(one.due, one.name) for one in self._held.values() if not one.closed]
            heapq.heapify(self._due)

    def closed(self) -> Iterator[Growing]:
        """Yield the sessions that were quiet for long enough by now."""
        while self._due and self._due[0][0] <= self._time.now:
            due, name = heapq.heappop(self._due)
            one = self._held.get(name)
            if one and one.due == due and one.begun and not one.closed:
                one.closed = True
                yield one

    def finish(self) -> list[Growing]:
        """Return the sessions that go on when the log ends."""
        return [one for one in self._held.values() if not one.closed]


class LineWindows:
    """Windows of `size` events every `step`."""

    def __init__(self, size: int, step: int) -> None:
        self._size, self._step, self._count = size, step, 0
        self._open: list[tuple[int, Growing]] = []

    def place(self, event: Event) -> list[Growing]:
        """Return the windows that an event lies in."""
        if self._count % self._step == 0:
            self._open.append((self._count, Growing(f"window {self._count // self._step + 1}")))
        self._count += 1
        inside = [one for start, one in self._open if self._count <= start + self._size]
        for one in inside:
            one.events.append(event)
        return inside

    def closed(self) -> Iterator[Growing]:
        """Yield the windows that are full."""
        full = [one for start, one in self._open if self._count >= start + self._size]
        self._open = [(start, one) for start, one in self._open if self._count < start + self._size]
        for one in full:
            one.closed = True
            yield one

    def finish(self) -> list[Growing]:
        """Return the windows that the log's end cuts, as the batch has them: not those that repeat the one before."""
        last = max(self._count - (self._size - self._step), 1)
        for start, one in self._open:
            one.closed = start < last
        return [one for _, one in self._open]


class TimeWindows:
    """Windows of `size` microseconds every `step` from the first event on, the events of each in the order of time.

    A window waits for events that are up to `late` microseconds behind the newest; one that is later joins the oldest
    windows that are still open.
    """

    def __init__(self, size: int, step: int, late: int = 0) -> None:
        self._size, self._step, self._late = size, step, late
        self._time, self._names = Clock(), 0
        self._begin: int | None = None
        self._open: dict[int, Growing] = {}

    def place(self, event: Event) -> list[Growing]:
        """Return the windows that an event lies in."""
        self._begin = event.clock if self._begin is None else self._begin
        at = max(event.clock, self._time.add(event.clock, self._late) - self._late, self._begin)
        last = (at - self._begin) // self._step
        reach = -(-(self._size - self._step) // self._step) if self._size > self._step else 0
        inside = []
        for number in range(max(last - reach, 0), last + 1):
            if at >= self._end(number):
                continue
            if number not in self._open:
                self._names += 1
                self._open[number] = Growing(f"window {self._names}")
            insort(self._open[number].events, event, key=lambda one: one.clock)
            inside.append(self._open[number])
        return inside

    def _end(self, number: int) -> int:
        """Return when a window ends."""
        return (self._begin or 0) + number * self._step + self._size

    def closed(self) -> Iterator[Growing]:
        """Yield the windows that no further event is expected in."""
        for number in list(self._open):
            if self._time.now - self._late >= self._end(number):
                one = self._open.pop(number)
                one.closed = True
                yield one

    def finish(self) -> list[Growing]:
        """Return the windows that the log's end cuts."""
        for one in self._open.values():
            one.closed = True
        return list(self._open.values())
