"""Histories of fixed length, one before each event, as the LSTM detectors read them."""

from dataclasses import dataclass

import numpy as np

from methods.parts.keys import UNSEEN, KeyNumbers, Sequences


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
        """The distinct histories, and for each row which of them it is."""
        return _unique_rows(self.histories)

    def weighted(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distinct pairs of history and known target, and the weights of their sequences summed up."""
        of_row = np.repeat(weights, np.diff(self.ends, prepend=0))
        known = self.targets != UNSEEN
        pairs = np.column_stack([self.histories, self.targets])[known]
        distinct, rows = _unique_rows(pairs)
        summed = np.bincount(rows, weights=of_row[known]).astype(np.float32)
        return distinct[:, :-1], distinct[:, -1], summed


def make_windows(keys: KeyNumbers, sequences: Sequences, history: int) -> Windows:
    """A history of `history` keys before each event, filled up before the begin, so that no event goes unjudged."""
    begin, unseen = len(keys), len(keys) + 1
    histories, targets = [], []
    for sequence in sequences:
        numbers = keys.encode(sequence)
        shown = np.concatenate([np.full(history, begin), np.where(numbers == UNSEEN, unseen, numbers)])
        histories.append(np.lib.stride_tricks.sliding_window_view(shown, history))
        targets.append(np.append(numbers, len(keys)))
    ends = np.cumsum([len(own) for own in targets])
    return Windows(np.concatenate(histories), np.concatenate(targets), ends)


def _unique_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distinct, inverse = np.unique(rows, axis=0, return_inverse=True)
    return distinct, inverse.reshape(-1)
