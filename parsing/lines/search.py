"""The header of a log that nobody described, found step by step: the time, what stands before it, what comes after.

Every step adds a literal and a field that nearly all lines have: a level, something in brackets, a number, a word that
ends with a colon or another separator, or plain words on the way to one of these. The rest of the line is the message.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from parsing.lines.layouts import CLOCK, EPOCH, Found, commonest_layouts, find_clock, find_time

NEARLY_ALL = 0.95  # share of the lines with a time that have a field, else it is left in the message
HAVE_TIMES = 0.8  # share of the lines that begin an event, where all of them have the same time at the same place
FEWEST_TIMES = 0.02  # share of the lines: of an outage most are traces
FEW = 200  # lines whose time may be of any kind; the others have one that these have
MOST_FIELDS = 16
FAR = 9  # words that are looked through for a level
LEVEL = (
    "(?i:trace|debug|info|information|notice|warn|warning|error|err|fatal|critical|crit|severe|failure|alert|emerg"
    "|emergency|panic|fine|finer|finest|config|verbose|log|statement|detail|hint)"
)
_LEVEL = rf"(?:{LEVEL}|[VDIWEFTC](?=[ /\]|]))"
_CLOSERS = r"[\])}>,;:|.*]*"
_BEFORE_MESSAGE = re.compile(rf"{_CLOSERS}(?:\t|(?: +[-:|]{{1,3}}(?= ))* +)?")


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


def search_format(lines: list[str]) -> tuple[str, tuple[str, ...]] | None:
    """Return the format of these lines and its fields up to the time, None if nothing but a message is found.

    Lines without a time are not asked: they belong to the line before. Where no line has a time, all are.
    """
    timed = _timed(lines, find_time) or _timed(lines, find_clock)
    draft = _with_time(timed) if timed else None
    names = tuple(draft.names) if draft else ()
    draft = draft or Draft("", lines, [])
    while len(draft.names) < MOST_FIELDS and _add_slot(draft):
        pass
    if not (names or {"Level", "Thread"} & set(draft.names)):
        return None
    return (draft.format + _last_literal(draft.rests) + "<Content>").replace("\t", "\\t"), names


def _timed(lines: list[str], find: Callable[..., Found | None]) -> list[tuple[str, Found]]:
    """Return the lines with the commonest kind of time, [] if these are too few."""
    kinds = tuple({one.dates for line in lines[:: len(lines) // FEW + 1] if (one := find(line))})
    wanted = partial(find, kinds=kinds) if all(kinds) and kinds else find
    found = [(line, one) for line in lines if (one := wanted(line))]
    if len(found) < FEWEST_TIMES * len(lines):
        return []
    kind = commonest_layouts([one for _, one in found])[0][:5]
    return [(line, one) for line, one in found if one.layouts[0][:5] == kind]


# ------------------------------------------------------------------------------------ the time and what is before it


def _with_time(timed: list[tuple[str, Found]]) -> Draft | None:
    """Return the draft up to the time, None if it stands at no one place."""
    shapes = Counter(_shape(line[: one.start]) for line, one in timed)
    shape, count = shapes.most_common(1)[0]
    if count < HAVE_TIMES * len(timed) or count == 1 < len(timed):
        return None
    timed = [(line, one) for line, one in timed if _shape(line[: one.start]) == shape]
    draft = Draft("", [line for line, _ in timed], [])
    prefixes = [line[: one.start] for line, one in timed]
    closing = _add_prefix(draft, prefixes)
    after = [line[one.end :] for line, one in timed]
    if closing is None:
        return None
    if closing and all(text.startswith(closing) for text in after):
        draft.add("", "Time", after)
    else:
        _add_time_fields(draft, timed, after)
    return draft


def _shape(prefix: str) -> tuple[int, str]:
    """Return what prefixes of one place have in common: the number of words and how they end."""
    return len(prefix.split()), re.sub(r"[\w.]+", "", prefix[-2:])


def _add_prefix(draft: Draft, prefixes: list[str]) -> str | None:
    """Add the fields before the time; return the bracket that closes the time, '' without one, None if it cannot be."""
    opener = prefixes[0][-1:] if prefixes[0][-1:] in "[(\"'" else ""
    heads = [prefix[: len(prefix) - len(opener)] for prefix in prefixes]
    if len(set(heads)) == 1 and not re.search(r"[\w<]", heads[0]):  # the same marks before every time
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
    if all(re.fullmatch(_LEVEL + "|[A-Z]", word) for word in words):
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
    has_clock, has_date = "%H" in word or "%I" in word, "%d" in word
    return "Timestamp" if has_clock and has_date else "Time" if has_clock else "Date" if has_date else "Zone"


# ----------------------------------------------------------------------------------------------------- what comes after


def _add_slot(draft: Draft) -> bool:
    """Add the next field that nearly all lines have; return whether there is one."""
    separator = r"(?P<literal>[\])}>,:;|.\-\s*#/]*"
    first = not draft.names
    slots = [
        ("Level", rf"{separator}[\[(]?)(?P<field>{_LEVEL})(?=[\s\])}}>:|,;/-])"),
        ("Component", rf"{separator}[\[(])(?P<field>[\w.$-]+)(?=:{_LEVEL}\])"),
        ("Thread", rf"(?P<literal>{_CLOSERS}[ \t]*(?:-+ +)?\[)(?P<field>.{{1,160}}?)(?=\](?:[\s:,|-]|$))"),
        ("Pid", rf"{separator}\(?)(?P<field> *[0-9]+)(?=[ \t]|[\])|:,;](?:[^0-9]|$))"),
        ("Component", r"(?P<literal>\t)(?P<field>[^\t]{1,60})(?=\t)"),
        ("Component", rf"{separator})(?P<field>[^\s:|,()]*[A-Za-z][^\s|,()]*)(?=\( *[0-9]+\): )"),
        ("Component", rf"{separator})(?P<field>[^\s:|,\[\]]*[A-Za-z][^\s|,\[\]]*)(?=\[[0-9]+\]: )"),
        ("Component", rf"{separator})(?P<field>[^\s:|,]*[A-Za-z][^\s|,]*?)(?= *(?:: |:$|\||::|\t| - ))"),
        ("Component", rf"{separator})(?P<field>[^\s:|,\[]*[A-Za-z][^\s|,\[]*)(?=\] )"),
        ("Thread", rf"(?P<literal>{_CLOSERS}[ \t]*(?:-+ +)?\()(?P<field>[^()]{{1,80}})(?=\)(?:[\s:,|-]|$))"),
        ("Component", r"(?P<literal>:)(?P<field>[^\s:|,]*[A-Za-z][^\s:|,]*)(?=:[^\s:])"),
        ("Component", r"(?P<literal>,)(?P<field>[^\s:|,]*[A-Za-z][^\s:|,]*)(?=,)"),
    ]
    for name, pattern in slots:
        if _try_slot(draft, name, pattern):
            return True
    word = rf"(?P<literal>{_CLOSERS}\s+)(?P<field>\S+)(?= )"
    if draft.names[-1:] == ["Time"] and "Day" in draft.names and _are_few(draft.rests):
        return _try_slot(draft, "Word", word)
    return not first and _leads_on(draft.rests) and _try_slot(draft, "Word", word)


def _are_few(rests: list[str]) -> bool:
    """Return whether the words after a syslog's time look like hosts: a few, each many times."""
    words = Counter(rest.split(maxsplit=1)[0] for rest in rests if rest.strip())
    return len(words) <= max(2, len(rests) / 20) and all(re.fullmatch(r"[\w.:-]+", word) for word in words)


