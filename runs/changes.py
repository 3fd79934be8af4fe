"""What an experiment changes before a detector learns from labels: fewer labels, wrong ones, another split, a new test.

Each function gives the parts of a data folder as they are then; sequences are of keys. The same seed gives the same
parts, and no label of the test is read but to count what was found.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from core.data import Data, Labeled, open_data
from core.errors import BadInput

TIME_SHARES = (0.8, 0.9)  # until where sequences in time train, and until where they validate; the rest tests
COMMON = 0.5  # share of the normals that have an event whose loss, repetition or move keeps the label


class Parts(NamedTuple):
    """What is learned of, and what is judged; the words of the test are those of the data folder `of`."""

    train: Labeled
    validation: Labeled
    test: Labeled
    of: Data


def nothing(data: Data, seed: int) -> Parts:
    """Return the split as it is."""
    return Parts(data.labeled("train"), data.labeled("validation"), data.labeled("test"), data)


def few_anomalies(data: Data, seed: int, count: int) -> Parts:
    """Return all normals and `count` labeled anomalies, nested over counts; validation has its share of them."""
    parts = nothing(data, seed)
    sizes = [int((part.labels == 1).sum()) for part in (parts.train, parts.validation)]
    shown = min(count, sum(sizes))
    validated = shown * sizes[1] // sum(sizes)
    chance = np.random.default_rng(seed)
    train, validation = (
        _keep_anomalies(part, kept, chance)
        for part, kept in ((parts.train, shown - validated), (parts.validation, validated))
    )
    return parts._replace(train=train, validation=validation)


def _keep_anomalies(part: Labeled, count: int, chance: np.random.Generator) -> Labeled:
    anomalies = chance.permutation(np.flatnonzero(part.labels == 1))
    kept = np.setdiff1d(np.arange(len(part.labels)), anomalies[count:])
    return _take(part, kept)


def _take(part: Labeled, rows: np.ndarray) -> Labeled:
    return Labeled([part.sequences[row] for row in rows], part.labels[rows])


def flipped_labels(data: Data, seed: int, share: float) -> Parts:
    """Return the split with this share of the labels turned round, in validation, too: nobody has clean ones there."""
    parts, chance = nothing(data, seed), np.random.default_rng(seed)
    train, validation = (
        part._replace(labels=np.where(chance.random(len(part.labels)) < share, 1 - part.labels, part.labels))
        for part in (parts.train, parts.validation)
    )
    return parts._replace(train=train, validation=validation)


def in_time(data: Data, seed: int) -> Parts:
    """Return all labeled sequences split by when they begin; raise BadInput if they have no times."""
    rows = data.sequences.drop_nulls("label").sort("start", maintain_order=True)
    if rows["start"].null_count():
        raise BadInput(f"data/{data.name} has no times to split it by; parse a log with times.")
    whole = Labeled(rows["keys"].to_list(), rows["label"].to_numpy())
    ends = [round(share * len(rows)) for share in TIME_SHARES]
    train, validation, test = (_take(whole, part) for part in np.split(np.arange(len(rows)), ends))
    return Parts(train, validation, test, data)


def other_log(data: Data, seed: int, other: str) -> Parts:
    """Return the training of `data` and the test of another data folder."""
    there = open_data(other)
    return nothing(data, seed)._replace(test=there.labeled("test"), of=there)


# ------------------------------------------------------------------------------------------------- unstable sequences


def unstable(data: Data, seed: int, share: float) -> Parts:
    """Return the split with this share of the test sequences changed in a way that keeps their label.

    After LogRobust's synthetic data (Zhang et al., FSE 2019): one of the events that most normals have is left out,
    repeated, or moved; here one to three such edits, any of them anywhere. Training is as it was.
    """
    parts, chance = nothing(data, seed), np.random.default_rng(seed)
    common = common_events(parts.train)
    changed = chance.random(len(parts.test.labels)) < share
    sequences = [
        _edited(keys, common, chance) if change else keys
        for keys, change in zip(parts.test.sequences, changed, strict=True)
    ]
    return parts._replace(test=parts.test._replace(sequences=sequences))


def common_events(train: Labeled) -> set[str]:
    """Return the events that at least the share `COMMON` of the normals has."""
    normals = [keys for keys, label in zip(train.sequences, train.labels, strict=True) if label == 0]
    having = Counter(key for keys in normals for key in set(keys))
    return {key for key, count in having.items() if count >= COMMON * len(normals)}


def _edited(keys: Sequence[str], common: set[str], chance: np.random.Generator) -> list[str]:
    changed = list(keys)
    for _ in range(chance.integers(1, 4)):
        places = [place for place, key in enumerate(changed) if key in common]
        if len(changed) < 2 or not places:
            return changed
        place, kind = int(chance.choice(places)), chance.integers(3)
        event = changed.pop(place)
        if kind == 1:
            changed[place:place] = [event] * int(chance.integers(2, 5))
        elif kind == 2:
            changed.insert(int(chance.integers(len(changed) + 1)), event)
    return changed
