"""A header format for a log that nobody described: of records, of a known kind, or found by a search."""

from dataclasses import dataclass

import polars as pl

from core.logs import IS_BLANK
from parsing.lines.headers import compile_header, split_fields, without_colors
from parsing.lines.record_proposals import propose_records
from parsing.lines.search import LEVEL, search_format
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
    known = [_known(sample, format) for format in KNOWN]
    best = max(known, key=lambda one: one[0])  # the first of equals, which says more
    if best[1]:
        return best[1]
    found = search_format(sample["text"].to_list())
    return _checked(sample, *found) if found else None


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
    matched, _ = split_fields(sample, header, header.fields)
    if says_nothing(matched["Content"]):
        return None
    recipe = guess_time(header, matched, names) if names else None
    if recipe is None and not {"Date", "Month", "Timestamp"}.isdisjoint(names):  # only times of day may be of no use
        return None
    if not names and len(matched) < ENOUGH * len(sample):
        return None
    return Proposal(format, recipe)


def says_nothing(messages: pl.Series) -> bool:
    """Return whether there is no message, or every one is empty."""
    return not (messages.str.strip_chars() != "").any()
