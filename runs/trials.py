"""Experiments with labels: a detector fitted on changed parts of a data folder, judged, and kept as one row.

Rows are kept in results/<data>/supervised/trials.csv as they come, so what is done is not done again.
"""

import contextlib
import hashlib
import io
import json
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from tqdm import tqdm

from core.data import Data, Labeled, open_data
from core.files import lock, write
from core.tables import read_table
from evaluation import floors, metrics
from runs import steps
from runs.changes import Parts
from runs.folder import RESULTS
from runs.many import environment, workers

SCHEMA: dict[str, type[pl.DataType]] = {
    "change": pl.String,
    "method": pl.String,
    "split_seed": pl.Int64,
    "seed": pl.Int64,
    "status": pl.String,  # done, or failed with the reason
    "about": pl.String,  # hash of the data, of the change and of the detector's settings
    "labeled_anomalies": pl.Int64,
    "test_sequences": pl.Int64,
    "test_anomalies": pl.Int64,
    "new_sequences": pl.Int64,
    "f1": pl.Float64,
    "precision": pl.Float64,
    "recall": pl.Float64,
    "false_alarm_rate": pl.Float64,
    "average_precision": pl.Float64,
    "f1_new": pl.Float64,
    "seconds": pl.Float64,
}
IDENTITY = ("method", "split_seed", "seed", "about")
FAULT_WORDS = r"(?i)error|fail|fatal"
LABEL_FREE = {"count_vector": "none: unseen count vector", "fault_words": "none: contains error, fail or fatal"}

Change = Callable[[Data, int], Parts]


@dataclass(frozen=True)
class Trial:
    """One detector, by its name in the notebook, on the parts that `change` makes of a data folder."""

    title: str  # of the change
    change: Change
    name: str
    make: steps.Make
    folder: str
    seed: int

    def identity(self) -> dict:
        """Return the columns that say which trial it is; the same change by another title is the same trial."""
        data = open_data(self.folder)
        settings = self.make(seed=self.seed, templates=data.templates).describe()
        text = json.dumps([data.manifest["data_hash"], settings, _described(self.change)], sort_keys=True)
        about = hashlib.sha256(text.encode()).hexdigest()[:16]
        place = {"split_seed": data.manifest["split"]["seed"], "seed": self.seed}
        return place | {"method": self.name, "about": about}


def _described(change: Change) -> list:
    """Return the function and the settings of a change, a function or a partial of one, and the other data's hash."""
    if not isinstance(change, partial):
        return [change.__name__]
    other = change.keywords.get("other")
    return [change.func.__name__, change.keywords, other and open_data(other).manifest["data_hash"]]


def run_trials(
    changes: Mapping[str, Change], detectors: Mapping[str, steps.Make], folder: str, seeds: Iterable[int]
) -> pl.DataFrame:
    """Try each detector with each seed on each change; return their rows, in order, `change` by its title here.

    What trials.csv of the data folder lacks is done, a few at a time.
    """
    wanted = [
        (trial, trial.identity())
        for title, change in changes.items()
        for name, make in detectors.items()
        for seed in seeds
        for trial in [Trial(title, change, name, make, folder, seed)]
    ]
    path = RESULTS / folder / "supervised" / "trials.csv"
    _do([pair for pair in wanted if not _is_done(path, pair[1])], path)
    done = read(path)
    rows = [done.row(by_predicate=_same(identity), named=True) | {"change": trial.title} for trial, identity in wanted]
    return pl.DataFrame(rows, schema=SCHEMA)


def _do(missing: list[tuple[Trial, dict]], path: Path) -> None:
    """Do these trials, a few at a time, and keep each as it ends."""
    at_once, threads = workers()
    with (
        environment(OMP_NUM_THREADS=str(threads), OMP_WAIT_POLICY="PASSIVE"),
        ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as pool,
    ):
        futures = {pool.submit(run_trial, trial): (trial, identity) for trial, identity in missing}
        for future in tqdm(as_completed(futures), total=len(futures), desc="trials", leave=False, disable=None):
            trial, identity = futures[future]
            _record(path, identity | {"change": trial.title} | future.result())


