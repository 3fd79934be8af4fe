"""A log judged while it grows: the alarms of the batch, soon, with memory bounded, over rotations."""

import io
import json
import threading
import time
from pathlib import Path

import polars as pl
import pytest

import parse_logs
from commands import follow, judge
from commands.follow import follow_blocks, sequences_of
from core.data import open_data
from core.events import Event
from methods.classical import Classical
from methods.next_key import NextKey
from methods.parts.recipes import TrainingSettings
from parsing.lines import tail
from parsing.lines.tail import Tail
from parsing.live import LiveReader
from parsing.simulate import simulate
from runs import growing, live, steps
from runs.carried import Carried, open_carried
from runs.live import Drift, Follower, Handling


def tiny(**own):
    return NextKey("tiny-gpt2", own["seed"], templates=own["templates"])


def briefly(**own):
    """The same model after two epochs: bad, and as good for telling two ways to its verdicts apart."""
    settings = TrainingSettings(max_epochs=2)
    return NextKey("tiny-gpt2", own["seed"], templates=own["templates"], settings=settings)


def pca(**own):
    return Classical("pca", own["seed"], templates=own["templates"])


def late(lines: list[str]) -> list[str]:
    """Lines of a log in which some were written after a later one of the same minute."""
    lines = list(lines)
    for number in range(1, len(lines) - 1, 3):
        if lines[number][:11] == lines[number + 1][:11]:  # day, hour and minute
            lines[number : number + 2] = lines[number + 1], lines[number]
    return lines


