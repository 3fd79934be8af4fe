"""Your own log before it is parsed: how its first lines read under a format."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import polars as pl

from core.errors import BadInput, printable
from core.logs import IS_BLANK, LogFile
from parsing.lines.events import joined
from parsing.lines.headers import Header, compile_header, literal_pattern, split_fields, without_colors
from parsing.lines.objects import keys_of, read_object
from parsing.lines.proposals import propose, says_nothing
from parsing.lines.record_proposals import no_message
from parsing.lines.records import JSON, LOGFMT, Records
from parsing.lines.times import guess_time
from parsing.own_spec import regex_problem
from parsing.templates.masks import Mask, masked
from parsing.templates.slots import mine

LINES = 10_000  # read for the counts and the templates
SHOWN = 20
TEMPLATES = 15
FEW = 10  # lines of which nothing can be said


def check(path: Path, format: str, session: str | None, masks: tuple[Mask, ...]) -> int:
    """Print how the beginning of a log reads under `format` ('auto' proposes one); return the exit code 0.

    Raise BadInput if the file, the format or the session pattern cannot be used, or if no line matches.
    """
    if session and (problem := regex_problem(session)):
        raise BadInput(f"The session pattern {session!r} {problem}; write it like --session 'req-[0-9a-f]+'.")
    lines = LogFile(path).head(LINES).select("line", "text")
    lines = lines.with_columns(without_colors(lines["text"]).alias("text"))
    header, recipe = _header(path, format, lines)
    matched, rejected = split_fields(lines, header, header.fields)
    if matched.is_empty():
        raise BadInput(_no_match(path, header, rejected))
    recipe = recipe or guess_time(header, matched)
    events, further = joined(lines, header, recipe, matched, rejected)
    refuse_empty(path, header, lines, events)
    _print_lines(lines.head(SHOWN), header, events, further)
    _print_counts(header, matched, rejected, further)
    _print_sessions(events, session)
    _print_templates(events["Content"], masks)
    print(f"\nTime: {recipe or 'no known layout; without --time lines are grouped by session or number'}")
    given = {"--format": header.format, "--time": recipe, "--session": session}
    words = [word for name, value in given.items() if value for word in (name, value)]
    print(printable(f"Next: {shlex.join(['python', 'parse_logs.py', str(path), *words])}"))
    return 0


def _header(path: Path, format: str, lines: pl.DataFrame) -> tuple[Header, str | None]:
    """Return the header, and the recipe of the time if the format was proposed and has one."""
    if format != "auto":
        return compile_header(format), None
    proposed = propose(lines)
    if proposed is None:
        line, text = (lines.filter(~IS_BLANK) if lines.select((~IS_BLANK).any()).item() else lines).row(0)
        raise BadInput(
            f"{path} line {line}: no known format reads most of the first lines, of which this is {text[:160]!r}; "
            f"describe them with: python parse_logs.py check {path} --format '<Date> <Time> <Content>'"
        )
    print(printable(f"Proposed: --format {shlex.quote(proposed.format)}") + "\n")
    return compile_header(proposed.format), proposed.time


def refuse_empty(path: Path, header: Header, lines: pl.DataFrame, events: pl.DataFrame) -> None:
    """Raise BadInput if lines match, but no event has a message: then the format names another field for it."""
    if not says_nothing(events["Content"]):
        return
    if header.records and header.records.kind in (JSON, LOGFMT) and not header.outer:
        objects = [record for text in lines["text"].head(SHOWN) if (record := read_object(text)) is not None]
        raise BadInput(f"{path}: {no_message(header.records.kind, keys_of(objects))}")
    raise BadInput(
        f"{path}: {len(events):,} of the first {len(lines):,} lines match {header.format!r}, and the message of each "
        f"is empty; name fewer fields before <Content>, or try: python parse_logs.py check {path} --format auto"
    )


def _no_match(path: Path, header: Header, rejected: pl.DataFrame) -> str:
    line, text = rejected.row(0)
    return (
        f"{path} line {line}: {mismatch(header, text)}, and none of the first {len(rejected):,} lines matches "
        f"{header.format!r} either: {text[:160]!r}; try: python parse_logs.py check {path} --format auto"
    )


def mismatch(header: Header, text: str) -> str | None:
    """Return why a line does not match, the first field or literal at which it stops; None if it matches."""
    if header.outer:
        matched, _ = split_fields(pl.DataFrame({"line": [1], "text": [text]}), header.outer, ())
        inner = replace(header, outer=None)
        return mismatch(inner, matched["Content"][0]) if len(matched) else mismatch(header.outer, text)
    if header.records:
        return _json_mismatch(text) if header.records.kind == JSON else _record_mismatch(header.records, text)
    parts = text.count(" ") + 1
    if text == "" and len(header.fields) > 1:
        return "line is empty"
    if header.by_blanks and parts < len(header.fields):
        return f"line has {parts} blank-separated parts, the format needs {len(header.fields)}"
    before, line = None, pl.Series([text])  # Polars matches in linear time; re backtracks, with n colons n^4 steps
    for literal, name in zip(header.literals, header.fields, strict=False):
        pattern = header.pattern[: header.pattern.index(f"(?P<{name}>")]  # all that comes before the field
        if before and not line.str.contains(pattern.removesuffix(literal_pattern(literal, name))).item():
            return f"no <{before}>: it is empty or starts with a blank"
        if not line.str.contains(pattern).item():
            return f"no {literal!r} after <{before}>" if before else f"line does not begin with {literal!r}"
        before = name
    return None


def _json_mismatch(text: str) -> str | None:
    try:
        return None if isinstance(json.loads(text), dict) else "line is JSON but not an object in {}"
    except json.JSONDecodeError as error:
        return f"line is not JSON: {error.msg} at character {error.colno}"
    except (ValueError, RecursionError):
        return "line holds a number too long or a nesting too deep for JSON"


def _record_mismatch(records: Records, text: str) -> str | None:
    if re.search(records.notes or "^$", text):
        return "line says how the log is made" if text else "line is empty"
    if records.kind == LOGFMT:
        return None if re.match(r"\S*[\w.@/-]+=", text) else "line begins with no key="
    count = text.count(records.separator) + 1
    return None if count == len(records.columns) else f"line has {count} columns, the format {len(records.columns)}"


def _print_lines(lines: pl.DataFrame, header: Header, events: pl.DataFrame, further: pl.Series) -> None:
    """Print a table of the fields, one row per line; for lines that do not match, the reason and their beginning.

    `further` are the numbers of lines that belong to the event before them.
    """
    matched, rejected = split_fields(lines, header, header.fields)
    matched = _with_first_lines(matched, events)
    names = list(header.fields)
    cells = [[str(row[0]), *(_cell(value, 24) for value in row[1:-1]), _cell(row[-1], 60)] for row in matched.rows()]
    table = [["line", *names], *cells]
    widths = [max(len(row[column]) for row in table) for column in range(len(names))]  # Content comes last, unpadded
    widths[0] = max(len("line"), len(str(lines["line"].max())))
    shown = {int(row[0]): _aligned(row, widths) for row in cells}
    belong = set(further)
    for line, text in rejected.rows():
        why = "belongs to the event before" if line in belong else f"does not match, {mismatch(header, text)}"
        shown[line] = f"{line:>{widths[0]}}  {why}: {_cell(text, 60)}"
    print("\n".join([_aligned(table[0], widths), *(shown[line] for line in lines["line"])]))


def _with_first_lines(matched: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Return the lines that match, those without a message with what their further lines say."""
    told = events.select("line", "Content")
    messages = matched.select("line").join(told, on="line", how="left", maintain_order="left")
    is_empty = matched["Content"].str.strip_chars() == ""
    content = pl.select(pl.when(is_empty).then(messages["Content"]).otherwise(matched["Content"])).to_series()
    return matched.with_columns(content.fill_null("").alias("Content"))


