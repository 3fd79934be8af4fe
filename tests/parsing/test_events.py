"""Events of several lines: whose they are, what goes into the key, and that no border of a block shows."""

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import parse_logs
from core import logs
from core.data import open_folder
from core.errors import BadInput
from core.logs import LogFile
from parsing import live
from parsing.datasets import Spec
from parsing.lines.blocks import read_block, read_here
from parsing.lines.events import JOIN, REJECT, Whole, choose_policy, find_start
from parsing.lines.headers import compile_header
from parsing.live import LiveReader

FORMAT = "<Date> <Time> <Level> <Component>: <Content>"
TIME = "%Y-%m-%d %H:%M:%S.%f of Date Time"
SPEC = Spec("own", "own", "", "", FORMAT, TIME, continuation=JOIN)
HEADER = "2026-03-02 08:00:00 ERROR db: query failed"
TRACE = [
    "java.sql.SQLException: timeout",
    "\tat org.acme.Db.step0(Db.java:0)",
    "Caused by: java.net.SocketException: reset",
    "\t... 12 more",
]


def frame(lines: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"line": pl.int_range(1, len(lines) + 1, eager=True), "text": lines})


def read(lines: list[str], spec: Spec = SPEC) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """The events of some lines (line, message), and the refused ones (line, reason)."""
    block = read_block(frame(lines), spec, compile_header(spec.header))
    return block.events.select("line", "Content").rows(), block.refused.select("line", "reason").rows()


def test_the_exception_and_its_cause_are_in_the_message_and_the_frames_are_not():
    said = "query failed java.sql.SQLException: timeout Caused by: java.net.SocketException: reset"
    assert read([HEADER, *TRACE, HEADER]) == ([(1, said), (6, "query failed")], [])


@pytest.mark.parametrize(
    ("further", "message"),
    [
        (["Traceback (most recent call last):", '  File "a.py", line 3, in f', "ValueError: bad"], "ValueError: bad"),
        (["TypeError: x is not a function", "    at f (a.js:1:2)"], "TypeError: x is not a function"),
        (["System.IO.IOException: gone", "   at A.B() in c.cs:line 3"], "System.IO.IOException: gone"),
        (["panic: runtime error: index", "goroutine 1 [running]:", "main.f()"], "panic: runtime error: index"),
        (["INFO: the second line of java.util.logging"], "INFO: the second line of java.util.logging"),
        (["  key = value", "  other = value"], None),
    ],
)
def test_what_further_lines_tell_in_other_languages(further, message):
    assert read([HEADER, *further]) == ([(1, f"query failed {message}" if message else "query failed")], [])


def test_an_event_whose_header_says_nothing_has_the_first_line_for_its_message():
    assert read([HEADER.replace("query failed", ""), "  it all began", "then went on"]) == ([(1, "it all began")], [])


def test_blank_lines_are_counted_and_what_stands_before_the_first_event_is_refused():
    events, refused = read(["at a.b(C.java:3)", "", HEADER, "", TRACE[1]])
    assert events == [(3, "query failed")]
    assert refused == [(1, "header"), (2, "blank line"), (4, "blank line")]


def test_a_line_that_begins_like_an_event_is_none_of_the_event_before():
    """Its own format is another one: as a further line it would change the key of an event that has nothing to do."""
    events, refused = read([HEADER, "2026-03-02 08:00:01 up and running", "\tat a.b(C.java:3)", HEADER, TRACE[1]])
    assert events == [(1, "query failed"), (4, "query failed")]
    assert refused == [(2, "header"), (3, "header")]


def test_a_further_line_of_many_words_is_no_header_without_a_time():
    """Where a header is only blanks, any sentence matches it: its time is what tells."""
    spec = Spec("own", "own", "", "", "<Date> <Time> <Content>", TIME, continuation=JOIN)
    assert read([HEADER, "Caused by: java.io.IOException: no space"], spec) == (
        [(1, "ERROR db: query failed Caused by: java.io.IOException: no space")],
        [],
    )


def test_rejected_lines_stay_rejected_where_that_is_asked():
    spec = Spec("own", "own", "", "", FORMAT, TIME, continuation=REJECT)
    assert read([HEADER, *TRACE], spec) == ([(1, "query failed")], [(line, "header") for line in range(2, 6)])


LINES = st.sampled_from([HEADER, "2026-03-02 08:00:01 no level", "", *TRACE])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(LINES, min_size=1, max_size=25), st.integers(1, 200))
def test_an_event_that_crosses_the_border_of_a_block_comes_out_as_if_it_did_not(tmp_path, lines, size):
    path = tmp_path / "a.log"
    path.write_text("\n".join(lines) + "\n")
    found = []
    for block_bytes in (1 << 24, size):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(logs, "BLOCK_BYTES", block_bytes)
            blocks = list(read_here(SPEC, LogFile(path), (1, None)))
        events = [row for block in blocks for row in block.events.select("line", "Content").rows()]
        refused = [row for block in blocks for row in block.refused.rows()]
        further = sum(block.further for block in blocks)
        assert len(events) + len(refused) + further == len(lines)
        found.append((events, refused, further))
    assert found[0] == found[1]


