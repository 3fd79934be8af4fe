"""Header formats in Loghub's notation (`<Date> <Time> <Level> <Component>: <Content>`) and their fields.

Blank means space here; a tab or other ASCII white space only ever ends a field. Between two fields a blank of the
format stands for one or more in the line, since syslog pads days and others pad levels; before <Content> for one.
"""

import json
import re
from dataclasses import dataclass

import polars as pl

from core.errors import BadInput

JSON = "json"  # the format of logs with one JSON object a line
JSON_NAMES = {
    "Timestamp": ("timestamp", "time", "ts", "@timestamp"),
    "Level": ("level", "severity"),
    "Component": ("component", "logger", "module", "service"),
    "Content": ("message", "msg", "log", "content", "event"),
}
_FIELD = re.compile(r"<([^<>]*)>")
_OTHER_BLANK = r"[\t-\r]"
_NON_BLANK = r"[^\t-\r ]"


@dataclass(frozen=True)
class Header:
    """A compiled format. `pattern` has one named group a field and reads the same in Rust and in Python."""

    format: str
    fields: tuple[str, ...]
    pattern: str

    @property
    def literals(self) -> list[str]:
        """The text before the first field, between each two fields, and (always empty) after the last."""
        return _FIELD.split(self.format)[::2]

    @property
    def by_blanks(self) -> bool:
        """True if single blanks separate the fields, with at most a fixed suffix such as ':' on a field."""
        literals = self.literals
        return literals[0] == "" and all(re.fullmatch(f"{_NON_BLANK}* ", literal) for literal in literals[1:-1])


def compile_header(format: str) -> Header:
    """Return the header of a format, or of 'json' with the fields of `JSON_NAMES`.

    A field beside a blank of the format holds no blank; any other, such as `[<Time>]`, is the shortest match up to
    the literal after it. `<Content>` is the rest of the line and may be empty. Raise BadInput for a format that cannot
    split lines.
    """
    if format == JSON:
        return Header(format, tuple(JSON_NAMES), "")
    pieces = _FIELD.split(format)
    literals, fields = pieces[::2], tuple(pieces[1::2])
    _refuse_bad_format(format, literals, fields)
    pattern = "^"
    for before, name, after in zip(literals, fields, literals[1:], strict=False):
        pattern += f"{literal_pattern(before, name)}(?P<{name}>{_field_pattern(name, before, after)})"
    return Header(format, fields, pattern + "$")


def _refuse_bad_format(format: str, literals: list[str], fields: tuple[str, ...]) -> None:
    repeated = [name for name in fields if fields.count(name) > 1]
    misnamed = [name for name in fields if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or name == "line"]
    if any("<" in literal for literal in literals):
        problem = "opens a field with '<' and does not close it with '>'"
    elif misnamed:
        problem = f"names a field <{misnamed[0]}>; a name is made of letters, digits and _, and 'line' is taken"
    elif repeated:
        problem = f"names <{repeated[0]}> more than once"
    elif fields[-1:] != ("Content",) or literals[-1]:
        problem = "does not end with <Content>, the rest of a line"
    elif "" in literals[1:-1]:
        at = literals.index("", 1)
        problem = f"has nothing between <{fields[at - 1]}> and <{fields[at]}>, so that no line can be split there"
    else:
        return
    raise BadInput(f"The format {format!r} {problem}; write it like '<Date> <Time> <Content>', or try --format auto.")


def literal_pattern(literal: str, name: str) -> str:
    """Return the regular expression of the literal before the field `name`."""
    return re.escape(literal) if name == "Content" else re.escape(literal).replace("\\ ", "\\ +")


def _field_pattern(name: str, before: str, after: str) -> str:
    # A greedy run is faster than a lazy one, and gives the same if the literal after it has a blank to end it.
    if name == "Content":
        return "(?s:.*)"
    beside_blank = before.endswith(" ") or after.startswith(" ") or (not before and " " in after)
    return f"{_NON_BLANK}+{'' if ' ' in after else '?'}" if beside_blank else ".+?"


