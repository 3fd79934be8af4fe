"""Events of several lines: what has no header belongs to the event before it.

A line begins an event if it has the header up to the time, and a time that can be read; without times, the header. The
other lines follow: of a stack trace the exception and what it says go into the message, so that they are part of the
key, and its frames do not, since other frames are the same event. The line of an event is that of its header.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from core.logs import IS_BLANK
from parsing.lines.headers import Header, compile_header, split_fields
from parsing.lines.layouts import find_time
from parsing.lines.prefixes import LEVEL
from parsing.lines.times import recipe_fields, timestamps

JOIN, REJECT = "join", "reject"  # what becomes of lines without a header
POLICIES = (JOIN, REJECT)
MOST_LINES = 100_000  # of one event: more are no event, and would be held in memory
LOOKED_BACK = (64, 4_096)  # lines at the end of a block, where its last event mostly begins
FIRST_LINES = 8  # of a record whose first line is but a time: these are its message
OTHERS_HAVE_TIMES = 0.5  # share of the lines without the header from which on they have another one
_NAME = r"(?:[A-Za-z_$][\w$]*(?:\.|::|/))*[A-Z_][\w$]*"
TELLS = "|".join(  # the lines of a trace that say what happened, not where
    (
        rf'^\s*(?:Caused by: |Suppressed: |-+> ?|Exception in thread "[^"]*" |Uncaught )*{_NAME}'
        r"(?:Exception|Error|Throwable|Failure|Fault|Warning|Interrupt|Exit|Panic)\b(?:[:(\[ ].*)?$",
        r"^(?:panic|fatal error|Fatal error|PHP [A-Z][a-z]+ error): ",
        r"^thread '.*' panicked at",
        rf"^{LEVEL}: ",  # java.util.logging has the level and the message on a second line
    )
)


@dataclass(frozen=True)
class Start:
    """How the first line of an event looks: the header up to its time."""

    header: Header
    time: str | None

    def of(self, lines: pl.DataFrame) -> pl.Series:
        """Return whether each of the lines (`line, text`) begins an event."""
        wanted = recipe_fields(self.time) if self.time else ()
        fields, _ = split_fields(lines, self.header, wanted)
        if self.time:
            fields = fields.filter(timestamps(fields, self.time).is_not_null())
        return lines["line"].is_in(fields["line"].implode())


def find_start(header: Header, time: str | None) -> Start:
    """Return how the lines of a format begin."""
    if header.records or not time:
        return Start(header, time)
    last = max(header.fields.index(name) for name in recipe_fields(time))
    format = "".join(
        f"{literal}<{name}>" for literal, name in zip(header.literals[: last + 1], header.fields, strict=False)
    )
    after = header.literals[last + 1]
    closing = after[: len(after) - len(after.lstrip("])}>\"',;:|"))] + after.lstrip("])}>\"',;:|")[:1].strip("[({<-#")
    blank = " " if after else ""  # a time that stands alone is followed by nothing
    return Start(compile_header(f"{format}{closing or blank}<Content>"), time)


class Whole:
    """Blocks of lines cut where events begin: an event that crosses the border of two blocks comes out whole."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._held: list[pl.DataFrame] = []
        self._flushed = False

    def add(self, block: pl.DataFrame) -> pl.DataFrame | None:
        """Return the lines of the events that have ended by now, the last one of the block is held back."""
        if self._flushed:
            begins = self._start.of(block).arg_true()
            block = block[begins[0] if len(begins) else len(block) :]
            self._flushed = block.is_empty()
        begin = self._last_begin(block)
        if begin is None and sum(map(len, self._held)) + len(block) <= MOST_LINES:
            self._held.append(block)
            return None
        begin = len(block) if begin is None else begin
        ready, self._held = [*self._held, block[:begin]], [block[begin:]]
        return _together(ready)

    def finish(self) -> pl.DataFrame | None:
        """Return the lines of the last event."""
        ready, self._held = self._held, []
        return _together(ready)

    def flush(self) -> pl.DataFrame | None:
        """Return the lines of the last event so far, which is then judged: what more comes of it is passed over."""
        self._flushed = bool(self._held)
        return self.finish()

    def _last_begin(self, block: pl.DataFrame) -> int | None:
        """Return the row of the last line that begins an event."""
        for count in (*LOOKED_BACK, len(block)):
            rows = self._start.of(block.tail(count)).arg_true()
            if len(rows):
                return max(len(block) - count, 0) + int(rows[-1])
        return None


