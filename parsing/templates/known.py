"""A set of known templates, and which of them a message matches best."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from parsing.templates.masks import PARAMETER
from parsing.templates.words import KEPT, is_value

LIST = PARAMETER + "+"  # one value or more, as a word of a template


class _Template(NamedTuple):
    """A template in the order of preference: most constant words, then most letters, then by its text."""

    constants: int  # less than 0
    letters: int  # less than 0
    words: tuple[str, ...]
    text: str
    open: tuple[int, ...]  # places whose words hold `<*>`
    says_something: bool  # one without a letter stands for values alone


class Known:
    """Templates by the number of their words and the places of their constant ones.

    `<*>` in a template stands for any word, `a<*>b` for a word that begins and ends so, `<*>+` for a run of values.
    The choice depends on the message and the set alone, and is the same without the templates that nothing chose.
    """

    def __init__(self, templates: Iterable[str]) -> None:
        found = sorted(_template(text) for text in set(templates))
        self._lists = [template for template in found if LIST in template.words]
        groups: dict[int, dict[tuple[int, ...], dict[Any, list[_Template]]]]
        groups = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
        for template in found:
            open_places = set(template.open)
            places = tuple(place for place in range(len(template.words)) if place not in open_places)
            groups[len(template.words)][places][_words_at(places)(template.words)].append(template)
        self._groups = {
            length: [(len(places), _words_at(places), alike) for places, alike in by_places.items()]
            for length, by_places in groups.items()
        }

    def match(self, message: str) -> str | None:
        """Return the template that a message matches, the one with most constant words, then letters; None if none."""
        return self.match_words(message.split())

    def match_words(self, words: Sequence[str]) -> str | None:
        """Return the same for a message that was split."""
        best: _Template | None = None
        for constants, words_at, alike in self._groups.get(len(words), ()):  # most constant words first
            if best is not None and constants < -best.constants:
                break
            for template in alike.get(words_at(words), ()):
                if (best is None or template < best) and _fits(template, words):
                    best = template
        best = best or next((template for template in self._lists if _fits_list(template, words)), None)
        return None if best is None else best.text


def _words_at(places: tuple[int, ...]) -> Callable[[Sequence[str]], Any]:
    """Return what picks the words at these places."""
    return itemgetter(*places) if places else lambda _: ()


def _template(text: str) -> _Template:
    words = tuple(text.split())
    places = tuple(place for place, word in enumerate(words) if PARAMETER in word)
    fixed = [word.replace(PARAMETER, "") for word in words]
    says_something = any(letter.isalnum() for word in fixed for letter in word)
    return _Template(len(places) - len(words), -sum(map(len, fixed)), words, text, places, says_something)


def _fits(template: _Template, words: Sequence[str]) -> bool:
    """Return whether words match the open places of a template of as many."""
    for place in template.open:
        pattern, word = template.words[place], words[place]
        if pattern == PARAMETER:
            if not (template.says_something or is_value(word)):
                return False
        elif not _fits_word(pattern, word):
            return False
    return True


@lru_cache(KEPT)
def _fits_word(pattern: str, word: str) -> bool:
    if pattern == word:
        return True
    first, *others, last = pattern.split(PARAMETER)
    if not word.startswith(first):
        return False
    place = len(first)
    for part in others:
        place = word.find(part, place)
        if place < 0:
            return False
        place += len(part)
    return len(word) - len(last) >= place and word.endswith(last)


def _fits_list(template: _Template, words: Sequence[str]) -> bool:
    """Return whether words match a template with lists; a list takes all values that stand in a row."""
    place = 0
    for pattern in template.words:
        if place == len(words):
            return False
        if pattern == LIST:
            if not is_value(words[place]):
                return False
            while place < len(words) and is_value(words[place]):
                place += 1
        elif pattern in (PARAMETER, words[place]) or (PARAMETER in pattern and _fits_word(pattern, words[place])):
            place += 1
        else:
            return False
    return place == len(words)
