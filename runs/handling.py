"""What becomes of keys that training never saw (UNSEEN): the stored scores as they are with some of them accepted.

The model is asked once more, for all handlings together: what it makes of sequences without their unseen keys. Only
`evolved` asks it for itself: it is shown old keys where somebody has called a new one a rewording.
"""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

from core import cells, evolution
from core.asked import UNSEEN, check_unseen
from core.data import Data
from core.errors import BadInput
from core.files import write
from evaluation import fault_scores, triage, unseen
from runs.folder import Run
from runs.scoring import Score, score, score_rest

WORDS = tuple(way for way in UNSEEN if "words" in way)


class Reader(Protocol):
    """What rates templates that come new beside known ones; methods/words/reader.py has it."""

    @property
    def identity(self) -> dict[str, str]:
        """Return the name of its `encoder`, and what else its scores depend on."""

    def __call__(self, known: dict[str, str], new: dict[str, str], /) -> pl.DataFrame:
        """Return a table of fault scores; both are templates by key."""


@dataclass(frozen=True)
class Handled:
    """Scores by the way in which unseen keys were handled, and what metrics.json says of it."""

    scores: dict[str, pl.DataFrame] = field(default_factory=dict)
    about: dict = field(default_factory=lambda: {"unseen": unseen.ALARM})
    rated: pl.DataFrame | None = None  # fault scores


def check(data: Data, way: str) -> None:
    """Raise BadInput if `way` is none of `asked.UNSEEN`, or if the data lack what it needs."""
    check_unseen(way)
    if way in WORDS:
        texts_of(data)
    if way == "evolved":
        rewordings(data)


def handle(run: Run, scores: pl.DataFrame, way: str, ask: Score, reader: Reader) -> Handled:
    """Return the test scores as they are when unseen keys are handled in a `way`, one of `asked.UNSEEN`.

    `ask` scores key sequences, `reader` reads the words of templates: both are called only where a way needs them.
    Questions go to triage.csv of the run, and what a person has answered there holds for `ask` and both ways by words;
    where nobody has answered a question, labels do. Raise BadInput as `check`.
    """
    check(run.data, way)
    if way == unseen.ALARM:
        return Handled()
    if way == "evolved":
        as_old = score(run, "test", ask, read_as=rewordings(run.data))
        about = {"unseen": way, "answered": answered(run, way)}
        return Handled({way: as_old.with_columns(fault_score=pl.lit(None, pl.Float64))}, about)
    test, known = run.data.split("test"), run.data.known_keys
    keys, given = unseen.unseen_keys(test, known), answers_of(run)
    rated = rate(run, reader) if way in WORDS else None
    accepted = quiet(run.data, rated, given) if rated is not None else {}
    asked = keys.filter(~pl.col("key").is_in(list(accepted)))
    said, about = (given, {}) if way == "words" else ask_about(run, test, asked, rated)
    benign = unseen.ask_once(asked, said)
    read = {key: value for key, value in fault_scores.of_new(rated).items() if key not in benign}
    settled = unseen.settle(test, scores, score_rest(run, ask), known, accepted | benign, read)
    about |= {"unseen": way, "answered": answered(run, way)}
    about |= {"encoder": reader.identity["encoder"]} if way in WORDS else {}
    return Handled({way.replace("-", "_"): settled}, about, rated)


def quiet(data: Data, rated: pl.DataFrame, given: dict[str, str]) -> dict[str, int]:
    """Return the keys that words accept from the beginning on: those of validation normals, and what reads harmless.

    What a person has answered about is left to the answer.
    """
    normal = dict.fromkeys(data.split("validation")["keys"].explode().unique(), 0)  # as those of training
    return normal | {key: row for key, row in fault_scores.harmless(rated).items() if key not in given}


# --------------------------------------------------------------------------------------------------------- answers


def ask_about(
    run: Run, test: pl.DataFrame, asked: pl.DataFrame, rated: pl.DataFrame | None
) -> tuple[dict[str, str], dict]:
    """Write the questions to triage.csv, with the answers that it has; return these, or those of labels without any.

    Beside them stand what metrics.json says of it: how many `questions`, and who gave the `answers`.
    """
    queue = triage.triage(test, asked, run.data.templates, rated, run.data.raw_lines)
    path = run.folder / triage.TRIAGE
    queue = triage.keep_answers(queue, cells.unguard(triage.read_answers(path))) if path.is_file() else queue
    write(path, cells.guard(queue))
    given, about = triage.answered(queue), {"questions": len(asked), "answers": "a person"}
    if given.keys() & set(asked["key"]):
        return given, about
    return unseen.label_answers(test, asked), about | {"answers": "labels"}


def answers_of(run: Run) -> dict[str, str]:
    """Return what a person has answered in triage.csv of the run."""
    path = run.folder / triage.TRIAGE
    return triage.answered(triage.read_answers(path)) if path.is_file() else {}


def rewordings(data: Data) -> dict[str, str]:
    """Return the old key of each new one that somebody has called a rewording.

    Raise BadInput if there is none, or if an old key is none of training.
    """
    path, known = data.folder / evolution.EVOLUTION, data.known_keys
    if not path.is_file():
        raise BadInput(
            f"{path.as_posix()} does not exist, so no rewording was accepted; make the folder again with --templates "
            "OLD/templates.csv --evolve, and answer its proposals."
        )
    answered = evolution.accepted(evolution.read_evolution(path))
    found = {key: old for key, old in answered.items() if key not in known}
    if not found:
        raise BadInput(f"{path.as_posix()} has no answer `same`; write it where a new template is an old one reworded.")
    for key, old in found.items():
        if old not in known:
            raise BadInput(
                f"{path.as_posix()}: {key} is called the same as {old}, which training does not have; write one of its "
                "keys as proposed_key, or another answer."
            )
    return found


def answered(run: Run, way: str) -> str:
    """Return a hash of what people have answered that `way` reads: other answers are another question."""
    said = rewordings(run.data) if way == "evolved" else answers_of(run) if way != unseen.ALARM else {}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


# ----------------------------------------------------------------------------------------------------------- words


def rate(run: Run, reader: Reader) -> pl.DataFrame:
    """Return fault_scores.parquet of the run, made if it is not of these data and this reader, or damaged.

    Templates of validation normals are as well known as those of training. Raise BadInput if the data have no words.
    """
    path = run.folder / "fault_scores.parquet"
    about = json.dumps({"data_hash": run.data.manifest["data_hash"]} | reader.identity)
    try:
        if path.is_file() and pl.read_parquet_metadata(path).get("about") == about:
            return pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, OSError):
        print(f"{path.as_posix()} is damaged: reading the templates again", flush=True)
    rated = reader(*texts_of(run.data))
    write(path, rated, {"about": about})
    return rated


def texts_of(data: Data) -> tuple[dict[str, str], dict[str, str]]:
    """Return the templates that normals of training and validation have, the earliest first, and the test's others."""
    normal, tested = (
        pl.concat(data.split(split, "keys")["keys"].explode() for split in splits).unique(maintain_order=True)
        for splits in (("train", "validation"), ("test",))
    )
    words = {key: text for key, text in data.templates.items() if text is not None}
    known = {key: words[key] for key in normal if key in words}
    if not known:
        raise BadInput(
            f"data/{data.name} has no words for its keys, and UNSEEN by words reads them; parse the raw log, or make "
            "the folder again with --templates FILE."
        )
    return known, {key: words[key] for key in tested if key in words and key not in known}