def _try_slot(draft: Draft, name: str, pattern: str) -> bool:
    matches = [re.match(pattern, rest) for rest in draft.rests]
    if not draft.format:  # but a bracket no literal stands before the first field of a line
        matches = [match if match and match["literal"].strip() in ("", "[") else None for match in matches]
    literals = Counter(_blanks_alike(match["literal"]) for match in matches if match)
    if not literals:
        return False
    literal, count = literals.most_common(1)[0]
    if count < NEARLY_ALL * len(draft.rests) or "<" in literal or (draft.format and not literal):
        return False
    if name == "Component" and _is_said(matches):
        return False
    rests = [
        rest[match.end() :]
        for rest, match in zip(draft.rests, matches, strict=True)
        if match and _blanks_alike(match["literal"]) == literal
    ]
    draft.add(literal, _renamed(name, matches, draft.names), rests)
    return True


def _is_said(matches: list[re.Match | None]) -> bool:
    """Return whether words before a colon are rather what messages say: nearly every line has another."""
    values = [re.sub("[0-9]+", "0", match["field"]) for match in matches if match]
    return len(values) > 20 and len(set(values)) > len(values) / 2


def _blanks_alike(literal: str) -> str:
    return re.sub(" +", " ", literal)


def _blanks_inside_alike(literal: str) -> str:
    inside = literal.rstrip(" ")
    return _blanks_alike(inside) + literal[len(inside) :]


def _renamed(name: str, matches: list[re.Match | None], taken: list[str]) -> str:
    """Return the name of a field after the time, by its values and by what is taken."""
    values = [match["field"] for match in matches if match]
    if name == "Thread" and all(value.isdigit() for value in values):
        name = "Pid"
    if name == "Pid" and name in taken:
        return "Tid" if "Tid" not in taken else "Number"
    if name == "Word":
        if all(re.fullmatch("UTC|GMT|MSK|CES?T|[A-Z]{1,3}[SD]T", value) for value in values):
            return "Zone"
        return "Host" if "Level" not in taken and not {"Month", "Timestamp"}.isdisjoint(taken) else "Component"
    return name


def _leads_on(rests: list[str]) -> bool:
    """Return whether, after some plain words, nearly all lines have a level, a bracket or a word with a colon."""
    words = [re.sub(rf"^{_CLOSERS}\s*", "", rest).split(maxsplit=FAR)[:FAR] for rest in rests]
    anchors = (
        (rf"[\[(]?{LEVEL}[\])]?:?,?", FAR, True),
        (r"\[.*", 3, False),
        (r"\S*[A-Za-z]\S*:", 3, False),
    )
    for pattern, far, is_level in anchors:
        places = Counter(_first_place(line[:far], pattern) for line in words)
        place, count = places.most_common(1)[0]
        if place and count >= NEARLY_ALL * len(rests) and (not is_level or _says_level(words, place)):
            return True
    return sum(bool(re.match(rf"{_CLOSERS}\s+\S+ {{2,}}\S", rest)) for rest in rests) >= NEARLY_ALL * len(rests)


def _says_level(words: list[list[str]], place: int) -> bool:
    """Return whether the words at a place are written as levels are: not among others in the middle of a sentence."""
    return all(word.strip("[]():,").isupper() or place < 3 for line in words for word in line[place : place + 1])


def _first_place(words: list[str], pattern: str) -> int | None:
    return next((place for place, word in enumerate(words) if re.fullmatch(pattern, word)), None)


def _last_literal(rests: list[str]) -> str:
    """Return what separates the last field from the message, as most lines have it."""
    literals = Counter(_blanks_inside_alike(match[0]) for rest in rests if (match := _BEFORE_MESSAGE.match(rest)))
    shortest = min((literal for literal in literals if literal), key=len, default=" ")
    common, count = literals.most_common(1)[0]
    return common if common and count >= NEARLY_ALL * len(rests) else shortest
