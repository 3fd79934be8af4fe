"""What the detectors that learn from labels share: labeled sequences by weight, log-odds, fits that are made again."""

import time
from collections import Counter
from math import log
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from core.data import Labeled
from core.errors import BadInput
from core.keys import KeyNumbers, Sequences, distinct
from methods.parts import disk

SUREST = log(1e6)  # log-odds of one in a million; a pure leaf is no more certain than that


def check_both_classes(train: Labeled) -> None:
    """Raise BadInput unless training has both labeled anomalies and normals."""
    anomalies = int((train.labels == 1).sum())
    if 0 < anomalies < len(train.labels):
        return
    lacking = "labeled anomaly" if not anomalies else "labeled normal sequence"
    raise BadInput(
        f"The training split has no {lacking} among its {len(train.labels):,} labeled sequences, so there is nothing "
        "to tell apart; make the data folder with parse_logs.py --protocol supervised and its labels."
    )


def weigh_labeled(part: Labeled) -> tuple[list[tuple[str, ...]], np.ndarray, np.ndarray]:
    """Return the distinct pairs of sequence and label, apart, and how often each occurs, float64.

    They are sorted, so that nothing that draws from them by chance depends on the order of a file.
    """
    counts = dict(sorted(Counter(zip(map(tuple, part.sequences), part.labels.tolist(), strict=True)).items()))
    sequences, labels = ([pair[place] for pair in counts] for place in (0, 1))
    return sequences, np.array(labels, dtype=np.int64), np.array(list(counts.values()), dtype=np.float64)


def to_log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Return ln(p / (1 - p)) of probabilities of an anomaly, within plus and minus `SUREST`."""
    shown = np.clip(probabilities, 1e-9, 1 - 1e-9)
    return np.clip(np.log(shown / (1 - shown)), -SUREST, SUREST)


def judged(log_odds: np.ndarray, reads: str) -> pl.DataFrame:
    """Return the frame of a detector that learns from labels and judges by its log-odds alone.

    To one that reads text or jobs a new key is no stranger than what it stands for.
    """
    frame = pl.DataFrame({"score": log_odds, "log_odds": log_odds})
    return frame.with_columns(has_unseen_key=pl.lit(False)) if reads != "keys" else frame


class Refitted:
    """A classifier whose fit takes a second: what is kept is what it was fitted on, and loading fits it again.

    Scikit-learn's models have no format that is safe to read. A subclass names itself and gives `_learn` and
    `_log_odds`; a sequence is of keys or of texts, as it reads.
    """

    method: str
    name: str
    reads: str
    learns = "labels"
    seed: int

    def describe(self) -> dict:
        """Return the settings that a run keeps in its `config.json`."""
        raise NotImplementedError

    def _learn(self, sequences: Sequences, labels: np.ndarray, weights: np.ndarray) -> int:
        """Fit on distinct sequences; return how many numbers were learned."""
        raise NotImplementedError

    def _log_odds(self, sequences: Sequences) -> np.ndarray:
        """Return the log-odds (rows,) of distinct sequences."""
        raise NotImplementedError

    def _arguments(self) -> dict[str, Any]:
        """Return what the constructor needs beside the seed, for `load`."""
        return {}

    def fit(self, train: Labeled, validation: Labeled, checkpoints: Path) -> pl.DataFrame:
        """Learn the training split; one row, `epoch` 0 and `seconds`. Nothing is chosen on `validation`."""
        check_both_classes(train)
        started = time.perf_counter()
        self._fit(*weigh_labeled(train))
        return pl.DataFrame({"epoch": [0], "seconds": [time.perf_counter() - started]})

    def _fit(self, sequences: Sequences, labels: np.ndarray, weights: np.ndarray) -> None:
        self.keys = KeyNumbers.of(sequences)
        self.learned = (sequences, labels, weights)
        self.parameters = self._learn(sequences, labels, weights)

    def score(self, sequences: Sequences) -> pl.DataFrame:
        """Return `score, log_odds`, one row a sequence, in order. Each distinct sequence is judged once."""
        different, rows = distinct(sequences)
        return judged(self._log_odds(different)[rows], self.reads)

    def save(self, folder: Path) -> None:
        """Write the distinct training sequences with labels and counts, and the settings, all or nothing."""
        sequences, labels, weights = self.learned
        encoded = [*map(self.keys.encode, sequences)]
        parts = {"keys": np.concatenate(encoded), "ends": np.cumsum([*map(len, encoded)])}
        parts |= {"labels": labels, "weights": weights}
        about = {"method": self.method, "model": self.name, "seed": self.seed} | {"arguments": self._arguments()}
        disk.save(folder, about, self.keys, parts)

    @classmethod
    def load(cls, folder: Path, train: Labeled | None = None) -> Self:
        """Return a saved detector, fitted again on what was saved; raise BadInput as `disk.load`."""
        about, keys, arrays = disk.load(folder, cls.method, train)
        with disk.fitting(folder):
            make: Any = cls
            detector = make(**about["arguments"], seed=about["seed"])
            names = np.array(keys.keys, dtype=object)[arrays["keys"]]
            sequences = [tuple(part) for part in np.split(names, arrays["ends"][:-1])]
            detector._fit(sequences, arrays["labels"], arrays["weights"])
        return detector