def _aligned(row: list[str], widths: list[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(row[1:], widths[1:], strict=False)]
    return "  ".join([row[0].rjust(widths[0]), *padded, row[-1]]).rstrip()


def _cell(text: str, width: int) -> str:
    """Return at most `width` characters, none of which moves the cursor or colors the terminal."""
    text = printable(text[: width + 1])  # which only makes it longer
    return text if len(text) <= width else text[: width - 3] + "..."


def _print_counts(header: Header, matched: pl.DataFrame, rejected: pl.DataFrame, further: pl.Series) -> None:
    total, notes = len(matched) + len(rejected), header.records.notes if header.records else ""
    said = rejected.filter(~IS_BLANK, ~pl.col("line").is_in(further.implode()))
    wrong = said.filter(~pl.col("text").str.contains(notes)) if notes else said
    count = len(rejected) - len(said) - len(further)
    blank = f"; {count:,} are blank" if count else ""
    blank += f"; {len(further):,} belong to the event before them (--continuation join)" if len(further) else ""
    blank += f"; {len(said) - len(wrong):,} say how the log is made" if len(wrong) < len(said) else ""
    print(f"\n{len(matched):,} of the first {total:,} lines match {header.format!r}{blank}")
    if len(wrong):
        line, text = wrong.row(0)
        print(f"The first that does not is line {line}, {mismatch(header, text)}: {_cell(text, 60)}")


def _print_sessions(matched: pl.DataFrame, session: str | None) -> None:
    if not session:
        return
    if session in matched.columns:
        found = matched[session].replace(["", "-"], None).drop_nulls().unique(maintain_order=True)
        print(f"\nSessions: {len(found):,} by the field {session}, the first {', '.join(map(str, found.head(5)))}")
        return
    ids = matched["Content"].str.extract_all(session).list.unique(maintain_order=True)
    without, distinct = int((ids.list.len() == 0).sum()), ids.explode().drop_nulls().unique(maintain_order=True)
    if distinct.is_empty():
        print(f"\nSessions: the pattern {session!r} matches nothing in <Content> of these lines")
        return
    first = ", ".join(_cell(name, 40) for name in distinct.head(5))
    print(f"\nSessions: {len(distinct):,}, the first {first}; {without:,} lines name none and would be rejected")


def _print_templates(content: pl.Series, masks: tuple[Mask, ...]) -> None:
    words = content.str.strip_chars().str.count_matches(r"\s+")
    if len(content) >= FEW and (words == 0).all():
        print("\nEvery message is one word: name fewer fields before <Content> if there is more in the lines")
    messages = content.to_frame().select(message=masked(pl.col("Content"), masks))
    counts = messages.group_by("message", maintain_order=True).len()
    templates = pl.Series("template", mine(counts["message"].to_list(), counts["len"].to_list()))
    by_template = counts.with_columns(templates).group_by("template", maintain_order=True).agg(pl.col("len").sum())
    top = by_template.sort("len", descending=True, maintain_order=True).head(TEMPLATES)
    print(f"\nTemplates: {len(by_template):,} as a first guess, the most frequent:")
    for template, count in top.rows():
        print(f"{count:>8,}  {_cell(template, 110)}")
