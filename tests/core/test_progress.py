"""Long work says how far it is; short work says nothing."""

import io
import sys

from core import progress as module
from core.progress import progress


def test_lines_in_a_file_have_percent_and_time_left_and_come_now_and_then(monkeypatch, capsys):
    clock = iter(range(0, 1_000, 6))
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(clock)))
    assert list(progress("abcdefgh", 8, "scoring", "batches")) == list("abcdefgh")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "  scoring: 12% of 8 batches, 0:01:24 left"
    assert len(lines) == 4  # one in twelve seconds, and a batch takes six


def test_short_work_says_nothing(capsys):
    assert list(progress(range(100), 100, "scoring")) == list(range(100))
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(progress([1, 2], 2, "scoring", "batches")) == [1, 2]
    assert "scoring" in terminal.getvalue()
