"""A judged log as a ranked list: its strangest sequences, whatever the threshold, with their oddest lines and reasons.

No label is needed, and none makes a row right or wrong: it stands beside, where somebody has given one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import polars as pl

from core.keys import distinct
from evaluation import rules, unseen
from evaluation.report.reasons import END, Choices, as_tail, as_text, in_words

SHOWN = 50  # sequences that are listed even if none of them is an alarm
LISTED: dict[str, pl.DataType | type[pl.DataType]] = {
    "rank": pl.Int64,
    "is_alarm": pl.Boolean,
    "sequence_id": pl.String,
    "label": pl.Int8,
    "time": pl.Datetime("us"),
    "line": pl.Int64,
    "raw": pl.String,  # the line as it stands in the log
    "template": pl.String,
    "tail_probability": pl.Float64,  # null of a detector of one number a sequence
    "score": pl.Float64,
    "expected": pl.String,
    "reason": pl.String,
}
STRANGEST = "strangest.csv"  # its name in a run folder
Lines = Callable[[list[int]], pl.DataFrame]  # numbers of lines to `line, time, raw`
Expected = Callable[[list[list[str]]], Sequence[Choices]]


def strangest(scores: pl.DataFrame, decision: dict, fewest: int = SHOWN) -> pl.DataFrame:
    """Return the alarms of the default rule, then the strangest others up to `fewest` rows, the strangest first.

    The scores with `row`, the number of the sequence, and `is_alarm`.
    """
    rule = decision["default_rule"]
    alarms = rules.apply(scores, decision)[f"flagged_{rule}"]
    abnormality = unseen.order(scores, rule) if "fault_score" in scores.columns else rules.abnormality(scores, rule)
    order = np.lexsort((-abnormality, ~alarms.to_numpy()))
    chosen = order[: max(fewest, int(alarms.sum()))]
    return scores.with_row_index("row").with_columns(is_alarm=alarms)[chosen]


def ranked(
    chosen: pl.DataFrame,
    sequences: pl.DataFrame,
    templates: Mapping[str, str | None],
    known: set[str],
    decision: dict,
    expected: Expected | None,
    lines: Lines,
    words: Mapping[str, str],
) -> pl.DataFrame:
    """Return the list, columns of `LISTED`, of what `strangest` has chosen.

    `sequences` are the data's with `keys, lines`, `known` the keys of training, `expected` the likeliest choices after
    each of many prefixes, where the detector has any. `lines` reads lines of the log, and `words` is what is said of
    the words of new keys.
    """
    shown = [_worst(row, known) for row in _with_events(chosen, sequences)]
    prefixes, places = distinct([row["keys"][: row["worst"]] for row in shown])  # many sequences begin alike
    found = expected([list(prefix) for prefix in prefixes]) if expected and prefixes else [()] * len(prefixes)
    choices = [found[place] for place in places]
    read = lines([row["line"] for row in shown if row["line"] is not None])
    stood = {line: (time, raw) for line, time, raw in read.iter_rows()}
    cells = [
        {
            "rank": rank,
            "time": stood.get(row["line"], (None, None))[0],
            "raw": stood.get(row["line"], (None, None))[1],
            "template": in_words(row["key"], templates),
            "expected": as_text(own, templates) or None,
            "reason": words.get(row["key"]) if row["is_new"] and row["key"] in words else _reason(row, decision),
            **{name: row.get(name) for name in ("is_alarm", "sequence_id", "label", "line", "tail_probability")},
            "score": row.get("log_odds", row.get("score")),
        }
        for rank, (row, own) in enumerate(zip(shown, choices, strict=True), start=1)
    ]
    return pl.DataFrame(cells, schema=LISTED)


def _with_events(chosen: pl.DataFrame, sequences: pl.DataFrame) -> Iterable[dict]:
    """Yield the chosen scores, each with the keys and lines of its sequence."""
    own = sequences.select("keys", "lines")[chosen["row"]]
    lists = [name for name in chosen.columns if isinstance(chosen.schema[name], pl.List)]
    return pl.concat([chosen.drop(lists), own], how="horizontal").iter_rows(named=True)


def _worst(row: dict, known: set[str]) -> dict:
    """Return a row with its oddest event: the detector's, else the first new one, else the sequence as a whole.

    `worst` counts from 0; the end that came too early is the event after the last one and shows the last line.
    """
    new = next((place for place, key in enumerate(row["keys"]) if key not in known), None)
    worst = row.get("worst_event")
    if worst is None:
        worst = new if row["has_unseen_key"] and new is not None else 0
    at_end = worst >= len(row["keys"])
    key = END if at_end else row["keys"][worst]
    lines = row["lines"] or [None] * len(row["keys"])
    is_new = not at_end and key not in known
    return row | {"worst": worst, "key": key, "is_new": is_new, "line": lines[-1 if at_end else worst]}


def _reason(row: dict, decision: dict) -> str:
    """Return why a sequence stands where it does, in words."""
    if row["is_new"]:
        return "new template: training never saw it"
    if "log_odds" in row:
        return f"log-odds of an anomaly {row['log_odds']:.2f}; above 0 it is an alarm"
    if row.get("tail_probability") is None:
        threshold = decision["rules"]["score"]["threshold"]
        limit = "" if threshold is None else f"; above {threshold:.3g} it is an alarm"
        return f"score {row['score']:.3g} of the whole sequence{limit}"
    tail = as_tail(row["tail_probability"])
    if not row["is_alarm"]:
        return f"no alarm: its oddest event has the tail probability {tail}"
    what = "the sequence ends too early" if row["key"] == END else "unlikely here"
    return f"{what}: tail probability {tail}"