@given(st.lists(LINES, min_size=1, max_size=25), st.integers(1, 6))
def test_blocks_are_cut_where_events_begin_and_lose_no_line(lines, size):
    whole = Whole(find_start(compile_header(FORMAT), TIME))
    parts = [whole.add(part) for part in frame(lines).iter_slices(size)] + [whole.finish()]
    kept = pl.concat([part for part in parts if part is not None])
    assert kept.equals(frame(lines))


@pytest.mark.parametrize(
    ("lines", "policy"),
    [
        ([HEADER, *TRACE], JOIN),
        ([HEADER], JOIN),
        ([HEADER, "[2026/03/02 08:00:00] another program", "[2026/03/02 08:00:01] says more"], REJECT),
    ],
)
def test_the_policy_is_chosen_from_the_log(lines, policy):
    assert choose_policy(frame(lines), compile_header(FORMAT), TIME) == policy


@pytest.fixture
def outage(tmp_path, monkeypatch) -> Path:
    """A day on which most lines are traces: 82 headers in 1,415 lines."""
    monkeypatch.chdir(tmp_path)
    lines = []
    for number in range(82):
        clock = f"2026-03-02 08:{number // 60:02d}:{number % 60:02d}"
        lines += [f"{clock} ERROR db: query {number} failed", TRACE[0]]
        lines += [f"\tat org.acme.Db.step{frame}(Db.java:{frame})" for frame in range(15)]
    Path("app.log").write_text("\n".join(lines[:1_415]) + "\n")
    return Path("app.log")


@pytest.mark.parametrize("format", ["auto", FORMAT])
def test_a_day_of_traces_parses_and_says_what_became_of_them(outage, capsys, format):
    """It was refused; with fewer traces than headers these were rejected, and the exception was in no event."""
    assert parse_logs.main([str(outage), "--format", format, "--window-lines", "10"]) == 0
    printed = capsys.readouterr().out
    counts = open_folder(Path("data/app")).manifest["counts"]
    assert counts["events"] + counts["further_lines"] == counts["lines"] == 1_394 and counts["rejected"] == 0
    assert f"{counts['further_lines']:,} lines without a header belong to the event before them" in printed
    templates = pl.read_csv("data/app/templates.csv")
    assert templates["template"].to_list() == ["query <*> failed java.sql.SQLException: timeout"]
    assert json.loads(Path("data/app/manifest.json").read_text())["spec"]["continuation"] == JOIN


def test_further_lines_are_rejected_on_demand_and_a_format_of_another_log_is_refused(outage, capsys):
    asked = [str(outage), "--format", FORMAT, "--window-lines", "10", "--continuation", "reject"]
    assert parse_logs.main(asked) == 2
    assert "line 2 does not match (header)" in capsys.readouterr().err
    other = [HEADER, *(["no such line"] * 500)]
    outage.write_text("\n".join(other) + "\n")
    assert parse_logs.main([str(outage), "--format", FORMAT, "--window-lines", "10"]) == 2
    assert "1 lines that begin as" in capsys.readouterr().err


def test_a_followed_log_gives_the_events_of_the_batch(outage, monkeypatch):
    """A trace comes after its header: a key that was given at once would be another one than the batch's."""
    assert parse_logs.main([str(outage), "--format", FORMAT, "--window-lines", "10"]) == 0
    learned = open_folder(Path("data/app"))
    lines = LogFile(outage).head(2_000)
    expected = pl.read_parquet("data/app/sequences.parquet").select("lines", "keys").explode("lines", "keys").rows()
    for size in (1, 7, 5_000):
        reader = LiveReader(learned)
        events = [event for part in lines.iter_slices(size) for event in reader.read(part)] + list(reader.finish())
        assert [(event.line, event.key) for event in events] == expected


def test_the_last_event_of_a_quiet_log_is_not_held_back_for_ever(outage, monkeypatch):
    parse_logs.main([str(outage), "--format", FORMAT, "--window-lines", "10"])
    monkeypatch.setattr(live, "QUIET_SECONDS", 0.0)
    reader = LiveReader(open_folder(Path("data/app")))
    lines = LogFile(outage).head(2_000)
    assert not list(reader.read(lines[:3]))
    (event,) = reader.read(lines[:0])
    assert event.line == 1 and event.raw == lines["text"][0] and not list(reader.finish())


def test_frames_that_come_late_are_no_lines_of_another_format(outage, monkeypatch):
    """The event had been judged after a second of quiet, and its further frames were called unreadable."""
    parse_logs.main([str(outage), "--format", FORMAT, "--window-lines", "10"])
    monkeypatch.setattr(live, "QUIET_SECONDS", 0.0)
    reader = LiveReader(open_folder(Path("data/app")))
    frames = ["\tat a.B.c(B.java:7)"] * 60
    lines = pl.DataFrame({"text": [HEADER, *frames, HEADER, HEADER]}).with_row_index("line", 1).cast({"line": pl.Int64})
    seen = [event.line for part in (lines[:2], lines[:0], lines[2:40], lines[40:]) for event in reader.read(part)]
    assert [*seen, *(event.line for event in reader.finish())] == [1, 62, 63] and not reader.unread.said(at_end=True)


def test_a_policy_that_is_none_is_refused(tmp_path):
    from parsing.own_spec import load_own_spec

    (tmp_path / "my.yaml").write_text("format: json\ncontinuation: glue")
    with pytest.raises(BadInput, match="it must be one of join, reject"):
        load_own_spec(tmp_path / "my.yaml")
