"""The steps of a run, in their order: fit, score, calibrate, judge, explain, record.

The notebooks take them one at a time and show what each gives; the commands take them by `complete`. What is done is
not done again: a trained model and its scores are kept in the run folder with the hashes of what they were made from.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import polars as pl

from core import cells
from core.asked import check_alpha, check_prevalence
from core.data import Data, Labeled, open_data
from core.environment import peak_memory_gb
from core.errors import BadInput
from core.files import is_first_process, write
from evaluation import floors, ledger, rules, unseen, verdicts
from evaluation.report import page, reasons
from evaluation.report.alarms import alarms
from evaluation.report.ranked import LISTED, STRANGEST, ranked, strangest
from runs import marks
from runs.carried import carry
from runs.folder import LEDGER, Run, start_run, withdraw
from runs.handling import Handled, Reader
from runs.handling import handle as handle
from runs.scoring import Score
from runs.scoring import score as score

Gallery = Mapping[str, Sequence[tuple[str, str]]]  # sequences of each case, as HTML and as a line
Expected = Callable[[list[list[str]]], Sequence[Sequence[tuple[str, float]]]]  # the likeliest choices after prefixes


class Detector(Protocol):
    """What the steps ask of a detector (contract 3, methods/__init__.py)."""

    method: str
    name: str
    reads: str
    learns: str

    @property
    def parameters(self) -> int:
        """Return how many numbers it has learned."""

    def describe(self) -> dict:
        """Return its settings."""

    def fit(self, train_sequences, validation, checkpoints: Path) -> pl.DataFrame:
        """Learn normal or labeled sequences; return one row an epoch."""

    def score(self, sequences) -> pl.DataFrame:
        """Return one row a sequence."""

    def save(self, folder: Path) -> None:
        """Write it."""

    @classmethod
    def load(cls, folder: Path, train=None, /) -> "Detector":
        """Return a saved one."""


Make = Callable[..., Detector]  # called with seed and templates


def complete(
    make: Make,
    folder: str,
    seed: int,
    alpha: float,
    prevalence: float | None,
    way: str = unseen.ALARM,
    reader: Reader | None = None,
) -> Run:
    """Take every step of a run that is missing, up to its row in the ledger; return the run.

    `make` gives the untrained detector of a `seed` and the `templates` of a data folder (contract 3).
    `way` is what becomes of unseen keys, one of `asked.UNSEEN`, `reader` what reads their words.
    """
    check_alpha(alpha)
    check_prevalence(prevalence)
    detector = make(seed=seed, templates=open_data(folder).templates)
    run = start_run(folder, detector.name, seed, detector.describe(), detector.method)
    data = run.data  # the one that is opened by now: what it has read is there
    fit(run, detector)
    saved = type(detector).load(run.model_folder, learned(data, "train", detector))
    ask, column = asked(data, saved), column_of(saved)
    validation, test = (score(run, split, ask, column) for split in ("validation", "test"))
    decision = calibrate(run, validation, alpha)
    handled = handle(run, test, way, ask, reader) if reader else Handled()
    judge(run, test, decision, prevalence, handled)
    return run


# ------------------------------------------------------------------------------------------------------------ fit


def fit(run: Run, detector: Detector) -> None:
    """Train `detector` (contract 3) on the data and keep its model, unless the run is trained already.

    Raise BadInput if it is refused; then no folder of the run is left, unless it had begun to learn.
    """
    if run.is_trained:
        print(f"{run.folder.as_posix()} is trained already; remove that folder to train again.")
        return
    train, validation = (learned(run.data, split, detector) for split in ("train", "validation"))
    try:
        curve = detector.fit(train, validation, run.checkpoints)
    except BadInput:
        withdraw(run)
        raise
    detector.save(run.model_folder)
    keep_training(run, curve, detector.parameters)


def learned(data: Data, split: str, detector: Detector) -> list | Labeled:
    """Return what `detector` is to learn of a split, as it reads it: the normals, or all that has a label."""
    column = column_of(detector)
    if detector.learns != "labels":
        return as_read(data, detector, data.split(split, column)[column].to_list())
    found = data.whole(split, column, "label").drop_nulls("label")
    return Labeled(as_read(data, detector, found[column].to_list()), found["label"].to_numpy())


def column_of(detector: Detector) -> str:
    """Return which column of `sequences` a detector is shown: keys, or the rows of jobs."""
    return "lines" if detector.reads == "jobs" else "keys"


def as_read(data: Data, detector: Detector, sequences: list[list]) -> list:
    """Return sequences as a detector reads them: keys, the words of keys, or the jobs of rows."""
    if detector.reads == "jobs":
        return data.workers(sequences)
    return data.texts(sequences) if detector.reads == "text" else sequences


def asked(data: Data, detector: Detector) -> Score:
    """Return what scores sequences of `data`: of keys, or of rows of its jobs where the detector reads jobs."""
    return detector.score if detector.reads == "keys" else lambda found: detector.score(as_read(data, detector, found))


def keep_training(run: Run, curve: pl.DataFrame, parameters: int) -> None:
    """Write the loss of every epoch, which marks the training as complete, and remove its checkpoints."""
    about = {"peak_memory_gb": pl.lit(peak_memory_gb()), "parameters": pl.lit(parameters)}
    write(run.folder / "training.csv", curve.with_columns(**about))
    if is_first_process():  # it has saved the model by now; another one may be ahead of it
        shutil.rmtree(run.checkpoints, ignore_errors=True)


def keep_path(run: Run, path: dict) -> pl.DataFrame:
    """Write into environment.json which way the model runs on this machine, and why; return the whole as a table."""
    found = run.read_environment() | {"model": path}
    write(run.folder / "environment.json", found)
    flat = {name: value for name, value in found.items() if not isinstance(value, dict)}
    rows = [*flat.items(), *((f"model: {name}", str(value)) for name, value in path.items())]
    return pl.DataFrame(rows, schema=["what", "value"], orient="row")


# ------------------------------------------------------------------------------------------------------- calibrate


def calibrate(run: Run, scores: pl.DataFrame, alpha: float) -> dict:
    """Calibrate the rules at `alpha` on the validation scores, and on those of unigram and bigram; write decision.json.

    Return what it holds, see `rules.calibrate`.
    """
    check_alpha(alpha)
    counted = floors.ngram_scores(run.data, "validation")
    decision = verdicts.calibrate_all(scores, len(run.data.known_keys), alpha, counted, run.data.is_windowed)
    decision = run.hashes | decision
    carry(run)
    marks.unmark(run)
    write(run.folder / "decision.json", decision)
    return decision


# ---------------------------------------------------------------------------------------------------------- judge


def judge(
    run: Run,
    scores: pl.DataFrame,
    decision: dict,
    prevalence: float | None = None,
    handled: Handled | None = None,
) -> tuple[pl.DataFrame, dict]:
    """Apply all rules to the test scores; write test_scores.parquet and metrics.json, return both.

    `handled` is what `handle` made of the unseen keys, whose verdicts stand beside the others.
    """
    check_prevalence(prevalence)
    handled = handled or Handled()
    counted = floors.ngram_scores(run.data, "test")
    judged, found = verdicts.measure_all(scores, decision, counted, prevalence, handled.scores)
    manifest = run.data.manifest
    found["data"] |= {name: manifest[name] for name in ("data_hash", "simulated")}
    found["data"]["lines_in_test_and_training"] = manifest["counts"]["lines_in_test_and_training"]
    found["data"]["training_anomalies"] = run.data.training_anomalies
    found |= handled.about
    training = run.training.select("seconds", "peak_memory_gb").max().row(0, named=True)
    found["seconds"] = {"training": training["seconds"], "scoring": scores["seconds"].sum()}
    found["peak_memory_gb"] = max(peak_memory_gb(), training["peak_memory_gb"])
    marks.unmark(run)
    write(run.folder / "test_scores.parquet", judged, run.hashes)
    write(run.folder / "metrics.json", found)
    return judged, found


def blocks(run: Run, scores: pl.DataFrame) -> pl.DataFrame:
    """Return ten blocks of test time: sizes, anomalies, keys that came new, and how many sequences have one."""
    test = run.data.split("test")
    return unseen.describe_blocks(test, scores, unseen.unseen_keys(test, run.data.known_keys))


# ------------------------------------------------------------------------------------------------ explain, record


def explain(run: Run, judged: pl.DataFrame, rule: str, expected: Expected) -> Gallery:
    """Return false alarms, misses and hits of `rule`, each sequence as HTML and as a line, with what was expected.

    Raise BadInput if there are no verdicts of `rule`.
    """
    if f"flagged_{rule}" not in judged.columns:
        raise BadInput(f"There is no rule {rule!r}; choose one of {', '.join(rules.RULE_TITLES)}.")
    sequences = run.data.sequences.select("sequence_id", "keys", "lines")
    found = {}
    cases = reasons.pick(judged, rule)
    picked_ids = pl.concat(picked["sequence_id"] for picked in cases.values()).implode()
    shown = sequences.filter(pl.col("sequence_id").is_in(picked_ids))
    run.data.raw_lines.at(shown["lines"].explode())  # all at once: each pass over a large log takes seconds
    for case, picked in cases.items():
        rows = picked.join(shown, on="sequence_id", maintain_order="left").to_dicts()
        answers = expected([row["keys"][: row["worst_event"]] for row in rows]) if rows else []
        events = [run.data.events(row).to_dicts() for row in rows]
        found[case] = reasons.describe_sequences(rows, events, answers, run.data.templates)
    return found


def report(
    run: Run, judged: pl.DataFrame, gallery: Gallery, expected: Expected, handled: Handled | None = None
) -> None:
    """Write alarms.csv and report.html of the run; `gallery` is that of `explain`, `handled` that of `handle`."""
    handled = handled or Handled()
    for settled in handled.scores.values():
        judged = unseen.as_settled(judged, settled)
    listed = alarms(judged, run.data.sequences, run.data.templates, expected, None, handled.rated, run.data.raw_lines)
    write(run.folder / "alarms.csv", cells.guard(listed))
    write(run.folder / STRANGEST, cells.guard(_strangest(run, judged, expected)))
    shown = {case: [html for html, _ in sequences] for case, sequences in gallery.items()}
    path = page.write_page(run.folder, shown, run.data.templates)
    print(f"{path.as_posix()}: open it in any browser; alarms.csv lists all {len(listed):,} that any rule flags")


def _strangest(run: Run, judged: pl.DataFrame, expected: Expected) -> pl.DataFrame:
    """Return the strangest sequences of the test, whatever the threshold, each with the time of its begin.

    There is none where the log names no year. Lines stand there as far as the log is at hand.
    """

    def lines(numbers: list[int]) -> pl.DataFrame:
        raw = run.data.raw_lines.at(numbers)
        stood = [(number, None, raw.get(number)) for number in dict.fromkeys(numbers)]
        return pl.DataFrame(stood, schema=["line", "time", "raw"], orient="row")

    decision, data = run.read_decision(), run.data
    chosen, test = strangest(judged, decision), data.split("test")
    listed = ranked(chosen, test, data.templates, data.known_keys, decision, expected, lines, words={})
    begins = test.select("sequence_id", time=reasons.dated("start"))
    listed = listed.drop("time").join(begins, on="sequence_id", how="left", maintain_order="left")
    return listed.select(*LISTED)


def record(run: Run, found: dict, decision: dict) -> pl.DataFrame:
    """Add the run to results/runs.csv; return the rows of this data set there."""
    return ledger.record(LEDGER, ledger_rows(run, found, decision)).filter(pl.col("data") == run.data.base)


def ledger_rows(run: Run, found: dict, decision: dict) -> list[dict]:
    """Return the rows that the ledger has of a run, one a rule and prevalence."""
    environment = run.read_environment()
    about = run.data.ledger_columns() | {name: run.config[name] for name in ("method", "model", "seed")}
    about |= {"date": verdicts.today(), "status": "done", "seconds": sum(found["seconds"].values())}
    about |= {name: found["data"][name] for name in ("test_sequences", "test_anomalies")}
    about |= {"peak_memory_gb": found["peak_memory_gb"], "parameters": run.training["parameters"].max()}
    about |= {name: environment[name] for name in ("device", "commit")}
    return verdicts.ledger_rows(found, decision, about)
