"""Your own log before it is parsed: how its first lines read under a format, and its description in YAML."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import polars as pl
import yaml

from core.errors import BadInput
from parsing.lines.files import LogFile
from parsing.lines.headers import (
    JSON,
    Header,
    compile_header,
    guess_time,
    literal_pattern,
    propose_format,
    recipe_fields,
    split_fields,
)
from parsing.templates.drain import DrainSettings, mine
from parsing.templates.masks import Mask, masked

LINES = 10_000  # read for the counts and the templates
SHOWN = 20
TEMPLATES = 15
PROPOSED_FROM = 1_000


def check(path: Path, format: str, session: str | None, masks: tuple[Mask, ...]) -> int:
    """Print how the beginning of a log reads under `format` ('auto' proposes one); return the exit code 0.

    Raise BadInput if the file, the format or the session pattern cannot be used, or if no line matches.
    """
    if session and (problem := regex_problem(session)):
        raise BadInput(f"The session pattern {session!r} {problem}; write it like --session 'req-[0-9a-f]+'.")
    lines = LogFile(path).head(LINES).select("line", "text")
    header = _header(path, format, lines)
    matched, rejected = split_fields(lines, header, header.fields)
    if matched.is_empty():
        raise BadInput(_no_match(path, header, rejected))
    _print_lines(lines.head(SHOWN), header)
    _print_counts(header, matched, rejected)
    _print_sessions(matched, session)
    _print_templates(matched["Content"], masks)
    recipe = guess_time(header, matched)
    print(f"\nTime: {recipe or 'no known layout; without --time lines are grouped by session or number'}")
    given = {"--format": header.format, "--time": recipe, "--session": session}
    words = [word for name, value in given.items() if value for word in (name, value)]
    print(f"Next: {shlex.join(['python', 'parse_logs.py', str(path), *words])}")
    return 0


def _header(path: Path, format: str, lines: pl.DataFrame) -> Header:
    if format != "auto":
        return compile_header(format)
    proposed = propose_format(lines["text"].head(PROPOSED_FROM).to_list())
    if proposed is None:
        line, text = lines.row(0)
        raise BadInput(
            f"{path} line {line}: no known format reads most of the first lines, of which this is {text[:160]!r}; "
            f"describe them with: python parse_logs.py check {path} --format '<Date> <Time> <Content>'"
        )
    print(f"Proposed: --format {proposed!r}\n")
    return compile_header(proposed)


def _no_match(path: Path, header: Header, rejected: pl.DataFrame) -> str:
    line, text = rejected.row(0)
    return (
        f"{path} line {line}: {mismatch(header, text)}, and none of the first {len(rejected):,} lines matches "
        f"{header.format!r} either: {text[:160]!r}; try: python parse_logs.py check {path} --format auto"
    )


def mismatch(header: Header, text: str) -> str | None:
    """Return why a line does not match, the first field or literal at which it stops; None if it matches."""
    if header.format == JSON:
        return _json_mismatch(text)
    parts = text.count(" ") + 1
    if text == "" and len(header.fields) > 1:
        return "line is empty"
    if header.by_blanks and parts < len(header.fields):
        return f"line has {parts} blank-separated parts, the format needs {len(header.fields)}"
    before = None
    for literal, name in zip(header.literals, header.fields, strict=False):
        pattern = header.pattern[: header.pattern.index(f"(?P<{name}>")]  # all that comes before the field
        if before and not re.match(pattern.removesuffix(literal_pattern(literal, name)), text):
            return f"no <{before}>: it is empty or starts with a blank"
        if not re.match(pattern, text):
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


def _print_lines(lines: pl.DataFrame, header: Header) -> None:
    """Print a table of the fields, one row per line; for lines that do not match, the reason and their beginning."""
    matched, rejected = split_fields(lines, header, header.fields)
    names = list(header.fields)
    cells = [[str(row[0]), *(_cell(value, 24) for value in row[1:-1]), _cell(row[-1], 60)] for row in matched.rows()]
    table = [["line", *names], *cells]
    widths = [max(len(row[column]) for row in table) for column in range(len(names))]  # Content comes last, unpadded
    widths[0] = max(len("line"), len(str(lines["line"].max())))
    shown = {int(row[0]): _aligned(row, widths) for row in cells}
    for line, text in rejected.rows():
        shown[line] = f"{line:>{widths[0]}}  does not match, {mismatch(header, text)}: {_cell(text, 60)}"
    print("\n".join([_aligned(table[0], widths), *(shown[line] for line in lines["line"])]))


def _aligned(row: list[str], widths: list[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(row[1:], widths[1:], strict=False)]
    return "  ".join([row[0].rjust(widths[0]), *padded, row[-1]]).rstrip()


def _cell(text: str, width: int) -> str:
    """Return at most `width` characters, none of which moves the cursor or colors the terminal."""
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return text if len(text) <= width else text[: width - 3] + "..."


def _print_counts(header: Header, matched: pl.DataFrame, rejected: pl.DataFrame) -> None:
    total = len(matched) + len(rejected)
    print(f"\n{len(matched):,} of the first {total:,} lines match {header.format!r}")
    if len(rejected):
        line, text = rejected.row(0)
        print(f"The first that does not is line {line}, {mismatch(header, text)}: {_cell(text, 60)}")


def _print_sessions(matched: pl.DataFrame, session: str | None) -> None:
    if not session:
        return
    ids = matched["Content"].str.extract_all(session).list.unique(maintain_order=True)
    without, distinct = int((ids.list.len() == 0).sum()), ids.explode().drop_nulls().unique(maintain_order=True)
    if distinct.is_empty():
        print(f"\nSessions: the pattern {session!r} matches nothing in <Content> of these lines")
        return
    first = ", ".join(_cell(name, 40) for name in distinct.head(5))
    print(f"\nSessions: {len(distinct):,}, the first {first}; {without:,} lines name none and would be rejected")


def _print_templates(content: pl.Series, masks: tuple[Mask, ...]) -> None:
    messages = content.to_frame().select(message=masked(pl.col("Content"), masks))
    counts = messages.group_by("message", maintain_order=True).len()
    templates = pl.Series("template", mine(counts["message"].to_list(), DrainSettings()))
    by_template = counts.with_columns(templates).group_by("template", maintain_order=True).agg(pl.col("len").sum())
    top = by_template.sort("len", descending=True, maintain_order=True).head(TEMPLATES)
    print(f"\nTemplates: {len(by_template):,} as a first guess, the most frequent:")
    for template, count in top.rows():
        print(f"{count:>8,}  {_cell(template, 110)}")


def regex_problem(pattern: str) -> str | None:
    """Return what is wrong with a regular expression for Polars (Rust: no look-around, no backreference), or None."""
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError as error:
        return f"is no regular expression ({str(error).partition(chr(10) * 2)[0].rpartition('error: ')[2].rstrip('.')})"
    return None


def load_own_spec(path: Path) -> dict:
    """Return the keys of a YAML file that describes your own log, as they are written there (see `KEYS`).

    Raise BadInput with the line, the key and what is allowed for unreadable YAML, an unknown key or a wrong value.
    """
    text, given = _read_yaml(path)
    for key, value in given.items():
        if key not in KEYS:
            raise BadInput(f"{_place(path, text, key)} is no key of a log's description; known are {', '.join(KEYS)}.")
        usable, allowed = KEYS[key]
        if not usable(value):
            raise BadInput(f"{_place(path, text, key)} cannot be {value!r}; it must be {allowed}.")
    if "format" not in given:
        raise BadInput(f"{path} has no format; find one with: python parse_logs.py check LOG --format auto")
    _refuse_what_does_not_go_together(path, text, given)
    return given


def _read_yaml(path: Path) -> tuple[str, dict]:
    try:
        text = path.read_text(encoding="utf-8")
        given = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not a readable UTF-8 text file; check it with: ls -l {path}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line, problem = f" line {mark.line + 1}" if mark else "", getattr(error, "problem", None) or "it cannot be read"
        raise BadInput(f"{path}{line} is not YAML ({problem}); put formats and patterns in single quotes.") from error
    if not isinstance(given, dict):
        raise BadInput(f"{path} holds no keys; it needs at least: format: '<Date> <Time> <Content>'")
    return text, given


def _place(path: Path, text: str, key: object) -> str:
    """Return the file, the key and, if the key starts a line, that line."""
    numbers = [
        number for number, line in enumerate(text.splitlines(), 1) if re.match(rf"{re.escape(str(key))}\s*:", line)
    ]
    return f"{path} line {numbers[0]}: {key}" if numbers else f"{path}: {key}"


def _refuse_what_does_not_go_together(path: Path, text: str, given: dict) -> None:
    fields = compile_header(given["format"]).fields
    named = {
        "time": recipe_fields(given["time"]) if "time" in given else (),
        "label": given.get("label", "").split()[:1],
    }
    for key, names in named.items():
        unknown = [name for name in names if name not in fields]
        if unknown:
            allowed = f"the format has no <{unknown[0]}>, only {', '.join(fields)}; name one of these"
            raise BadInput(f"{_place(path, text, key)} cannot be {given[key]!r}: {allowed}.")
    for key, needed in (("step", "window"), ("step_lines", "window_lines")):
        if key in given and needed not in given:
            raise BadInput(f"{_place(path, text, key)} is of use only with {needed}; add {needed} or remove it.")
    if "window" in given and "window_lines" in given:
        raise BadInput(f"{_place(path, text, 'window_lines')} and window are two ways to cut a log; keep one of them.")


def _is_read_by(reader: Callable[[str], object]) -> Callable[[object], bool]:
    """Return a test of whether a value is a text that `reader` accepts."""

    def usable(value: object) -> bool:
        try:
            return isinstance(value, str) and bool(reader(value))
        except BadInput:
            return False

    return usable


def _is_duration(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[0-9]*[1-9][0-9]*[smhd]", value))


def _is_count(value: object) -> bool:
    return type(value) is int and value > 0


def _is_pattern(value: object) -> bool:
    return isinstance(value, str) and value != "" and regex_problem(value) is None


def _is_masks(value: object) -> bool:
    names, optional = {"name", "pattern"}, {"replacement"}
    return isinstance(value, list) and all(
        isinstance(mask, dict)
        and names <= set(mask) <= names | optional
        and all(isinstance(text, str) for text in mask.values())
        and _is_pattern(mask["pattern"])
        for mask in value
    )


def _is_drain(value: object) -> bool:
    ranges = {"depth": (3, 100), "similarity": (0, 1), "max_children": (2, 1_000_000)}
    return isinstance(value, dict) and all(
        key in ranges
        and (type(number) is int or (type(number) is float and key == "similarity"))
        and ranges[key][0] <= number <= ranges[key][1]
        for key, number in value.items()
    )


_PATTERN = "a regular expression without look-around and backreferences"
_DURATION = "a length of time such as 60s, 5m, 1h or 2d"
_NUMBER = "a whole number above 0"
KEYS = {
    "format": (
        _is_read_by(compile_header),
        "a header such as '<Date> <Time> <Content>' that ends with <Content>, or json",
    ),
    "time": (_is_read_by(recipe_fields), "'epoch:Field', or such as '%Y-%m-%d %H:%M:%S of Date Time'"),
    "session": (_is_pattern, _PATTERN),
    "window": (_is_duration, _DURATION),
    "step": (_is_duration, _DURATION),
    "window_lines": (_is_count, _NUMBER),
    "step_lines": (_is_count, _NUMBER),
    "masks": (_is_masks, f"a list of name, pattern ({_PATTERN}) and optionally replacement, all of them text"),
    "label": (
        _is_read_by(re.compile(r"\w+ != -").fullmatch),
        "such as 'Label != -': a field that is - for a normal line",
    ),
    "drain": (_is_drain, "among depth (3 or more), similarity (0 to 1) and max_children (2 or more)"),
}
