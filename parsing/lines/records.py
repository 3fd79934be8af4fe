"""Logs whose lines are records: JSON objects, logfmt (key=value) or tables (CSV, tabs, W3C), with fields named by key.

A format is the kind, for a table its columns, and what is named by key: `json Content=fields.message Trace=trace.id`,
`logfmt Content=msg`, `csv <time>,<level>,<text> Content=text`. A dot leads into an object, unless a key has it in its
name; several keys with commas between are joined by a blank.
"""

import re
from dataclasses import dataclass

import polars as pl

from core.errors import BadInput
from parsing.lines.objects import Keys, joined, split_objects

JSON, LOGFMT, TABLE = "json", "logfmt", "csv"
NAMES = {  # by the field, where programs keep it, the first that an object has
    "Timestamp": (
        "timestamp", "time", "ts", "@timestamp", "@t", "timeUnixNano", "observedTimeUnixNano", "__REALTIME_TIMESTAMP",
        "t.$date", "t", "datetime", "date",
    ),
    "Level": ("level", "severity", "severityText", "@l", "log.level", "levelname", "lvl", "PRIORITY"),
    "Component": (
        "component", "logger", "module", "service", "name", "target", "logger_name", "SYSLOG_IDENTIFIER",
    ),
    "Content": (
        "message", "msg", "log", "content", "event", "MESSAGE", "textPayload", "jsonPayload.message", "jsonPayload.msg",
        "fields.message", "body.stringValue", "body", "@m", "@mt", "RenderedMessage", "MessageTemplate",
        "short_message", "text",
    ),
}  # fmt: skip
_FORMAT = re.compile(rf"({JSON}|{LOGFMT}|{TABLE})(?: (.*))?", re.DOTALL)
_COLUMN = r"<([A-Za-z_][A-Za-z0-9_]*)>"
_PAIR = r'(?:^|\s){}=(?:"((?:[^"\\]|\\.)*)"|([^\s"]*))'


@dataclass(frozen=True)
class Records:
    """How fields are found in records: of each field the alternatives, of a table also columns and separator."""

    kind: str
    sources: dict[str, tuple[Keys, ...]]
    columns: tuple[str, ...] = ()
    separator: str = ""

    @property
    def notes(self) -> str:
        """The pattern of lines that are no records but belong to the format: of a table its head, and # lines."""
        if self.kind != TABLE:
            return ""
        names = (rf'"?{name.replace("_", "[^A-Za-z0-9]*")}"?' for name in self.columns)
        return rf"^#|^{re.escape(self.separator).join(names)}$"


def read_records(format: str) -> Records | None:
    """Return what a format says of records, None if it is the format of a header; raise BadInput for a wrong one."""
    parts = _FORMAT.fullmatch(format.replace("\\t", "\t"))
    if parts is None:
        return None
    kind, rest = parts[1], parts[2] or ""
    columns, separator = (), ""
    if kind == TABLE:
        head = re.match(rf"{_COLUMN}(?:([^\w<>\"])(?:{_COLUMN}\2)*{_COLUMN})?", rest)
        if not head or not head[2]:
            raise _wrong(format, "names no columns, such as csv <time>,<level>,<message>")
        columns, separator, rest = tuple(re.findall(_COLUMN, head[0])), head[2], rest[head.end() :]
    named: dict[str, tuple[Keys, ...]] = {}
    for word in rest.split():
        name, _, keys = word.partition("=")
        if not re.fullmatch(r"[A-Za-z_]\w*", name) or not keys or name == "line" or name in columns:
            raise _wrong(format, f"says {word!r}, which is no Field=key")
        named[name] = (tuple(keys.split(",")),)
    return Records(kind, _sources(format, kind, columns, named), columns, separator)


def _wrong(format: str, problem: str) -> BadInput:
    return BadInput(
        f"The format {format!r} {problem}; write it like 'json Content=fields.message', or try --format auto."
    )


def _sources(format: str, kind: str, columns: Keys, named: dict[str, tuple[Keys, ...]]) -> dict[str, tuple[Keys, ...]]:
    """Return of every field where it is, Content last."""
    if kind == TABLE:
        unknown = [key for (keys,) in named.values() for key in keys if key not in columns]
        if unknown:
            raise _wrong(format, f"names the column {unknown[0]!r}, which is not among {', '.join(columns)}")
        known: dict[str, tuple[Keys, ...]] = {name: ((name,),) for name in columns}
        if not {"Content"} & {*named, *columns}:
            raise _wrong(format, "does not say which columns are the message, such as Content=message")
    else:
        known = {name: tuple((key,) for key in keys) for name, keys in NAMES.items()}
    both = known | named
    return {name: both[name] for name in both if name != "Content"} | {"Content": both["Content"]}


def split_records(texts: pl.Series, records: Records, names: tuple[str, ...]) -> tuple[pl.DataFrame, pl.Series]:
    """Return the named fields of each text, '' where it has none, and whether the text is a record at all."""
    sources = {name: records.sources[name] for name in names}
    if records.kind == JSON:
        return split_objects(texts, sources)
    if records.kind == LOGFMT:
        return _split_pairs(texts, sources)
    return _split_table(texts, sources, records)


def _split_pairs(texts: pl.Series, sources: dict) -> tuple[pl.DataFrame, pl.Series]:
    frame = texts.alias("text").to_frame()
    columns = []
    for name, alternatives in sources.items():
        values = [joined([_pair(key) for key in keys]) for keys in alternatives]
        columns.append(pl.coalesce(values).fill_null("").alias(name))
    return frame.select(columns), texts.str.contains(r"^\S*[\w.@/-]+=")


def _pair(key: str) -> pl.Expr:
    groups = pl.col("text").str.extract_groups(_PAIR.format(re.escape(key)))
    quoted = groups.struct.field("1").str.replace_all(r"\\(.)", "${1}")
    return pl.coalesce(quoted, groups.struct.field("2"))


def _split_table(texts: pl.Series, sources: dict, records: Records) -> tuple[pl.DataFrame, pl.Series]:
    count, separator = len(records.columns), records.separator
    notes = texts.str.contains(records.notes)
    cells = texts.str.split_exact(separator, count - 1).struct.unnest()
    right = texts.str.count_matches(separator, literal=True) == count - 1
    cells.columns = list(records.columns)
    if (quoted := texts.str.contains('"', literal=True)).any():
        cells, right = _with_quotes(texts, cells, right, quoted, separator)
    columns = [joined([pl.col(key) for key in keys]).fill_null("").alias(name) for name, (keys,) in sources.items()]
    return cells.select(columns), right & ~notes


def _with_quotes(
    texts: pl.Series, cells: pl.DataFrame, right: pl.Series, quoted: pl.Series, separator: str
) -> tuple[pl.DataFrame, pl.Series]:
    """Return cells and which lines have all of them, those with quotes read as CSV has them."""
    escaped = re.escape(separator)
    cell = rf'("(?:[^"]|"")*"|[^{escaped}]*)'
    groups = texts.filter(quoted).str.extract_groups(f"^{escaped.join([cell] * len(cells.columns))}$").struct.unnest()
    rows = quoted.arg_true()
    inner = pl.all().str.replace('(?s)^"(.*)"$', "${1}").str.replace_all('""', '"', literal=True)
    plain = groups.select(inner)
    plain.columns = cells.columns
    cells = cells.with_columns(cells[name].scatter(rows, plain[name]) for name in cells.columns)
    return cells, right.scatter(rows, groups.to_series(0).is_not_null())
