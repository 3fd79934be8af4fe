"""`python -m commands.judge RUN LOG --follow`: a log judged while it is written, an alarm a line of JSON.

Each line has its `kind`: `alarm` (sequence, time, line, the raw line, template, tail probability or score, what was
expected, reason), `taken back` (a session that seemed to have ended went on after all), `unread` (most lines have
another format than the run's) or `drift` (train anew).
What was answered of the new templates of an earlier judged log, in its triage.csv and evolution.csv, holds here, too.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from core import evolution
from core.errors import BadInput
from core.events import Event
from core.log_files import KEPT, STDIN
from evaluation import fault_scores, triage
from evaluation.unseen import ALARM
from methods.words.reader import TemplateReader
from parsing.lines.tail import Tail
from parsing.live import LiveReader
from parsing.options import folder_name
from runs.carried import Carried
from runs.growing import LineWindows, Sessions, TimeWindows
from runs.handling import WORDS, texts_of
from runs.live import Follower, Handling, Sequences
from runs.steps import Detector


def follow(carried: Carried, detector: Detector, options: argparse.Namespace) -> int:
    """Follow the one log of the options until it ends or somebody stops it; return how many alarms there were."""
    if len(options.logs) != 1 or options.labels:
        raise BadInput("--follow takes one log and no labels; leave the others out, or leave out --follow.")
    log = options.logs[0]
    if log != STDIN and not log.is_file():
        raise BadInput(f"{log} does not exist; look with: ls {log.parent}")
    folder = judged_before(carried, log, options)
    handling = handling_of(folder, options.unseen)
    templates = folder / "templates.csv"
    reader = LiveReader(carried.learned, templates if options.unseen != ALARM and templates.is_file() else None)
    follower = Follower(carried, detector, sequences_of(reader), handling)
    rater = Rater(carried, reader, handling, options.encoder) if options.unseen in WORDS else None
    return follow_blocks(Tail(log), reader, follower, sys.stdout, rater)


def follow_blocks(tail: Tail, reader: LiveReader, follower: Follower, out: TextIO, rater: "Rater | None" = None) -> int:
    """Judge the blocks of `tail` and write what is to be said to `out`; return the number of alarms."""
    alarms = 0
    for events in _events(tail, reader):
        if rater:
            rater.rate_new()
        alarms += say(follower.add(events) + reader.unread.said(), out)
    return alarms + say(follower.finish() + reader.unread.said(at_end=True), out)


def _events(tail: Tail, reader: LiveReader) -> Iterator[list[Event]]:
    """Yield the events of each block, and at the end the one that was held back."""
    for block in tail.blocks():
        yield list(reader.read(block))
    yield list(reader.finish())


def say(found: list[dict], out: TextIO) -> int:
    """Write one line of JSON for each; return how many are alarms."""
    for row in found:
        shown = {name: value for name, value in row.items() if value is not None}
        print(json.dumps(shown, default=str), file=out, flush=True)
    return sum(row["kind"] == "alarm" for row in found)


def sequences_of(reader: LiveReader) -> Sequences:
    """Return the sequences of a log that grows, as the run has grouped its own."""
    grouping, pauses = reader.grouping, reader.pauses
    if grouping.kind == "session":
        assert pauses is not None
        return Sessions(pauses.before, pauses.after)
    if grouping.kind == "lines":
        return LineWindows(int(grouping.size), int(grouping.step))
    size, step = round(grouping.size * 1e6), round(grouping.step * 1e6)
    return TimeWindows(size, step, min(reader.latest, size))


def judged_before(carried: Carried, log: Path, options: argparse.Namespace) -> Path:
    """Return the folder of the judged log of the same name, where somebody may have answered questions."""
    return (options.out or carried.folder / "judged") / folder_name(log.name if log != STDIN else KEPT)


def handling_of(folder: Path, way: str) -> Handling:
    """Return what was answered in the folder of a judged log, as far as --unseen asks for answers."""
    asked, evolved = folder / triage.TRIAGE, folder / evolution.EVOLUTION
    handling = Handling()
    if way == "evolved":
        if not evolved.is_file():
            raise BadInput(f"{evolved.as_posix()} does not exist; judge the log without --follow first, and answer it.")
        handling.read_as.update(evolution.accepted(evolution.read_evolution(evolved)))
    elif way != ALARM and asked.is_file():
        answers = triage.answered(triage.read_answers(asked))
        handling.accepted.update(key for key, answer in answers.items() if answer == "benign")
        handling.refused.update(key for key, answer in answers.items() if answer != "benign")
    return handling


class Rater:
    """Accepts the new templates that read harmless, as soon as they come; what was answered is left to the answer."""

    def __init__(self, carried: Carried, reader: LiveReader, handling: Handling, encoder: str | None) -> None:
        self._reader, self._handling, self._rate = reader, handling, TemplateReader(encoder)
        self._known, _ = texts_of(carried.learned)
        self._rated: set[str] = set(self._known)
        handling.accepted.update(self._known.keys() - carried.learned.known_keys)  # of validation normals

    def rate_new(self) -> None:
        """Rate the templates that have come since the last call."""
        new = {key: text for key, text in self._reader.templates.items() if key not in self._rated}
        if not new:
            return
        self._rated |= new.keys()
        accepted = fault_scores.harmless(self._rate(self._known, new))
        self._handling.accepted.update(key for key in accepted if key not in self._handling.refused)
