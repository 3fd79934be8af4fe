"""Messages to templates without a configuration: which places of a message are slots that values fill.

After published ideas, in code of our own. As in PIPLUP (Qin et al. 2025, arXiv 2508.09366) nothing is assumed of where
constant words stand, messages of a length are compared under whatever constant words they share, templates merge when
they say the same, and parameters count words, so that they need no tuning to a log. That few words at a place are
constants and many are values is the idea of Brain (Yu et al. 2023) and of IPLoM (Makanju et al. 2009).

1. Values that show in a word alone (masked, with digits, `null`) are blanked; messages that are then equal are one row.
2. Rows that differ at one place alone show what fills it. The place is a slot if enough differs there (`NEED`): six
   words, four names, a value and a name. Few words that recur (`VM Started`, `VM Stopped`) stay as many templates.
   Values behind keys (`name=...`) and names are looked at together first, since they change together.
3. Rows that differ in how many values stand in a list are one template with `<*>+`.
4. Every message gets the most specific template that `Known.match` finds, here as when the log is read again.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from parsing.templates.fingerprints import equal, terms_of
from parsing.templates.known import LIST, Known
from parsing.templates.masks import PARAMETER
from parsing.templates.words import CODE, KEPT, MISSING, NAME, SLOT, VALUE, WORD, names_in, parts, shape_of

# How much a filler says that its place is a slot: six words are enough, or four names, a value and a name, and so on.
# What stands here was chosen on samples of Loghub and hardly matters (benchmarks/README.md).
EVIDENCE = {VALUE: 4.5, MISSING: 3.0, NAME: 1.5, WORD: 1.0, CODE: 1.0}
NEED = 6.0
FEW, OFTEN = 15, 10  # words (at most) that each stand in so many lines (on average) are told apart, not a slot
LONG_LIST = 3  # values in a row that are a list

_SIGNS_BEFORE = re.compile(r"[^\w<]*")
_SIGNS_AFTER = re.compile(r"[^\w>]*")

Row = tuple[str, ...]  # words of a message, values blanked
Rows = dict[Row, list[int]]  # and the messages that are so


class _Log(NamedTuple):
    """What is known of the whole log."""

    counts: Sequence[int]  # lines of each message
    names: frozenset[str]  # of users and hosts, said to be such somewhere


class _Hole(NamedTuple):
    """Places at which rows differ that are else equal."""

    evidence: float  # of the least evident place, half of it if there are several
    first: int  # message
    places: tuple[int, ...]
    rows: list[Row]


def mine(messages: Sequence[str], counts: Sequence[int]) -> list[str]:
    """Return the template of each distinct masked message; `counts` are their lines.

    `Known(set of these templates).match` gives each message the same template again.
    """
    tokens = [message.split() for message in messages]
    by_length: dict[int, Rows] = defaultdict(lambda: defaultdict(list))
    for number, words in enumerate(tokens):
        by_length[len(words)][shape_of(words)].append(number)
    log = _Log(counts, names_in(tokens))
    groups = [(row, found) for rows in by_length.values() for row, found in _with_slots(rows, log).items()]
    lists = _lists(groups)
    templates = [""] * len(tokens)
    for row, found in groups:
        template = lists.get(row) or " ".join(map(_written, zip(*(tokens[number] for number in found), strict=True)))
        for number in found:
            templates[number] = template
    return _settled(tokens, templates)


def _settled(messages: list[list[str]], templates: list[str]) -> list[str]:
    """Return the template that each message matches best; one that matches none is a template itself."""
    known = Known(templates)
    found = [known.match_words(words) for words in messages]
    if None in found:
        itself = (" ".join(words) for words, match in zip(messages, found, strict=True) if match is None)
        known = Known([*templates, *itself])
        found = [known.match_words(words) for words in messages]
    assert None not in found, "a message matches itself"
    return [template or "" for template in found]


def _with_slots(rows: Rows, log: _Log) -> Rows:
    """Return the rows of one length with their slots blanked."""
    rows = _joint_slots(rows, log)
    while len(rows) > 1 and (holes := _holes(rows, log) or _rare(rows, log)):
        used: set[Row] = set()
        for hole in holes:
            if used.isdisjoint(hole.rows):  # else it is looked at again
                used.update(hole.rows, [_merge(rows, hole)])
    return rows


def _joint_slots(rows: Rows, log: _Log) -> Rows:
    """Return the rows with those places blanked where the values behind equal keys, and names, are many."""
    alike: dict[Row, list[Row]] = defaultdict(list)
    for row in rows:
        alike[tuple(map(_softened, row))].append(row)
    result: Rows = defaultdict(list)
    for soft, members in alike.items():
        free = []
        if len(members) > 1 and _has_words(soft):
            lines = sum(log.counts[number] for row in members for number in rows[row])
            fillers = [list(dict.fromkeys(words)) for words in zip(*members, strict=True)]
            several = [place for place, words in enumerate(fillers) if len(words) > 1]
            free = [place for place in several if _evidence(fillers[place], lines, log.names) >= NEED]
        for row in members:
            blanked = tuple(soft[p] if p in free else word for p, word in enumerate(row)) if free else row
            result[blanked] += rows[row]
    return result


def _holes(rows: Rows, log: _Log) -> list[_Hole]:
    """Return the single places that are slots, the most evident first."""
    table = list(rows)
    terms = terms_of(table)
    sums = terms.sum(axis=1)
    holes = []
    for place in range(terms.shape[1]):
        for group in equal(sums - terms[:, place]):
            alike = [table[number] for number in group]
            if _has_words(alike[0][:place]) or _has_words(alike[0][place + 1 :]):
                holes.append(_hole(alike, (place,), rows, log))
    return _best(holes)


def _rare(rows: Rows, log: _Log) -> list[_Hole]:
    """Return sets of places at which words vary together, none of them in many rows, the most evident first.

    As many words stay as are blanked. Each place must show twice what one alone would have to.
    """
    table = list(rows)
    terms = terms_of(table)
    support = np.empty_like(terms)
    for place in range(terms.shape[1]):
        _, numbers, found = np.unique(terms[:, place], return_inverse=True, return_counts=True)
        support[:, place] = found[numbers]
    words = np.array([[_is_word(word) for word in row] for row in table])
    blank = terms_of([(SLOT,) * terms.shape[1]])[0]
    holes, rare = [], int(NEED)
    while rare < len(table):
        free = words & (support < rare)
        enough = (free.sum(axis=1) > 1) & (2 * free.sum(axis=1) <= words.sum(axis=1))
        sums = np.where(free, blank, terms).sum(axis=1)
        for group in equal(sums[enough]):
            numbers = np.flatnonzero(enough)[group]
            if len(numbers) >= NEED:
                places = tuple(np.flatnonzero(free[numbers[0]]).tolist())
                holes.append(_hole([table[number] for number in numbers], places, rows, log))
        rare *= 2
    return _best(holes)


def _hole(alike: list[Row], places: tuple[int, ...], rows: Rows, log: _Log) -> _Hole:
    lines = sum(log.counts[number] for row in alike for number in rows[row])
    least = min(_evidence(list(dict.fromkeys(row[place] for row in alike)), lines, log.names) for place in places)
    return _Hole(least / min(len(places), 2), min(rows[row][0] for row in alike), places, alike)


def _best(holes: list[_Hole]) -> list[_Hole]:
    enough = [hole for hole in holes if hole.evidence >= NEED]
    return sorted(enough, key=lambda hole: (-hole.evidence, hole.first, hole.places))


def _merge(rows: Rows, hole: _Hole) -> Row:
    """Make one row of rows that differ at the places of a hole alone; return it."""
    new = list(hole.rows[0])
    for place in hole.places:
        keys = {parts(row[place])[0] for row in hole.rows}
        new[place] = (keys.pop() if len(keys) == 1 else "") + SLOT
    merged = tuple(new)
    found = [number for row in hole.rows for number in rows.pop(row)]
    rows[merged] = sorted([*rows.get(merged, []), *found])
    return merged


def _evidence(fillers: list[str], lines: int, names: frozenset[str]) -> float:
    """Return how much speaks for a slot: the different words at a place, and the lines that hold them."""
    found = [("", VALUE) if word in names else parts(word) for word in fillers]
    keys = {key for key, _ in found}
    kinds = [kind for _, kind in found]
    if len(keys) > 1 and SLOT not in fillers:  # different keys are as different words, whatever stands behind them
        kinds = [WORD if key and kind == VALUE else kind for key, kind in found]
    if len(kinds) <= FEW:
        if CODE in kinds:
            return 0.0
        if set(kinds) <= {WORD} and lines >= OFTEN * len(kinds):
            return 0.0
    return sum(EVIDENCE[kind] for kind in kinds)


@lru_cache(KEPT)
def _softened(word: str) -> str:
    key, kind = parts(word)
    return key + SLOT if key or kind in (VALUE, NAME) else word


@lru_cache(KEPT)
def _is_word(word: str) -> bool:
    key, kind = parts(word)
    return bool(key) or kind in (WORD, NAME, CODE)


def _has_words(row: Iterable[str]) -> bool:
    return any(map(_is_word, row))


def _lists(groups: list[tuple[Row, list[int]]]) -> dict[Row, str]:
    """Return the template of each row that differs from another in the number of values in a row alone."""
    alike: dict[Row, list[Row]] = defaultdict(list)
    for row, _ in groups:
        kept = [word for place, word in enumerate(row) if word != SLOT or place == 0 or row[place - 1] != SLOT]
        alike[tuple(kept)].append(row)
    result: dict[Row, str] = {}
    for short, members in alike.items():
        if len(members) > 1 and _has_words(short) and any(_longest_run(row) >= LONG_LIST for row in members):
            runs = zip(*map(_runs, members), strict=True)
            words = [(LIST if len(set(run)) > 1 else " ".join([PARAMETER] * run[0])) for run in runs]
            filled = iter(words)
            template = " ".join(next(filled) if word == SLOT else word.replace(SLOT, PARAMETER) for word in short)
            result |= dict.fromkeys(members, template)
    return result


def _runs(row: Row) -> list[int]:
    """Return the lengths of the runs of slots."""
    return [len(run) for run in re.findall("s+", "".join("s" if word == SLOT else "w" for word in row))]


def _longest_run(row: Row) -> int:
    return max(_runs(row), default=0)


def _written(words: Sequence[str]) -> str:
    """Return what a template writes at a place: the word, or `<*>` between the signs that all words share."""
    different = set(words)
    if len(different) == 1:
        return words[0]
    if PARAMETER in different:
        return PARAMETER
    keys = {parts(word)[0] for word in different}
    if len(keys) == 1 and (key := keys.pop()):
        return key + PARAMETER
    before = _same_signs([_SIGNS_BEFORE.match(word) for word in different])
    after = _same_signs([_SIGNS_AFTER.match(word[::-1]) for word in different])[::-1]
    return before + PARAMETER + (after if len(before) + len(after) <= min(map(len, different)) else "")


def _same_signs(found: list[re.Match[str] | None]) -> str:
    """Return what signs at the end of words have in common."""
    signs = sorted(match[0] if match else "" for match in found)
    same = (place for place, (one, other) in enumerate(zip(signs[0], signs[-1], strict=False)) if one != other)
    return signs[0][: next(same, min(len(signs[0]), len(signs[-1])))]
