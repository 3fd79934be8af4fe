"""Vectors for template texts, made of their words, offline and the same on every machine: alike texts, alike vectors.

A word points in a direction that a hash of it gives, mixed with those of its runs of three letters, so `Receiving` and
`Received` lie near each other. The vector of a text is the sum over its words, rare ones counting more (IDF).
"""

import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from hashlib import shake_256

import numpy as np

from errors import BadInput

Encoder = Callable[[list[str]], np.ndarray]  # n texts to (n, d) numbers, as a sentence encoder's `encode`

INNER_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")
WORD = re.compile(r"<\*>|[^\W\d_]+|\d+")  # a placeholder is a word, too: some templates differ in their number alone


def split_words(text: str) -> list[str]:
    """The words in lower case, `addStoredBlock` as three; numbers and `<*>` are words."""
    return WORD.findall(INNER_CAPITAL.sub(" ", text).lower())


@cache
def hash_direction(name: str, size: int) -> np.ndarray:
    """A direction (size,) of entries -1 and 1 that depends on `name` alone; two of them are nearly orthogonal."""
    bits = np.unpackbits(np.frombuffer(shake_256(name.encode()).digest(-(-size // 8)), dtype=np.uint8))
    return bits[:size] * 2.0 - 1.0


class WordVectors:
    """The encoder that needs no download. What it knows, how rare a word is, comes from `texts` alone."""

    def __init__(self, texts: list[str], size: int) -> None:
        self.size, self.texts = size, len(texts)
        self.texts_with = Counter(word for text in texts for word in set(split_words(text)))

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Vectors (texts, size), not of unit length; zeros for a text without words."""
        return np.array([sum(map(self._word, split_words(text)), np.zeros(self.size)) for text in texts])

    def _word(self, word: str) -> np.ndarray:
        rarity = np.log((1 + self.texts) / (1 + self.texts_with[word])) + 1  # the smoothed IDF of scikit-learn
        shown = f" {word} "
        runs = [] if word == "<*>" else [shown[start : start + 3] for start in range(len(word))]
        directions = [hash_direction(part, self.size) for part in (word, *runs)]
        return rarity * np.sum(directions, axis=0) / np.sqrt(len(directions))


def unit_vectors(encoder: Encoder, texts: list[str]) -> np.ndarray:
    """What `encoder` gives for `texts`, (texts, d) float32 of length 1, zeros kept; raises BadInput if it is no such."""
    vectors = np.asarray(encoder(texts), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise BadInput(
            f"The encoder must give one row of finite numbers for each of {len(texts)} texts, not {vectors.shape}."
        )
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
