"""Scores of a run, made once: each distinct sequence goes to the model, and what training had seen of it is added."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from core.data import Data
from core.errors import BadInput
from core.files import write
from evaluation import cut, floors
from runs.folder import Run

Score = Callable[[list[list]], pl.DataFrame]
_REST = pl.Schema(
    {
        "row": pl.UInt32,
        "rank": pl.Int64,
        "tail_probability": pl.Float64,
        "worst_event": pl.Int64,
        "count_vector_seen": pl.Boolean,
    }
)


def score(
    run: Run, split: str, ask: Score, column: str = "keys", read_as: Mapping[str, str] | None = None
) -> pl.DataFrame:
    """Return `<split>_scores.parquet`: ids, labels, the scores, and what of each sequence training had seen.

    `ask` is called with each distinct sequence of `column`, `keys` or `lines`, unless the file is there and was made by
    this model of these data, by the hashes of both. With `read_as` each of these keys is read as another one, and
    `<split>_scores_evolved.parquet` is what is kept.
    """
    path, hashes = run.folder / f"{split}_scores.parquet", run.hashes
    if read_as:
        path, hashes = run.folder / f"{split}_scores_evolved.parquet", hashes | {"read_as": json.dumps(read_as)}
    if (kept := _kept(path, hashes)) is not None:
        return kept
    sequences = run.data.split(split, "sequence_id", "label", *dict.fromkeys(("keys", column)), *cut.COLUMNS)
    if read_as:
        sequences = sequences.with_columns(pl.col("keys").list.eval(pl.element().replace(dict(read_as))))
    distinct, rows, first = _distinct(sequences, column)
    started = time.perf_counter()
    asked = ask(distinct[column].to_list())
    seconds = (time.perf_counter() - started) / max(1, len(sequences))
    of_each = beside_training(Training.of(run.data), run.folder, distinct, asked)[rows]
    about = [sequences.select("sequence_id", "label"), of_each, first.to_frame("first_of_its_kind")]
    whole = pl.concat(about, how="horizontal").with_columns(seconds=pl.lit(seconds))
    write(path, whole, hashes)
    return whole


class Training(NamedTuple):
    """What training had seen: of normals and, where anomalies were among it, of all."""

    normals: floors.Known
    whole: floors.Known | None

    @classmethod
    def of(cls, data: Data) -> "Training":
        """Return that of a data folder."""
        whole = floors.Known(data.whole("train", "keys")["keys"]) if data.training_anomalies else None
        return cls(floors.Known(data.split("train", "keys")["keys"]), whole)

    def familiar(self, sequences: pl.DataFrame, labeled: bool) -> tuple[pl.DataFrame, pl.Series]:
        """Return the familiarity of sequences, and whether a detector that learns from labels, or not, saw all keys.

        Counts, lengths and pairs are those of normals; the whole sequence is familiar if training has it with any
        label, so that "new" is the same part of the test for every detector.
        """
        keys, cuts = sequences["keys"], sequences.select(cut.COLUMNS)
        seen = self.normals.familiarity(keys, cuts)
        if not self.whole:
            return seen, seen["all_keys_seen"]
        of_all = self.whole.familiarity(keys, cuts)
        return seen.with_columns(of_all["in_training"]), (of_all if labeled else seen)["all_keys_seen"]


def beside_training(training: Training, folder: Path, sequences: pl.DataFrame, scored: pl.DataFrame) -> pl.DataFrame:
    """Return the scores of distinct sequences with what training had seen of them, without what the log cut off.

    `sequences` have `keys, begun, closed`, `scored` is what a detector gave for them. Raise BadInput, which names the
    run `folder`, where a score is no number.
    """
    _refuse_not_finite(scored, folder)
    seen, all_keys_seen = training.familiar(sequences, "log_odds" in scored.columns)
    if "has_unseen_key" not in scored.columns:
        scored = scored.with_columns(has_unseen_key=~all_keys_seen)
    return pl.concat([cut.spare(scored, sequences.select(cut.COLUMNS)), seen], how="horizontal")


def score_rest(run: Run, ask: Score) -> pl.DataFrame:
    """Return `test_scores_rest.parquet`: of each test sequence with unseen keys, the scores of what is left without.

    Columns `row` (its number in the test), `rank, tail_probability, worst_event, count_vector_seen`; `worst_event`
    counts in the whole sequence. Where no known key is left, all is expected. Scored once, for every handling.
    """
    path, hashes, known = run.folder / "test_scores_rest.parquet", run.hashes, run.data.known_keys
    if (kept := _kept(path, hashes)) is not None:
        return kept
    is_known = pl.element().is_in(pl.Series(sorted(known), dtype=pl.String).implode())
    rows = run.data.split("test", "keys", *cut.COLUMNS).with_row_index("row")
    rows = rows.with_columns(whole="keys", keys=pl.col("keys").list.filter(is_known))
    rows = rows.filter(pl.col("keys").list.len() < pl.col("whole").list.len())
    empty, left = (rows.filter(which) for which in (pl.col("keys").list.len() == 0, pl.col("keys").list.len() > 0))
    parts = [empty.select("row", rank=1, tail_probability=1.0, worst_event=0, count_vector_seen=True).cast(_REST)]
    if len(left):
        distinct, numbers, _ = _distinct(left, "keys")
        scored, cuts = ask(distinct["keys"].to_list()), distinct.select(cut.COLUMNS)
        if run.data.is_windowed:  # all windows are of one size, so what is left ends too soon
            cuts = cuts.with_columns(closed=pl.lit(False))
        _refuse_not_finite(scored, run.folder)
        seen, _ = Training.of(run.data).familiar(distinct, labeled=False)
        judged = pl.concat([cut.spare(scored, cuts), seen.select("count_vector_seen")], how="horizontal")[numbers]
        places = [
            [*(place for place, key in enumerate(keys) if key in known), len(keys)][worst]
            for keys, worst in zip(left["whole"], judged["worst_event"], strict=True)
        ]
        judged = judged.with_columns(left["row"], pl.Series("worst_event", places))
        parts.append(judged.select(_REST.names()).cast(_REST))
    whole = pl.concat(parts).sort("row")
    write(path, whole, hashes)
    return whole


def _kept(path: Path, hashes: dict[str, str]) -> pl.DataFrame | None:
    """Return the scores of an earlier call; None if they are of another model or other data, or damaged."""
    try:
        if path.is_file() and hashes.items() <= pl.read_parquet_metadata(path).items():
            return pl.read_parquet(path, glob=False)
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


def _refuse_not_finite(scored: pl.DataFrame, folder: Path) -> None:
    """Refuse the scores of a training that diverged: what is no number lies above no threshold and is never flagged."""
    finite = all(scored[name].is_finite().all() for name in ("score", "log_odds") if name in scored.columns)
    if "event_log_probabilities" in scored.columns:  # minus infinity is an unseen key
        finite = finite and not scored["event_log_probabilities"].explode().is_nan().any()
    if not finite:
        raise BadInput(
            f"{folder.as_posix()} gives scores that are no numbers: its training diverged; remove that folder and "
            "train again with a smaller learning rate or another SEED."
        )
