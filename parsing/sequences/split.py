"""Which sequences are trained on, calibrated on and tested on; nothing is dropped without a count."""

from dataclasses import asdict, dataclass

import numpy as np
import polars as pl

from core.errors import BadInput
from parsing.sequences.group import Groups
from parsing.sequences.store import NO_LABEL

NAMES = ("train", "validation", "test", "unused")
TRAIN, VALIDATION, TEST, UNUSED = range(4)


@dataclass(frozen=True)
class SplitSettings:
    """Which sequences train, validate and test.

    `random`: `train_normals` shuffled normals to train, everything else tests. `chronological`: the normals of the
    first `train_share` train. `labeled` (shuffled) and `labeled_in_time` keep the labeled anomalies of the first
    `train_share` in training: `anomalies` of them, or `labels_share`, if a number is given; the others, which nobody
    labeled, are unused. `judged`: all of it tests, by what was learned of another log. The last `validation_share` of
    what trains is validation. Chronological training takes every normal of its part, unless `train_normals` is smaller.
    """

    kind: str = "random"
    train_normals: int | None = 5_000  # LogGPT and the framework: 5,000 normal sequences
    train_share: float = 0.5
    validation_share: float = 0.2  # the framework trains on 4,000 and looks for K on 1,000
    anomalies: int | None = None
    labels_share: float | None = None

    @property
    def keeps_anomalies(self) -> bool:
        """Whether labeled anomalies stay in training."""
        return self.kind.startswith("labeled")


@dataclass(frozen=True)
class Split:
    """The split of every sequence, in order, and what a person must know about how it was made."""

    codes: np.ndarray
    protocol: dict

    @property
    def names(self) -> pl.Series:
        """train, validation, test or unused, one a sequence."""
        return pl.Series("split", np.array(NAMES, dtype=object)[self.codes], dtype=pl.String)


RULES = {
    "random": "normals shuffled: first ones train, the last of those validate; the rest and all anomalies test",
    "chronological": (
        "by time: normals of the first {train:.0%} of the sequences train, the last of them validate; the later "
        "sequences test; anomalies before that, and windows that share lines, are unused"
    ),
    "labeled": (
        "labeled sequences shuffled: {learned:.0%} train and {validated:.0%} validate, both with their labels; the "
        "rest tests"
    ),
    "judged": "all of it tests: it is judged by what was learned of another log",
    "labeled_in_time": (
        "by time: the first {learned:.0%} of the sequences train and the next {validated:.0%} validate, both with "
        "their labels; the later ones test; windows that share lines are unused"
    ),
}


def split_sequences(labels: np.ndarray, groups: Groups | None, settings: SplitSettings, seed: int) -> Split:
    """Return the split of sequences with `labels`: 1 = anomaly; what has none counts as normal, or is unused.

    Raise BadInput if a part would be left without what it needs.
    """
    if settings.keeps_anomalies:
        codes, notes = _labeled(labels, settings, seed)
    elif settings.kind == "chronological":
        codes, notes = _chronological(labels, settings), []
    elif settings.kind == "judged":
        codes, notes = np.full(len(labels), TEST, np.int8), []
    else:
        codes, notes = _random(labels, settings, seed)
    if groups is not None and settings.kind in ("chronological", "labeled_in_time"):
        codes = _without_shared_lines(codes, groups)
    if settings.kind != "judged":
        _refuse_empty_parts(labels, codes)
    if (labels == NO_LABEL).all():
        notes.append("There are no labels: a ranking and alarms will come of it, and nothing is called right or wrong.")
    elif not ((labels == 1) & (codes == TEST)).any():
        notes.append("No test sequence is labeled anomalous: there will be false alarms and a ranking, but no F1.")
    validated = settings.train_share * settings.validation_share
    shares = {"train": settings.train_share, "learned": settings.train_share - validated, "validated": validated}
    protocol = {
        "rule": RULES[settings.kind].format(**shares),
        "settings": asdict(settings),
        "asked_normals": settings.train_normals,
        "used_normals": int(((codes <= VALIDATION) & (labels != 1)).sum()),
        "validation_share": settings.validation_share,
        "notes": notes,
        "seed": seed,
    }
    if settings.keeps_anomalies:
        protocol["used_anomalies"] = int(((codes <= VALIDATION) & (labels == 1)).sum())
    return Split(codes, protocol)


