"""Draws of labeled sequences: the minority up to its share, changed in ways that keep the label, in chunks."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from methods.supervised.logllm.recipes import Settings

CHANGED_EVENTS = 6  # the commonest of the normals
SHUFFLED = 3  # events of a short shuffle

Messages = tuple[int, ...]  # the numbers of the messages of a sequence


@dataclass(frozen=True)
class Rows:
    """Distinct labeled sequences of a batch, each with the number of draws that it stands for."""

    sequences: list[Messages]
    labels: np.ndarray
    weights: np.ndarray


class Draws:
    """Labeled sequences by chance: `probabilities` (rows,) of each distinct one."""

    def __init__(self, sequences: list[Messages], labels: np.ndarray, counts: np.ndarray, settings: Settings) -> None:
        self.sequences, self.labels, self.settings = sequences, labels, settings
        self.probabilities = draw_probabilities(labels, counts, settings)
        self.size = balanced_size(labels, counts, settings.minority_share)
        normals = Counter[int]()
        for messages, count in zip(sequences, counts * (labels == 0), strict=True):
            normals.update({message: int(count) * times for message, times in Counter(messages).items()})
        self.common = {message for message, count in normals.most_common(CHANGED_EVENTS) if count}

    def batch(self, chance: np.random.Generator) -> Rows:
        """Return a batch of draws; the same sequence drawn twice is one row that counts twice."""
        drawn: Counter[tuple[Messages, int]] = Counter()
        for row in chance.choice(len(self.sequences), self.settings.batch_size, p=self.probabilities):
            messages = self.sequences[row]
            if chance.random() < self.settings.changed_share:
                messages = change(messages, self.common, chance)
            shown = chunks(messages, self.settings.max_messages)
            drawn[shown[0 if self.settings.published else chance.integers(len(shown))], int(self.labels[row])] += 1
        sequences, labels = [messages for messages, _ in drawn], np.array([label for _, label in drawn])
        return Rows(sequences, labels, np.array(list(drawn.values()), dtype=np.float32))


def draw_probabilities(labels: np.ndarray, counts: np.ndarray, settings: Settings) -> np.ndarray:
    """Return how likely each distinct sequence is drawn: the rarer class together at least `minority_share`."""
    share = counts[labels == 1].sum() / counts.sum()
    anomalous = min(max(share, settings.minority_share), 1 - settings.minority_share)
    weights = counts**settings.draw_exponent
    of_class = np.array([weights[labels == label].sum() for label in (0, 1)])
    return weights / of_class[labels] * np.where(labels == 1, anomalous, 1 - anomalous)


def balanced_size(labels: np.ndarray, counts: np.ndarray, minority_share: float) -> int:
    """Return how many draws an epoch has when the rarer class is repeated until it has its share."""
    of_class = sorted(counts[labels == label].sum() for label in (0, 1))
    return round(max(of_class[1] / (1 - minority_share), sum(of_class)))


def change(messages: Messages, common: set[int], chance: np.random.Generator) -> Messages:
    """Return the sequence with one or two changes among its common events: one repeated, left out, or a short shuffle.

    What is rare stays where it is, and so does the label.
    """
    changed = list(messages)
    for _ in range(chance.integers(1, 3)):
        places = [place for place, message in enumerate(changed) if message in common]
        if len(places) < 2:
            break
        place, kind = int(chance.choice(places)), chance.integers(3)
        if kind == 0:
            changed.insert(place, changed[place])
        elif kind == 1:
            changed.pop(place)
        else:
            near = places[(start := places.index(place)) : start + SHUFFLED]
            for spot, message in zip(near, chance.permutation([changed[spot] for spot in near]), strict=True):
                changed[spot] = int(message)
    return tuple(changed)


def chunks(messages: Messages, most: int) -> list[Messages]:
    """Return the sequence in chunks of at most `most` messages; none is left out."""
    return [messages[start : start + most] for start in range(0, max(len(messages), 1), most)]
