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


def test_another_grouping_is_refused(day):
    with pytest.raises(BadInput, match="made with another --session"):
        make_data(wanted("day.log", session="job [0-9]+"))
