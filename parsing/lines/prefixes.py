"""The beginning of a header that is being found: the time, and the fields before it."""

import re
from collections import Counter
from dataclasses import dataclass

from parsing.lines.layouts import CLOCK, EPOCH, Found

NEARLY_ALL = 0.95  # share of the lines with a time that have a field, else it is left in the message
HAVE_TIMES = 0.6  # share of the lines that begin an event, where all of them have the same time at the same place
LEVEL = (
    "(?i:trace|debug|info|information|notice|warn|warning|error|err|fatal|critical|crit|severe|failure|alert|emerg"
    "|emergency|panic|fine|finer|finest|config|verbose|log|statement|detail|hint)"
)
ANY_LEVEL = rf"(?:(?:{LEVEL}|(?i:note|system|context))[0-9]?|[VDIWEFTC](?=[ /\]|]))"


@dataclass
class Draft:
    """A header being found: the format so far, and of each line what is left."""

    format: str
    rests: list[str]
    names: list[str]

    def add(self, literal: str, name: str, rests: list[str]) -> None:
        """Add a field; a name that is taken gets a number."""
        number = sum(re.fullmatch(rf"{name}[0-9]*", one) is not None for one in self.names)
        self.names.append(f"{name}{number + 1}" if number else name)
        self.format += f"{literal}<{self.names[-1]}>"
        self.rests = rests


def with_time(timed: list[tuple[str, Found]]) -> Draft | None:
    """Return the draft up to the time, None if it stands at no one place."""
    shapes = Counter(_shape(line[: one.start]) for line, one in timed)
    shape, count = shapes.most_common(1)[0]
    if count < HAVE_TIMES * len(timed) or count == 1 < len(timed):
        return None
    timed = [(line, one) for line, one in timed if _shape(line[: one.start]) == shape]
    timed, are_records = _of_first_key(timed)
    draft = Draft("", [line for line, _ in timed], [])
    prefixes = [line[: one.start] for line, one in timed]
    closing = _add_prefix(draft, prefixes, are_records)
    after = [line[one.end :] for line, one in timed]
    if closing is None:
        return None
    if closing and all(text.startswith(closing) for text in after):
        in_quotes = closing not in "])"
        draft.add("", "Time", [text[in_quotes:] for text in after])
        draft.format += closing * in_quotes
    else:
        _add_time_fields(draft, timed, after)
    return draft


def _of_first_key(timed: list[tuple[str, Found]]) -> tuple[list[tuple[str, Found]], bool]:
    """Return the lines that begin records of several lines, and whether these are such records.

    Their times have lines of their own: `Start-Date: ...` begins a record, `End-Date: ...` is one more of its lines.
    """
    alone = sum(not line[one.end :].strip() for line, one in timed)
    if alone < NEARLY_ALL * len(timed):
        return timed, False
    key = timed[0][0][: timed[0][1].start]
    return [(line, one) for line, one in timed if line[: one.start] == key], "<" not in key


def stands_alone(draft: Draft) -> bool:
    """Return whether nothing follows the time: what a record says is on its other lines."""
    return draft.names[-1:] in (["Time"], ["Timestamp"]) and not any(rest.strip() for rest in draft.rests)


def _shape(prefix: str) -> tuple[int, str]:
    """Return what prefixes of one place have in common: the number of words and how they end."""
    return len(prefix.split()), re.sub(r"[\w.]+", "", prefix[-2:])