def _refuse_empty_parts(labels: np.ndarray, codes: np.ndarray) -> None:
    normal = labels != 1
    train, validation = (int(((codes == code) & normal).sum()) for code in (TRAIN, VALIDATION))
    if not train or not validation:
        raise BadInput(
            f"{int(normal.sum()):,} normal sequences leave {train:,} to train on and {validation:,} to validate "
            "on; give a longer log, or another size with --train-normals."
        )


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


def _chronological(labels: np.ndarray, settings: SplitSettings) -> np.ndarray:
    """Return codes with training strictly before validation strictly before test."""
    cut = int(len(labels) * settings.train_share)
    pool = np.flatnonzero(labels[:cut] != 1)[: settings.train_normals]
    codes = np.full(len(labels), UNUSED, np.int8)
    codes[cut:] = TEST
    validation = round(len(pool) * settings.validation_share)
    codes[pool[: len(pool) - validation]] = TRAIN
    codes[pool[len(pool) - validation :]] = VALIDATION
    return codes


def _labeled(labels: np.ndarray, settings: SplitSettings, seed: int) -> tuple[np.ndarray, list[str]]:
    """Return codes and notes of a split whose labeled anomalies stay in training; what has no label is unused.

    A shuffled one is good for nothing but learning from labels; one in time is good without any, too.
    """
    order = np.flatnonzero(labels != NO_LABEL)
    if settings.kind == "labeled":
        _refuse_one_class(labels[order])
        order = np.random.default_rng(seed).permutation(order)
    elif not len(order):
        order = np.arange(len(labels))
    learned = round(len(order) * settings.train_share)
    validation = max(1, round(learned * settings.validation_share))
    codes = np.full(len(labels), UNUSED, np.int8)
    codes[order[: learned - validation]] = TRAIN
    codes[order[learned - validation : learned]] = VALIDATION
    codes[order[learned:]] = TEST
    notes = [f"{len(labels) - len(order):,} sequences without a label are unused."] if len(order) < len(labels) else []
    notes += _hide_anomalies(labels, codes, settings, seed)
    if not ((labels == 1) & (codes == TRAIN)).any():
        nothing = f"None of the {int((labels == 1).sum()):,} labeled anomalies is in training"
        if settings.kind == "labeled":
            raise BadInput(f"{nothing}: there is nothing to learn from; give a longer log, or another --seed.")
        notes.append(f"{nothing}: methods that learn from labels will refuse this split.")
    return codes, notes


def _refuse_one_class(labels: np.ndarray) -> None:
    if not len(labels):
        raise BadInput(
            "There is no label to learn from; give --labels FILE, or --label-field, or leave out --protocol and learn "
            "from normals alone."
        )
    if len(np.unique(labels)) == 1:
        every, none = ("anomalous", "normal") if labels[0] == 1 else ("normal", "anomalous")
        raise BadInput(
            f"All {len(labels):,} labeled sequences are {every} and none is {none}: labels of one class teach nothing; "
            "give the labels of both, or leave out --protocol and learn from normals alone."
        )


def _hide_anomalies(labels: np.ndarray, codes: np.ndarray, settings: SplitSettings, seed: int) -> list[str]:
    """Make the anomalies unused that nobody labeled, nested over how many `settings` leaves; return notes.

    Validation keeps its share of them, rounded down: a single label is for training.
    """
    places = [np.flatnonzero((labels == 1) & (codes == code)) for code in (TRAIN, VALIDATION)]
    there = sum(map(len, places))
    wanted = settings.anomalies
    if settings.labels_share is not None:
        wanted = max(1, round(settings.labels_share * there))
    if wanted is None or not there:
        return []
    validated = min(wanted, there) * len(places[1]) // there
    chance = np.random.default_rng([seed, 1])  # not the draws of the split
    for own, kept in zip(places, (min(wanted, there) - validated, validated), strict=True):
        codes[chance.permutation(own)[kept:]] = UNUSED
    short = f"{wanted:,} labeled anomalies were asked for, but there are {there:,} outside the test: all are used."
    return [short] if wanted > there else []


def _without_shared_lines(codes: np.ndarray, groups: Groups) -> np.ndarray:
    """Return the codes with each window that shares a line with an earlier part unused."""
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
