"""What a word of a masked message is: a value, a name, a status code, or a word that says what happened."""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

from parsing.templates.masks import PARAMETER

VALUE, NAME, WORD, CODE, MISSING = "value", "name", "word", "code", "missing"
SLOT = "\0"  # stands for a value in a row; no word of a message is it alone
KEPT = 100_000  # words whose kind is remembered

_KEYED = re.compile(r"""([(\["'{<]*[A-Za-z][A-Za-z_-]*(?:=|:(?!:)|\.{2,}|\(|\[))(.+)""", re.DOTALL)
_STATUS = re.compile("[1-5][0-9][0-9]")  # three digits that no mask took away
_LITERALS = frozenset(("true", "false", "null", "none", "nil", "nan", "undefined"))
_EMPTY = frozenset(("[]", "()", "{}", "<>", '""', "''"))
_NAMING = frozenset(("[]", "''", '""'))
_OUTER = ".,:;!?()[]{}<>\"'`=*#-+|~&%$@^/\\_"
_INNER = frozenset("./\\@:#$%&=")
_NOUNS = frozenset(("user", "username", "account", "host", "hostname", "group", "domain"))
_BEFORE_NOUNS = frozenset(("for", "of", "by", "from", "to", "as", "on", "at", "in", "with", "invalid", "unknown"))


def shape_of(words: Sequence[str]) -> tuple[str, ...]:
    """Return the words with values blanked; all as they are if no word would be left, which would say nothing."""
    row = [_blanked(word) for word in words]
    for place in _names_at(words):
        row[place] = SLOT
    return tuple(row) if any(word != SLOT for word in row) else tuple(words)


def names_in(messages: Sequence[Sequence[str]]) -> frozenset[str]:
    """Return the words that stand where somebody or a machine is named: alice in `for user alice` and `user=alice`."""
    keyed = [(word, parts(word)[0]) for word in set(chain.from_iterable(messages)) if "=" in word]
    behind = {word[len(key) :].strip(_OUTER) for word, key in keyed if key[:-1] in _NOUNS}
    return frozenset((behind | {words[place] for words in messages for place in _names_at(words)}) - {""})


def _names_at(words: Sequence[str]) -> list[int]:
    if _NOUNS.isdisjoint(words):
        return []
    places = range(2, len(words))
    return [at for at in places if words[at - 1] in _NOUNS and words[at - 2].lower() in _BEFORE_NOUNS]


@lru_cache(KEPT)
def is_value(word: str) -> bool:
    """Return whether a word shows by itself that it is a value."""
    return _blanked(word) == SLOT


@lru_cache(KEPT)
def _blanked(word: str) -> str:
    key, kind = parts(word)
    return key + SLOT if kind == VALUE else word


@lru_cache(KEPT)
def parts(word: str) -> tuple[str, str]:
    """Return the key of a word (`uid=` of `uid=0`; empty if it has none) and the kind of what stands behind it."""
    if word.endswith(SLOT):
        return word[:-1], VALUE
    keyed = _KEYED.fullmatch(word)
    if keyed:
        return keyed[1], _kind(keyed[2])
    return (word, WORD) if word.endswith("=") and len(word) > 1 else ("", _kind(word))


def _kind(word: str) -> str:
    if PARAMETER in word:
        return VALUE
    if word == "-":
        return MISSING
    core = word.strip(_OUTER)
    if not core:
        return VALUE if word.rstrip(".,:;") in _EMPTY else WORD
    if core.lower() in _LITERALS:
        return VALUE
    if _STATUS.fullmatch(core):
        return CODE
    if any(letter.isdigit() for letter in core):
        return NAME if core[:-1].isalpha() else VALUE  # eth0, ipv4
    bare = word.rstrip(".,:;")
    in_brackets, one_letter = bare[:1] + bare[-1:] in _NAMING, len(core) == 1 and core.isalpha()
    return NAME if in_brackets or one_letter or _INNER & set(core) else WORD
