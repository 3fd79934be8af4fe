"""Your own log described in YAML: the keys of `KEYS`, checked one by one."""

import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import yaml

from core.errors import BadInput, printable
from parsing.lines.events import POLICIES
from parsing.lines.headers import compile_header
from parsing.lines.times import recipe_fields

SHOWN = 100  # letters of a wrong value


class _WithoutAliases(yaml.SafeLoader):
    """A description names everything once; a chain of aliases of 300 bytes can stand for a text of gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "aliases such as *name are not allowed", mark)
        return super().compose_node(parent, index)


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
            shown = printable(repr(value), SHOWN)
            raise BadInput(f"{_place(path, text, key)} cannot be {shown}; it must be {allowed}.")
    if "format" not in given:
        raise BadInput(f"{path} has no format; find one with: python parse_logs.py check LOG --format auto")
    _refuse_what_does_not_go_together(path, text, given)
    return given


def _read_yaml(path: Path) -> tuple[str, dict]:
    try:
        text = path.read_text(encoding="utf-8")
        given = yaml.load(text, _WithoutAliases)
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
    name = printable(str(key), SHOWN)
    return f"{path} line {numbers[0]}: {name}" if numbers else f"{path}: {name}"


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
    "session_begin": (_is_pattern, _PATTERN),
    "session_per_file": (lambda value: isinstance(value, bool), "true or false"),
    "continuation": (POLICIES.__contains__, f"one of {', '.join(POLICIES)}"),
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
