"""Header formats in Loghub's notation (`<Date> <Time> <Level> <Component>: <Content>`), their fields and their times.

Blank means space here; a tab or other ASCII white space only ever ends a field. Between two fields a blank of the
format stands for one or more in the line, since syslog pads days and others pad levels; before <Content> for one.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import polars as pl

from core.errors import BadInput

JSON = "json"  # the format of logs with one JSON object a line
JSON_NAMES = {
    "Timestamp": ("timestamp", "time", "ts", "@timestamp"),
    "Level": ("level", "severity"),
    "Component": ("component", "logger", "module", "service"),
    "Content": ("message", "msg", "log", "content", "event"),
}
NO_YEAR = 1904  # the year of times such as syslog's, which name none: a leap year, so that 29 February can be read

_DATES = ("%Y-%m-%dT", "%Y-%m-%d ", "%y/%m/%d ", "%Y/%m/%d ")  # %y before %Y, which reads "08" as the year 8
_FRACTIONS_ZONES = (".%f", ".%f%z", ".%f %z", ",%f", ",%f%z", ",%f %z")
LAYOUTS = (
    *(f"{date}%H:%M:%S{rest}" for date in _DATES for rest in _FRACTIONS_ZONES),
    "%Y-%m-%d-%H.%M.%S.%f",  # BGL
    "%d/%b/%Y:%H:%M:%S %z",  # Apache access
    "[%d/%b/%Y:%H:%M:%S %z]",
    "%a %b %d %H:%M:%S.%f %Y",  # Apache error
    "%y%m%d %H%M%S",  # HDFS
    "%Y%m%d %H%M%S",
    "epoch",
    "%b %d %H:%M:%S",  # syslog
)
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
ENOUGH = 0.8  # share of the lines that a proposed format or time has to read

_FIELD = re.compile(r"<([^<>]*)>")
_OTHER_BLANK = r"[\t-\r]"
_NON_BLANK = r"[^\t-\r ]"
_SECONDS = (-62_135_596_800, 253_402_300_799)  # years 1 to 9999


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


def recipe_fields(recipe: str) -> tuple[str, ...]:
    """Return the fields that a time recipe reads; raise BadInput if it is no recipe."""
    return _read_recipe(recipe)[1]


def timestamps(fields: pl.DataFrame, recipe: str) -> pl.Series:
    """Return the Datetime("us") of each row, null where it cannot be read; UTC if it names a zone, else as written.

    `recipe` is "epoch:<Field>" (seconds since 1970, integer or decimal) or "<strptime format> of <Field> [<Field> ...]"
    (the fields joined by a blank), where %f after '.' or ',' is a fraction of any length that may be missing, and %z
    also takes 'Z'. Times without a year get `NO_YEAR`. Raise BadInput for any other recipe.
    """
    format, names = _read_recipe(recipe)
    if not set(names) <= set(fields.columns):
        raise BadInput(f"The time {recipe!r} reads fields that are not among {', '.join(fields.columns)}: name these.")
    if format is None:
        seconds = fields[names[0]].cast(pl.Float64, strict=False)
        seconds = seconds.set(~seconds.is_between(*_SECONDS).fill_null(False), None)
        return (seconds * 1e6).round().cast(pl.Int64).cast(pl.Datetime("us")).alias("timestamp")
    return _parse_times(fields.select(timestamp=pl.concat_str(names, separator=" ")).to_series(), format)


def _read_recipe(recipe: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the strptime format (None for epoch seconds) and the fields."""
    kind, _, name = recipe.partition(":")
    if kind == "epoch" and name and " " not in name:
        return None, (name,)
    format, _, names = recipe.rpartition(" of ")
    if not names.split() or not _reads_own_times(format):
        raise BadInput(
            f"The time {recipe!r} cannot be used; write 'epoch:Field' for seconds since 1970, or a strptime format "
            "that has at least month and day and then the fields, such as '%Y-%m-%d %H:%M:%S of Date Time'."
        )
    return format, tuple(names.split())


@cache
def _reads_own_times(format: str) -> bool:
    """Return whether a day survives writing and reading by `format`; Polars reads a wrong format as nulls."""
    if re.search("(?<![.,])%f", format):  # Polars takes it for nanoseconds, everyone else for a fraction
        return False
    written = pl.Series([datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)])
    try:
        texts = written.dt.strftime(format.replace(".%f", "%.6f").replace(",%f", ",%6f"))
        read = _parse_times(texts, format).item()
    except pl.exceptions.PolarsError:
        return False
    return read is not None and (read.month, read.day) == (2, 3)


def _parse_times(texts: pl.Series, format: str) -> pl.Series:
    if ",%f" in format:  # chrono knows fractions of any length only after a point
        texts, format = texts.str.replace_all(",", ".", literal=True), format.replace(",", ".")
    format = format.replace(".%f", "%.f").replace("%z", "%#z")
    if not re.search("%[YyCGgDFxcvs+]", format):
        texts, format = (f"{NO_YEAR} " + texts), f"%Y {format}"
    times = texts.str.to_datetime(format, time_unit="us", strict=False)
    return times.dt.replace_time_zone(None)


def guess_time(header: Header, sample: pl.DataFrame) -> str | None:
    """Return the first recipe of `LAYOUTS` that reads `ENOUGH` of the first 100 rows in neighboring fields, or None."""
    sample = sample.head(100)
    names = [name for name in header.fields[:-1] if name in sample.columns]
    for layout in LAYOUTS if len(sample) else ():
        for width in sorted({1, layout.count(" ") + 1}):
            for start in range(len(names) - width + 1):
                chosen = names[start : start + width]
                recipe = f"epoch:{chosen[0]}" if layout == "epoch" else f"{layout} of {' '.join(chosen)}"
                years = timestamps(sample, recipe).dt.year()
                plausible = years.is_between(1980, 2099) | ((years == NO_YEAR) & (layout == LAYOUTS[-1]))
                if plausible.sum() >= ENOUGH * len(sample):
                    return recipe
    return None


def propose_format(lines: list[str]) -> str | None:
    """Return 'json' or the format of `PROPOSALS` that reads most lines, None below `ENOUGH`; ties go to more fields.

    A line counts if it matches, its time can be read and its fields look like their names (`SHAPES`). Levels and days
    padded with a second blank are also tried.
    """
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
