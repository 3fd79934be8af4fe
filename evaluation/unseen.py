"""Keys that training never saw, and what may be accepted of them: what an analyst calls benign, or what reads harmless.

- *ask*: each is put to the analyst once, and accepted from then on if the answer is benign;
- *words*: nobody is asked; one whose fault score is low is accepted (fault_scores.py);
- *ask words*: the analyst is asked about those that *words* does not accept, and the others are accepted;
- *evolved*: one that somebody has called a rewording is read as its old key (runs/handling.py scores it again).

Sequences are those of the test in time order, `keys, lines, event_labels, label` of the data folder, and their stored
scores in the same order. `known` are the keys of the training split. Validation calibrates and answers nothing: a key
that it saw and training did not is still a question when it comes in the test, so that every answer is counted.

A sequence all of whose unseen keys are accepted is judged by the rest: as if these events were not there, by the scores
of what is left (runs/scoring.py stores them). With one that is not, it is an alarm. The rules stay as they were
calibrated, and their own verdicts, the static ones, stand beside.
"""

import numpy as np
import polars as pl

from core.asked import UNSEEN
from evaluation import metrics, rules

ALARM, *_HANDLINGS = UNSEEN
HANDLINGS = tuple(name.replace("-", "_") for name in _HANDLINGS)  # as they end the names of rules
_SAID = dict(zip(HANDLINGS, ("ask once", "judged by words", "ask once by words", "as old keys"), strict=True))
TITLES = {
    f"{rule}_{handling}": f"{rules.RULE_TITLES[rule]}, {said}"
    for rule in rules.RANK_RULES
    for handling, said in _SAID.items()
} | {f"unseen_key_{handling}": f"trivial: unseen key, {said}" for handling, said in _SAID.items()}
BLOCKS = 10
BENIGN, ALERT = "benign", "alert"


# ------------------------------------------------------------------------------------------------- what is unseen


def unseen_keys(sequences: pl.DataFrame, known: set[str]) -> pl.DataFrame:
    """Return one row a key that is not in `known`, by first occurrence: `key, rows, position`.

    `rows` are the numbers of the sequences that have it, ascending; `position` is its first one in the first of them.
    """
    events = (
        sequences.select(key="keys", position=pl.int_ranges(pl.col("keys").list.len()))
        .with_row_index("row")
        .explode("key", "position")
        .filter(~_is_in("key", known))
    )
    return events.group_by("key", maintain_order=True).agg(
        rows=pl.col("row").unique(maintain_order=True), position=pl.col("position").first()
    )


def label_answers(sequences: pl.DataFrame, unseen: pl.DataFrame) -> dict[str, str]:
    """Return what an analyst who is always right says of each key of `unseen_keys`, `benign` or `alert`: to evaluate.

    The label of the line of its first occurrence answers; where lines are not labeled, that of the whole sequence,
    which calls a benign key an alert if it comes first in an anomalous one. Without labels a key has no answer.
    """
    line_label = pl.col("event_labels").list.get(pl.col("position"))
    labeled = first_sequences(sequences, unseen).select("key", label=pl.coalesce(line_label, "label")).drop_nulls()
    return {key: ALERT if label == 1 else BENIGN for key, label in labeled.iter_rows()}


def first_sequences(sequences: pl.DataFrame, unseen: pl.DataFrame) -> pl.DataFrame:
    """Return the keys of `unseen` with the columns of the sequence in which each came first."""
    first = unseen.with_columns(row=pl.col("rows").list.first())
    return first.join(sequences.with_row_index("row"), on="row", maintain_order="left")


def _is_in(column: str, keys: set[str]) -> pl.Expr:
    return pl.col(column).is_in(pl.Series(sorted(keys), dtype=pl.String).implode())


# --------------------------------------------------------------------------------------------------- the handling


def ask_once(unseen: pl.DataFrame, answers: dict[str, str]) -> dict[str, int]:
    """Return the sequence number from which on each key is accepted: its first occurrence if the answer is `benign`.

    The analyst answers at once, so the sequence that raised the question is no alarm for it; what that costs is the
    number of questions, one a key of `unseen`. A key answered `alert`, or not yet, is an alarm in every sequence.
    """
    return {key: rows[0] for key, rows, _ in unseen.iter_rows() if answers.get(key) == BENIGN}


def settle(
    sequences: pl.DataFrame,
    scores: pl.DataFrame,
    rest: pl.DataFrame,
    known: set[str],
    accepted: dict[str, int],
    fault_scores: dict[str, float] | None = None,
) -> pl.DataFrame:
    """Return the scores as they are with the keys of `accepted` gone from their sequence number on.

    `rest` are the scores of what is left of the sequences with unseen keys, by `row`. In those alone `rank,
    tail_probability, worst_event, count_vector_seen, has_unseen_key` change; `fault_score` is the highest that
    `fault_scores` has for one of their keys, accepted or not, null where there is none.
    """
    since = pl.DataFrame(list(accepted.items()), schema={"key": pl.String, "since": pl.UInt32}, orient="row")
    rated = list((fault_scores or {}).items())
    faults = pl.DataFrame(rated, schema={"key": pl.String, "fault_score": pl.Float64}, orient="row")
    events = (
        sequences.select(key="keys", position=pl.int_ranges(pl.col("keys").list.len()))
        .with_row_index("row")
        .filter(scores["has_unseen_key"])
        .explode("key", "position")
        .filter(~_is_in("key", known))
        .join(since, on="key", how="left", maintain_order="left")
        .join(faults, on="key", how="left", maintain_order="left")
    )
    refused = (pl.col("row") < pl.col("since")).fill_null(True)
    judged = events.group_by("row", maintain_order=True).agg(
        has_unseen_key=refused.any(),
        refused_event=pl.col("position").filter(refused).first(),
        fault_score=pl.col("fault_score").max(),
    )
    left = judged.join(rest, on="row", how="left", maintain_order="left")
    is_left = ~pl.col("has_unseen_key")
    settled = left.select(
        *("row", "has_unseen_key", "fault_score"),
        *(pl.when(is_left).then(name).alias(name) for name in ("rank", "tail_probability", "count_vector_seen")),
        pl.when(is_left).then("worst_event").otherwise("refused_event").alias("worst_event"),
    )
    settled = settled.cast(pl.Schema({name: kind for name, kind in scores.schema.items() if name in settled.columns}))
    blank = scores.with_row_index("row").with_columns(fault_score=pl.lit(None, pl.Float64))
    return blank.update(settled, on="row").drop("row")


