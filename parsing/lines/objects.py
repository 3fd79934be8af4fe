"""JSON objects, one a line: the values under some keys, decoded a block at a time."""

import json

import numpy as np
import polars as pl

_FEW = 16  # lines that are decoded one by one where one of them cannot be decoded at once

Keys = tuple[str, ...]  # joined by a blank


def split_objects(texts: pl.Series, sources: dict) -> tuple[pl.DataFrame, pl.Series]:
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
    return pl.coalesce([joined([_leaf(key) for key in keys]) for keys in alternatives])


def _leaf(key: str) -> pl.Expr:
    first, *inner = key.split(".")
    nested = pl.col(first)
    for part in inner:
        nested = nested.struct.field(part)
    return pl.coalesce(pl.col(key), nested) if inner else nested


def joined(values: list[pl.Expr]) -> pl.Expr:
    """Return the values that are there, with a blank between; null where none is."""
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