def split_fields(lines: pl.DataFrame, header: Header, wanted: tuple[str, ...]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return `line`, the wanted fields and Content of the lines (`line, text`) that match, and the others unchanged.

    Both keep the order of `lines`; fields are text. Raise BadInput for a wanted field that the format does not name.
    """
    names = tuple(dict.fromkeys((*wanted, "Content")))
    for name in names:
        if name not in header.fields:
            raise BadInput(f"The format {header.format!r} has no <{name}>; name one of {', '.join(header.fields)}.")
    split = _split_json if header.format == JSON else _split_by_blanks if header.by_blanks else split_by_pattern
    fields, matches = split(lines["text"], header, names)
    matched = lines.select("line").hstack(fields).filter(matches)
    return matched, lines.select("line", "text").filter(~matches)


def split_by_pattern(texts: pl.Series, header: Header, names: tuple[str, ...]) -> tuple[pl.DataFrame, pl.Series]:
    """Return the named fields of each text by the regular expression, and whether the text matches."""
    fields = texts.str.extract_groups(header.pattern).struct.unnest()
    return fields.select(names), fields["Content"].is_not_null()


def _split_by_blanks(texts: pl.Series, header: Header, names: tuple[str, ...]) -> tuple[pl.DataFrame, pl.Series]:
    """Return what `split_by_pattern` does, about ten times as fast; only lines that may have a padded field need it."""
    fields, matches = _cut_at_blanks(texts, header, names)
    again = ~matches & texts.str.contains("  ", literal=True)
    if not again.any():
        return fields, matches
    slow_fields, slow_matches = split_by_pattern(texts.filter(again), header, names)
    rows = again.arg_true()
    fields = fields.with_columns(fields[name].scatter(rows, slow_fields[name]) for name in names)
    return fields, matches.scatter(rows, slow_matches)


def _cut_at_blanks(texts: pl.Series, header: Header, names: tuple[str, ...]) -> tuple[pl.DataFrame, pl.Series]:
    """Return the named fields of lines whose fields are one blank apart, and which lines those are."""
    suffixes = [literal[:-1] for literal in header.literals[1:]]
    parts = texts.str.splitn(" ", len(header.fields)).struct.unnest()
    parts.columns = list(header.fields)
    matches = pl.col("Content").is_not_null()
    other_blanks = texts.str.contains(_OTHER_BLANK).any()
    for name, suffix in zip(header.fields[:-1], suffixes, strict=False):
        matches &= pl.col(name).str.len_bytes() > len(suffix.encode())
        matches &= pl.col(name).str.ends_with(suffix) if suffix else True
        matches &= ~pl.col(name).str.contains(_OTHER_BLANK) if other_blanks else True
    cut = [
        pl.col(name).str.strip_suffix(suffix) for name, suffix in zip(header.fields, suffixes, strict=True) if suffix
    ]
    return parts.with_columns(cut).select(names), parts.select(matches.fill_null(False)).to_series()


def _split_json(texts: pl.Series, _: Header, names: tuple[str, ...]) -> tuple[pl.DataFrame, pl.Series]:
    records = [_read_object(text) for text in texts]
    columns = {name: [_first_present(record or {}, JSON_NAMES[name]) for record in records] for name in names}
    matches = pl.Series([record is not None for record in records], dtype=pl.Boolean)
    return pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String)), matches


def _read_object(text: str) -> dict | None:
    try:
        return value if isinstance(value := json.loads(text), dict) else None
    except (ValueError, RecursionError):
        return None


def _first_present(record: dict, keys: tuple[str, ...]) -> str:
    value = next((record[key] for key in keys if record.get(key) is not None), "")
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace").decode()  # JSON can spell half a surrogate pair, which no column can hold
