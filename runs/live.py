"""A log judged while it is being written: an alarm as soon as what has come of a sequence is one.

The verdicts are those of the batch. A detector that judges each event by what came before speaks in the middle of a
sequence, any other one when it has ended. A session is taken to have ended when it was quiet for longer than training
ever saw; if it goes on after all, and is no alarm then, the alarm is taken back.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import polars as pl

from core.events import Event
from evaluation import rules
from evaluation.report import ranked
from runs import scoring, steps
from runs.carried import Carried
from runs.growing import Growing, LineWindows, Sessions, TimeWindows
from runs.judged import DRIFT

REMEMBERED = 50_000  # verdicts on sequences like those that come; the table begins anew beyond them
RECENT = 10_000  # events over which drift is measured
FEWEST = 1_000  # below it nothing is said of drift
Sequences = Sessions | LineWindows | TimeWindows
Shape = tuple[tuple[str, ...], bool, bool]  # keys, begun, closed


@dataclass
class Handling:
    """What becomes of keys that training never saw: accepted, called alerts by a person, or read as old ones."""

    accepted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    read_as: dict[str, str] = field(default_factory=dict)


class Follower:
    """Events in, alarms out; `add` for each block of events, `finish` when the log ends."""

    def __init__(self, carried: Carried, detector: steps.Detector, sequences: Sequences, handling: Handling) -> None:
        self._data, self._decision, self._folder = carried.learned, carried.decision, carried.folder
        self._ask = steps.asked(self._data, detector)
        self._expected: Callable | None = getattr(detector, "likeliest", None)
        self._speaks_early = not getattr(detector, "looks_ahead", False)
        self._sequences, self._handling = sequences, handling
        self._known, self._training = self._data.known_keys, scoring.Training.of(self._data)
        self._windowed = not isinstance(sequences, Sessions)
        self._verdicts: dict[Shape, dict] = {}
        self._drift = Drift(self._known)

    def add(self, events: Iterable[Event]) -> list[dict]:
        """Return what is to be said after these events: alarms, alarms that are taken back, drift."""
        touched: dict[str, Growing] = {}
        news: set[str] = set()  # sequences with an event that is new to training: they do not wait until they grow
        ended: list[Growing] = []
        for event in events:
            self._drift.count(event.key)
            for one in self._sequences.place(event):
                touched[one.name] = one
                if event.key not in self._known and not one.is_alarm:
                    news.add(one.name)
            if self._windowed:  # a full window takes no further event
                ended += self._sequences.closed()
        ended += self._sequences.closed()
        growing = [one for one in touched.values() if not one.closed and (one.is_worth_judging() or one.name in news)]
        growing = growing if self._speaks_early else []
        return self._say([*ended, *growing]) + self._drift.said()

    def finish(self) -> list[dict]:
        """Return what is to be said when the log ends: its last sequences are judged as the batch would judge them."""
        rest = self._sequences.finish()
        gone = [one for one in rest if self._windowed and not one.closed]
        judged = [one for one in rest if one not in gone]
        return self._say(judged, at_end=True) + [_taken_back(one) for one in gone if one.is_alarm]

    def _say(self, sequences: list[Growing], at_end: bool = False) -> list[dict]:
        """Return the alarms among sequences that were none, and what is none any more."""
        said, alarms = [], []
        read = {one.name: self._as_read(one) for one in sequences}
        verdicts = self._judge([(tuple(keys), begun, closed) for keys, _, begun, closed in read.values()])
        for one, verdict in zip(sequences, verdicts, strict=True):
            if verdict["waits"] and not (one.closed or at_end):
                continue
            if verdict["is_alarm"] and not one.is_alarm:
                alarms.append((one, verdict))
            elif one.is_alarm and not verdict["is_alarm"]:
                said.append(_taken_back(one))
            one.is_alarm, one.judged = verdict["is_alarm"], len(one.events)
        return said + self._described([(one, verdict, read[one.name]) for one, verdict in alarms])

    def _as_read(self, one: Growing) -> tuple[list[str], list[Event], bool, bool]:
        """Return the keys of a sequence as they are judged, their events, and whether it is begun and closed."""
        kept = [event for event in one.events if event.key not in self._handling.accepted]
        keys = [self._handling.read_as.get(event.key, event.key) for event in kept]
        closed = one.closed and not (self._windowed and len(kept) < len(one.events))  # as in scoring.score_rest
        return keys, kept, one.begun, closed

    def _judge(self, shapes: list[Shape]) -> list[dict]:
        """Return the verdict on each sequence; each distinct one goes to the detector once."""
        new = [shape for shape in dict.fromkeys(shapes) if shape not in self._verdicts and shape[0]]
        if len(self._verdicts) + len(new) > REMEMBERED:
            self._verdicts.clear()
            new = [shape for shape in dict.fromkeys(shapes) if shape[0]]
        if new:
            columns = dict(zip(("keys", "begun", "closed"), zip(*new, strict=True), strict=True))
            frame = pl.DataFrame(columns, schema_overrides={"keys": pl.List(pl.String)})
            scored = scoring.beside_training(self._training, self._folder, frame, self._ask(frame["keys"].to_list()))
            flagged = rules.apply(scored, self._decision)[f"flagged_{self._decision['default_rule']}"]
            waits = not self._speaks_early or "event_tail_probabilities" not in scored.columns
            lists = [name for name, kind in scored.schema.items() if isinstance(kind, pl.List)]
            rows = scored.drop(lists).with_columns(is_alarm=flagged, waits=pl.lit(waits))
            self._verdicts.update(zip(new, rows.iter_rows(named=True), strict=True))
        nothing = {"is_alarm": False, "waits": False}  # all that it has was accepted
        return [self._verdicts[shape] if shape[0] else nothing for shape in shapes]

    def _described(self, alarms: list[tuple[Growing, dict, tuple]]) -> list[dict]:
        """Return alarms with line, time, reason and what was expected."""
        if not alarms:
            return []
        about = [
            verdict | {"sequence_id": one.name, "label": None, "row": row}
            for row, (one, verdict, _) in enumerate(alarms)
        ]
        chosen = pl.DataFrame(about, infer_schema_length=None).drop("waits")
        shown = [(list(keys), [event.line for event in events]) for _, _, (keys, events, *_) in alarms]
        kinds = pl.Schema({"keys": pl.List(pl.String), "lines": pl.List(pl.Int64)})
        sequences = pl.DataFrame(shown, schema=kinds, orient="row")
        stood = {event.line: event for _, _, (_, events, *_) in alarms for event in events}

        def lines(numbers: list[int]) -> pl.DataFrame:
            rows = [(stood[number].line, stood[number].clock, stood[number].raw) for number in dict.fromkeys(numbers)]
            read = pl.DataFrame(rows, schema=["line", "time", "raw"], orient="row")
            return read.with_columns(pl.col("time").cast(pl.Datetime("us")))

        templates = self._data.templates
        listed = ranked.ranked(
            chosen, sequences, templates, self._known, self._decision, self._expected, lines, words={}
        )
        return [{"kind": "alarm"} | row for row in listed.drop("rank", "is_alarm", "label").iter_rows(named=True)]


def _taken_back(one: Growing) -> dict:
    return {"kind": "taken back", "sequence_id": one.name, "reason": "it went on, and is no alarm as a whole"}


class Drift:
    """The share of recent events whose template training never saw, said once when it is high, and again after that."""

    def __init__(self, known: set[str]) -> None:
        self._known, self._recent, self._place, self._new, self._is_high = known, bytearray(), 0, 0, False

    def count(self, key: str) -> None:
        """Count one event."""
        is_new = key not in self._known
        if len(self._recent) < RECENT:
            self._recent.append(is_new)
        else:
            self._new -= self._recent[self._place]
            self._recent[self._place] = is_new
            self._place = (self._place + 1) % RECENT
        self._new += is_new

    def said(self) -> list[dict]:
        """Return a sentence when the share has risen above `DRIFT`; it is said again after a fall to half of that."""
        share = self._new / max(len(self._recent), 1)
        was_high, self._is_high = self._is_high, share > (DRIFT / 2 if self._is_high else DRIFT)
        if was_high or not self._is_high or len(self._recent) < FEWEST:
            self._is_high = self._is_high and len(self._recent) >= FEWEST
            return []
        reason = (
            f"{share:.1%} of the last {len(self._recent):,} events have templates that training never saw: the program "
            "has changed, and the run should be trained anew."
        )
        return [{"kind": "drift", "reason": reason}]
