"""Template texts as vectors, made of their words, offline and the same on every machine: alike texts, alike vectors.

A word points in a direction that a hash of it gives, mixed with those of its runs of three letters, so `Receiving` and
`Received` lie near each other. The vector of a text is the sum over its words, rare ones counting more (IDF).
"""

import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from hashlib import shake_256

import numpy as np

from core.errors import BadInput

Encoder = Callable[[list[str]], np.ndarray]  # n texts to (n, d) numbers, like `encode` of a sentence encoder

INNER_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")
WORD = re.compile(r"<\*>|[^\W\d_]+|\d+")


def split_words(text: str) -> list[str]:
    """Return the words in lower case, `addStoredBlock` as three; `<*>` is one: templates may differ in nothing else."""
    return WORD.findall(INNER_CAPITAL.sub(" ", text).lower())


@cache
def hash_direction(name: str, size: int) -> np.ndarray:
    """Return a direction (size,) of entries -1 and 1 that depends on `name` alone; two are nearly orthogonal."""
    bits = np.unpackbits(np.frombuffer(shake_256(name.encode()).digest(-(-size // 8)), dtype=np.uint8))
    return bits[:size] * 2.0 - 1.0


class WordVectors:
    """The encoder that needs no download; what it knows, how rare each word is, comes from `texts` alone."""

    def __init__(self, texts: list[str], size: int) -> None:
        self.size, self.texts = size, len(texts)
        self.texts_with = Counter(word for text in texts for word in set(split_words(text)))

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Return vectors (texts, size) of any length; zeros for a text without words."""
        return np.array([sum(map(self._word, split_words(text)), np.zeros(self.size)) for text in texts])

    def _word(self, word: str) -> np.ndarray:
        rarity = np.log((1 + self.texts) / (1 + self.texts_with[word])) + 1  # never seen is rarest, not left out
        marked = f" {word} "  # so a run at the begin of a word is none in the middle, and no run is a whole word
        runs = [] if word == "<*>" else [marked[start : start + 3] for start in range(len(word))]
        directions = [hash_direction(part, self.size) for part in (word, *runs)]
        return rarity * np.sum(directions, axis=0) / np.sqrt(len(directions))


def encode(encoder: Encoder, texts: list[str]) -> np.ndarray:
    """Return what `encoder` gives for `texts`, (texts, d) float32, length sqrt(d) each; zeros stay.

    Raises BadInput if it gives anything but one row of numbers for each text.
    """
    vectors = np.asarray(encoder(texts), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise BadInput(
            f"The encoder must give one row of finite numbers for each of {len(texts)} texts; "
            f"it gave an array of shape {vectors.shape}."
        )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-12) * np.float32(np.sqrt(vectors.shape[1]))


def cosines(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return cosine similarity (n, m) of vectors (n, d) and (m, d) as `encode` gives them; 0 with a row of zeros."""
    return vectors @ others.T / vectors.shape[1]
