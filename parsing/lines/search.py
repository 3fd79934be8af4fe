"""The header of a log that nobody described, found step by step: the time, what stands before it, what comes after.

Every step adds a literal and a field that nearly all lines have: a level, something in brackets, a number, a word that
ends with a colon or another separator, or plain words on the way to one of these. The rest of the line is the message.
"""

import re
from collections import Counter
from collections.abc import Callable
from functools import partial

from parsing.lines.layouts import Found, commonest_layouts, find_clock, find_time
from parsing.lines.prefixes import ANY_LEVEL, LEVEL, NEARLY_ALL, Draft, stands_alone, with_time

FEWEST_TIMES = 0.02  # share of the lines: of an outage most are traces
FEW = 200  # lines whose time may be of any kind; the others have one that these have
MOST_FIELDS = 16
FAR = 9  # words that are looked through for a level
MOSTLY = 0.8  # share of the words at one place that are levels: the others are, too
_CLOSERS = r"[\])}>,;:|.*]*"
_SEPARATOR = r"(?P<literal>[\])}>,:;|.\-\s*#/]*"
_LEVEL_ENDS = r"(?=[\s\])}>:|,;/\[-])"
_BEFORE_MESSAGE = re.compile(rf"{_CLOSERS}(?:\t|(?: +[-:|]{{1,3}}(?= ))* +)?")
_SLOTS = (  # the first that nearly all lines have is the next field
    ("Level", rf"{_SEPARATOR}[\[(]?)(?P<field>{ANY_LEVEL}){_LEVEL_ENDS}"),
    ("Level", rf"{_SEPARATOR}[\[(]?)(?P<field>[A-Za-z]+[0-9]?){_LEVEL_ENDS}"),  # most of them are, see _are_levels
    ("Component", rf"{_SEPARATOR}[\[(])(?P<field>[\w.$-]+)(?=:{ANY_LEVEL}\])"),
    ("Component", rf"{_SEPARATOR})(?P<field>[\w.$-]+)(?=:{ANY_LEVEL}:)"),
    ("Thread", rf"(?P<literal>{_CLOSERS}[ \t]*(?:-+ +)?\[)(?P<field>.{{1,160}}?)(?=\](?:[\s:,|-]|$))"),
    ("Pid", rf"(?P<literal>{_CLOSERS}[ \t]*\[)(?P<field>[0-9]+)(?=\][A-Za-z])"),
    ("Pid", rf"{_SEPARATOR}\(?)(?P<field> *[0-9]+)(?=[ \t]|[\])|:,;](?:[^0-9]|$))"),
    ("Component", r"(?P<literal>\t)(?P<field>[^\t]{1,60})(?=\t)"),
    ("Component", rf"{_SEPARATOR})(?P<field>[^\s:|,()]*[A-Za-z][^\s|,()]*)(?=\( *[0-9]+\): )"),
    ("Component", rf"{_SEPARATOR})(?P<field>[^\s:|,\[\]]*[A-Za-z][^\s|,\[\]]*)(?=\[[0-9]+\]:? )"),
    ("Component", r"(?P<literal>:)(?P<field>[^\s:|,]*[A-Za-z][^\s:|,]*)(?=:[^\s:])"),
    ("Component", rf"{_SEPARATOR})(?P<field>[^\s:|,]*[A-Za-z][^\s|,]*?)(?= *(?:: |\||::|\t| - )|:$)"),
    ("Component", rf"{_SEPARATOR})(?P<field>[^\s:|,\[]*[A-Za-z][^\s|,\[]*)(?=\] )"),
    ("Thread", rf"(?P<literal>{_CLOSERS}[ \t]*(?:-+ +)?\()(?P<field>[^()]{{1,80}})(?=\)(?:[\s:,|-]|$))"),
    ("Component", r"(?P<literal>,)(?P<field>[^\s:|,]*[A-Za-z][^\s:|,]*)(?=,)"),
)


def search_format(lines: list[str]) -> tuple[str, tuple[str, ...]] | None:
    """Return the format of these lines and its fields up to the time, None if nothing but a message is found.

    Lines without a time are not asked: they belong to the line before. Where no line has a time, all are.
    """
    timed = _timed(lines, find_time) or _timed(lines, find_clock)
    draft = with_time(timed) if timed else None
    names = tuple(draft.names) if draft else ()
    draft = draft or Draft("", lines, [])
    while len(draft.names) < MOST_FIELDS and _add_slot(draft):
        pass
    if not (names or {"Level", "Thread"} & set(draft.names)):
        return None
    last = "" if stands_alone(draft) else _last_literal(draft.rests)
    return (draft.format + last + "<Content>").replace("\t", "\\t"), names


def _timed(lines: list[str], find: Callable[..., Found | None]) -> list[tuple[str, Found]]:
    """Return the lines with the commonest kind of time, [] if these are too few."""
    kinds = tuple({one.dates for line in lines[:: len(lines) // FEW + 1] if (one := find(line))})
    wanted = partial(find, kinds=kinds) if all(kinds) and kinds else find
    found = [(line, one) for line in lines if (one := wanted(line))]
    if len(found) < FEWEST_TIMES * len(lines):
        return []
    kind = commonest_layouts([one for _, one in found])[0][:5]
    return [(line, one) for line, one in found if one.layouts[0][:5] == kind]


def _add_slot(draft: Draft) -> bool:
    """Add the next field that nearly all lines have; return whether there is one."""
    first = not draft.names
    for name, pattern in _SLOTS:
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
    if (name == "Component" and _is_said(matches)) or (name == "Level" and not _are_levels(matches)):
        return False
    rests = [
        rest[match.end() :]
        for rest, match in zip(draft.rests, matches, strict=True)
        if match and _blanks_alike(match["literal"]) == literal
    ]
    draft.add(literal, _renamed(name, matches, draft.names), rests)
    return True


def _are_levels(matches: list[re.Match | None]) -> bool:
    """Return whether words are levels, but for a few of a program's own in the same case."""
    values = [match["field"] for match in matches if match]
    known = [value for value in values if re.fullmatch(rf"{ANY_LEVEL}|[VDIWEFTC]", value)]
    cases = {(value.isupper(), value.islower()) for value in known}
    return len(known) >= MOSTLY * len(values) and all((value.isupper(), value.islower()) in cases for value in values)


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
