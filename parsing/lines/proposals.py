"""A header format for a log that nobody described: of records, of a known kind, or found by a search."""

from dataclasses import dataclass

import polars as pl

from core.logs import IS_BLANK
from parsing.lines.events import joined
from parsing.lines.headers import Header, compile_header, split_fields, without_colors
from parsing.lines.layouts import find_time
from parsing.lines.prefixes import LEVEL
from parsing.lines.record_proposals import propose_messages, propose_records
from parsing.lines.search import search_format
from parsing.lines.times import ENOUGH, guess_time, timestamps

KNOWN = (  # by their structure alone a field that is a label, or a free word before the message, would not be found
    "<Label> <Timestamp> <Date> <Node> <Time> <NodeRepeat> <Type> <Component> <Level> <Content>",  # BGL
    "<Label> <Timestamp> <Date> <User> <Month> <Day> <Time> <Location> <Content>",  # Thunderbird
    "<Priority> <Timestamp> <Host> <Component> <Pid> <MessageId> - <Content>",  # RFC 5424, by its structured data
    "<Priority> <Timestamp> <Host> <Component> <Pid> <MessageId> [<Data>] <Content>",
    "<Priority> <Timestamp> <Host> <Component> <Pid> <MessageId> <Content>",
    "<Host> <Ident> <User> [<Time>] <Content>",  # Apache access
    "<Timestamp> <Stream> <Part> <Content>",  # container runtimes
)
SHAPES = {
    "Level": f"^{LEVEL}$",
    "Ident": "^-$",
    "Month": "^[A-Z][a-z]{2}$",
    "Day": "^[0-9]{1,2}$",
    "Label": "^(-|[A-Z_]+)$",
    "Priority": "^<[0-9]+>[0-9]?$",
    "Stream": "^std(out|err)$",
    "Part": "^[FP]$",
}
_SOURCE = r"^(?<source>[A-Za-z][\w.-]*) +\| (?<text>.*)$"
FEW = 3  # lines of one source, which say nothing of what it writes
LOOKED_AT = 1_000  # lines, one by one
LOOKED_FROM = 10_000  # evenly spread among so many: what the first minute of a program says is not what its days say


@dataclass(frozen=True)
class Proposal:
    """A format that reads a log, and the recipe of its time if its lines have one."""

    format: str
    time: str | None


def propose(lines: pl.DataFrame) -> Proposal | None:
    """Return the format that reads the first lines (`line, text`) of a log, None if none is found.

    Blank lines count for nothing: many programs write one after each message. A format counts if most of the lines with
    a time match, the time can be read, and messages say something.
    """
    said = lines.head(LOOKED_FROM).filter(~IS_BLANK)
    said = said.with_columns(without_colors(said["text"]).alias("text"))
    sample = said.gather_every(max(1, len(said) // LOOKED_AT)).select("line", "text")
    if sample.is_empty():
        return None
    if records := propose_records(sample["text"].to_list()):
        return _of_records(sample, records)
    return _of_containers(sample) or _of_lines(sample)


def _of_lines(sample: pl.DataFrame) -> Proposal | None:
    """Return the format of lines that begin with a header."""
    known = [_known(sample, format) for format in KNOWN]
    best = max(known, key=lambda one: one[0])  # the first of equals, which says more
    if best[1]:
        header = compile_header(best[1].format)
        return _of_messages(sample, header, split_fields(sample, header, ())[0]) or best[1]
    found = search_format(sample["text"].to_list())
    return _checked(sample, *found) if found else None


def _of_containers(sample: pl.DataFrame) -> Proposal | None:
    """Return the format of lines that begin with the name of who wrote them, such as `web_1  | `; None of others.

    Where one of them never writes what the others do, only the name is read: its lines are events like theirs.
    """
    parts = sample["text"].str.extract_groups(_SOURCE).struct.unnest()
    named = sample.select("line", text=parts["text"], source=parts["source"]).drop_nulls()
    if len(named) < ENOUGH * len(sample) or named["source"].str.contains(SHAPES["Level"]).any():
        return None
    lines = named.select("line", "text").filter(~IS_BLANK)
    messages = propose_messages(lines["text"].to_list())
    inner = _of_records(lines, messages) if messages else _of_lines(lines)
    if inner is None or not _all_read(named, inner):
        return Proposal("<Source> | <Content>", None)
    return Proposal("<Source> | " + inner.format.replace("<Source>", "<Origin>"), inner.time)


def _all_read(named: pl.DataFrame, inner: Proposal) -> bool:
    """Return whether a format reads some line of each source that wrote more than a few."""
    header = compile_header(inner.format)
    matched, _ = split_fields(named, header, header.fields)
    if inner.time:
        matched = matched.filter(timestamps(matched, inner.time).is_not_null())
    read = pl.col("line").is_in(matched["line"].implode())
    by_source = named.group_by("source").agg(pl.len(), read=read.any())
    return by_source.filter(pl.col("len") >= FEW)["read"].all()


def _of_records(sample: pl.DataFrame, format: str) -> Proposal:
    header = compile_header(format)
    return Proposal(format, guess_time(header, split_fields(sample, header, header.fields)[0]))


def _known(sample: pl.DataFrame, format: str) -> tuple[int, Proposal | None]:
    """Return how many lines a known format reads, and the format if these are enough."""
    header = compile_header(format)
    matched, _ = split_fields(sample, header, header.fields)
    if len(matched) < ENOUGH * len(sample):
        return 0, None
    shaped = matched.filter([pl.col(name).str.contains(SHAPES[name]) for name in header.fields if name in SHAPES])
    recipe = guess_time(header, shaped) if len(shaped) >= ENOUGH * len(sample) else None
    if recipe is None:
        return 0, None
    read = len(shaped.filter(timestamps(shaped, recipe).is_not_null()))
    return (read, Proposal(format, recipe)) if read >= ENOUGH * len(sample) else (0, None)


def _checked(sample: pl.DataFrame, format: str, names: tuple[str, ...]) -> Proposal | None:
    """Return a format that was found, if its lines have a time that can be read, or need none, and say something."""
    header = compile_header(format)
    matched, rejected = split_fields(sample, header, header.fields)
    recipe = (
        (guess_time(header, matched, names) or guess_time(header, _timed(matched, sample), names)) if names else None
    )
    if recipe is None and not {"Date", "Month", "Timestamp"}.isdisjoint(names):  # only times of day may be of no use
        return None
    if not names and len(matched) < ENOUGH * len(sample):
        return None
    if says_nothing(joined(sample, header, recipe, matched, rejected)[0]["Content"]):
        return None
    return _of_messages(sample, header, matched) or Proposal(format, recipe)


def _timed(matched: pl.DataFrame, sample: pl.DataFrame) -> pl.DataFrame:
    """Return the lines that match and have a time: others, of traces, can look like headers. All, if none has one."""
    numbers = [line for line, text in sample.rows() if find_time(text)]
    return matched.filter(pl.col("line").is_in(numbers)) if numbers else matched


def _of_messages(sample: pl.DataFrame, header: Header, matched: pl.DataFrame) -> Proposal | None:
    """Return the format of lines whose messages are objects or pairs of keys and values, None if they are not."""
    inner = propose_messages(matched["Content"].to_list())
    return _of_records(sample, header.format.replace("<Content>", inner)) if inner else None


def says_nothing(messages: pl.Series) -> bool:
    """Return whether there is no message, or every one is empty."""
    return not (messages.str.strip_chars() != "").any()
