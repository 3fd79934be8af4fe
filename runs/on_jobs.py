"""Experiments on workflow jobs: detectors fitted here, and their verdicts of jobs, of workers and of runs.

A frame of verdicts has the columns `run` (workflow and number), `worker`, `label` and `log_odds`, and one row a job, or
a worker, or a run.
"""

import contextlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from core.data import Data, Labeled
from core.jobs import STAGES, Worker
from evaluation import by_run
from runs import steps

FIGURES: dict[str, by_run.Figure] = {"f1": by_run.f1, "average_precision": by_run.average_precision}
Texts = Callable[[pl.DataFrame], list[str]]


def fitted(make: steps.Make, data: Data, seed: int = 0) -> Any:
    """Return the detector after it has learned a data folder, without a run folder."""
    detector = make(seed=seed, templates=data.templates)
    train, validation = (steps.learned(data, split, detector) for split in ("train", "validation"))
    return learned(detector, train, validation)


def learned(detector: Any, train: Labeled, validation: Labeled) -> Any:
    """Return the detector after it has learned these parts, in silence."""
    with contextlib.redirect_stdout(io.StringIO()), TemporaryDirectory() as checkpoints:
        detector.fit(train, validation, Path(checkpoints))
    return detector


# ------------------------------------------------------------------------------------------------ jobs, workers, runs


def workers_of(data: Data, split: str) -> tuple[list[Worker], np.ndarray]:
    """Return the workers of a split, or its single jobs where each is a sequence, and their labels."""
    rows = data.whole(split, "lines", "label")
    return data.workers(rows["lines"].to_list()), rows["label"].to_numpy()


def verdicts_of_jobs(detector: Any, data: Data, split: str = "test") -> pl.DataFrame:
    """Return the verdicts of every job; `detector` has `log_odds_of_jobs`."""
    workers, labels = workers_of(data, split)
    sizes = [*map(len, workers)]
    own = _frame(workers, labels).select(pl.all().repeat_by(pl.Series(sizes)).explode())
    return own.with_columns(log_odds=pl.Series(detector.log_odds_of_jobs(workers)))


def verdicts_of_workers(detector: Any, data: Data, split: str = "test") -> pl.DataFrame:
    """Return the verdicts of every worker."""
    workers, labels = workers_of(data, split)
    return _frame(workers, labels).with_columns(detector.score(workers)["log_odds"])


def verdicts_of_runs(workers: pl.DataFrame) -> pl.DataFrame:
    """Return those of runs: a run is anomalous if a worker is, and looks as its strangest worker does."""
    return workers.group_by("run", maintain_order=True).agg(pl.col("label", "log_odds").max())


def _frame(workers: list[Worker], labels: np.ndarray) -> pl.DataFrame:
    runs = [f"{worker.workflow} {worker.run}" for worker in workers]
    return pl.DataFrame({"run": runs, "worker": [worker.name for worker in workers], "label": labels})


def figures(about: Mapping[str, Any], verdicts: pl.DataFrame) -> dict:
    """Return one row of a table: `about`, and each of `FIGURES` with the ends of its interval over runs."""
    columns = (verdicts[name].to_numpy() for name in ("label", "log_odds", "run"))
    labels, log_odds, runs = columns
    row = dict(about) | {"rows": len(verdicts), "anomalous": int(labels.sum())}
    for name, figure in FIGURES.items():
        row |= dict(
            zip((name, f"{name}_low", f"{name}_high"), by_run.measured(figure, labels, log_odds, runs), strict=True)
        )
    return row


def lead(over: pl.DataFrame, other: pl.DataFrame) -> tuple[float, float, float]:
    """Return by how much the average precision of one frame of verdicts exceeds that of another, with its interval.

    Both have the same rows in the same order.
    """
    labels, runs = over["label"].to_numpy(), over["run"].to_numpy()
    scores = (frame["log_odds"].to_numpy() for frame in (over, other))
    return by_run.difference(by_run.average_precision, labels, *scores, runs)


# --------------------------------------------------------------------------------------------------------------- early


def after_each_job(detector: Any, data: Data, split: str = "test") -> pl.DataFrame:
    """Return the verdicts after each job of each worker, in the order in which they ended.

    Beside the columns of verdicts: `jobs` so far, and `passed`, the share of the run's time that was over by then.
    """
    rows = data.whole(split, "lines", "label")
    workers, labels = data.workers(rows["lines"].to_list()), rows["label"].to_numpy()
    sizes = [*map(len, workers)]
    if hasattr(detector, "score_prefixes"):
        log_odds = np.concatenate(detector.score_prefixes(workers))
    else:
        heads = [worker.head(jobs) for worker in workers for jobs in range(1, len(worker) + 1)]
        log_odds = detector.score(heads)["log_odds"].to_numpy()
    begin, end = pl.col("submit").min().over("workflow", "run"), pl.col("end").max().over("workflow", "run")
    passed = data.jobs.select(share=(pl.col("end") - begin) / (end - begin))["share"].to_numpy()
    lines = np.concatenate(rows["lines"].to_list())
    own = _frame(workers, labels).select(pl.all().repeat_by(pl.Series(sizes)).explode())
    jobs = np.concatenate([np.arange(1, size + 1) for size in sizes])
    return own.with_columns(jobs=pl.Series(jobs), log_odds=pl.Series(log_odds), passed=pl.Series(passed[lines - 1]))


