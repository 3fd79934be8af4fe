"""What the detectors that read jobs share: their numbers as one table, and how they are kept.

Trees are kept as they were learned; the others are quick to fit, so their training is kept and they are fitted again.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self, cast

import numpy as np
import polars as pl

from core.data import Labeled
from core.errors import BadInput
from core.jobs import Worker
from core.keys import KeyNumbers
from methods.parts import disk
from methods.parts.boosting import Boosting
from methods.parts.labels import check_both_classes, judged

Workers = Sequence[Worker]


def lengths_of(workers: Workers) -> np.ndarray:
    """Return how many jobs each worker ran, (workers,)."""
    return np.array([*map(len, workers)], dtype=np.int64)


def stacked(workers: Workers) -> np.ndarray:
    """Return the numbers of all jobs (jobs, columns), those of a worker together and in order."""
    return np.concatenate([worker.numbers for worker in workers])


def means(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the mean over the jobs of each worker, (workers, ...), of values (jobs, ...)."""
    starts = np.cumsum(lengths) - lengths
    sums = np.add.reduceat(values, starts, axis=0)
    return sums / lengths.reshape(-1, *[1] * (values.ndim - 1))


class JobDetector:
    """A detector of workers by their jobs.

    A subclass names itself and gives `_learn` and `log_odds_of_jobs`, or `_log_odds` of workers; one that has trees
    names them in `trees`, and they are what is kept.
    """

    method: str
    name: str
    reads, learns = "jobs", "labels"
    seed: int
    types: KeyNumbers
    trees: dict[str, Boosting]

    def describe(self) -> dict:
        """Return the settings that a run keeps in its `config.json`."""
        raise NotImplementedError

    def _learn(self, workers: Workers, labels: np.ndarray) -> int:
        """Fit; return how many numbers were learned."""
        raise NotImplementedError

    def log_odds_of_jobs(self, workers: Workers) -> np.ndarray:
        """Return the log-odds (jobs,) of each job, those of a worker together."""
        raise NotImplementedError

    def _log_odds(self, workers: Workers) -> np.ndarray:
        return means(self.log_odds_of_jobs(workers), lengths_of(workers))

    def fit(self, train: Labeled, validation: Labeled, checkpoints: Path) -> pl.DataFrame:
        """Learn the training split; one row, `epoch` 0 and `seconds`. Nothing is chosen on `validation`."""
        check_both_classes(train)
        started = time.perf_counter()
        self._fit(cast("Workers", train.sequences), train.labels)
        return pl.DataFrame({"epoch": [0], "seconds": [time.perf_counter() - started]})

    def _fit(self, workers: Workers, labels: np.ndarray) -> None:
        self.types, self.trees = KeyNumbers.of([list(worker) for worker in workers]), {}
        self.learned, self.names = (workers, labels), _names(workers)
        self.parameters = self._learn(workers, labels)

    def score(self, sequences: Workers) -> pl.DataFrame:
        """Return `score` and `log_odds`, one row a worker, in order."""
        return judged(self._log_odds(sequences), self.reads)

    def save(self, folder: Path) -> None:
        """Write the trees, or the training jobs with their labels, and the settings, all or nothing."""
        about = {"method": self.method, "model": self.name, "seed": self.seed, "workers": self.names}
        if self.trees:
            parts = {
                f"{name}.{part}": array for name, tree in self.trees.items() for part, array in tree.arrays().items()
            }
            disk.save(folder, about, self.types, parts)
            return
        workers, labels = self.learned
        own = {"numbers": stacked(workers), "lengths": lengths_of(workers), "labels": labels.astype(np.int8)}
        own["types"] = np.concatenate([self.types.encode(list(worker)) for worker in workers])
        disk.save(folder, about, self.types, own)

    @classmethod
    def make(cls, name: str, seed: int) -> Self:
        """Return the untrained detector of a saved name."""
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path, train: Labeled | None = None) -> Self:
        """Return a saved detector; raise BadInput as `disk.load`."""
        about, types, arrays = disk.load(folder, cls.method, train)
        with disk.fitting(folder):
            detector, names = cls.make(about["model"], about["seed"]), [tuple(name) for name in about["workers"]]
            if train is not None and _names(cast("Workers", train.sequences)) != names:
                raise BadInput(f"{Path(folder).as_posix()} has the workers of another data set; {disk.AGAIN}")
            if "lengths" in arrays:
                detector._fit(_workers(names, types, arrays), arrays["labels"])
                return detector
            detector.types, detector.names, detector.trees = types, names, _trees(arrays)
            detector.parameters = sum(tree.size for tree in detector.trees.values())
        return detector


def _workers(names: list[tuple], types: KeyNumbers, arrays: dict[str, np.ndarray]) -> list[Worker]:
    ends = np.cumsum(arrays["lengths"])[:-1]
    numbers = np.split(arrays["numbers"], ends)
    kinds = np.split(np.array(types.keys, dtype=object)[arrays["types"]], ends)
    parts = zip(names, kinds, numbers, strict=True)
    return [Worker(workflow, run, name, tuple(of), rows) for (workflow, run, name), of, rows in parts]


def _trees(arrays: dict[str, np.ndarray]) -> dict[str, Boosting]:
    """Return the trees by name, in the order in which they were kept."""
    parts: dict[str, dict[str, np.ndarray]] = {}
    for name, array in sorted(arrays.items()):
        of, _, part = name.rpartition(".")
        parts.setdefault(of, {})[part] = array
    return {name: Boosting.of(part) for name, part in parts.items()}


def _names(workers: Workers) -> list[tuple[str, int, str]]:
    return [(worker.workflow, worker.run, worker.name) for worker in workers]


Templates = Mapping[str, str | None]
