"""A header format for a log that nobody described: the one of `PROPOSALS` that reads most of its lines."""

import re

import polars as pl

from parsing.lines.headers import JSON, Header, compile_header, split_fields
from parsing.lines.times import ENOUGH, guess_time, timestamps

PROPOSALS = (
    "<Label> <Timestamp> <Date> <Node> <Time> <NodeRepeat> <Type> <Component> <Level> <Content>",  # BGL
    "<Label> <Timestamp> <Date> <User> <Month> <Day> <Time> <Location> <Content>",  # Thunderbird
    "<Date> <Time> <Pid> <Level> <Component>: <Content>",  # HDFS
    "<Month> <Day> <Time> <Host> <Component>[<Pid>]: <Content>",  # syslog
    "<Month> <Day> <Time> <Host> <Component>: <Content>",
    "<Date> <Time> [<Thread>] <Level> <Component> - <Content>",  # Log4j and its kin
    "<Date> <Time> [<Thread>] <Level> <Component>: <Content>",
    "<Date> <Time> <Level> [<Thread>] <Component>: <Content>",
    "<Date> <Time> - <Level> [<Thread>] - <Content>",
    "<Date> <Time> - <Component> - <Level> - <Content>",
    "<Date> <Time> <Level> <Component> - <Content>",
    "<Date> <Time> <Level> <Component>: <Content>",
    "<Date> <Time> [<Level>] <Content>",
    "<Date> <Time> <Level> <Content>",
    "<Date> <Time> <Content>",
    "<Timestamp> <Level> <Component>: <Content>",
    "<Timestamp> <Host> <Component>: <Content>",
    "<Timestamp> <Level> <Content>",
    "<Timestamp> <Content>",
    "[<Time>] [<Component>:<Level>] <Content>",  # Apache error
    "[<Time>] [<Level>] <Content>",
    "<Host> <Ident> <User> [<Time>] <Content>",  # Apache access
)
SHAPES = {
    "Level": "(?i)^(trace|debug|info|notice|warn|warning|error|err|fatal|critical|crit|severe|failure|alert|emerg|panic"
    "|fine|finer|finest|config|[vdiwef])$",
    "Month": "^[A-Z][a-z]{2}$",
    "Day": "^[0-9]{1,2}$",
    "Pid": "^[0-9]+$",
}


def propose_format(lines: list[str]) -> str | None:
    """Return 'json' or the format of `PROPOSALS` that reads most lines, None below `ENOUGH`; ties go to more fields.

    Blank lines count for nothing: many programs write one after each message.

    A line counts if it matches, its time can be read and its fields look like their names (`SHAPES`). Levels and days
    padded with a second blank are also tried.
    """
    lines = [line for line in lines if line.strip()]
    frame = pl.DataFrame({"text": lines}, schema={"text": pl.String}).with_row_index("line", 1)
    padded = [re.sub("(<Level>|<Month>) ", r"\1  ", format) for format in PROPOSALS]
    scores = {format: _lines_read(frame, compile_header(format)) for format in (JSON, *PROPOSALS, *padded)}
    best = max(scores, key=lambda format: (scores[format], format.count("<")))
    return best if lines and scores[best] >= ENOUGH * len(lines) else None


def _lines_read(frame: pl.DataFrame, header: Header) -> int:
    matched, _ = split_fields(frame, header, header.fields)
    if header.format == JSON or len(matched) < ENOUGH * len(frame):
        return len(matched)
    recipe = guess_time(header, matched)
    if recipe is None or not re.search("[: ](Timestamp|Time)$", recipe):
        return 0
    shaped = [pl.col(name).str.contains(SHAPES[name]) for name in header.fields if name in SHAPES]
    return len(matched.filter(timestamps(matched, recipe).is_not_null(), *shaped))