def as_known(verdicts: pl.DataFrame, jobs: int) -> pl.DataFrame:
    """Return the verdict of each worker after so many jobs, or after its last one, of `after_each_job`."""
    return verdicts.filter(pl.col("jobs") <= jobs).group_by("run", "worker", maintain_order=True).last()


def first_alarms(verdicts: pl.DataFrame, validation: pl.DataFrame, alpha: float) -> dict:
    """Return how workers are flagged as soon as the log-odds exceed a threshold, and how much of a run that saves.

    The threshold is exceeded by the share `alpha` of validation normals at some time (the n + 1 rule), and no label of
    the test moves it. `saved` is the median share of the run's time that was left when a throttled worker was flagged.
    """
    highest = validation.filter(pl.col("label") == 0).group_by("run", "worker").agg(pl.col("log_odds").max())
    ordered = np.sort(highest["log_odds"].to_numpy())[::-1]
    place = int(np.floor(alpha * (len(ordered) + 1))) - 1
    threshold = float(ordered[place]) if place >= 0 else float("inf")
    flagged = verdicts.filter(pl.col("log_odds") > threshold).group_by("run", "worker", maintain_order=True).first()
    workers = verdicts.group_by("run", "worker", maintain_order=True).agg(pl.col("label").first())
    found = workers.join(flagged.select("run", "worker", "jobs", "passed"), on=["run", "worker"], how="left")
    flags, labels = found["jobs"].is_not_null().to_numpy(), found["label"].to_numpy()
    hits = found.filter(pl.col("jobs").is_not_null() & (pl.col("label") == 1))
    return {
        "threshold": threshold,
        "f1": by_run.f1(labels, np.where(flags, 1.0, -1.0), np.ones(len(labels))),
        "recall": float(flags[labels == 1].mean()),
        "false_alarm_rate": float(flags[labels == 0].mean()),
        "jobs_until_flagged": _median(hits["jobs"]),
        "saved": None if hits.is_empty() else 1 - hits["passed"].to_numpy().mean(),
    }


def _median(values: pl.Series) -> float | None:
    return None if values.is_empty() else float(np.median(values.to_numpy()))


def after_each_stage(detector: Any, data: Data) -> list[dict]:
    """Return one row a stage of a job: figures of the verdicts as they were then; `detector` is jobs/boosting-early."""
    workers, labels = workers_of(data, "test")
    sizes = [*map(len, workers)]
    own = _frame(workers, labels).select(pl.all().repeat_by(pl.Series(sizes)).explode())
    stages = {stage: pl.Series(detector.log_odds_after(stage, workers)) for stage in STAGES}
    return [figures({"known until": stage}, own.with_columns(log_odds=found)) for stage, found in stages.items()]


# --------------------------------------------------------------------------------------------------------------- texts


def as_texts(jobs: pl.DataFrame, texts: Texts) -> Labeled:
    """Return each job as a sequence of one text, with its label."""
    return Labeled([[text] for text in texts(jobs)], jobs["label"].to_numpy())


def jobs_of(data: Data, split: str, rows: int | None = None, seed: int = 0) -> pl.DataFrame:
    """Return jobs of a split; of more than `rows` so many, drawn by chance."""
    own = data.jobs.filter(pl.col("split") == split)
    if rows is None or rows >= len(own):
        return own
    return own[np.sort(np.random.default_rng(seed).permutation(len(own))[:rows])]


def judged_texts(detector: Any, jobs: pl.DataFrame, texts: Texts) -> pl.DataFrame:
    """Return the verdicts of jobs that a detector reads as texts."""
    log_odds = detector.score(as_texts(jobs, texts).sequences)["log_odds"]
    return jobs.select(run=pl.format("{} {}", "workflow", "run"), worker="worker", label="label").with_columns(log_odds)


def shown_of(workers: list[Worker], labels: np.ndarray, jobs: int, seed: int) -> Labeled:
    """Return single jobs of workers, so many drawn by chance, each as a worker of its own with its label."""
    singles = [(worker, place) for worker in workers for place in range(len(worker))]
    targets = np.repeat(labels, [*map(len, workers)])
    chosen = np.random.default_rng(seed).permutation(len(singles))[:jobs]
    picked: list[Any] = []
    for worker, place in (singles[row] for row in chosen):
        own = (worker.types[place : place + 1], worker.numbers[place : place + 1])
        picked.append(Worker(worker.workflow, worker.run, worker.name, *own))
    return Labeled(picked, targets[chosen])
