"""Log keys as numbers. Made from the training split alone, in sorted order, so that numbers never depend on chance."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np

from core.errors import BadInput

Sequences = Sequence[Sequence[str]]
UNSEEN = -1


class KeyNumbers:
    """Numbers 0 to V - 1 of the V known keys; a key that training never saw is `UNSEEN`."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.keys = sorted(set(keys))

    @classmethod
    def of(cls, sequences: Sequences) -> "KeyNumbers":
        """The keys of these sequences, which must be the training split and nothing else."""
        numbers = cls(key for sequence in sequences for key in sequence)
        if not numbers.keys:
            raise BadInput("The training split holds no log key: there is nothing to learn; see data/README.md.")
        return numbers

    def __len__(self) -> int:
        """V."""
        return len(self.keys)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {key: number for number, key in enumerate(self.keys)}

    def encode(self, sequence: Sequence[str]) -> np.ndarray:
        """The number of each key, int64."""
        return np.array([self._numbers.get(key, UNSEEN) for key in sequence], dtype=np.int64)

    def counts(self, sequences: Sequences) -> np.ndarray:
        """How often each known key occurs, (sequences, V) float64; keys that training never saw are left out."""
        table = np.zeros((len(sequences), len(self) + 1))
        for row, sequence in enumerate(sequences):
            np.add.at(table[row], self.encode(sequence), 1)
        return table[:, :-1]  # UNSEEN, -1, has counted into the last column


def distinct(sequences: Sequences) -> tuple[list[tuple[str, ...]], list[int]]:
    """The distinct sequences in order of first occurrence, and for each sequence which of them it is."""
    numbers: dict[tuple[str, ...], int] = {}
    rows = [numbers.setdefault(tuple(sequence), len(numbers)) for sequence in sequences]
    return list(numbers), rows


def weigh(sequences: Sequences) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """The distinct sequences and how often each occurs, float32: a weight does what that many copies would do."""
    counts = Counter(map(tuple, sequences))
    return list(counts), np.array(list(counts.values()), dtype=np.float32)