def trained(place: Path, make, *options: str) -> Carried:
    """A run on a simulated log, carried."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        simulated = simulate(seed=5, sessions=700)
        Path("all.log").write_text("\n".join(late(simulated.lines)) + "\n")
        assert parse_logs.main([*options, "--out", "data/days"]) == 0
        run = steps.complete(make, open_data("days").name, 0, 0.05, None)
        return open_carried(place / run.folder)


HDFS = "<Date> <Time> <Pid> <Level> <Component>: <Content>"
OWN = ["all.log", "--format", HDFS]
KINDS = {
    "sessions": (tiny, [*OWN, "--session", "blk_-?[0-9]+"]),
    "lines": (briefly, [*OWN, "--window-lines", "20"]),
    "overlapping lines": (briefly, [*OWN, "--window-lines", "20", "--step-lines", "10"]),
    "time": (briefly, [*OWN, "--window", "60s"]),
    "whole sequences": (pca, [*OWN, "--session", "blk_-?[0-9]+"]),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, Carried]:
    return {name: trained(tmp_path_factory.mktemp("days"), *kind[:1], *kind[1]) for name, kind in KINDS.items()}


def followed(carried: Carried, log: Path, block_lines: int, handling: Handling | None = None) -> list[dict]:
    """What following a log says, when it comes so many lines at a time."""
    reader, detector = LiveReader(carried.learned), judge.load(carried)
    follower = Follower(carried, detector, sequences_of(reader), handling or Handling())
    out = io.StringIO()
    follow_blocks(Parts(log, block_lines), reader, follower, out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


class Parts(Tail):
    """A log in parts of so many lines."""

    def __init__(self, path: Path, lines: int) -> None:
        super().__init__(path, stop_at_end=True)
        self._lines = lines

    def blocks(self):
        for block in super().blocks():
            yield from block.iter_slices(self._lines) if len(block) else [block]


def at_the_end(said: list[dict]) -> set[str]:
    alarms = set()
    for row in said:
        if row["kind"] == "alarm":
            alarms.add(row["sequence_id"])
        elif row["kind"] == "taken back":
            alarms.discard(row["sequence_id"])
    return alarms


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("block_lines", [7, 1_000])
def test_follow_says_what_the_batch_says(places, kind, block_lines, tmp_path):
    """Other windows, other ends or another key would each be found by this."""
    lines = late(simulate(seed=6, sessions=120, anomaly_share=0.2).lines)
    log = tmp_path / "next.log"
    log.write_text("\n".join(lines) + "\n")
    assert judge.main([str(places[kind].folder), str(log), "--out", str(tmp_path / "batch")]) == 0
    listed = pl.read_csv(tmp_path / "batch" / "next" / "alarms.csv").filter("is_alarm")
    said = followed(places[kind], log, block_lines)
    assert at_the_end(said) == set(listed["sequence_id"]) and len(listed) > 0
    for row in said:
        if row["kind"] == "alarm":
            assert row["raw"] == lines[row["line"] - 1] and row["reason"] and row["time"]


@pytest.mark.slow
def test_an_alarm_comes_in_the_middle_of_a_session(places, tmp_path):
    """A model of the next key need not wait for the end: the event itself is the alarm."""
    simulated = simulate(seed=6, sessions=3, anomaly_share=0.0)
    log = tmp_path / "next.log"
    odd = simulated.lines[0].partition(": ")[0] + ": Disk failure while handling blk_-77"
    log.write_text("\n".join([odd, *simulated.lines]) + "\n")
    (first, *_) = followed(places["sessions"], log, 1)
    assert first["kind"] == "alarm" and first["line"] == 1 and first["raw"] == odd


@pytest.mark.slow
def test_what_was_answered_is_no_alarm_again(places, tmp_path):
    simulated = simulate(seed=6, sessions=30, anomaly_share=0.0)
    new = [
        line.partition(": ")[0] + f": Lease of blk_-{number} renewed" for number, line in enumerate(simulated.lines[:5])
    ]
    log = tmp_path / "next.log"
    log.write_text("\n".join(new) + "\n")
    reader = LiveReader(places["sessions"].learned)
    key = next(event.key for block in Tail(log, True).blocks() if len(block) for event in reader.read(block))
    said = followed(places["sessions"], log, 2, Handling(accepted={key}))
    assert not at_the_end(said) and len(at_the_end(followed(places["sessions"], log, 2))) == 5


@pytest.mark.slow
def test_answers_hold_where_the_miner_names_a_new_template_anew(tmp_path, monkeypatch, capsys):
    """Drain calls the first `Lease alpha` by these words, and both by `Lease <*>` when the log is judged as a whole."""
    monkeypatch.chdir(tmp_path)
    simulated = simulate(seed=5, sessions=700)
    Path("all.log").write_text("\n".join(simulated.lines) + "\n")
    labels = [f"{block},{label}" for block, label in simulated.labels.items()]
    Path("labels.csv").write_text("\n".join(["BlockId,Label", *labels]) + "\n")
    assert parse_logs.main(["hdfs", "--log", "all.log", "--labels", "labels.csv", "--out", "data/days"]) == 0
    run = steps.complete(lambda seed, templates: Classical("ngram", seed), "days", 0, 0.05, None)
    begin = simulated.lines[0].partition(": ")[0]
    new = [f"{begin}: Lease {who} of blk_{number} renewed" for number, who in enumerate(("alpha", "beta", "gamma"), 1)]
    Path("next.log").write_text("\n".join([*simulated.lines[:300], *new]) + "\n")
    asked = [str(run.folder), "next.log", "--unseen", "ask"]
    assert judge.main(asked) == 0
    path = run.folder / "judged" / "next" / "triage.csv"
    questions = pl.read_csv(path, infer_schema=False)
    assert "Lease <*> of <*> renewed" in questions["template"].to_list()
    questions.with_columns(answer=pl.lit("benign")).write_csv(path)
    monkeypatch.setattr(follow, "Tail", lambda log: Tail(log, stop_at_end=True))
    capsys.readouterr()
    assert judge.main([*asked, "--follow"]) == 0
    assert "Lease" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_new_template_in_a_long_session_is_said_at_once(places, tmp_path):
    """A session of thousands of events is judged again when it has grown; what training never saw must not wait."""
    begin = simulate(seed=6, sessions=1).lines[0].partition(": ")[0]
    known = f"{begin}: Verification succeeded for blk_9"
    lines = [known] * 1_500 + [f"{begin}: Disk failure while handling blk_9"] + [known] * 3
    log = tmp_path / "next.log"
    log.write_text("\n".join(lines) + "\n")
    reader, detector = LiveReader(places["sessions"].learned), judge.load(places["sessions"])
    follower = Follower(places["sessions"], detector, sequences_of(reader), Handling())
    (block,) = (one for one in Tail(log, stop_at_end=True).blocks() if len(one))
    events = list(reader.read(block))
    follower.add(events[:1_500])
    (growing_one,) = follower._sequences._held.values()
    growing_one.is_alarm = False  # whatever the model says of so many
    assert [row["line"] for row in follower.add(events[1_500:1_501]) if row["kind"] == "alarm"] == [1_501]


def test_a_session_that_goes_on_after_all_is_taken_back():
    """Quiet for longer than ever in training, then it went on: the batch would know, so the alarm must go."""
    sessions = growing.Sessions({}, {"a": 10, "b": 0})
    (one,) = sessions.place(event(0, "s", "a"))
    assert not list(sessions.closed())
    sessions.place(event(11, "other", "b"))
    assert {found.name for found in sessions.closed()} == {"s", "other"} and one.closed
    (again,) = sessions.place(event(12, "s", "b"))
    assert again is one and not one.closed and [found.name for found in sessions.closed()] == ["s"]


def event(clock: int, session: str | None, key: str):
    return Event(clock, clock, session, key, f"raw {key}")


def test_memory_is_bounded(monkeypatch):
    """A log that is followed for a year has a billion sessions."""
    monkeypatch.setattr(growing, "MOST_EVENTS", 100)
    sessions = growing.Sessions({}, {"a": 1_000})
    for number in range(5_000):
        sessions.place(event(number, f"s{number}", "a"))
        list(sessions.closed())
    assert len(sessions._held) == 100 and len(sessions._due) <= 1_400


def test_windows_of_lines_worked_by_hand():
    windows = growing.LineWindows(4, 2)
    names = []
    for number in range(7):
        names.append([one.name for one in windows.place(event(number, None, "a"))])
        list(windows.closed())
    assert names[:4] == [["window 1"], ["window 1"], ["window 1", "window 2"], ["window 1", "window 2"]]
    assert {one.name: one.closed for one in windows.finish()} == {"window 3": True, "window 4": False}


def test_windows_of_time_worked_by_hand():
    windows = growing.TimeWindows(10, 10)
    assert [one.name for one in windows.place(event(5, None, "a"))] == ["window 1"]
    assert [one.name for one in windows.place(event(14, None, "a"))] == ["window 1"]
    assert not list(windows.closed())
    assert [one.name for one in windows.place(event(36, None, "a"))] == ["window 2"], "empty windows have no number"
    assert [one.name for one in windows.closed()] == ["window 1"]


def test_a_late_event_joins_the_window_of_its_own_time_in_the_order_of_time():
    """The batch sorts the whole log; a follower put what came late behind what it had come before."""
    windows = growing.TimeWindows(10, 10, late=5)
    windows.place(event(0, None, "a"))
    windows.place(event(9, None, "c"))
    windows.place(event(12, None, "d"))
    assert not list(windows.closed()), "an event of the first window may still come"
    (joined,) = windows.place(event(8, None, "b"))
    assert joined.name == "window 1" and [one.key for one in joined.events] == ["a", "b", "c"]
    windows.place(event(15, None, "e"))
    assert [one.name for one in windows.closed()] == ["window 1"]


def test_one_event_from_the_future_ends_no_session_for_good():
    """A line of the year 2099 made every later session end with each of its events, and no window ever."""
    sessions, windows = growing.Sessions({}, {"a": 10}), growing.TimeWindows(10, 10)
    for kind in (sessions, windows):
        kind.place(event(5, "odd", "b"))
        kind.place(event(10**15, "odd", "b"))
        for clock in range(100, 300):
            kind.place(event(clock, "s", "a"))
            list(kind.closed())
    assert not sessions.place(event(300, "s", "a"))[0].closed and not list(sessions.closed())
    assert len(windows.place(event(300, None, "a"))[0].events) == 6, "those from 295 on"


def test_a_session_that_never_ends_is_judged_when_it_has_grown_and_kept_within_bounds(monkeypatch):
    """To judge it at each event took time that grew with its square, and all memory."""
    monkeypatch.setattr(growing, "MOST_EVENTS", 3_000)
    sessions, judged = growing.Sessions({}, {}), 0
    for number in range(10_000):
        (one,) = sessions.place(event(number, "daemon", "a"))
        if one.is_worth_judging():
            one.judged, judged = len(one.events), judged + 1
    assert 1_000 < judged < 1_500 and len(one.events) <= 3_000 and not one.begun


def test_drift_is_said_once(monkeypatch):
    monkeypatch.setattr(live, "FEWEST", 10)
    drift = Drift({"a"})
    for number in range(100):
        drift.count("b" if number % 5 == 0 else "a")
    (said,) = drift.said()
    assert said["kind"] == "drift" and "20.0%" in said["reason"] and not drift.said()


def test_lines_that_cannot_be_read_are_said_once_and_never_pass_for_quiet(places_of_one, tmp_path):
    """A program that changed its time format while it was followed looked as if all were quiet."""
    log, out, reader = tmp_path / "other.log", io.StringIO(), LiveReader(places_of_one.learned)
    log.write_text("Mar  2 08:00:00 host app: another format\n" * 50)
    detector = judge.load(places_of_one)
    follower = Follower(places_of_one, detector, sequences_of(reader), Handling())
    assert follow_blocks(Tail(log, stop_at_end=True), reader, follower, out) == 0
    (said,) = map(json.loads, out.getvalue().splitlines())
    assert said["kind"] == "unread" and "50 of 50 lines were not read" in said["reason"]


def test_what_is_written_between_the_last_look_and_the_rotation_is_read(tmp_path, monkeypatch):
    """The program wrote a last line after the old file was read to its end and before it was found to be rotated."""
    log, look = tmp_path / "app.log", Tail._is_rotated
    log.write_text("first\n")

    def rotated(tail: Tail, file) -> bool:
        if (tmp_path / "app.log.1").exists():
            return look(tail, file)
        with log.open("a") as old:
            old.write("last\n")
        log.rename(tmp_path / "app.log.1")
        log.write_text("next\n")
        return look(tail, file)

    monkeypatch.setattr(Tail, "_is_rotated", rotated)
    blocks = Tail(log, stop_at_end=True).blocks()
    assert [text for block in blocks for text in block["text"]] == ["first", "last", "next"]


def test_a_rotated_file_is_read_on(tmp_path, monkeypatch):
    """logrotate moves the file away and makes a new one: no line of either is lost, nor read twice."""
    monkeypatch.setattr(tail, "WAIT_SECONDS", 0.01)
    log, found = tmp_path / "app.log", []
    log.write_text("one\ntwo\n")
    reading = Tail(log)
    thread = threading.Thread(target=lambda: [found.extend(block["text"]) for block in until(reading, found, 5)])
    thread.start()
    wait_for(found, 2)
    with log.open("a") as file:
        file.write("three\n")
    log.rename(tmp_path / "app.log.1")
    time.sleep(0.05)
    log.write_text("four\nfi")
    wait_for(found, 4)
    with log.open("a") as file:
        file.write("ve\n")
    thread.join(10)
    assert found == ["one", "two", "three", "four", "five"]


def until(reading: Tail, found: list, count: int):
    for block in reading.blocks():
        yield block
        if len(found) >= count:
            return


def wait_for(found: list, count: int) -> None:
    end = time.monotonic() + 10
    while len(found) < count and time.monotonic() < end:
        time.sleep(0.01)


def test_a_log_that_is_not_there_is_one_sentence(places_of_one, tmp_path, capsys):
    assert judge.main([str(places_of_one.folder), str(tmp_path / "gone.log"), "--follow"]) == 2
    assert "gone.log does not exist" in capsys.readouterr().err
    assert judge.main([str(places_of_one.folder), "a.log", "b.log", "--follow"]) == 2
    assert "one log" in capsys.readouterr().err
    log = tmp_path / "next.log"
    log.write_text("a\n")
    assert judge.main([str(places_of_one.folder), str(log), "--follow", "--unseen", "evolved"]) == 2
    assert "without --follow first" in capsys.readouterr().err


@pytest.fixture(scope="module")
def places_of_one(places) -> Carried:
    return places["whole sequences"]
