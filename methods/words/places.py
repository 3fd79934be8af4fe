"""What training expects of the places of a new key: its neighbors, and how often each old key occurs.

Of each known key it says how well that key would stand where the new one does. Words have no part in it.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.keys import UNSEEN, KeyNumbers, Sequences, weigh
from core.ngrams import NGram

LogProbabilities = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Expected:
    """The training sequences, distinct and by how often each occurs, and a model of the next key.

    `log_probabilities` takes histories (n, history) of key numbers as in `Windows`, and gives (n, V + 1), V the end.
    """

    keys: KeyNumbers
    sequences: Sequences
    weights: np.ndarray
    history: int
    log_probabilities: LogProbabilities

    @classmethod
    def by_bigram(cls, training: Sequences) -> "Expected":
        """Return what is expected by the training sequences and their bigram."""
        keys, (sequences, weights) = KeyNumbers.of(training), weigh(training)
        bigram = NGram(keys, sequences, weights, order=2)
        return cls(keys, sequences, weights, 1, lambda histories: np.log(bigram.probabilities(histories)))

    @cached_property
    def shares(self) -> np.ndarray:
        """Return the share of each key in the events of training, (V,)."""
        events = self.weights @ self.keys.counts(self.sequences)
        return events / events.sum()

    @cached_property
    def counts(self) -> np.ndarray:
        """Return the log-probability that a sequence has a key so often, (V, most + 2), the last column of more.

        Half a sequence more is counted at each number, so that none is impossible.
        """
        numbers = self.keys.counts(self.sequences).astype(int)
        table = np.full((len(self.keys), numbers.max() + 2), 0.5)
        for key in range(len(self.keys)):
            np.add.at(table[key], numbers[:, key], self.weights)
        return np.log(table / table.sum(1, keepdims=True))


# --------------------------------------------------------------------------------------------------------- neighbors


def neighbors(expected: Expected, new: list[str], sequences: Sequences, read_as: Mapping[str, str]) -> np.ndarray:
    """Return how well each known key fits the neighbors of each new one, mean log-probability in nats, (n, V).

    That of the known key after what came before, and that of what came next after it, each a mean over all occurrences.
    New neighbors are read as `read_as` says; those that it does not name are no evidence. 0 without any evidence.
    """
    owners, histories, after, counts = _occurrences(expected, new, sequences, read_as)
    size = len(expected.keys)
    shown, follows = histories[:, -1] <= size, after != UNSEEN  # V + 1 is a key never seen
    here = expected.log_probabilities(histories[shown])[:, :size]
    next_to = _followed(expected, histories[follows], after[follows])
    return _mean(here, owners[shown], counts[shown], len(new)) + _mean(
        next_to, owners[follows], counts[follows], len(new)
    )


def _occurrences(
    expected: Expected, new: list[str], sequences: Sequences, read_as: Mapping[str, str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return new key, history before, what came next and count of each distinct place; next is V for the end."""
    owner, end = {key: number for number, key in enumerate(new)}, len(expected.keys)
    places: Counter[tuple[int, ...]] = Counter()
    for keys, weight in zip(*weigh(sequences), strict=True):
        if owner.keys().isdisjoint(keys):
            continue
        numbers = expected.keys.encode([read_as.get(key, key) for key in keys])
        before = [end] * expected.history + np.where(numbers == UNSEEN, end + 1, numbers).tolist()  # end: begin, too
        after = [*numbers[1:].tolist(), end]
        for place, key in enumerate(keys):
            if key in owner:
                places[(owner[key], after[place], *before[place : place + expected.history])] += int(weight)
    rows = np.array(list(places), dtype=np.int64).reshape(-1, 2 + expected.history)
    return rows[:, 0], rows[:, 2:], rows[:, 1], np.array(list(places.values()), dtype=float)


def _followed(expected: Expected, histories: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the log-probability of `after` in each place if each known key stood there, (places, V)."""
    size = len(expected.keys)
    asked = np.column_stack([np.repeat(histories, size, axis=0), np.tile(np.arange(size), len(histories))])[:, 1:]
    different, rows = np.unique(asked, axis=0, return_inverse=True)
    found = expected.log_probabilities(different)[rows.reshape(-1), np.repeat(after, size)]
    return found.reshape(len(histories), size)


def _mean(values: np.ndarray, owners: np.ndarray, counts: np.ndarray, size: int) -> np.ndarray:
    """Return the mean of the rows of each owner, each as often as it counts, (size, V); 0 for an owner of none."""
    sums = np.zeros((size, values.shape[1]))
    np.add.at(sums, owners, values * counts[:, None])
    return sums / np.maximum(np.bincount(owners, weights=counts, minlength=size), 1)[:, None]


# ------------------------------------------------------------------------------------------------------------ counts


def missing(expected: Expected, new: list[str], sequences: Sequences, read_as: Mapping[str, str]) -> np.ndarray:
    """Return how much likelier the key counts of a sequence are with a new key read as each known one, (n, V).

    In nats, the mean over the occurrences of the new key: above 0 where the known key is missing, below where it would
    be one too many. The other new keys of a sequence are read as `read_as` says.
    """
    owner, most = {key: number for number, key in enumerate(new)}, expected.counts.shape[1] - 1
    guesses = expected.keys.encode([read_as.get(key, key) for key in new])
    sums, occurrences = np.zeros((len(new), len(expected.keys))), np.zeros(len(new))
    every = np.arange(len(expected.keys))
    for keys, weight in zip(*weigh(sequences), strict=True):
        own = Counter(owner[key] for key in keys if key in owner)
        if not own:
            continue
        whole = expected.keys.counts([[read_as.get(key, key) for key in keys]])[0].astype(int)
        for number, count in own.items():
            without = whole - count * (every == guesses[number])
            before, after = (expected.counts[every, np.minimum(had, most)] for had in (without, without + count))
            sums[number] += weight * count * (after - before)
            occurrences[number] += weight * count
    return sums / np.maximum(occurrences, 1)[:, None]


def from_expected(lines: np.ndarray, expected_lines: np.ndarray) -> np.ndarray:
    """Return how far counts of lines are from the expected ones, in nats: |log((lines + 1) / (expected + 1))|."""
    return np.abs(np.log((lines + 1) / (expected_lines + 1)))
