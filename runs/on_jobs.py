"""Experiments on workflow jobs: detectors fitted here, and their verdicts of jobs, of workers and of runs.

A frame of verdicts has the columns `run` (workflow and number), `worker`, `label` and `log_odds`, and one row a job, or
a worker, or a run.
"""

import contextlib
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import polars as pl

from core.data import Data, Labeled
from core.jobs import SCHEMA, STAGES, Worker
from evaluation import by_run
from runs import steps
from runs.folder import open_run

FIGURES: dict[str, by_run.Figure] = {"f1": by_run.f1, "average_precision": by_run.average_precision}
AS_PUBLISHED: dict[str, by_run.Figure] = {
    "accuracy": by_run.accuracy,
    "precision": by_run.precision,
    "recall": by_run.recall,
}
Texts = Callable[[pl.DataFrame], list[str]]


def saved(make: steps.Make, data: Data, seed: int = 0) -> Any:
    """Return the detector that the run of it on a data folder has kept; raise BadInput if there is no such run."""
    untrained = make(seed=seed, templates=data.templates)
    run = open_run(data.name, untrained.name, seed, untrained.method)
    return type(untrained).load(run.model_folder)


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


def verdicts_of_a_run_folder(scores: pl.DataFrame) -> pl.DataFrame:
    """Return the verdicts of every worker, or single job, as test_scores.parquet of a run has them."""
    names = pl.col("sequence_id").str.split_exact("/", 1).struct
    return scores.select(
        run=names.field("field_0").str.replace("-run0*", " "),
        worker=names.field("field_1"),
        label="label",
        log_odds="log_odds",
    )


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


def figures_as_published(about: Mapping[str, Any], verdicts: pl.DataFrame) -> dict:
    """Return `figures` after those that the publication gives beside F1, which have no interval."""
    labels, log_odds = verdicts["label"].to_numpy(), verdicts["log_odds"].to_numpy()
    ones = np.ones(len(labels))
    return figures(
        dict(about) | {name: figure(labels, log_odds, ones) for name, figure in AS_PUBLISHED.items()}, verdicts
    )


def lead(over: pl.DataFrame, other: pl.DataFrame) -> tuple[float, float, float]:
    """Return by how much the average precision of one frame of verdicts exceeds that of another, with its interval.

    Both have the same rows in the same order.
    """
    labels, runs = over["label"].to_numpy(), over["run"].to_numpy()
    ours, theirs = over["log_odds"].to_numpy(), other["log_odds"].to_numpy()
    return by_run.difference(by_run.average_precision, labels, ours, theirs, runs)


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
    the test moves it. `saved` is the mean share of the run's time that was left when a throttled worker was flagged.
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
        "recall": float(flags[labels == 1].mean()) if (labels == 1).any() else None,
        "false_alarm_rate": float(flags[labels == 0].mean()) if (labels == 0).any() else None,
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


def log_odds_of_nothing(make: Callable[[int], Any], train: Labeled, validation: Labeled, texts: Texts) -> pl.DataFrame:
    """Return what a text classifier answers where nothing is said, by five seeds: what it leans to by itself.

    `text` is the empty text and that of a job of which no number is known; then mean, spread, least and most.
    """
    nothing = pl.DataFrame(schema=SCHEMA).clear(1)  # one row of nulls
    asked = {"empty": "", "no number is known": texts(nothing)[0]}
    answers = []
    for seed in range(5):
        found = learned(make(seed), train, validation).score([[text] for text in asked.values()])["log_odds"]
        answers += [{"text": name, "log_odds": one} for name, one in zip(asked, found, strict=True)]
    one = pl.col("log_odds")
    return (
        pl.DataFrame(answers)
        .group_by("text", maintain_order=True)
        .agg(mean=one.mean(), spread=one.std(), least=one.min(), most=one.max())
    )


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


# ------------------------------------------------------------------------------------------- from workflow to workflow


def transferred(
    detector: Any,
    workers: list[Worker],
    labels: np.ndarray,
    extra: Labeled,
    judged_on: Data,
    ranked_with: Data | None,
) -> pl.DataFrame:
    """Return the verdicts of the test jobs of `judged_on` by a detector that learned other workers and `extra` jobs.

    With `ranked_with`, the data of these workers, numbers are first put as quantiles of all jobs of their own workflow.
    """
    theirs = cast("list[Worker]", extra.sequences)
    tested, true = workers_of(judged_on, "test")
    if ranked_with is not None:
        here, there = _Ranks(ranked_with), _Ranks(judged_on)
        workers, theirs, tested = here(workers), there(theirs), there(tested)
    shown = Labeled(cast("Any", [*workers, *theirs]), np.concatenate([labels, extra.labels]))
    learned(detector, shown, shown)
    own = _frame(tested, true).select(pl.all().repeat_by(pl.Series([*map(len, tested)])).explode())
    return own.with_columns(log_odds=pl.Series(detector.log_odds_of_jobs(tested)))


class _Ranks:
    """Numbers of jobs as their quantiles among all jobs of a data folder, whose labels are not read."""

    def __init__(self, data: Data) -> None:
        self._sorted = np.sort(data.job_numbers, axis=0)  # nan last
        self._known = (~np.isnan(self._sorted)).sum(0)

    def __call__(self, workers: list[Worker]) -> list[Worker]:
        """Return the workers with quantiles for numbers."""
        if not workers:
            return []
        ranked = self._ranked(np.concatenate([worker.numbers for worker in workers]))
        parts = np.split(ranked, np.cumsum([*map(len, workers)])[:-1])
        return [replace(worker, numbers=part) for worker, part in zip(workers, parts, strict=True)]

    def _ranked(self, numbers: np.ndarray) -> np.ndarray:
        found = np.full_like(numbers, np.nan)
        for column, count in enumerate(self._known):
            values = numbers[:, column]
            places = np.searchsorted(self._sorted[:count, column], values) / max(1, count)
            found[:, column] = np.where(np.isnan(values), np.nan, places)
        return found


def forgotten(
    first: Data,
    second: Data,
    rows: int,
    make_texts: Callable[[pl.DataFrame], Texts],
    make: Callable[[str | None], Any],
) -> pl.DataFrame:
    """Return what a text classifier knows of both workflows before and after it went on to the second one.

    `make_texts` gives the texts of jobs as training jobs have them, `make` an untrained classifier, or one that goes on
    from a saved model.
    """
    shown = []
    parts = {
        data.name: [jobs_of(data, split, rows) for split in ("train", "validation", "test")] for data in (first, second)
    }
    texts = {name: make_texts(train) for name, (train, _, _) in parts.items()}
    detector = make(None)
    with TemporaryDirectory() as kept:
        for stage, (name, (train, check, _)) in zip(("first", "then"), parts.items(), strict=True):
            learned(detector, as_texts(train, texts[name]), as_texts(check, texts[name]))
            for judged, (_, _, test) in parts.items():
                about = {"learned": stage, "on": name, "judged on": judged}
                shown.append(figures(about, judged_texts(detector, test, texts[judged])))
            if stage == "first":
                detector.save(Path(kept) / "first")
                detector = make(str(Path(kept) / "first"))
    return pl.DataFrame(shown)
