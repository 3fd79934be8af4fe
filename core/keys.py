"""Log keys as numbers, distinct sequences by how often they occur, and the history before each event.

Numbers are made from the training split alone, in sorted order, so that they never depend on chance.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.errors import BadInput

Sequences = Sequence[Sequence[str]]
UNSEEN = -1
UNMATCHED = "unmatched"  # the key of lines that no known template matches; training never holds it


class KeyNumbers:
    """Numbers 0 to V - 1 of the V known keys; a key that training never saw is `UNSEEN`."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.keys = sorted(set(keys))

    @classmethod
    def of(cls, sequences: Iterable[Sequence[str]]) -> "KeyNumbers":
        """Number the keys of these sequences, which must be the training split and nothing else."""
        numbers = cls(key for sequence in sequences for key in sequence)
        if not numbers.keys:
            raise BadInput("The training split holds no log key: there is nothing to learn; see data/README.md.")
        return numbers

    def __len__(self) -> int:
        """Return V."""
        return len(self.keys)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {key: number for number, key in enumerate(self.keys)}

    def encode(self, sequence: Sequence[str]) -> np.ndarray:
        """Return the number of each key, int64."""
        return np.array([self._numbers.get(key, UNSEEN) for key in sequence], dtype=np.int64)

    def counts(self, sequences: Sequences) -> np.ndarray:
        """Count each known key, (sequences, V) float64; keys that training never saw are left out."""
        table = np.empty((len(sequences), len(self)))
        for row, sequence in enumerate(sequences):
            numbers = self.encode(sequence)
            table[row] = np.bincount(numbers[numbers != UNSEEN], minlength=len(self))
        return table


def distinct(sequences: Sequences) -> tuple[list[tuple[str, ...]], list[int]]:
    """Return the distinct sequences in order of first occurrence, and for each sequence which of them it is."""
    numbers: dict[tuple[str, ...], int] = {}
    rows = [numbers.setdefault(tuple(sequence), len(numbers)) for sequence in sequences]
    return list(numbers), rows


def weigh(sequences: Sequences) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """Return the distinct sequences and how often each occurs, float32: a weight does what that many copies would."""
    counts = Counter(map(tuple, sequences))
    return list(counts), np.array(list(counts.values()), dtype=np.float32)


@dataclass(frozen=True)
class Windows:
    """One row an event of all sequences, the end of each being its last event.

    `histories` (events, h) holds key numbers, V before the begin and V + 1 for a key never seen. `targets` (events,)
    are key numbers, V for the end and `UNSEEN`; sequence i owns the rows `ends[i-1]:ends[i]`.
    """

    histories: np.ndarray
    targets: np.ndarray
    ends: np.ndarray

    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the distinct histories, and for each row which of them it is."""
        return _unique_rows(self.histories)

    def weighted(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the distinct pairs of history and known target, and the summed weights of their sequences, float64."""
        of_row = np.repeat(weights, np.diff(self.ends, prepend=0))
        known = self.targets != UNSEEN
        pairs = np.column_stack([self.histories, self.targets])[known]
        distinct, rows = _unique_rows(pairs)
        return distinct[:, :-1], distinct[:, -1], np.bincount(rows, weights=of_row[known])


def make_windows(keys: KeyNumbers, sequences: Sequences, history: int) -> Windows:
    """Return the `history` keys before each event, filled up before the begin, so that no event goes unjudged."""
    begin, unseen = len(keys), len(keys) + 1
    histories, targets = [], []
    for sequence in sequences:
        numbers = keys.encode(sequence)
        shown = np.concatenate([np.full(history, begin), np.where(numbers == UNSEEN, unseen, numbers)])
        histories.append(np.lib.stride_tricks.sliding_window_view(shown, history))  # (keys + 1, history)
        targets.append(np.append(numbers, len(keys)))
    ends = np.cumsum([len(own) for own in targets])
    return Windows(np.concatenate(histories), np.concatenate(targets), ends)


def _unique_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distinct, inverse = np.unique(rows, axis=0, return_inverse=True)
    return distinct, inverse.reshape(-1)
