"""Which sessions the log cuts off: without it, most false alarms of a live log are sessions that simply go on."""

import json

import numpy as np
import polars as pl
import pytest

import parse_logs
from parsing.sequences.cut import find_cut
from parsing.sequences.group import Groups
from parsing.sequences.store import EventStore

A, B, C = range(3)


def store_of(tmp_path, *sessions: list[tuple[int, int]], clock: str = "time") -> tuple[EventStore, Groups]:
    """Sessions of (time, message), one after the other, as `group.by_session` leaves them."""
    store = EventStore(tmp_path / ".events", ("message", "line", "session") + (("time",) if clock == "time" else ()))
    flat = [(number, *event) for number, session in enumerate(sessions) for event in session]
    columns = dict(zip(("session", "time", "message"), zip(*flat, strict=True), strict=True))
    columns["line"] = columns["time"]
    store.append(pl.DataFrame({name: columns[name] for name in store.names}))
    stops = np.cumsum([len(session) for session in sessions])
    return store, Groups(stops - [len(session) for session in sessions], stops)


@pytest.mark.parametrize("clock", ["time", "line"])
def test_open_ends_and_begins_worked_by_hand(tmp_path, clock):
    """After A training once paused for 50, after B never: a session that ends in A 30 before the log's end is open."""
    sessions = (
        [(0, A), (50, B)],  # training: the longest pause after A, and before B, is 50
        [(60, A), (100, A)],  # ends in A at the log's end, where another event may well follow
        [(40, A), (69, A)],  # 31 before the end: open, 50 were seen
        [(10, A), (45, A)],  # 55 before the end: closed
        [(20, B), (99, B)],  # began 20 after the log did; 50 were seen before B; nothing ever follows B
        [(55, B), (99, B)],  # 55 after the log's begin
    )
    store, groups = store_of(tmp_path, *sessions, clock=clock)
    trained = np.array([True] + [False] * 5)
    found = find_cut(store, groups, trained, np.array(["a", "b", "c"]))[0]
    assert found.begun.tolist() == [True, True, True, True, False, True]
    assert found.closed.tolist() == [True, False, False, True, False, True]


def test_a_key_that_training_never_saw_leaves_nothing_open(tmp_path):
    store, groups = store_of(tmp_path, [(0, A), (90, B)], [(99, C), (100, C)])
    found = find_cut(store, groups, np.array([True, False]), np.array(["a", "b", "c"]))[0]
    assert found.begun.all() and found.closed.all()


def test_only_the_pauses_of_training_count(tmp_path):
    """What follows in the test must not say which of its sessions are open."""
    sessions = ([(0, A), (1, B)], [(0, A), (90, B)], [(60, A), (95, A)], [(100, B)])
    store, groups = store_of(tmp_path, *sessions)
    found = find_cut(store, groups, np.array([True, False, False, False]), np.array(["a", "b", "c"]))[0]
    assert found.closed.tolist() == [True] * 4


def test_the_data_folder_says_what_is_closed(small_log, tmp_path):
    log, labels = small_log
    out = tmp_path / "data"
    assert parse_logs.main(["hdfs", "--log", str(log), "--labels", str(labels), "--out", str(out)]) == 0
    sequences = pl.read_parquet(out / "sequences.parquet")
    assert sequences["closed"].dtype == pl.Boolean
    assert not sequences["closed"].is_null().any()
    assert 0 < (~sequences["closed"]).sum() < len(sequences) / 2, "a log ends somewhere: some sessions go on"


def test_windows_and_key_files_are_cut_on_purpose_and_closed(tmp_path):
    keys = tmp_path / "normal"
    keys.write_text("a b c\n" * 20)
    out = tmp_path / "keys"
    assert parse_logs.main(["own", "--keys", str(keys), "--out", str(out)]) == 0
    assert json.loads((out / "manifest.json").read_text())["counts"]["sequences"] == 20
    assert pl.read_parquet(out / "sequences.parquet").select(pl.col("begun", "closed").all()).row(0) == (True, True)
