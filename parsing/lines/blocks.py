"""A raw log, a block at a time: header -> session, time and label -> masks -> numbered messages in the event store."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from core.errors import BadInput
from core.logs import BLANK, IS_BLANK, IS_TOO_LONG, SHOWN_OF_LONG, LogFile
from parsing.datasets import Spec
from parsing.lines.events import JOIN, Start, find_start, join_lines, whole_events
from parsing.lines.headers import Header, compile_header, split_fields
from parsing.lines.sessions import FIELD, Begun, sessions_of, with_file
from parsing.lines.times import names_year, recipe_fields, timestamps
from parsing.lines.years import Years
from parsing.sequences.folder import CsvFile
from parsing.sequences.label_table import is_normal
from parsing.sequences.labels import Labels, of_lines, refuse_unfit
from parsing.sequences.store import EventStore
from parsing.templates.masks import distinct_messages
from parsing.templates.messages import MessageTable

SECONDS_BETWEEN_REPORTS = 2.0
# Reasons of lines that say nothing about whether the format fits.
NOTE, NO_SESSION = "note on the log", "no session id"
HARMLESS = [BLANK, NOTE, NO_SESSION]
MOST_AT_ONCE = 8  # blocks
MOST_FURTHER = 100  # lines without a header for each event, else the format describes another log


@dataclass
class RawLog:
    """A log that was read: its events, its distinct messages, the ids of its sessions, and where every line went.

    `labels` are those of a file, if there is one.
    """

    source: LogFile
    store: EventStore
    messages: MessageTable
    session_ids: list[str] = field(default_factory=list)
    labels: Labels | None = None
    read_lines: int = 0
    further_lines: int = 0  # of events, after the line of the header
    without_session: int = 0
    begun: Begun = field(default_factory=Begun)
    anomalous_lines: int = 0


@dataclass(frozen=True)
class Block:
    """What a block of lines holds.

    `events` are line, time?, label?, id?, Content; `messages` their distinct masked messages; `places` each event's
    place among those; `refused` the lines that are no event (line, reason, text); `further` how many belong to one.
    """

    lines: int
    events: pl.DataFrame
    messages: pl.Series
    places: np.ndarray
    refused: pl.DataFrame
    further: int = 0


def read_here(spec: Spec, source: LogFile, lines: tuple[int, int | None]) -> Iterator[Block]:
    """Yield the blocks of the lines `lines` (first, last) of a log, read on this machine."""
    header = compile_header(spec.header)
    blocks: Iterable[pl.DataFrame] = with_file(source.blocks(*lines), source.path.name)
    if spec.continuation == JOIN:
        blocks = whole_events(blocks, find_start(header, spec.time))
    return in_order(lambda text: read_block(text, spec, header), blocks)


def read_log(
    spec: Spec,
    source: LogFile,
    blocks: Iterable[Block],
    folder: Path,
    rejected: CsvFile,
    labels: Labels | None = None,
) -> RawLog:
    """Stream the blocks of a log into an event store in `folder`, rejected lines into a file; return what was read.

    Each line is an event of every session that it names, or is rejected with the reason. Raise BadInput for a log of
    another format, and for `labels` that cannot be those of such a log.
    """
    if labels:
        refuse_unfit(labels, spec)
    columns = ["message", "line"] + ["session"] * bool(spec.session)
    columns += ["time"] * bool(spec.time) + ["label"] * bool(spec.label_field or of_lines(labels))
    raw = RawLog(source, EventStore(folder, tuple(columns)), MessageTable(), labels=labels)
    sessions: dict[str, int] = {}
    years = Years() if spec.time and not names_year(spec.time) else None
    meter, refusals = Meter(), Refusals()
    for block in blocks:
        add_block(raw, block, sessions, years)
        rejected.append(block.refused)
        refusals.add(block.refused)
        meter.report(raw.read_lines, source.done)
    meter.finish(raw.read_lines)
    raw.session_ids = list(sessions)
    if not raw.read_lines:
        raise BadInput(f"{source.path} has {source.lines:,} lines, none of them among --lines; choose others.")
    raw.without_session = refusals.without_session
    _refuse_wrong_format(spec, raw, refusals)
    return raw


def in_order(work: Callable[[pl.DataFrame], Block], blocks: Iterable[pl.DataFrame]) -> Iterator[Block]:
    """Yield `work` of every block in order, done in `threads()` threads; so many blocks are in memory at most."""
    at_once = threads()
    with ThreadPoolExecutor(at_once) as pool:
        pending: deque[Future[Block]] = deque()
        for block in blocks:
            pending.append(pool.submit(work, block))
            if len(pending) >= at_once:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def threads() -> int:
    """Return how many blocks are read at the same time: one a core, as far as memory is to stay below a gigabyte."""
    return max(2, min(os.cpu_count() or 1, MOST_AT_ONCE))


def add_block(raw: RawLog, block: Block, sessions: dict[str, int], years: Years | None = None) -> None:
    """Number the messages and sessions of a block, and the years if times name none; append its events to the store."""
    raw.read_lines += block.lines
    raw.further_lines += block.further
    events = raw.begun.add(block.events)
    numbers = raw.messages.number(block.messages, block.places, block.events["Content"])
    events = events.with_columns(pl.Series("message", numbers))
    raw.messages.tally(events)
    if years:
        events = events.with_columns(years.add(events["time"]).alias("time"))
    if of_lines(raw.labels):
        events = events.with_columns(raw.labels.of(events))
    if "session" in raw.store.names:
        distinct = events["id"].unique(maintain_order=True)
        codes = np.array([sessions.setdefault(name, len(sessions)) for name in distinct], np.uint32)
        session = events["id"].replace_strict(distinct, codes, return_dtype=pl.UInt32)
        events = events.with_columns(session.alias("session"))
    if "label" in raw.store.names:
        raw.anomalous_lines += int((events["label"] == 1).sum())
    raw.store.append(events)


def read_block(block: pl.DataFrame, spec: Spec, header: Header) -> Block:
    """Return the events of a block of lines, masked, and the lines that are not events.

    A line without the header, a readable time or a session id is not one, nor is one that is too long. This is a pure
    function of the block, so blocks can be read anywhere and in any order.
    """
    lines = len(block)
    block, refused = _without_long_lines(block)
    fields, unmatched = split_fields(block, header, _wanted_fields(spec, header))
    columns: list[pl.Expr | pl.Series] = [pl.col("line"), pl.col("Content")]
    if spec.time:
        columns.append(timestamps(fields, spec.time).cast(pl.Int64).alias("time"))
    if spec.label_field:
        columns.append((~is_normal(spec.label_field)).cast(pl.Int8).alias("label"))
    events, further = fields.select(columns), 0
    timeless = block.select("line", "text").clear()
    if spec.time and events["time"].null_count():
        timeless = block.select("line", "text").join(events.filter(pl.col("time").is_null()), on="line", how="semi")
        events = events.drop_nulls("time")
    if spec.continuation == JOIN and len(unmatched) + len(timeless):
        events, unmatched, timeless = _join(events, unmatched, timeless, find_start(header, spec.time))
        further = lines - len(events) - len(unmatched) - len(timeless) - sum(map(len, refused))
    refused += [_refused(block, rows, reason) for reason, rows in _by_reason(unmatched, header)]
    refused += [_refused(block, timeless, "time")] * (len(timeless) > 0)
    if spec.session:
        events = sessions_of(events, fields, block, spec)
        if events["id"].null_count():
            refused.append(_refused(block, events.filter(pl.col("id").is_null()), NO_SESSION))
            events = events.drop_nulls("id")
    rejected = pl.concat(refused).sort("line") if len(refused) > 1 else refused[0]
    return Block(lines, events, *distinct_messages(events["Content"], spec.masks), rejected, further)


def _join(
    events: pl.DataFrame, unmatched: pl.DataFrame, timeless: pl.DataFrame, start: Start
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return the events with their further lines, and what is left of the lines without header or time."""
    others = pl.concat([unmatched, timeless]).sort("line")
    blank = others.select(IS_BLANK).to_series()
    events, owned = join_lines(events, others.filter(~blank), start)
    taken = others.filter(~blank)["line"].filter(owned).implode()
    return events, unmatched.filter(~pl.col("line").is_in(taken)), timeless.filter(~pl.col("line").is_in(taken))


