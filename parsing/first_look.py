"""What the first lines of your own log say: header, time, sessions, and in which order several files come."""

from argparse import Namespace
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from core.errors import BadInput
from core.logs import LogFile
from parsing.datasets import Spec
from parsing.lines.events import choose_policy, joined
from parsing.lines.headers import compile_header, split_fields, without_colors
from parsing.lines.proposals import LOOKED_FROM, propose
from parsing.lines.records import JSON, LOGFMT
from parsing.lines.sessions import BEGIN, FIELD, FILE, LINE, MESSAGE
from parsing.lines.times import guess_time, names_year, recipe_fields, timestamps
from parsing.own_log import refuse_empty
from parsing.own_spec import regex_problem

DATED_FROM = 1_000  # lines of a file, the first of which with a time says when it begins


@dataclass(frozen=True)
class Look:
    """What the first lines of a log say: how they are read, and what becomes of lines without a header."""

    header: str
    time: str | None
    continuation: str
    lines: pl.DataFrame  # line, text
    fields: pl.DataFrame  # of the lines that match


def first_look(log: Path, format: str, recipe: str | None) -> Look:
    """Return header format, time recipe and policy, guessed from the first lines where they are not given."""
    lines = LogFile(log).head(LOOKED_FROM).select("line", "text")
    lines = lines.with_columns(without_colors(lines["text"]).alias("text"))
    if format == "auto":
        proposed = propose(lines)
        if proposed is None:
            raise BadInput(
                f"{log} has no known header; say how its lines begin with --format "
                f"'<Date> <Time> <Content>', and try it with: python parse_logs.py check {log} --format FORMAT"
            )
        format, recipe = proposed.format, recipe or proposed.time
    header = compile_header(format)
    matched, rejected = split_fields(lines, header, header.fields)
    recipe = recipe or guess_time(header, matched)
    if len(matched):
        refuse_empty(log, header, lines, joined(lines, header, recipe, matched, rejected)[0])
    return Look(format, recipe, choose_policy(lines, header, recipe), lines, matched)


def find_sessions(options: Namespace, given: dict, look: Look) -> tuple[Look, str | None, str]:
    """Return the look, its header with the key of the session where that is one, the session, and what it is.

    Raise BadInput for two kinds of session, and for a pattern that cannot be used.
    """
    named = {
        MESSAGE: options.session or given.get("session"),
        BEGIN: options.session_begin or given.get("session_begin"),
        FILE: "file" if options.session_per_file or given.get("session_per_file") else None,
    }
    found = [(kind, str(value)) for kind, value in named.items() if value]
    if len(found) > 1:
        raise BadInput("--session, --session-begin and --session-per-file are three ways to group; give one of them.")
    if not found:
        return look, None, MESSAGE
    ((kind, session),) = found
    if kind == MESSAGE:
        return _ids(look, session)
    if kind == BEGIN and (problem := regex_problem(session)):
        raise BadInput(f"The begin pattern {session!r} {problem}; quote it, such as --session-begin '^Starting'.")
    return look, session, kind


def _ids(look: Look, session: str) -> tuple[Look, str, str]:
    """Return where ids are: a field of the header, a key of records, the message, or the rest of the line."""
    header = compile_header(look.header)
    if session in header.fields:
        return look, session, FIELD
    if header.records and header.records.kind in (JSON, LOGFMT):
        keyed = _named(look, session)
        if keyed:
            return keyed, "Session", FIELD
    if problem := regex_problem(session):
        raise BadInput(f"The session pattern {session!r} {problem}; quote it, such as --session 'req-[0-9a-f]+'.")
    in_message = look.fields["Content"].str.contains(session).any() if len(look.fields) else True
    is_beside = not in_message and look.lines["text"].str.contains(session).any()
    return look, session, LINE if is_beside else MESSAGE


def _named(look: Look, key: str) -> Look | None:
    """Return the look with a field Session that is this key, None if no record has it."""
    if any(letter in key for letter in " =,"):
        return None
    format = f"{look.header} Session={key}"
    fields, _ = split_fields(look.lines, compile_header(format), ("Session",))
    return replace(look, header=format) if (fields["Session"] != "").any() else None


def in_order_of_time(logs: list[Path], spec: Spec) -> list[Path]:
    """Return the files of a log by their first times; files without one, and all where lines have none, as they are.

    Where times name no year, the year turns in the longest time without a file.
    """
    if len(logs) < 2 or not spec.time:
        return logs
    begins = [(begin, place) for place, log in enumerate(logs) if (begin := _begin(log, spec))]
    order = [place for _, place in sorted(begins)]
    if begins and not names_year(spec.time):
        times = [begin for begin, _ in sorted(begins)]
        around = [*times[1:], times[0] + timedelta(days=366)]
        gaps = [after - before for before, after in zip(times, around, strict=True)]
        turn = gaps.index(max(gaps)) + 1
        order = order[turn:] + order[:turn]
    dated = set(order)
    return [logs[place] for place in (*order, *(place for place in range(len(logs)) if place not in dated))]


def _begin(log: Path, spec: Spec) -> datetime | None:
    """Return the first time of a file."""
    assert spec.time
    lines = LogFile(log).head(DATED_FROM)
    fields, _ = split_fields(lines, compile_header(spec.header), recipe_fields(spec.time))
    times = timestamps(fields, spec.time).drop_nulls()
    return times[0] if len(times) else None
