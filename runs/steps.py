"""The steps of a run, in their order: fit, score, calibrate, judge, explain, record.

The notebooks take them one at a time and show what each gives; the commands take them by `complete`. What is done is
not done again: a trained model and its scores are kept in the run folder with the hashes of what they were made from.
"""

import shutil
import time
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
from evaluation import cut, floors, ledger, rules, unseen, verdicts
from evaluation.report import page, reasons
from evaluation.report.alarms import alarms
from runs import marks
from runs.folder import LEDGER, Run, start_run

Gallery = Mapping[str, Sequence[tuple[str, str]]]  # sequences of each case, as HTML and as a line
Score = Callable[[list[list]], pl.DataFrame]
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


def complete(make: Make, folder: str, seed: int, alpha: float, prevalence: float | None, ask_once: bool = False) -> Run:
    """Take every step of a run that is missing, up to its row in the ledger; return the run.

    `make` gives the untrained detector of a `seed` and the `templates` of a data folder (contract 3).
    """
    check_alpha(alpha)
    check_prevalence(prevalence)
    data = open_data(folder)
    detector = make(seed=seed, templates=data.templates)
    run = start_run(folder, detector.name, seed, detector.describe(), detector.method)
    fit(run, detector)
    saved = type(detector).load(run.model_folder, learned(data, "train", detector))
    validation, test = (score(run, split, asked(data, saved), column_of(saved)) for split in ("validation", "test"))
    decision = calibrate(run, validation, alpha)
    accepted = accept_unseen(run, test) if ask_once and data.is_chronological else {}
    judge(run, test, decision, prevalence, accepted)
    return run


# ------------------------------------------------------------------------------------------------------------ fit


def fit(run: Run, detector: Detector) -> None:
    """Train `detector` (contract 3) on the data and keep its model, unless the run is trained already."""
    if run.is_trained:
        print(f"{run.folder.as_posix()} is trained already; remove that folder to train again.")
        return
    train, validation = (learned(run.data, split, detector) for split in ("train", "validation"))
    curve = detector.fit(train, validation, run.checkpoints)
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


# ----------------------------------------------------------------------------------------------- score, calibrate


def score(run: Run, split: str, ask: Score, column: str = "keys") -> pl.DataFrame:
    """Return `<split>_scores.parquet`: ids, labels, the scores, and what of each sequence training had seen.

    `ask` is called with each distinct sequence of `column`, `keys` or `lines`, unless the file is there and was made by
    this model of these data, by the hashes of both.
    """
    path, hashes = run.folder / f"{split}_scores.parquet", run.hashes
    if (kept := _kept(path, hashes)) is not None:
        return kept
    sequences = run.data.split(split, "sequence_id", "label", *dict.fromkeys(("keys", column)), *cut.COLUMNS)
    distinct, rows, first = _distinct(sequences, column)
    started = time.perf_counter()
    scored = ask(distinct[column].to_list())
    seconds = (time.perf_counter() - started) / max(1, len(sequences))
    _refuse_not_finite(scored, run)
    cuts = distinct.select(cut.COLUMNS)
    seen, all_keys_seen = _familiar(run.data, distinct, "log_odds" in scored.columns)
    if "has_unseen_key" not in scored.columns:
        scored = scored.with_columns(has_unseen_key=~all_keys_seen)
    scored = cut.spare(scored, cuts)
    of_each = pl.concat([scored, seen], how="horizontal")[rows]
    about = [sequences.select("sequence_id", "label"), of_each, first.to_frame("first_of_its_kind")]
    whole = pl.concat(about, how="horizontal").with_columns(seconds=pl.lit(seconds))
    write(path, whole, hashes)
    return whole


def _kept(path: Path, hashes: dict[str, str]) -> pl.DataFrame | None:
    """Return the scores of an earlier call; None if they are of another model or other data, or damaged."""
    try:
        if path.is_file() and hashes.items() <= pl.read_parquet_metadata(path).items():
            return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError):
        print(f"{path.as_posix()} is damaged: scoring again", flush=True)
    return None


def _distinct(sequences: pl.DataFrame, column: str) -> tuple[pl.DataFrame, pl.Series, pl.Series]:
    """Return the distinct sequences, for each sequence which of them it is, and which come first.

    Log data repeat themselves, 575,000 sessions of HDFS are some 27,000 distinct ones: only these become Python lists.
    The same keys are told apart where the log cut one of them off.
    """
    joined = sequences.select(cut.told_apart(column).alias("same"))  # one column: several would be copied to be joined
    first = joined["same"].is_first_distinct()
    numbered = joined.filter(first).with_row_index("row")
    rows = joined.join(numbered, on="same", maintain_order="left")["row"]
    shown = sequences.filter(first)
    of_its_kind = shown["keys"].list.join(" ").is_first_distinct()  # the same keys may stand there cut and whole
    return shown, rows, first & pl.Series(of_its_kind[rows])


