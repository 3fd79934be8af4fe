"""Which sequences are trained on, calibrated on and tested on; nothing is dropped without a count."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from core.errors import BadInput
from parsing.sequences.group import Groups

NAMES = ("train", "validation", "test", "unused")
TRAIN, VALIDATION, TEST, UNUSED = range(4)


@dataclass(frozen=True)
class SplitSettings:
    """`random`: `train_normals` shuffled normals to train; `chronological`: those in the first `train_share`.

    The last `validation_share` of the training normals is validation. Chronological training takes every normal of
    its part, unless `train_normals` is smaller.
    """

    kind: str = "random"
    train_normals: int | None = 5_000  # LogGPT and the framework: 5,000 normal sequences
    train_share: float = 0.5
    validation_share: float = 0.2  # the framework trains on 4,000 and looks for K on 1,000


@dataclass(frozen=True)
class Split:
    """The split of every sequence, in order, and what a person must know about how it was made."""

    codes: np.ndarray
    protocol: dict

    @property
    def names(self) -> pl.Series:
        """train, validation, test or unused, one a sequence."""
        return pl.Series("split", np.array(NAMES, dtype=object)[self.codes], dtype=pl.String)


def split_sequences(labels: np.ndarray, groups: Groups | None, settings: SplitSettings, seed: int) -> Split:
    """Return the split of sequences with `labels` (1 = anomaly; anything else counts as normal)."""
    notes: list[str] = []
    if settings.kind == "chronological":
        codes = _chronological(labels, groups, settings)
        rule = (
            f"by time: normals of the first {settings.train_share:.0%} of the sequences train, the last of them "
            "validate; the later sequences test; anomalies before that, and windows that share lines, are unused"
        )
    else:
        codes, notes = _random(labels, settings, seed)
        rule = "normals shuffled: first ones train, the last of those validate; the rest and all anomalies test"
    train, validation = int((codes == TRAIN).sum()), int((codes == VALIDATION).sum())
    if not train or not validation:
        raise BadInput(
            f"{int((labels != 1).sum()):,} normal sequences leave {train:,} to train on and {validation:,} to validate "
            "on; give a longer log, or another size with --train-normals."
        )
    if not ((labels == 1) & (codes == TEST)).any():
        notes.append("No test sequence is labeled anomalous: there will be false alarms and a ranking, but no F1.")
    protocol = {
        "rule": rule,
        "asked_normals": settings.train_normals,
        "used_normals": train + validation,
        "validation_share": settings.validation_share,
        "notes": notes,
        "seed": seed,
    }
    return Split(codes, protocol)


def _random(labels: np.ndarray, settings: SplitSettings, seed: int) -> tuple[np.ndarray, list[str]]:
    """Return the codes and notes of a random split.

    With no more normals than asked for, half of them are taken, so that the test keeps normals, too.
    """
    normals, notes = np.flatnonzero(labels != 1), []
    wanted = asked = len(normals) if settings.train_normals is None else settings.train_normals
    if len(normals) <= asked:
        wanted = len(normals) // 2
        notes.append(
            f"{asked:,} normal sequences were asked for, but there are {len(normals):,}: "
            f"half of them, {wanted:,}, are used to train and validate."
        )
    codes = np.full(len(labels), TEST, np.int8)
    chosen = np.random.default_rng(seed).permutation(normals)[:wanted]
    validation = round(wanted * settings.validation_share)
    codes[chosen[: wanted - validation]] = TRAIN
    codes[chosen[wanted - validation :]] = VALIDATION
    return codes, notes


def _chronological(labels: np.ndarray, groups: Groups | None, settings: SplitSettings) -> np.ndarray:
    """Return codes with training strictly before validation strictly before test.

    A window that shares a line with an earlier part is unused.
    """
    cut = int(len(labels) * settings.train_share)
    pool = np.flatnonzero(labels[:cut] != 1)[: settings.train_normals]
    codes = np.full(len(labels), UNUSED, np.int8)
    codes[cut:] = TEST
    validation = round(len(pool) * settings.validation_share)
    codes[pool[: len(pool) - validation]] = TRAIN
    codes[pool[len(pool) - validation :]] = VALIDATION
    if groups is not None:
        for earlier, later in ((TRAIN, VALIDATION), (VALIDATION, TEST), (TRAIN, TEST)):
            end = groups.stops[codes == earlier].max(initial=0)
            codes[(codes == later) & (groups.starts < end)] = UNUSED
    return codes


def shared_events(groups: Groups, codes: np.ndarray, events: int) -> int:
    """Return how many events are both in a test window and in a training or validation window."""
    if not groups.overlap():
        return 0
    test, learned = (_covered(groups, chosen, events) for chosen in _tested_and_learned(codes))
    return int((test & learned).sum())


def shared_lines(groups: Groups, codes: np.ndarray, lines: np.ndarray) -> int:
    """Return how many lines name both a test session and a training or validation session.

    `lines` are those of the events.
    """
    seen = []
    for chosen in _tested_and_learned(codes):
        marked = np.zeros(lines.max() + 1, bool)
        marked[lines[_covered(groups, chosen, len(lines))]] = True
        seen.append(marked)
    return int((seen[0] & seen[1]).sum())


def _tested_and_learned(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return codes == TEST, (codes == TRAIN) | (codes == VALIDATION)


def _covered(groups: Groups, chosen: np.ndarray, events: int) -> np.ndarray:
    """Return whether each event is in one of the chosen sequences."""
    changes = np.zeros(events + 1, np.int32)
    np.add.at(changes, groups.starts[chosen], 1)
    np.add.at(changes, groups.stops[chosen], -1)
    return np.cumsum(changes[:-1]) > 0
