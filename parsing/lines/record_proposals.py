"""A format for a log whose lines are records: which kind they are, and where their message is."""

import re

import polars as pl

from core.errors import BadInput
from parsing.lines.layouts import EPOCH, find_time
from parsing.lines.objects import keys_of, read_object, value_of
from parsing.lines.prefixes import LEVEL
from parsing.lines.records import JSON, LOGFMT, NAMES, TABLE

ENOUGH = 0.8  # share of the lines that are such records
FEW = 200  # objects whose values say what their keys hold
SHOWN = 20  # keys in a sentence
_PAIRS = re.compile(r'\s*(?:[A-Za-z_@][\w.@/-]*=(?:"(?:[^"\\]|\\.)*"|[^\s"]*)(?:\s+|$)){2,}')
_PAIR_KEY = re.compile(r'(?:^|\s)([A-Za-z_@][\w.@/-]*)=("(?:[^"\\]|\\.)*"|[^\s"]*)')
_HEAD = re.compile(r'"?[A-Za-z_@][\w .()/@-]*"?')
_MESSAGES = ("message", "msg", "content", "text", "description", "event", "log", "info", "details")


def propose_records(texts: list[str]) -> str | None:
    """Return the format of these lines if they are records, None if they are something else.

    Raise BadInput for objects that have neither a message that is known as one nor a time.
    """
    return _table(texts) or _json(texts) or _logfmt(texts)


def propose_messages(texts: list[str]) -> str | None:
    """Return the format of what follows headers if it is objects, or pairs with a known message; else None."""
    try:
        return _json(texts) or (LOGFMT if _logfmt(texts) == LOGFMT else None)
    except BadInput:
        return None


def _json(texts: list[str]) -> str | None:
    """Return the format of objects; lines between them that have no time, such as traces, do not count."""
    read = [read_object(text) for text in texts]
    objects = [record for record in read if record is not None]
    if 2 * len(objects) <= len(texts):
        return None
    rivals = sum(find_time(text) is not None for text, one in zip(texts, read, strict=True) if one is None)
    if len(objects) < ENOUGH * (len(objects) + rivals):
        return None
    values = _values(objects)
    named = {name: key for name in NAMES if (key := _key_of(name, objects, values))}
    said = (*((named[name],) for name in ("Content",) if name in named), *_alternatives("Content"))
    if not any(value_of(one, said) for one in objects):
        if "Timestamp" not in named:
            raise BadInput(no_message(JSON, keys_of(objects)))
        named["Content"] = ",".join(_varying(values))
    plain = {name: alternatives[:5] for name, alternatives in NAMES.items()}
    return " ".join([JSON, *(f"{name}={key}" for name, key in sorted(named.items()) if key not in plain[name])])


