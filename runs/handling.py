"""What becomes of keys that training never saw (UNSEEN): the stored scores as they are with some of them accepted.

Only `evolved` asks the model again, once: it is shown old keys where somebody has called a new one a rewording.
"""

import json
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

from core import cells
from core.asked import UNSEEN, check_unseen
from core.data import Data
from core.errors import BadInput
from core.evolution import EVOLUTION, read_evolution
from core.evolution import accepted as called_same
from core.files import write
from evaluation import fault_scores, triage, unseen
from runs.folder import Run
from runs.scoring import Score, score

WORDS = tuple(way for way in UNSEEN if "words" in way)


class Reader(Protocol):
    """What rates templates that come new beside known ones; methods/words/newcomers.py has it."""

    @property
    def identity(self) -> dict[str, str]:
        """Return the name of its `encoder`, and what else its scores depend on."""

    def __call__(self, known: dict[str, str], new: dict[str, str], /) -> pl.DataFrame:
        """Return a table of fault scores; both are templates by key, the known ones by first occurrence."""


@dataclass(frozen=True)
class Handled:
    """Scores by the way in which unseen keys were handled, how many questions were asked, and what read their words."""

    scores: dict[str, pl.DataFrame] = field(default_factory=dict)
    questions: int | None = None
    encoder: str | None = None
    rated: pl.DataFrame | None = None  # their fault scores


def handle(run: Run, scores: pl.DataFrame, way: str, ask: Score, reader: Reader) -> Handled:
    """Return the test scores as they are when unseen keys are handled in a `way`, one of `asked.UNSEEN`.

    `ask` scores key sequences, `reader` reads the words of templates: both are called only where a way needs them.
    Questions go to triage.csv of the run; where nobody has answered there, labels do. Raise BadInput if the data have
    no words, or no rewording that somebody accepted.
    """
    check_unseen(way)
    if way == unseen.ALARM:
        return Handled()
    if way == "evolved":
        as_old = score(run, "test", ask, read_as=rewordings(run.data))
        return Handled({way: as_old.with_columns(fault_score=pl.lit(None, pl.Float64))})
    test, known = run.data.split("test"), run.data.known_keys
    keys = unseen.unseen_keys(test, known)
    if way == "ask":
        benign = unseen.ask_once(keys, answers(run, test, keys, None))
        return Handled({way: unseen.settle(test, scores, known, benign)}, len(keys))
    rated = rate(run, reader)
    normal = dict.fromkeys(run.data.split("validation")["keys"].explode().unique(), 0)  # as those of training
    read, questions = fault_scores.of_new(rated), None
    accepted = normal | fault_scores.harmless(rated)
    if way == "ask-words":
        asked = keys.filter(~pl.col("key").is_in(list(accepted)))
        benign = unseen.ask_once(asked, answers(run, test, asked, rated))
        accepted, questions = accepted | benign, len(asked)
        read = {key: value for key, value in read.items() if key not in benign}
    settled = unseen.settle(test, scores, known, accepted, read)
    return Handled({way.replace("-", "_"): settled}, questions, reader.identity["encoder"], rated)


def answers(run: Run, test: pl.DataFrame, asked: pl.DataFrame, rated: pl.DataFrame | None) -> dict[str, str]:
    """Write the questions to triage.csv, with the answers that it has; return these, or those of labels without any."""
    path = run.folder / "triage.csv"
    queue = triage.triage(test, asked, run.data.templates, rated, run.data.raw_line)
    queue = triage.keep_answers(queue, cells.unguard(triage.read_answers(path))) if path.is_file() else queue
    write(path, cells.guard(queue))
    return triage.answered(queue) or unseen.label_answers(test, asked)


def rewordings(data: Data) -> dict[str, str]:
    """Return the old key of each new one that somebody has called a rewording; raise BadInput if there is none."""
    path = data.folder / EVOLUTION
    if not path.is_file():
        raise BadInput(
            f"{path.as_posix()} does not exist, so no rewording was accepted; make the folder again with --templates "
            "OLD/templates.csv --evolve, and answer its proposals."
        )
    found = {key: old for key, old in called_same(read_evolution(path)).items() if key not in data.known_keys}
    if not found:
        raise BadInput(f"{path.as_posix()} has no answer `same`; write it where a new template is an old one reworded.")
    return found


# ----------------------------------------------------------------------------------------------------------- words


def rate(run: Run, reader: Reader) -> pl.DataFrame:
    """Return fault_scores.parquet of the run, made if it is not of these data and this reader.

    Templates of validation normals are as well known as those of training. Raise BadInput if the data have no words.
    """
    path = run.folder / "fault_scores.parquet"
    about = json.dumps({"data_hash": run.data.manifest["data_hash"]} | reader.identity)
    if path.is_file() and pl.read_parquet_metadata(path).get("about") == about:
        return pl.read_parquet(path)
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
            f"data/{data.name} has no words for its keys, and UNSEEN = 'words' reads them; parse the raw log, or make "
            "the folder again with --templates FILE."
        )
    return known, {key: words[key] for key in tested if key in words and key not in known}
