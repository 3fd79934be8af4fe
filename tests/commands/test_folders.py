"""The data folder that a command works on is that of the log it was given."""

from argparse import Namespace
from pathlib import Path

import pytest

from commands.folders import make_data
from core.errors import BadInput

LINES = "".join(f"2026-03-02 08:00:{second:02} INFO q: job {second % 7} done\n" for second in range(60))


def wanted(log: str, **more) -> Namespace:
    options = {"data": "day", "log": Path(log), "spec": None, "labels": None, "session": None, "window": None}
    return Namespace(**options | {"format": None} | more)


@pytest.fixture
def day(tmp_path, monkeypatch):
    """A data folder of day.log, in windows of ten seconds."""
    monkeypatch.chdir(tmp_path)
    Path("day.log").write_text(LINES)
    make_data(wanted("day.log", window="5s"))


def test_the_same_log_is_not_read_again(day, capsys):
    make_data(wanted("day.log", window="5s"))
    assert "data/day is there" in capsys.readouterr().out


def test_another_log_is_never_taken_for_the_one_that_was_read(day):
    """`make run DATA=day LOG=other/day.log` trained on the old log and said nothing."""
    Path("other.log").write_text(LINES.replace("done", "gone"))
    with pytest.raises(BadInput, match="data/day was made with another --log; give another DATA"):
        make_data(wanted("other.log", window="5s"))


def test_the_same_command_is_never_refused_whatever_its_session_is_read_as(tmp_path, monkeypatch, capsys):
    """A key of JSON objects becomes a field of the header, and the second `make run` took it for another session."""
    monkeypatch.chdir(tmp_path)
    moments = (f'"time": "2026-03-02T08:{second // 60:02}:{second % 60:02}Z"' for second in range(240))
    rows = [
        f'{{{moment}, "message": "step {n % 4}", "job": {{"id": "j{n // 4}"}}}}' for n, moment in enumerate(moments)
    ]
    Path("day.log").write_text("\n".join(rows) + "\n")
    for _ in range(2):
        make_data(wanted("day.log", session="job.id"))
    assert "data/day is there" in capsys.readouterr().out


def test_another_window_is_refused(day):
    with pytest.raises(BadInput, match="made with another --window"):
        make_data(wanted("day.log", window="10s"))


def test_another_format_is_refused(day):
    with pytest.raises(BadInput, match="made with another --format"):
        make_data(wanted("day.log", format="<Date> <Time> <Level> <Content>"))


def test_another_grouping_is_refused(day):
    with pytest.raises(BadInput, match="made with another --session"):
        make_data(wanted("day.log", session="job [0-9]+"))