def run_trial(trial: Trial) -> dict:
    """Return what one trial found; a failure is a row, too, and the next trial begins."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), TemporaryDirectory() as checkpoints:
            return _fit_and_judge(trial, Path(checkpoints)) | {"status": "done"}
    except Exception as error:
        return {"status": f"failed: {str(error).splitlines()[0] if str(error) else type(error).__name__}"[:200]}


def _fit_and_judge(trial: Trial, checkpoints: Path) -> dict:
    data = open_data(trial.folder)
    parts = trial.change(data, trial.seed)
    detector = trial.make(seed=trial.seed, templates=data.templates)
    started = time.perf_counter()
    train, validation = (_read(detector, part, data) for part in (parts.train, parts.validation))
    detector.fit(train, validation, checkpoints)
    scored = detector.score(_read(detector, parts.test, parts.of).sequences)
    seconds = time.perf_counter() - started
    return measured(parts, scored["log_odds"].to_numpy(), 0.0) | {"seconds": seconds}


def _read(detector: steps.Detector, part: Labeled, data: Data) -> Labeled:
    return part._replace(sequences=data.texts(part.sequences)) if detector.reads == "text" else part


def measured(parts: Parts, order: np.ndarray, threshold: float) -> dict:
    """Return the figures of a verdict, `order` above `threshold`, on the test, and F1 on what training did not have."""
    labels, flags = parts.test.labels, order > threshold
    had = set(map(tuple, parts.train.sequences))
    new = np.array([tuple(keys) not in had for keys in parts.test.sequences])
    found, learned = metrics.measure(flags, labels), (parts.train.labels, parts.validation.labels)
    about = {
        "labeled_anomalies": sum(int((part == 1).sum()) for part in learned),
        "test_sequences": len(labels),
        "test_anomalies": int((labels == 1).sum()),
        "new_sequences": int(new.sum()),
        "f1_new": metrics.measure(flags[new], labels[new])["f1"] if new.any() else None,
        "average_precision": metrics.ranking(order, labels)["average_precision"],
    }
    return about | {name: found[name] for name in ("f1", "precision", "recall", "false_alarm_rate")}


# --------------------------------------------------------------------------------------------- what needs no training


def label_free(changes: Mapping[str, Change], folder: str, seed: int) -> pl.DataFrame:
    """Return rows of the two detectors that read no label: an unseen count vector, and words such as error."""
    data, rows = open_data(folder), []
    for title, change in changes.items():
        parts = change(data, seed)
        for name, flags in label_free_flags(parts).items():
            about = {"change": title, "method": LABEL_FREE[name], "status": "done"}
            found = measured(parts, flags.astype(float), 0.5) | {"labeled_anomalies": 0}
            rows.append(about | found | {"split_seed": data.manifest["split"]["seed"], "seed": seed})
    return pl.DataFrame(rows, schema=SCHEMA)


def label_free_flags(parts: Parts) -> dict[str, np.ndarray]:
    """Return which test sequences each of the two flags; words only where all keys have some."""
    normals = [keys for keys, label in zip(*parts.train, strict=True) if label == 0]
    seen = floors.familiarity(pl.Series(normals), pl.Series(parts.test.sequences))
    flags = {"count_vector": ~seen["count_vector_seen"].to_numpy()}
    words = {key: text for key, text in parts.of.templates.items() if text is not None}
    if words:
        faulty = {key for key, is_faulty in zip(words, _has_fault_word(words.values()), strict=True) if is_faulty}
        flags["fault_words"] = np.array([not faulty.isdisjoint(keys) for keys in parts.test.sequences])
    return flags


def _has_fault_word(texts: Iterable[str]) -> pl.Series:
    return pl.Series(list(texts), dtype=pl.String).str.contains(FAULT_WORDS)


# ----------------------------------------------------------------------------------------------------------- on disk


def read(path: Path) -> pl.DataFrame:
    """Return the rows of a trials.csv, none if there is none; raise BadInput if it is damaged."""
    remedy = "remove it, and the trials are done again."
    return read_table(path, SCHEMA, remedy) if path.is_file() else pl.DataFrame(schema=SCHEMA)


def _same(identity: dict) -> pl.Expr:
    return pl.all_horizontal(pl.col(name) == identity[name] for name in IDENTITY)


def _is_done(path: Path, identity: dict) -> bool:
    return len(read(path).filter(_same(identity) & (pl.col("status") == "done"))) > 0


def _record(path: Path, row: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with lock(path):
        write(path, pl.concat([read(path).filter(~_same(row)), pl.DataFrame([row], schema=SCHEMA)]))