def _values(objects: list[dict]) -> dict[str, list[str]]:
    """Return by key what some of the objects have there, '' where it is missing; no key that a format cannot name."""
    some = objects[:: len(objects) // FEW + 1]
    keys = [key for key in keys_of(some) if not re.search("[ =,]", key)]
    return {key: [value_of(one, ((key,),)) or "" for one in some] for key in keys}


def _alternatives(name: str) -> tuple[tuple[str], ...]:
    return tuple((key,) for key in NAMES[name])


def _key_of(name: str, objects: list[dict], values: dict[str, list[str]]) -> str | None:
    """Return the one key under which objects have a field, of those that are not known the first that fits it.

    None where they have it under different known keys, or not at all.
    """
    firsts = {
        next((key for (key,) in _alternatives(name) if value_of(one, ((key,),)) is not None), None) for one in objects
    }
    firsts.discard(None)
    if firsts:
        return firsts.pop() if len(firsts) == 1 else None
    return next(
        (key for key, texts in values.items() if _fits(name, key, [text for text in texts if text], texts)), None
    )


def _fits(name: str, key: str, said: list[str], texts: list[str]) -> bool:
    """Return whether a key that is not known holds a field: a time and a level by its values, a message by its name."""
    if len(said) < ENOUGH * len(texts):
        return False
    if name == "Timestamp":
        return all(_is_whole_time(text) for text in said)
    last = key.rpartition(".")[2].lower()
    if name == "Level":
        return last in NAMES["Level"] or all(re.fullmatch(f"{LEVEL}[0-9]?", text) for text in said)
    return name == "Content" and last in _MESSAGES[:5]


def _is_whole_time(text: str) -> bool:
    found = find_time(text)
    return found is not None and found.start == 0 and re.fullmatch(r"(?: ?[A-Z]{1,4})?", text[found.end :]) is not None


def _varying(values: dict[str, list[str]]) -> list[str]:
    """Return the keys that say what happens: of objects these are the ones that differ now and then, but for ids."""
    most = max(10, max(map(len, values.values())) / 2)
    telling = []
    for key, texts in values.items():
        kinds = {re.sub("[0-9]+", "0", text) for text in texts}
        few = len({*texts}) > 1 and len(kinds) <= most and (len(kinds) > 1 or len({*texts}) <= most)
        if few and not _is_time(key, pl.Series(texts)) and not any(text[:1] in ("[", "{") for text in texts):
            telling.append(key)
    return telling or list(values)


def no_message(kind: str, keys: list[str]) -> str:
    """Return the sentence that asks for the key of the message."""
    shown = ", ".join(keys[:SHOWN]) + ", ..." * (len(keys) > SHOWN)
    return (
        f"No line has a message: its records hold {shown}; name the key that is the message, and others where you want "
        f"them, such as --format '{kind} Content={keys[0] if keys else 'message'}' (Timestamp=, Level= likewise; a dot "
        "leads into an object, a comma joins two keys)."
    )


def _logfmt(texts: list[str]) -> str | None:
    if sum(_PAIRS.match(text) is not None for text in texts) < ENOUGH * len(texts):
        return None
    records = [{key: value.strip('"') for key, value in _PAIR_KEY.findall(text)} for text in texts]
    words = [LOGFMT]
    if not any(_says(records, key) for key in NAMES["Content"]):
        words.append(f"Content={','.join(_telling(records))}")
    return " ".join(words)


def _says(records: list[dict[str, str]], key: str) -> bool:
    """Return whether nearly all records have a message under a key: words, or one of a few, and no id."""
    values = [value for record in records if (value := record.get(key))]
    are_words = any(" " in value for value in values) or len(set(values)) <= max(10, len(values) / 2)
    return len(values) >= ENOUGH * len(records) and are_words


def _table(texts: list[str]) -> str | None:
    """Return the format of a table with a head: W3C and Zeek name their fields in a comment, CSV in its first row."""
    head = next((text for text in texts[:20] if re.match("#(?i:fields)", text)), None)
    rows = [text for text in texts if not text.startswith("#")]
    if head:
        separator = "\t" if "\t" in head else " "
        names = re.sub(r"^#\w+:?\s*", "", head).split(separator if separator == "\t" else None)
    else:
        separator = max(",;\t|", key=lambda one: rows[0].count(one) if rows else 0)
        names, rows = (rows[0].split(separator), rows[1:]) if rows else ([], [])
        if len(names) < 3 or len({*names}) < len(names) or not all(_HEAD.fullmatch(name.strip()) for name in names):
            return None
    columns = [_column(name, place) for place, name in enumerate(names)]
    cells = [row for text in rows if len(row := _cells(text, separator)) == len(columns)]
    if not rows or len(cells) < ENOUGH * len(rows) or len({*columns}) < len(columns):
        return None
    records = [dict(zip(columns, row, strict=True)) for row in cells]
    message = next((name for wanted in _MESSAGES for name in columns if name.lower() == wanted), None)
    keys = [message] if message else _telling(records)
    named = "" if keys == ["Content"] else f" Content={','.join(keys)}"
    return f"{TABLE} {separator.join(f'<{name}>' for name in columns)}{named}".replace("\t", "\\t")


def _column(name: str, place: int) -> str:
    """Return the name of a column as a field may have it."""
    plain = re.sub(r"\W+", "_", name.strip().strip('"')).strip("_")
    return plain if re.match("[A-Za-z_]", plain) and plain != "line" else f"Column{place + 1}"


def _cells(text: str, separator: str) -> list[str]:
    if '"' not in text:
        return text.split(separator)
    found = re.findall(rf'(?:^|{re.escape(separator)})("(?:[^"]|"")*"|[^{re.escape(separator)}]*)', text)
    return [cell.strip('"') for cell in found]


def _telling(records: list[dict[str, str]]) -> list[str]:
    """Return the keys whose values say what happens: no times, and no ids, which differ in nearly every record."""
    keys = list(dict.fromkeys(key for record in records for key in record))
    telling = []
    for key in keys:
        values = pl.Series([record.get(key) or "" for record in records])
        kinds = values.str.replace_all("[0-9]+", "0").n_unique()
        if not _is_time(key, values) and (kinds <= max(10, len(values) / 2)):
            telling.append(key)
    return telling or keys


def _is_time(key: str, values: pl.Series) -> bool:
    """Return whether a column holds times, or a part of them."""
    said = [value for value in values.head(20) if value]
    times = [find_time(value) for value in said]
    if said and all(
        one and (one.layouts != (EPOCH,) or one.end == len(value)) for one, value in zip(times, said, strict=True)
    ):
        return True
    return key.lower() in ("date", "time", "timestamp") or all(
        re.fullmatch(r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}|[0-9]{1,2}:[0-9]{2}(:[0-9.]+)?", one) for one in said
    )