def _familiar(data: Data, sequences: pl.DataFrame, labeled: bool) -> tuple[pl.DataFrame, pl.Series]:
    """Return the columns of `floors.familiarity`, and whether a detector that learns from labels, or not, saw all keys.

    Counts, lengths and pairs are those of normals; the whole sequence is familiar if training has it with any label, so
    that "new" is the same part of the test for every detector.
    """
    cuts = sequences.select(cut.COLUMNS)
    seen = floors.familiarity(data.split("train", "keys")["keys"], sequences["keys"], cuts)
    if not data.training_anomalies:
        return seen, seen["all_keys_seen"]
    of_all = floors.familiarity(data.whole("train", "keys")["keys"], sequences["keys"], cuts)
    return seen.with_columns(of_all["in_training"]), (of_all if labeled else seen)["all_keys_seen"]


def _refuse_not_finite(scored: pl.DataFrame, run: Run) -> None:
    """Refuse the scores of a training that diverged: what is no number lies above no threshold and is never flagged."""
    finite = all(scored[name].is_finite().all() for name in ("score", "log_odds") if name in scored.columns)
    if "event_log_probabilities" in scored.columns:  # minus infinity is an unseen key
        finite = finite and not scored["event_log_probabilities"].explode().is_nan().any()
    if not finite:
        raise BadInput(
            f"{run.folder.as_posix()} gives scores that are no numbers: its training diverged; remove that folder and "
            "train again with a smaller learning rate or another SEED."
        )


def calibrate(run: Run, scores: pl.DataFrame, alpha: float) -> dict:
    """Calibrate the rules at `alpha` on the validation scores, and on those of unigram and bigram; write decision.json.

    Return what it holds, see `rules.calibrate`.
    """
    check_alpha(alpha)
    counted = floors.ngram_scores(run.data, "validation")
    decision = verdicts.calibrate_all(scores, len(run.data.known_keys), alpha, counted, run.data.is_windowed)
    decision = run.hashes | decision
    marks.unmark(run)
    write(run.folder / "decision.json", decision)
    return decision


# ---------------------------------------------------------------------------------------------------------- judge


def accept_unseen(run: Run, scores: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return the test scores as they are when each unseen key is put to the analyst once, as `ask_once`.

    The queue of questions is triage.csv of the run; where nobody has answered there, labels do.
    """
    test, known = run.data.split("test"), run.data.known_keys
    keys = unseen.unseen_keys(test, known)
    path = run.folder / "triage.csv"
    queue = unseen.triage(test, keys, run.data.templates)
    queue = unseen.keep_answers(queue, cells.unguard(unseen.read_answers(path))) if path.is_file() else queue
    write(path, cells.guard(queue))
    answers = unseen.answered(queue) or unseen.label_answers(test, keys)
    return {"ask_once": unseen.settle(test, scores, known, unseen.ask_once(keys, answers))}


def judge(
    run: Run,
    scores: pl.DataFrame,
    decision: dict,
    prevalence: float | None = None,
    accepted: dict[str, pl.DataFrame] | None = None,
) -> tuple[pl.DataFrame, dict]:
    """Apply all rules to the test scores; write test_scores.parquet and metrics.json, return both.

    `accepted` are the scores of `accept_unseen`, whose verdicts stand beside the others.
    """
    check_prevalence(prevalence)
    counted = floors.ngram_scores(run.data, "test")
    judged, found = verdicts.measure_all(scores, decision, counted, prevalence, accepted or {})
    manifest = run.data.manifest
    found["data"] |= {name: manifest[name] for name in ("data_hash", "simulated")}
    found["data"]["lines_in_test_and_training"] = manifest["counts"]["lines_in_test_and_training"]
    found["data"]["training_anomalies"] = run.data.training_anomalies
    if accepted:
        found["questions"] = len(unseen.unseen_keys(run.data.split("test"), run.data.known_keys))
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
    for case, picked in reasons.pick(judged, rule).items():
        rows = picked.join(sequences, on="sequence_id", maintain_order="left").to_dicts()
        answers = expected([row["keys"][: row["worst_event"]] for row in rows]) if rows else []
        events = [run.data.events(row).to_dicts() for row in rows]
        found[case] = reasons.describe_sequences(rows, events, answers, run.data.templates)
    return found


def report(run: Run, judged: pl.DataFrame, gallery: Gallery, expected: Expected) -> None:
    """Write alarms.csv and report.html of the run; `gallery` is that of `explain`."""
    listed = alarms(judged, run.data.sequences, run.data.templates, expected)
    write(run.folder / "alarms.csv", cells.guard(listed))
    shown = {case: [html for html, _ in sequences] for case, sequences in gallery.items()}
    path = page.write_page(run.folder, shown, run.data.templates)
    print(f"{path.as_posix()}: open it in any browser; alarms.csv lists all {len(listed):,} that any rule flags")


def record(run: Run, found: dict, decision: dict) -> pl.DataFrame:
    """Add the run to results/runs.csv; return the rows of this data set there."""
    environment = run.read_environment()
    about = run.data.ledger_columns() | {name: run.config[name] for name in ("method", "model", "seed")}
    about |= {"date": verdicts.today(), "status": "done", "seconds": sum(found["seconds"].values())}
    about |= {name: found["data"][name] for name in ("test_sequences", "test_anomalies")}
    about |= {"peak_memory_gb": found["peak_memory_gb"], "parameters": run.training["parameters"].max()}
    about |= {name: environment[name] for name in ("device", "commit")}
    rows = verdicts.ledger_rows(found, decision, about)
    return ledger.record(LEDGER, rows).filter(pl.col("data") == run.data.base)