def _add_prefix(draft: Draft, prefixes: list[str], are_records: bool) -> str | None:
    """Add the fields before the time; return the bracket that closes the time, '' without one, None if it cannot be."""
    opener = prefixes[0][-1:] if prefixes[0][-1:] in "[(\"'" else ""
    heads = [prefix[: len(prefix) - len(opener)] for prefix in prefixes]
    is_key = are_records or not re.search(r"[\w<]", heads[0])
    if len(set(heads)) == 1 and is_key:  # the same marks before every time
        draft.format += heads[0] + opener
        return {"[": "]", "(": ")"}.get(opener, opener)
    separator = _separator(heads)
    if separator is None:
        return None
    if separator:
        parts = [re.sub(r"\s+", " ", head).removesuffix(separator).split(separator) for head in heads]
        parts = [[part.strip() for part in one if part or separator != " "] for one in parts]
        if len({len(one) for one in parts}) > 1:
            return None
        literal = ""
        for column in zip(*parts, strict=True):
            literal = _add_word(draft, literal, list(column)) + separator
        draft.format += literal
    elif heads[0]:  # glued to the time: the level of klog, the priority of syslog
        name = "Level" if re.fullmatch("[A-Z]", heads[0]) else "Priority"
        draft.add("", name, draft.rests)
    draft.format += opener
    return {"[": "]", "(": ")"}.get(opener, opener)


def _separator(heads: list[str]) -> str | None:
    """Return what separates the fields before the time; '' if there is none or it is glued, None if they differ."""
    glued = "[A-Z]|<[0-9]+>"
    if all(not head for head in heads) or all(re.fullmatch(glued, head) for head in heads):
        return ""
    if all(head.endswith((" ", "\t")) for head in heads):
        return " "
    ends = {re.sub(r"^.*[\w\])}>\"']", "", re.sub(r"\s+", " ", head)) for head in heads}
    if len(ends) > 1:
        return None
    (end,) = ends
    return end or None


def _add_word(draft: Draft, literal: str, words: list[str]) -> str:
    """Add a word before the time with its punctuation as literal; return the literal after it."""
    if all(re.fullmatch(r"[|>*:=]+", word) for word in words) and len(set(words)) == 1 and "<" not in words[0]:
        return literal + words[0]
    before = _shared(words, r"^[\[(|]+")
    after = _shared(words, r"[\])|:,;]+$")
    cores = [word[len(before) : len(word) - len(after)] for word in words]
    if not all(cores):
        before, after, cores = "", "", words
    draft.add(literal + before, _name_of(cores, len(draft.names)), draft.rests)
    return after


def _shared(words: list[str], pattern: str) -> str:
    """Return what the pattern finds if it is the same in every word."""
    found = {match[0] if (match := re.search(pattern, word)) else "" for word in words}
    return found.pop() if len(found) == 1 else ""


def _name_of(words: list[str], place: int) -> str:
    """Return a name for a field by its values."""
    if all(re.fullmatch(LEVEL + "|[A-Z]", word) for word in words):
        return "Level"
    if all(re.fullmatch(r"<[0-9]+>[0-9]?", word) for word in words):
        return "Priority"
    if all(re.fullmatch(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}|[0-9a-f:]*::?[0-9a-f:]*", word) for word in words):
        return "Host"
    if all(re.fullmatch("[0-9]+", word) for word in words):
        return "Number"
    return "Source" if place == 0 else "Field"


def _add_time_fields(draft: Draft, timed: list[tuple[str, Found]], after: list[str]) -> None:
    """Add the words of the time as fields."""
    layout = max((one.weekday + one.layouts[0] for _, one in timed), key=len)
    words = layout.split(" ")
    if layout == CLOCK:
        draft.add("", "Time", after)
        return
    if layout == EPOCH or len(words) == 1:
        draft.add("", "Date" if layout.startswith("%m%d") else "Timestamp", after)
        return
    literal = ""
    for word in words:
        draft.add(literal, _name_of_part(word, len(words)), after)
        literal = " "


def _name_of_part(word: str, count: int) -> str:
    names = {"%b": "Month", "%B": "Month", "%d": "Day", "%d,": "Day", "%Y": "Year", "%p": "Half", "%z": "Zone"}
    names |= {"%a": "Weekday", "%A": "Weekday", "%a,": "Weekday", "%A,": "Weekday", "UTC": "Zone", "-": "Dash"}
    if word in names:
        return names[word]
    has_clock, has_date = "%H" in word or "%I" in word, re.search("%[dj]", word) is not None
    return "Timestamp" if has_clock and has_date else "Time" if has_clock else "Date" if has_date else "Zone"