def _without_long_lines(block: pl.DataFrame) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Return the block without the lines that are too long, and these, if any, as refused with their begin."""
    if not block.select(IS_TOO_LONG.any()).item():
        return block, []
    begins = block.filter(IS_TOO_LONG).with_columns(pl.col("text").str.slice(0, SHOWN_OF_LONG))
    return block.filter(~IS_TOO_LONG), [_refused(begins, begins, "line too long")]


def _by_reason(unmatched: pl.DataFrame, header: Header) -> list[tuple[str, pl.DataFrame]]:
    """Return the lines without the header, blank ones, which many programs write, and those on the log itself."""
    kinds = [("header", unmatched)]
    if unmatched.select(IS_BLANK.any()).item():
        kinds = [("header", unmatched.filter(~IS_BLANK)), (BLANK, unmatched.filter(IS_BLANK))]
    if header.records and header.records.notes:
        is_note, left = pl.col("text").str.contains(header.records.notes), kinds[0][1]
        kinds = [("header", left.filter(~is_note)), (NOTE, left.filter(is_note)), *kinds[1:]]
    return kinds


def _refused(block: pl.DataFrame, lines: pl.DataFrame, reason: str) -> pl.DataFrame:
    """Return `line, reason, text` of some lines of a block, exactly as they stand in the log."""
    return block.join(lines, on="line", how="semi").select("line", reason=pl.lit(reason), text="text")


def _wanted_fields(spec: Spec, header: Header) -> tuple[str, ...]:
    """Return the header fields that are used; the others are never copied."""
    named = recipe_fields(spec.time) if spec.time else ()
    session = spec.session if spec.session_by == FIELD else None
    return tuple(name for name in header.fields if name in (*named, spec.label_field, session))


class Meter:
    """Progress of reading, printed at most every two seconds: lines, lines per second, percent and time left."""

    def __init__(self) -> None:
        self.started = self.reported = time.perf_counter()

    def report(self, lines: int, done: float) -> None:
        """Print how far reading got if the last report is old enough; `done` is the share read, 0 if unknown."""
        now = time.perf_counter()
        if now - self.reported < SECONDS_BETWEEN_REPORTS:
            return
        left = timedelta(seconds=round((now - self.started) * (1 - done) / done)) if done else None
        print(_rate(lines, now - self.started) + (f"  {done:>4.0%}  {left} left" if done else ""), flush=True)
        self.reported = now

    def finish(self, lines: int) -> None:
        """Print how many lines were read, and how fast."""
        print(_rate(lines, time.perf_counter() - self.started), flush=True)


def _rate(lines: int, seconds: float) -> str:
    return f"  {lines:>13,} lines read {lines / seconds:>12,.0f} lines/s"


@dataclass
class Refusals:
    """The lines that are no event, counted: those that do not fit, the harmless ones, and the first of each."""

    unfit: int = 0
    harmless: int = 0
    without_session: int = 0
    first: tuple | None = None
    first_without: tuple | None = None

    def add(self, refused: pl.DataFrame) -> None:
        """Count the refused lines (line, reason, text) of a block."""
        unfit = refused.filter(~pl.col("reason").is_in(HARMLESS))
        without = refused.filter(pl.col("reason") == NO_SESSION)
        self.unfit, self.harmless = self.unfit + len(unfit), self.harmless + len(refused) - len(unfit)
        self.without_session += len(without)
        self.first = self.first or (unfit.row(0) if len(unfit) else None)
        self.first_without = self.first_without or (without.row(0) if len(without) else None)


def _refuse_wrong_format(spec: Spec, raw: RawLog, refusals: Refusals) -> None:
    """Raise BadInput if most of the lines that say something were rejected: then `spec` describes another log."""
    path, events = raw.source.path, raw.store.events
    again = f"see what fits with: python parse_logs.py check {path} --format auto"
    if raw.further_lines > MOST_FURTHER * max(events, 1):
        raise BadInput(
            f"{path} has {events:,} lines that begin as {spec.header!r} says, and {raw.further_lines:,} others; {again}"
        )
    lines, count, first = raw.read_lines - refusals.harmless, refusals.unfit, refusals.first
    if not events and refusals.without_session > count:
        lines, count, first = lines + refusals.without_session, refusals.without_session, refusals.first_without
    if first is None or 2 * count <= lines:
        return
    line, reason, text = first
    rest = "".join(
        f", with {name} {value}" for name, value in (("time", spec.time), ("session ids", spec.session)) if value
    )
    raise BadInput(
        f"{path} line {line:,} does not match ({reason}), nor do {count - 1:,} others of {lines:,} lines: "
        f"{text[:160]!r}; the pattern of {spec.name} is {spec.header!r}{rest}; {again}"
    )
