"""Which old template a new one may be a rewording of: by its words, and by the places in which it occurs.

An old key scores for a new template, in nats,

- beta times the similarity of the words;
- how well it fits the neighbors, over all occurrences in the new log: the mean of log p(old key | what came before) and
  of log p(what came next | old key), less log p(old key), since a rare event is unlikely in its own place, too;
  neighbors that training never saw are left out;
- `MISSING` times how much likelier the key counts of the sequences become;
- how much nearer the number of its lines comes to what training lets expect: an old key that vanished from the new log
  gains log(1 + lines expected), if no other new template is read as it.

The largest sum is proposed. It is found in rounds: the first knows no counts, each later one reads all other new keys
as proposed so far. Words alone fail where all were replaced, places alone where two events stand in the same ones.

These are questions, not answers: words and neighbors cannot tell a reworded event from a really new one
(core/evolution.py).
"""

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import polars as pl
from sklearn.feature_extraction.text import TfidfVectorizer

from core.evolution import EVOLUTION_SCHEMA
from core.keys import UNSEEN, Sequences
from methods.parts.semantics import Encoder, cosines, encode, split_words
from methods.words.places import Expected, from_expected, missing, neighbors

Similarity = Callable[[list[str], list[str]], np.ndarray]  # n new and m known texts to (n, m), 1 for the same
BETA = 20.0  # nats that a similarity of 1 is worth
BETA_OF_TWO = 40.0  # that the larger of an encoder's and of TF-IDF is worth; by misread lines of validation normals
MISSING = 0.5  # .5 and 1 measured, with several lines of a sequence reworded: 1 mistook more of them
ROUNDS = 4
LEAST_SIMILAR = 0.3  # below it, and without a known neighbor anywhere, nothing is proposed


# ------------------------------------------------------------------------------------------------------------- words


def jaccard(new: list[str], known: list[str]) -> np.ndarray:
    """Return shared words over all words of each pair, (n, m); 0 for two texts without any."""
    mine, theirs = ([set(split_words(text)) for text in texts] for texts in (new, known))
    return np.array([[len(one & other) / max(len(one | other), 1) for other in theirs] for one in mine])


def tfidf(new: list[str], known: list[str]) -> np.ndarray:
    """Return TF-IDF cosines (n, m), rarity counted in all the texts given; 0 with a text that has no word."""
    if not any(map(split_words, [*new, *known])):
        return np.zeros((len(new), len(known)))
    vectorizer = TfidfVectorizer(analyzer=split_words).fit([*known, *new])
    return (vectorizer.transform(new) @ vectorizer.transform(known).T).toarray()


def by_encoder(encoder: Encoder) -> Similarity:
    """Return the similarity that is the cosine (n, m) of what `encoder` gives for the texts."""

    def similarity(new: list[str], known: list[str]) -> np.ndarray:
        return cosines(encode(encoder, new), encode(encoder, known))

    return similarity


def largest_of(*similarities: Similarity) -> Similarity:
    """Return the largest of several similarities, each as it is: words kept, or meaning kept, is enough.

    With the mean of an encoder and TF-IDF a fifth to a half more lines of validation normals were misread.
    """
    return lambda new, known: np.max([one(new, known) for one in similarities], axis=0)


# --------------------------------------------------------------------------------------------------------- proposals


def propose(
    known: Mapping[str, str],
    new: Mapping[str, str],
    sequences: Sequences,
    expected: Expected,
    similarity: Similarity = tfidf,
    beta: float = BETA,
) -> pl.DataFrame:
    """Return one row a new template, in their order, columns of `EVOLUTION_SCHEMA`, nothing answered.

    `known` and `new` are templates by key, `sequences` the new log. Only keys that `expected` knows are proposed. Null
    where a template is like none of them, and stands beside new ones alone of which the same is true.
    """
    old = [key for key in expected.keys.keys if key in known]
    choices, fits = np.full(len(new), UNSEEN), np.zeros((len(new), len(expected.keys)))
    alike = np.full(fits.shape, -np.inf)  # a key without words is never proposed
    if old and new:
        alike[:, expected.keys.encode(old)] = similarity(list(new.values()), [known[key] for key in old])
        choices, fits = _rounds(expected, list(new), sequences, alike, beta)
    lines = Counter(key for keys in sequences for key in keys)
    cells: list[tuple] = []
    for number, (key, template) in enumerate(new.items()):
        place: tuple = (number, choices[number])
        found: tuple = (None,) * 5
        if choices[number] != UNSEEN:
            name, fit = expected.keys.keys[choices[number]], float(fits[place]) if fits[number].any() else None
            found = (name, known[name], float(alike[place]), fit, lines[name] == 0)
        cells.append((key, template, *found, lines[key], None))
    return pl.DataFrame(cells, schema=EVOLUTION_SCHEMA, orient="row")


def _rounds(
    expected: Expected, new: list[str], sequences: Sequences, alike: np.ndarray, beta: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the old key of each new one, (n,), and how well each known key fits its neighbors, (n, V).

    `UNSEEN` where nothing is proposed. `alike` (n, V) is the similarity of the words.
    """
    lines = Counter(key for keys in sequences for key in keys)
    had, own = (np.array([lines[key] for key in keys], dtype=float) for keys in (expected.keys.keys, new))
    claims = Claims(had, own, expected.shares * sum(lines.values()))
    read_as: dict[str, str] = {}
    for turn in range(ROUNDS):
        fits = neighbors(expected, new, sequences, read_as)
        beside = np.count_nonzero(fits, axis=1) > 0
        speaks = beside | (alike.max(1) >= LEAST_SIMILAR)
        absent = missing(expected, new, sequences, read_as) if turn else 0.0
        rarity = -np.log(expected.shares) * beside[:, None]
        choices = claims.settle(fits + rarity + beta * alike + MISSING * absent, speaks)
        pairs = zip(new, choices, strict=True)
        read_as = {key: expected.keys.keys[choice] for key, choice in pairs if choice != UNSEEN}
    return choices, fits


class Claims:
    """How many lines each old key has with all that is read as it, so that two new templates need not share one."""

    def __init__(self, had: np.ndarray, own: np.ndarray, expected: np.ndarray) -> None:
        """`had` (V,) lines of each old key in the new log, `own` (n,) of each new key, `expected` (V,) by training."""
        self.had, self.own, self.expected = had.copy(), own, expected
        self.choices = np.full(len(own), UNSEEN)

    def settle(self, scores: np.ndarray, speaks: np.ndarray) -> np.ndarray:
        """Return the old key of each new one, (n,), one after the other, the commonest first; scores (n, V).

        `UNSEEN` where nothing speaks for any, (n,) bool.
        """
        for number in np.argsort(-self.own, kind="stable"):
            lines, before = self.own[number], self.choices[number]
            if before != UNSEEN:
                self.had[before] -= lines
            gained = from_expected(self.had, self.expected) - from_expected(self.had + lines, self.expected)
            self.choices[number] = (scores[number] + gained).argmax() if speaks[number] else UNSEEN
            if speaks[number]:
                self.had[self.choices[number]] += lines
        return self.choices.copy()
