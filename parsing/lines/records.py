"""Logs whose lines are records: JSON objects, logfmt (key=value) or tables (CSV, tabs, W3C), with fields named by key.

A format is the kind, for a table its columns, and what is named by key: `json Content=fields.message Trace=trace.id`,
`logfmt Content=msg`, `csv <time>,<level>,<text> Content=text`. A dot leads into an object, unless a key has it in its
name; several keys with commas between are joined by a blank.
"""

import json
import re
from dataclasses import dataclass

import numpy as np
import polars as pl

from core.errors import BadInput

JSON, LOGFMT, TABLE = "json", "logfmt", "csv"
NAMES = {  # by the field, where programs keep it, the first that an object has
    "Timestamp": (
        "timestamp", "time", "ts", "@timestamp", "@t", "timeUnixNano", "observedTimeUnixNano", "__REALTIME_TIMESTAMP",
        "t", "datetime", "date",
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
_FEW = 16  # lines that are decoded one by one where one of them cannot be decoded at once
_PAIR = r'(?:^|\s){}=(?:"((?:[^"\\]|\\.)*)"|([^\s"]*))'

Keys = tuple[str, ...]  # joined by a blank


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
    split = {JSON: _split_json, LOGFMT: _split_pairs, TABLE: _split_table}[records.kind]
    return split(texts, {name: records.sources[name] for name in names}, records)


# ---------------------------------------------------------------------------------------------------------------- JSON


def _split_json(texts: pl.Series, sources: dict, _: Records) -> tuple[pl.DataFrame, pl.Series]:
    """Decode whole blocks of plain objects at once, and the rest one by one; both ways give the same texts."""
    plain = texts.str.starts_with("{") & texts.str.ends_with("}") & ~texts.str.contains(r"\\u[dD]")
    quick, rows = texts.filter(plain), plain.arg_true()
    found, whole = _present(quick, sources)
    parts, done = [], np.zeros(len(texts), bool)
    nothing = pl.lit(None, pl.String)
    firsts = [(_first_of(found[name]) if found[name] else nothing).alias(name) for name in sources]
    for start, frame in _decoded(quick, found):
        part = frame.select(*firsts, rows[start : start + len(frame)].alias("row"))
        part = part.drop_nulls([name for name in sources if not whole[name]])
        parts.append(part)
        done[part["row"].to_numpy()] = True
    left = [(int(row), read_object(texts[int(row)])) for row in np.flatnonzero(~done)]
    slow = [(row, record) for row, record in left if record is not None]
    values = {name: [value_of(record, sources[name]) for _, record in slow] for name in sources}
    schema = dict.fromkeys(sources, pl.String) | {"row": pl.UInt32}
    parts.append(pl.DataFrame(values | {"row": [row for row, _ in slow]}, schema=schema))
    every = pl.concat([part.select(schema.keys()).cast(schema) for part in parts])
    if len(parts) > 2 or slow:
        every = every.sort("row")
    matches = np.zeros(len(texts), bool)
    matches[every["row"].to_numpy()] = True
    if len(every) < len(texts):
        every = pl.DataFrame({"row": pl.int_range(len(texts), dtype=pl.UInt32, eager=True)}).join(
            every, on="row", how="left", maintain_order="left"
        )
    return every.select(pl.col(list(sources)).fill_null("")), pl.Series(matches)


def _present(texts: pl.Series, sources: dict) -> tuple[dict[str, list[Keys]], dict[str, bool]]:
    """Return the alternatives that some text may have, up to one that all have, and whether none was left out."""
    found: dict[str, list[Keys]] = {}
    whole: dict[str, bool] = {}
    for name, alternatives in sources.items():
        found[name], whole[name] = [], True
        for place, keys in enumerate(alternatives):
            last = keys[0].rpartition(".")[2]
            has = texts.str.contains(f'"{last}"', literal=True) if len(alternatives) > 1 else pl.Series([True])
            if has.any():
                found[name].append(keys)
            if has.all() and has.any():
                whole[name] = place == len(alternatives) - 1
                break
    return found, whole


def _decoded(texts: pl.Series, found: dict[str, list[Keys]]) -> list[tuple[int, pl.DataFrame]]:
    """Return stretches of the texts that decode, by their first row; halves where a whole does not, down to a few."""
    keys = [key for alternatives in found.values() for one in alternatives for key in one]
    schema, stretches, left = _schema(keys), [], [(0, len(texts))]
    while left and schema is not None:
        start, count = left.pop()
        try:
            frame = texts.slice(start, count).str.json_decode(schema).struct.unnest() if count else pl.DataFrame()
            stretches += [(start, frame)] * (len(frame) > 0)
        except pl.exceptions.PolarsError:
            if count > _FEW:
                left += [(start, count // 2), (start + count // 2, count - count // 2)]
            elif count > 1:
                left += [(row, 1) for row in range(start, start + count)]
    return stretches


def _schema(keys: list[str]) -> pl.Struct | None:
    """Return the type that holds these keys and nothing else; None if one of them is a value and holds others, too."""
    tree: dict = {}
    for key in keys or ["message"]:
        *outer, last = key.split(".")
        place = tree
        for part in outer:
            place = place.setdefault(part, {})
            if place is None:
                return None
        if place.setdefault(last, None) is not None:
            return None
        if outer:
            tree.setdefault(key, None)
    return _struct(tree)


def _struct(tree: dict) -> pl.Struct:
    return pl.Struct({name: pl.String if inner is None else _struct(inner) for name, inner in tree.items()})


def _first_of(alternatives: list[Keys]) -> pl.Expr:
    return pl.coalesce([_joined([_leaf(key) for key in keys]) for keys in alternatives])


def _leaf(key: str) -> pl.Expr:
    first, *inner = key.split(".")
    nested = pl.col(first)
    for part in inner:
        nested = nested.struct.field(part)
    return pl.coalesce(pl.col(key), nested) if inner else nested


def _joined(values: list[pl.Expr]) -> pl.Expr:
    if len(values) == 1:
        return values[0]
    text = pl.concat_str(values, separator=" ", ignore_nulls=True)
    return pl.when(pl.any_horizontal([value.is_not_null() for value in values])).then(text)


def read_object(text: str) -> dict | None:
    """Return the object of a line, of a key that comes twice the first value; None if it is none."""
    try:
        value = json.loads(text, object_pairs_hook=_first_values)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _first_values(pairs: list[tuple[str, object]]) -> dict:
    found: dict = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found


def value_of(record: dict, alternatives: tuple[Keys, ...]) -> str | None:
    """Return the first of the alternatives that an object has, as text."""
    inside = {keys[0].rpartition(".")[0] for keys in alternatives}
    for keys in alternatives:
        values = [_lookup(record, key) for key in keys]
        if keys[0] in inside and isinstance(values[0], dict):
            continue
        texts = [_as_text(value) for value in values if value is not None]
        if texts:
            return " ".join(texts)
    return None


def _lookup(record: dict, key: str) -> object:
    value: object = record.get(key)
    if value is None and "." in key:
        value = record
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    return value


def _as_text(value: object) -> str:
    if isinstance(value, float) and np.isfinite(value):
        return np.format_float_positional(value, trim="-")
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace").decode()  # JSON can spell half a surrogate pair, which no column can hold


def keys_of(records: list[dict]) -> list[str]:
    """Return the keys of objects, with dots into those inside, in the order in which they come."""
    found: dict[str, None] = {}

    def walk(record: dict, before: str) -> None:
        for key, value in record.items():
            if isinstance(value, dict) and before.count(".") < 3:
                walk(value, f"{before}{key}.")
            else:
                found.setdefault(f"{before}{key}")

    for record in records:
        walk(record, "")
    return list(found)


# ---------------------------------------------------------------------------------------------------- logfmt and tables


def _split_pairs(texts: pl.Series, sources: dict, _: Records) -> tuple[pl.DataFrame, pl.Series]:
    frame = texts.alias("text").to_frame()
    columns = []
    for name, alternatives in sources.items():
        values = [_joined([_pair(key) for key in keys]) for keys in alternatives]
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
    columns = [_joined([pl.col(key) for key in keys]).fill_null("").alias(name) for name, (keys,) in sources.items()]
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
