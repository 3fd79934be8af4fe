"""Header formats in Loghub's notation (`<Date> <Time> <Level> <Component>: <Content>`) and their fields.

Blank means space here; a tab or other ASCII white space only ever ends a field. Between two fields a blank of the
format stands for one or more in the line, since syslog pads days and others pad levels; before <Content> for one.
"""

import re
from dataclasses import dataclass

import polars as pl

from core.errors import BadInput
from parsing.lines.records import Records, read_records, split_records

_FIELD = re.compile(r"<([^<>]*)>")
_CLOCKS = ("Time", "Timestamp")  # hold colons: before one they are as long as can be
_CLOCK = "[0-9T:.,+Z-]*[0-9Z]"
# Fields that need nothing between them and the next one: a letter, a number in brackets, and what ends with a digit.
_GLUED = {"Level": "[A-Za-z]", "Priority": "<[0-9]+>"} | dict.fromkeys(_CLOCKS, _CLOCK)
_BEHIND_HEADER = re.compile(r"(.*>(?:\\t|[^<>\w])*)((?:json|logfmt)(?: \w+=\S+)*)")
_COLORS = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])"
_OTHER_BLANK = r"[\t-\r]"
_NON_BLANK = r"[^\t-\r ]"


@dataclass(frozen=True)
class Header:
    """A compiled format. `pattern` has one named group a field and reads the same in Rust and in Python.

    Where lines are records, `records` say how these are read, and there is no pattern; where records follow a header,
    `outer` is this header, and its <Content> is the record.
    """

    format: str
    fields: tuple[str, ...]
    pattern: str
    records: Records | None = None
    outer: "Header | None" = None

    @property
    def literals(self) -> list[str]:
        """The text before the first field, between each two fields, and (always empty) after the last."""
        return _FIELD.split(self.format.replace("\\t", "\t"))[::2]

    @property
    def by_blanks(self) -> bool:
        """True if single blanks separate the fields, with at most a fixed suffix such as ':' on a field."""
        literals = self.literals
        return (
            not self.records
            and literals[0] == ""
            and all(re.fullmatch(f"{_NON_BLANK}* ", literal) for literal in literals[1:-1])
        )


def compile_header(format: str) -> Header:
    r"""Return the header of a format, also of one of records (parsing/lines/records.py).

    A field beside a blank of the format holds no blank; any other, such as `[<Time>]`, is the shortest match up to
    the literal after it. `<Level>` right before another field is one letter, `<Priority>` a number in <>; `<Time>`
    before a colon holds colons itself. `\t` stands for a tab. `<Content>` is the rest of the line and may be empty; in
    its place `json` or `logfmt` say that this rest is a record.
    Raise BadInput for a format that cannot split lines.
    """
    if (records := read_records(format)) is not None:
        return Header(format, tuple(records.sources), "", records)
    if parts := _BEHIND_HEADER.fullmatch(format):
        outer, inner = compile_header(f"{parts[1]}<Content>"), compile_header(parts[2])
        names = tuple(dict.fromkeys((*outer.fields[:-1], *inner.fields)))
        return Header(format, names, "", inner.records, outer)
    pieces = _FIELD.split(format.replace("\\t", "\t"))
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
    elif at := next((at for at in range(1, len(fields)) if not literals[at] and fields[at - 1] not in _GLUED), 0):
        problem = f"has nothing between <{fields[at - 1]}> and <{fields[at]}>, so that no line can be split there"
    else:
        return
    raise BadInput(f"The format {format!r} {problem}; write it like '<Date> <Time> <Content>', or try --format auto.")


def literal_pattern(literal: str, name: str) -> str:
    """Return the regular expression of the literal before the field `name`."""
    inside = literal.rstrip(" ") if name == "Content" else literal
    return re.escape(inside).replace("\\ ", "\\ +") + re.escape(literal[len(inside) :])


def _field_pattern(name: str, before: str, after: str) -> str:
    # A greedy run is faster than a lazy one, and gives the same if the literal after it has a blank to end it.
    if name == "Content":
        return "(?s:.*)"
    if not after and name in _GLUED:
        return _GLUED[name]
    if after.startswith(":") and name in _CLOCKS:
        return _CLOCK
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
    texts = without_colors(lines["text"])
    fields, matches = _split(texts, header, names)
    matched = lines.select("line").hstack(fields).filter(matches)
    return matched, lines.select("line", "text").filter(~matches)


def _split(texts: pl.Series, header: Header, names: tuple[str, ...]) -> tuple[pl.DataFrame, pl.Series]:
    """Return the named fields of each text, and which texts match."""
    if header.outer:
        return _split_behind(texts, header.outer, header.records, names)
    if header.records:
        return split_records(texts, header.records, names)
    return (_split_by_blanks if header.by_blanks else split_by_pattern)(texts, header, names)


def _split_behind(
    texts: pl.Series, outer: Header, records: Records | None, names: tuple[str, ...]
) -> tuple[pl.DataFrame, pl.Series]:
    """Return the named fields of a header and of the records behind it; a field of both is that of the header."""
    assert records
    outside = tuple(name for name in names if name in outer.fields[:-1])
    fields, matches = _split(texts, outer, (*outside, "Content"))
    inside, are_records = split_records(
        fields["Content"].fill_null(""), records, tuple(name for name in names if name not in outside)
    )
    return fields.select(outside).hstack(inside).select(names), matches & are_records


def without_colors(texts: pl.Series) -> pl.Series:
    """Return the texts without what colors a terminal or names its window."""
    if not texts.str.contains("\x1b", literal=True).any():
        return texts
    return texts.str.replace_all(_COLORS, "")


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
