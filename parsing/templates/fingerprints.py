"""Numbers for words at their places, so that rows which agree but for some words are found without comparing pairs.

A row's number is the sum of those of its words; without one of them it is a difference (Karp and Rabin 1987). They
are those of BLAKE2 and have 64 bits, so that two rows have one number by chance once in 10^19 pairs.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np

from parsing.templates.words import KEPT


def terms_of(table: Sequence[tuple[str, ...]]) -> np.ndarray:
    """Return the number of each word at its place, uint64, rows x places; rows are of one length."""
    places = len(table[0])
    words = np.fromiter((_fingerprint(word) for row in table for word in row), np.uint64)
    odd = np.array([_fingerprint(f"{place}") | 1 for place in range(places)], np.uint64)
    return words.reshape(len(table), places) * odd


def equal(keys: np.ndarray) -> list[np.ndarray]:
    """Return where equal keys stand, in order, for those that stand at two places or more."""
    order = np.argsort(keys, kind="stable")
    ends = np.flatnonzero(np.diff(keys[order], append=~keys[order[-1:]])) + 1
    sizes = np.diff(ends, prepend=0)
    several = sizes > 1
    return [order[end - size : end] for end, size in zip(ends[several], sizes[several], strict=True)]


@lru_cache(KEPT)
def _fingerprint(word: str) -> int:
    return int.from_bytes(blake2b(word.encode(errors="surrogatepass"), digest_size=8).digest())