def _together(frames: list[pl.DataFrame]) -> pl.DataFrame | None:
    frames = [frame for frame in frames if len(frame)]
    return pl.concat(frames) if frames else None


def whole_events(blocks: Iterable[pl.DataFrame], start: Start) -> Iterator[pl.DataFrame]:
    """Yield the lines of blocks (`line, text, file`), so many whole events at a time."""
    whole = Whole(start)
    file = None
    for block in blocks:
        if block["file"][0] != file and (ended := whole.finish()) is not None:  # no event goes on in another file
            yield ended
        file = block["file"][0]
        if (ready := whole.add(block)) is not None:
            yield ready
    if (last := whole.finish()) is not None:
        yield last


def join_lines(events: pl.DataFrame, others: pl.DataFrame, start: Start) -> tuple[pl.DataFrame, pl.Series]:
    """Return the events with what their further lines tell, and which of the other lines (`line, text`) these are.

    `events` have `line, Content`, sorted by line, as `others` are. What follows a line that begins an event of
    another format is left.
    """
    if others.is_empty() or events.is_empty():
        return events, pl.Series([False] * len(others), dtype=pl.Boolean)
    begins = start.of(others)
    anchors = pl.concat([events["line"], others["line"].filter(begins)]).sort()
    place = anchors.search_sorted(others["line"], side="right").cast(pl.Int64) - 1
    owner = anchors.gather(place.clip(0))
    owned = (place >= 0) & ~begins & owner.is_in(events["line"].implode())
    further = others.select(owner.alias("line"), text=pl.col("text").str.strip_chars_start("\ufeff")).filter(owned)
    alone = start.header.literals[-2:-1] == [""]  # a time that stands alone: the other lines are the message
    return _with_told(events, further, FIRST_LINES if alone else 1), owned


def _with_told(events: pl.DataFrame, further: pl.DataFrame, count: int) -> pl.DataFrame:
    """Return the events, to the message of each added what its further lines tell; the first `count` if it has none."""
    text = pl.col("text").str.strip_chars()
    told = further.filter(pl.col("text").str.contains(TELLS)).group_by("line", maintain_order=True).agg(told=text)
    first = further.group_by("line", maintain_order=True).agg(first=text.head(count))
    both = events.join(told, on="line", how="left", maintain_order="left")
    both = both.join(first, on="line", how="left", maintain_order="left")
    is_empty = pl.col("Content").str.strip_chars() == ""
    more = pl.when(is_empty & pl.col("told").is_null()).then("first").otherwise("told").list.join(" ")
    content = pl.concat_str(pl.when(~is_empty).then("Content"), more, separator=" ", ignore_nulls=True)
    return both.with_columns(pl.when(more.is_not_null()).then(content).otherwise("Content").alias("Content")).drop(
        "told", "first"
    )


def choose_policy(lines: pl.DataFrame, header: Header, time: str | None) -> str:
    """Return what is done with lines without the header, by the first lines of a log (`line, text`).

    They belong to the event before, unless lines are records, nothing tells a header (no time, no level), or most of
    them have a time of their own: then they are lines of another kind.
    """
    if header.records or not (time or "Level" in header.fields):
        return REJECT
    said = lines.filter(~IS_BLANK)
    others = said.filter(~find_start(header, time).of(said))
    with_times = sum(find_time(text) is not None for text in others["text"].head(1_000))
    return REJECT if with_times > OTHERS_HAVE_TIMES * min(len(others), 1_000) else JOIN


def joined(
    lines: pl.DataFrame, header: Header, time: str | None, matched: pl.DataFrame, rejected: pl.DataFrame
) -> tuple[pl.DataFrame, pl.Series]:
    """Return the events of the first lines of a log with what their further lines tell, and the numbers of these."""
    if choose_policy(lines, header, time) != JOIN:
        return matched, rejected["line"].clear()
    others = rejected.filter(~IS_BLANK)
    events, owned = join_lines(matched, others, find_start(header, time))
    return events, others["line"].filter(owned)