def split_name(rule: str) -> tuple[str, str | None]:
    """Return the rule that a name of `TITLES` begins with, and the handling that it ends with, None if it has none."""
    for handling in sorted(HANDLINGS, key=len, reverse=True):  # `ask_words` ends with `words`
        if rule.endswith(f"_{handling}"):
            return rule.removesuffix(f"_{handling}"), handling
    return rule, None


def handled_rules(judged: pl.DataFrame) -> list[str]:
    """Return the rules with a handling of which judged scores have verdicts."""
    return [rule for rule in TITLES if f"flagged_{rule}" in judged.columns]


def order(settled: pl.DataFrame, rule: str) -> np.ndarray:
    """Return how abnormal each sequence is: first those that have a fault score, by it, then the others, by the rule.

    The order knows no threshold, so a key that words accept counts, too. A key that is neither accepted nor has a fault
    score is taken for a fault.
    """
    values, faults = rules.abnormality(settled, rule), settled["fault_score"]
    unread = settled["has_unseen_key"] & faults.is_null()
    read = faults.to_frame().select(pl.when(unread).then(float("inf")).otherwise("fault_score")).to_series()
    by_rule, by_words = (column.rank().to_numpy() for column in (pl.Series(values), read.fill_null(0.0)))
    return np.where(read.is_null(), by_rule, len(values) + by_words)


def as_settled(judged: pl.DataFrame, settled: pl.DataFrame) -> pl.DataFrame:
    """Return judged scores with the worst event of what was settled, of the sequences that are alarms by it.

    The event that an alarm of a handling shows must not be one of a key that it has accepted.
    """
    by_handling = pl.any_horizontal(f"flagged_{rule}" for rule in handled_rules(judged))
    own = settled.select(pl.col("rank", "tail_probability", "worst_event", "has_unseen_key").name.prefix("settled_"))
    whole = pl.concat([judged, own], how="horizontal")
    names = ("rank", "tail_probability", "worst_event", "has_unseen_key")
    return whole.with_columns(
        pl.when(by_handling).then(f"settled_{name}").otherwise(name).alias(name) for name in names
    )


def flags(settled: dict[str, pl.DataFrame], decision: dict) -> pl.DataFrame:
    """Return `flagged_<rule>_<handling>: bool` of the scores that each handling has settled, one row a sequence."""
    return pl.concat(
        [
            rules.apply(scores, decision).select(
                pl.col(f"flagged_{rule}").name.suffix(f"_{name}") for rule in rules.RANK_RULES
            )
            for name, scores in settled.items()
        ],
        how="horizontal",
    )


# ------------------------------------------------------------------------------------------------ blocks of time


def number_blocks(size: int, count: int = BLOCKS) -> np.ndarray:
    """Return the number, from 1, of the block of each of `size` sequences; blocks differ by one sequence at most."""
    return np.arange(size) * count // size + 1


def describe_blocks(
    sequences: pl.DataFrame, scores: pl.DataFrame, unseen: pl.DataFrame, count: int = BLOCKS
) -> pl.DataFrame:
    """Return one row a block: `block, first_sequence, sequences, anomalies, new_keys, unseen_key_share`.

    `new_keys` are those of `unseen_keys` that come first in the block, which are the questions of ask once;
    `anomalies` is null without labels.
    """
    firsts = np.bincount(unseen["rows"].list.first().to_numpy().astype(int), minlength=len(sequences))
    rows = sequences.select("sequence_id", "label").with_columns(
        scores["has_unseen_key"], block=number_blocks(len(sequences), count), firsts=firsts
    )
    anomalies = (pl.col("label") == 1).sum()
    return rows.group_by("block", maintain_order=True).agg(
        first_sequence=pl.col("sequence_id").first(),
        sequences=pl.len(),
        anomalies=pl.when(pl.col("label").is_not_null().any()).then(anomalies),
        new_keys=pl.col("firsts").sum(),
        unseen_key_share=pl.col("has_unseen_key").mean(),
    )


def measure_blocks(verdicts: dict[str, np.ndarray], labels: np.ndarray, count: int = BLOCKS) -> pl.DataFrame:
    """Return one row a rule and block: `rule, block, alarms, false_alarms, precision, recall, f1`; else None.

    `verdicts` are the flags of each rule over all sequences.
    """
    blocks, rows = number_blocks(len(labels), count), []
    for rule, flagged in verdicts.items():
        for block in np.unique(blocks):
            inside = flagged[blocks == block], labels[blocks == block]
            measured, counts = metrics.measure(*inside), metrics.confusion(*inside)
            false_alarms = counts["false_positives"]
            own = {"alarms": counts["true_positives"] + false_alarms, "false_alarms": false_alarms}
            shares = {name: measured[name] for name in ("precision", "recall", "f1")}
            rows.append({"rule": rule, "block": int(block)} | own | shares)
    return pl.DataFrame(rows, infer_schema_length=None)
