"""Events to windows and sessions: half-open spans, no line lost, and the same result whatever the chunks are."""

from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadInput
from parsing.sequences import group as grouping_module
from parsing.sequences.group import Grouping, Groups, by_lines, group, sort_by_time
from parsing.sequences.store import COLUMNS, EventStore

SECOND = 1_000_000
EPOCH = datetime(1970, 1, 1)


@pytest.fixture(scope="module")
def store_of(tmp_path_factory):
    """A store of events with the given times (microseconds), lines 1, 2, 3 ...; chunks of three events."""
    patch, numbers = pytest.MonkeyPatch(), iter(range(1_000_000))
    patch.setattr(grouping_module, "CHUNK", 3)
    root = tmp_path_factory.mktemp("stores")

    def make(times: list[int]) -> EventStore:
        store = EventStore(root / str(next(numbers)), ("line", "time"))
        store.append(
            pl.DataFrame({"line": range(1, len(times) + 1), "time": times}, schema_overrides={"time": pl.Int64})
        )
        return store

    yield make
    patch.undo()


def windows(store: EventStore, size: float, step: float | None = None) -> list[list[int]]:
    """The lines of each time window."""
    sort_by_time(store)
    return lines_of(store, group(store, Grouping("seconds", size, step or size)))


def lines_of(store: EventStore, groups: Groups) -> list[list[int]]:
    lines = store.read("line")
    return [lines[start:stop].tolist() for start, stop in zip(groups.starts, groups.stops, strict=True)]


def micros(*times: datetime) -> list[int]:
    return [(time - EPOCH) // timedelta(microseconds=1) for time in times]


def test_a_window_holds_its_start_and_not_its_end(store_of):
    """LogGPT's code takes both ends: windows of 61 s, and a line at the border in two of them."""
    store = store_of([0, 59 * SECOND, 60 * SECOND, 119 * SECOND, 120 * SECOND])
    assert windows(store, 60) == [[1, 2], [3, 4], [5]]


def test_the_last_microsecond_belongs_to_the_window(store_of):
    start = 1_117_838_570 * SECOND + 675_872
    store = store_of([start, start + 60 * SECOND - 1, start + 60 * SECOND])
    assert windows(store, 60) == [[1, 2], [3]]


def test_windows_start_at_the_first_event_not_at_the_full_minute(store_of):
    times = micros(datetime(2005, 6, 3, 15, 42, 50), datetime(2005, 6, 3, 15, 43, 10), datetime(2005, 6, 3, 15, 43, 50))
    assert windows(store_of(times), 60) == [[1, 2], [3]]


def test_windows_without_an_event_do_not_exist(store_of):
    assert windows(store_of([0, 1 * SECOND, 3_600 * SECOND, 86_400 * SECOND]), 60) == [[1, 2], [3], [4]]


def test_after_a_gap_windows_keep_the_grid(store_of):
    """A window that began anew at the first event after a gap would hold lines 2 and 3 together."""
    assert windows(store_of([0, 119 * SECOND, 121 * SECOND]), 60) == [[1], [2], [3]]


def test_equal_times_stay_together_and_in_file_order(store_of):
    assert windows(store_of([60 * SECOND, 0, 60 * SECOND, 0, 60 * SECOND]), 60) == [[2, 4], [1, 3, 5]]


def test_a_step_below_the_size_puts_a_line_in_several_windows(store_of):
    store = store_of([0, 29 * SECOND, 30 * SECOND, 60 * SECOND, 89 * SECOND, 90 * SECOND])
    # [0, 60), [30, 90), [60, 120), [90, 150)
    assert windows(store, 60, 30) == [[1, 2, 3], [3, 4, 5], [4, 5, 6], [6]]


def test_a_step_that_does_not_divide_the_size(store_of):
    store = store_of([second * SECOND for second in range(10)])
    # [0, 5), [3, 8), [6, 11), [9, 14)
    assert windows(store, 5, 3) == [[1, 2, 3, 4, 5], [4, 5, 6, 7, 8], [7, 8, 9, 10], [10]]


def test_a_window_that_only_an_earlier_grid_start_reaches_is_kept(store_of):
    """The line at 100 s is in [50, 110) although nothing lies in the first 10 s after 50."""
    assert windows(store_of([0, 100 * SECOND]), 60, 10) == [[1]] + [[2]] * 6


def test_a_window_longer_than_the_log_holds_all_of_it(store_of):
    assert windows(store_of([0, 5 * SECOND, 7_000 * SECOND]), 86_400) == [[1, 2, 3]]


def test_one_event_is_one_window(store_of):
    assert windows(store_of([5 * SECOND]), 60) == [[1]]
    assert windows(store_of([5 * SECOND]), 60, 30) == [[1]]


def test_windows_of_fractions_of_a_second(store_of):
    assert windows(store_of([0, 99_999, 100_000, 250_000]), 0.1) == [[1, 2], [3], [4]]


def test_windows_run_across_the_end_of_a_month_and_of_february(store_of):
    times = micros(
        datetime(2004, 2, 28, 23, 59, 30),
        datetime(2004, 2, 29, 0, 0, 29, 999_999),
        datetime(2004, 2, 29, 23, 59, 59, 999_999),
        datetime(2004, 3, 1, 0, 0, 0),
    )
    assert windows(store_of(times), 60) == [[1, 2], [3, 4]]


def test_times_before_1970_are_times_too(store_of):
    assert windows(store_of([-90 * SECOND, -30 * SECOND, -1, 0, 30 * SECOND]), 60) == [[1], [2, 3, 4], [5]]


@pytest.mark.parametrize(
    ("events", "size", "step", "expected"),
    [
        (10, 5, 5, [(0, 5), (5, 10)]),
        (11, 5, 5, [(0, 5), (5, 10), (10, 11)]),
        (3, 5, 5, [(0, 3)]),
        (10, 4, 2, [(0, 4), (2, 6), (4, 8), (6, 10)]),  # (8, 10) would repeat the end of (6, 10)
        (11, 4, 2, [(0, 4), (2, 6), (4, 8), (6, 10), (8, 11)]),
        (3, 4, 1, [(0, 3)]),
        (1, 1, 1, [(0, 1)]),
    ],
)
def test_line_windows(events, size, step, expected):
    groups = by_lines(events, size, step)
    assert list(zip(groups.starts.tolist(), groups.stops.tolist(), strict=True)) == expected


@given(events=st.integers(1, 200), size=st.integers(1, 50), data=st.data())
def test_line_windows_lose_nothing_and_none_repeats_the_one_before(events, size, data):
    step = data.draw(st.integers(1, size))
    groups = by_lines(events, size, step)
    assert groups.starts[0] == 0 and groups.stops[-1] == events
    assert (np.diff(groups.starts) == step).all()
    assert (np.diff(groups.stops) > 0).all(), "a window holds no line that the one before did not"
    assert (groups.starts[1:] <= groups.stops[:-1]).all(), "lines between two windows are lost"
    assert (groups.stops - groups.starts)[:-1].tolist() == [size] * (len(groups) - 1)
    assert groups.overlap() == (step < size and len(groups) > 1)


def test_sessions_come_by_first_appearance_with_their_lines_in_file_order(tmp_path):
    store = EventStore(tmp_path / "events", ("session", "line"))
    store.append(pl.DataFrame({"session": [0, 1, 0], "line": [1, 2, 3]}))
    store.append(pl.DataFrame({"session": [2, 1, 0, 3], "line": [4, 5, 6, 7]}))
    groups = group(store, Grouping("session"))
    assert lines_of(store, groups) == [[1, 3, 6], [2, 5], [4], [7]]
    assert not groups.overlap()


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60))
def test_sessions_partition_the_events(sessions):
    """Brute force: a dictionary of lists."""
    codes, expected = {}, {}
    for line, session in enumerate(sessions, start=1):
        expected.setdefault(codes.setdefault(session, len(codes)), []).append(line)
    store = MemoryStore({"session": [codes[session] for session in sessions], "line": range(1, len(sessions) + 1)})
    groups = group(store, Grouping("session"))
    assert lines_of(store, groups) == list(expected.values())


