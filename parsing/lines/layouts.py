"""How times are written: a time found anywhere in a text, and the strptime layout that reads it.

A time is a date, a separator, a clock and what may follow (fraction, half of the day, zone, year); each part is known
in the ways people write it, so that their combinations need no list.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

LONGEST_PREFIX = 250  # letters before a time that is still the time of its line
EPOCHS = (946_684_800, 4_102_444_800)  # seconds of the years 2000 and 2100: other numbers of ten digits are ids
EPOCH, CLOCK = "epoch", "clock"

_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_LONG_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_YEAR = "(?:19|20)[0-9]{2}"
_DATES = (  # where two read a log alike, the earlier one wins
    (("%Y-%m-%d",), rf"{_YEAR}-[0-9]{{1,2}}-[0-9]{{1,2}}"),
    (("%Y-%j",), rf"{_YEAR}-[0-3][0-9]{{2}}"),  # the day of the year
    (("%Y/%m/%d",), rf"{_YEAR}/[0-9]{{1,2}}/[0-9]{{1,2}}"),
    (("%Y.%m.%d",), rf"{_YEAR}\.[0-9]{{1,2}}\.[0-9]{{1,2}}"),
    (("%y/%m/%d", "%m/%d/%y", "%d/%m/%y"), "[0-9]{2}/[0-9]{2}/[0-9]{2}"),
    (("%y-%m-%d", "%d-%m-%y", "%m-%d-%y"), "[0-9]{2}-[0-9]{2}-[0-9]{2}"),
    (("%d.%m.%y", "%y.%m.%d"), r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}"),
    (("%m/%d/%Y", "%d/%m/%Y"), rf"[0-9]{{1,2}}/[0-9]{{1,2}}/{_YEAR}"),
    (("%d-%m-%Y", "%m-%d-%Y"), rf"[0-9]{{1,2}}-[0-9]{{1,2}}-{_YEAR}"),
    (("%d.%m.%Y",), rf"[0-9]{{1,2}}\.[0-9]{{1,2}}\.{_YEAR}"),
    (("%d/%b/%Y",), rf"[0-9]{{1,2}}/{_MONTH}/{_YEAR}"),
    (("%d-%b-%Y",), rf"[0-9]{{1,2}}-{_MONTH}-{_YEAR}"),
    (("%d-%b-%y",), rf"[0-9]{{1,2}}-{_MONTH}-[0-9]{{2}}"),
    (("%Y-%b-%d",), rf"{_YEAR}-{_MONTH}-[0-9]{{1,2}}"),
    (("%Y %b %d",), rf"{_YEAR} {_MONTH} {{1,2}}[0-9]{{1,2}}"),
    (("%d %b %Y",), rf"[0-9]{{1,2}} {_MONTH} {_YEAR}"),
    (("%d %b",), rf"[0-9]{{1,2}} {_MONTH}"),
    (("%d %B %Y",), rf"[0-9]{{1,2}} {_LONG_MONTH} {_YEAR}"),
    (("%b %d, %Y",), rf"{_MONTH} {{1,2}}[0-9]{{1,2}}, {_YEAR}"),
    (("%B %d, %Y",), rf"{_LONG_MONTH} {{1,2}}[0-9]{{1,2}}, {_YEAR}"),
    (("%b %d %Y",), rf"{_MONTH} {{1,2}}[0-9]{{1,2}} {_YEAR}"),
    (("%b %d",), rf"{_MONTH} {{1,2}}[0-9]{{1,2}}"),
    (("%Y%m%d",), rf"{_YEAR}[0-9]{{4}}"),
    (("%y%m%d",), "[0-9]{2}(?:0[1-9]|1[0-2])[0-3][0-9]"),
    (("%m%d",), r"(?<=\b[A-Z])[0-9]{4}"),  # klog, glog: I0302
    (("%Y%m%d",), rf"(?<=\b[A-Z]){_YEAR}[0-9]{{4}}"),
    (("%m-%d",), "[0-9]{2}-[0-9]{2}"),
    (("%m.%d", "%d.%m"), r"[0-9]{2}\.[0-9]{2}"),
)
_CLOCKS = (
    ("%I:%M:%S", "%p", r"[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?=[.,:]?[0-9]* ?[AaPp][Mm]\b)"),
    ("%H:%M:%S", "", r"[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}"),
    ("%H.%M.%S", "", r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}"),
    ("%H%M%S", "", r"[0-9]{6}"),
    ("%I:%M", "%p", r"[0-9]{1,2}:[0-9]{2}(?= ?[AaPp][Mm]\b)"),
    ("%H:%M", "", r"[0-9]{1,2}:[0-9]{2}"),
)
_CLOCK_ALONE = (
    r"(?<![\w.:/-])(?:[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?|[0-9]{1,2}:[0-9]{2}\.[0-9]{3,6})(?!\w|:[0-9])"
)
_WEEKDAY = r"(?P<weekday>(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)(?P<long>[a-z]*day)?,? +)?"
_BETWEEN = r"(?P<between>[ \t]+(?:- |at )?|, ?|T|[-_:]|(?<=[0-9]{8})\.(?=[0-9]{6}))"
_AFTER = (
    r"(?P<fraction>[.,:][0-9]+)?"
    r"(?P<half> ?[AaPp][Mm]\b)?"
    r"(?P<zone>Z\b| ?[+-][0-9]{2}:?[0-9]{2}\b|[+-][0-9]{2}\b)?"
    rf"(?P<zoned_year> (?:UTC|GMT|[A-Z]{{3,4}}) (?={_YEAR}\b))?"
    rf"(?P<year> ?{_YEAR}\b)?"
)


@dataclass(frozen=True)
class Found:
    """A time in a text: where it begins and ends, and the strptime layouts that it may have."""

    start: int
    end: int
    layouts: tuple[str, ...]
    weekday: str = ""  # as layout, before the rest
    dates: tuple[str, ...] = ()  # the layouts of the date alone


def find_time(text: str, kinds: tuple[tuple[str, ...], ...] = ()) -> Found | None:
    """Return the first time of a text that names at least month and day, or counts since 1970; None without one.

    `kinds` are the ways to write its date that are tried, all of them by default.
    """
    begin, first = text[:LONGEST_PREFIX], None
    for found in _times(begin, kinds):
        if first is None or (found.start, -found.end) < (first.start, -first.end):
            first = found
    return first


def find_clock(text: str) -> Found | None:
    """Return the first time of day of a text, of which no day is known; None without one."""
    match = re.search(_CLOCK_ALONE, text[:LONGEST_PREFIX])
    return Found(*match.span(), (CLOCK,)) if match else None


def _times(text: str, kinds: tuple[tuple[str, ...], ...]) -> Iterator[Found]:
    for dates, pattern in _patterns():
        match = pattern.search(text) if not kinds or dates in kinds else None
        if match:
            yield _found(match, dates)
    for match in re.finditer(r"(?<![\w.:/-])[0-9]{10,19}(?:\.[0-9]+)?(?![\w:/-])", text):
        if is_epoch(match[0]):
            yield Found(*match.span(), (EPOCH,))
            break


def is_epoch(text: str) -> bool:
    """Return whether a number counts seconds, milliseconds, microseconds or nanoseconds since 1970, of our days."""
    digits = text.partition(".")[0]
    if not re.fullmatch(r"[0-9]{10}(?:[0-9]{3}){0,3}", digits):
        return False
    return EPOCHS[0] <= int(digits[:10]) <= EPOCHS[1]


@cache
def _patterns() -> list[tuple[tuple[str, ...], re.Pattern]]:
    """Return, for each way to write a date, its layouts and the pattern of such a date with any clock."""
    clocks = "|".join(f"(?P<clock{number}>{pattern})" for number, (_, _, pattern) in enumerate(_CLOCKS))
    return [
        (layouts, re.compile(rf"{_guarded(date)}{_BETWEEN}(?:{clocks})(?![0-9]){_AFTER}")) for layouts, date in _DATES
    ]


def _guarded(date: str) -> str:
    """Return the pattern of a date with its weekday, in no longer number; klog glues its letter to the date."""
    return date if date.startswith("(?<=") else rf"(?<![\w./-])(?<![0-9]:){_WEEKDAY}{date}"


def _found(match: re.Match, dates: tuple[str, ...]) -> Found:
    parts = match.groupdict()
    number = next(number for number in range(len(_CLOCKS)) if parts[f"clock{number}"])
    clock, half, _ = _CLOCKS[number]
    fraction = f"{parts['fraction'][0]}%f" if parts["fraction"] else ""
    rest = parts["half"].replace(parts["half"].strip(), half) if parts["half"] else ""
    rest += re.sub("[Z+-].*", "%z", parts["zone"] or "")
    rest += (parts["zoned_year"] or "") + re.sub("[0-9]+", "%Y", parts["year"] or "")
    end = match.end()
    if parts["year"] and any("%Y" in date or "%y" in date for date in dates):  # another number after a whole time
        cut = len(parts["year"]) + len(parts["zoned_year"] or "")
        end, rest = end - cut, rest[: len(rest) - len("%Y") - (cut - 4)]
    between = re.sub(r"[ \t]+", " ", parts["between"])
    layouts = tuple(f"{date}{between}{clock}{fraction}{rest}" for date in dates)
    weekday = re.sub("[A-Za-z]+", "%A" if parts.get("long") else "%a", parts.get("weekday") or "")
    return Found(match.start(), end, layouts, re.sub(" +", " ", weekday), dates)


def commonest_layouts(found: list[Found]) -> tuple[str, ...]:
    """Return the layouts that most of the times have, those with fractions or zones for those without."""
    counts = Counter(one.layouts for one in found)
    if not counts:
        return ()
    plain = Counter(tuple(map(_plain, layouts)) for layouts in counts.elements())
    chosen = plain.most_common(1)[0][0]
    alike = [layouts for layouts in counts if tuple(map(_plain, layouts)) == chosen]
    return max(alike, key=lambda layouts: (len(layouts[0]), counts[layouts]))


def _plain(layout: str) -> str:
    """Return a layout without what some lines of a log have and others lack."""
    return re.sub(r"[.,:]%f|%z", "", layout)