class MemoryStore(EventStore):
    """The store in memory: thousands of random logs need no files."""

    def __init__(self, columns: dict) -> None:
        self.columns = {name: np.array(values, COLUMNS[name]) for name, values in columns.items()}
        self.names, self.events = tuple(columns), len(next(iter(self.columns.values())))

    def read(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        return self.columns[name][start : self.events if stop is None else stop]

    def write(self, name: str, values: np.ndarray) -> None:
        self.columns[name] = np.asarray(values)


# Seconds around the end of a February with gaps of days, and microseconds close to each other.
LEAP = micros(datetime(2004, 2, 29, 23, 59, 50))[0]
TIMES = st.lists(
    st.one_of(
        st.integers(0, 40).map(lambda second: LEAP + second * SECOND),
        st.integers(0, 3 * SECOND).map(lambda micro: LEAP + micro),
        st.integers(0, 3).map(lambda day: LEAP + day * 86_400 * SECOND),
    ),
    min_size=1,
    max_size=25,
)


@st.composite
def window_and_step(draw) -> tuple[int, int]:
    """In microseconds: half of them whole seconds, as people write them; at most 40 windows hold an event."""
    size = draw(st.one_of(st.integers(1, 90).map(lambda second: second * SECOND), st.integers(10_000, 5 * SECOND)))
    return size, draw(st.one_of(st.just(size), st.integers(-(-size // 40), size)))


@given(times=TIMES, window=window_and_step())
def test_time_windows_equal_brute_force_and_lose_no_line(store_of, times, window):
    size, step = window
    store = MemoryStore({"line": range(1, len(times) + 1), "time": times})
    counted = sort_by_time(store)["lines_back_in_time"]
    groups = group(store, Grouping("seconds", size / SECOND, step / SECOND))
    found = lines_of(store, groups)

    ordered = sorted(range(len(times)), key=lambda place: (times[place], place))  # equal times in file order
    begin, expected = min(times), []
    near = {(time - begin) // step - back for time in times for back in range(size // step + 1)}
    for number in sorted(number for number in near if number >= 0):
        low = begin + number * step
        if inside := [place + 1 for place in ordered if low <= times[place] < low + size]:
            expected.append(inside)
    assert found == expected

    assert counted == sum(later < earlier for earlier, later in pairwise(times))
    covered = [line for lines in found for line in lines]
    assert set(covered) == set(range(1, len(times) + 1))
    assert step < size or len(covered) == len(times), "without overlap each line is in exactly one window"
    for lines in found:
        inside = [times[line - 1] for line in lines]
        assert inside == sorted(inside)
        assert inside[-1] - inside[0] < size


@given(times=TIMES, order=st.randoms(use_true_random=False))
def test_the_order_of_the_file_does_not_change_which_times_share_a_window(store_of, times, order):
    shuffled = list(times)
    order.shuffle(shuffled)
    results = []
    for log in (sorted(times), shuffled):
        store = MemoryStore({"line": range(1, len(log) + 1), "time": log})
        results.append([[log[line - 1] for line in lines] for lines in windows(store, 10, 5)])
    assert results[0] == results[1]


def test_lines_back_in_time_are_counted_and_put_in_order(store_of):
    """Chunks hold three events: the step back from line 3 to line 4 lies between two of them."""
    store = store_of([10, 20, 30, 5, 40, 35, 35])
    assert sort_by_time(store) == {"lines_back_in_time": 2, "seconds_back_in_time": 1}, (
        "25 microseconds are not more than a second"
    )
    assert store.read("time").tolist() == [5, 10, 20, 30, 35, 35, 40]
    assert store.read("line").tolist() == [4, 1, 2, 3, 6, 7, 5]


def test_a_log_in_order_is_left_alone(store_of):
    store = store_of([10, 10, 20, 20, 20, 30])
    assert sort_by_time(store) == {"lines_back_in_time": 0, "seconds_back_in_time": 0}
    assert store.read("line").tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("kind", ["seconds", "lines"])
@pytest.mark.parametrize(("size", "step"), [(60, 0), (60, -1), (60, 61), (0, 0), (-60, -60), (60, float("nan"))])
def test_steps_that_lose_lines_or_never_end_are_refused(kind, size, step):
    with pytest.raises(BadInput, match="step above 0 and at most the window"):
        Grouping(kind, size, step)


def test_a_store_in_pieces_reads_as_the_whole(tmp_path):
    frame = pl.DataFrame(
        {
            "message": [4_294_967_295, 0, 7, 7, 3],
            "line": [1, 2, 3, 5, 8],
            "time": [-1, 2**62, 0, 5, 5],
            "label": [0, 1, -1, 0, 1],
            "session": [0, 1, 1, 2, 4_000_000_000],
        }
    )
    store = EventStore(tmp_path / "events", tuple(COLUMNS))
    for piece in (frame[:2], frame[2:2], frame[2:]):
        store.append(piece)
    assert store.events == 5
    for name, kind in COLUMNS.items():
        assert store.read(name).tolist() == frame[name].to_list(), name
        assert store.read(name).dtype == kind
        assert store.read(name, 1, 4).tolist() == frame[name][1:4].to_list()
        assert store.read(name, 3).tolist() == frame[name][3:].to_list()
        assert store.read(name, 5).tolist() == store.read(name, 2, 2).tolist() == []


def test_reordering_a_store_moves_all_columns_alike(tmp_path):
    store = EventStore(tmp_path / "events", ("line", "time"))
    store.append(pl.DataFrame({"line": [1, 2, 3], "time": [30, 10, 20]}))
    store.reorder(np.array([1, 2, 0]))
    assert store.read("line").tolist() == [2, 3, 1]
    assert store.read("time").tolist() == [10, 20, 30]


def test_a_store_writes_only_the_columns_that_the_log_has(tmp_path):
    store = EventStore(tmp_path / "events", ("line",))
    store.append(pl.DataFrame({"line": [1], "time": [30]}))
    assert [path.name for path in (tmp_path / "events").iterdir()] == ["line"]


@pytest.mark.parametrize("events", [3, 100_000])
def test_a_full_disk_is_not_passed_over(tmp_path, events):
    """ndarray.tofile loses small arrays on a full disk without an error and gives large ones an error without errno."""
    store = EventStore(tmp_path / "events", ("line",))
    (tmp_path / "events" / "line").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        store.append(pl.DataFrame({"line": range(events)}))
    with pytest.raises(OSError, match="No space left"):
        store.write("line", np.arange(events))
