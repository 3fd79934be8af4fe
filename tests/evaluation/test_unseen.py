"""Drift: when an unseen key stops to be an alarm, what it never excuses, and answers that survive the next run."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import rules, unseen

KNOWN = {"a", "b"}
V = 2
SCHEMA = {
    "sequence_id": pl.String,
    "keys": pl.List(pl.String),
    "lines": pl.List(pl.Int64),
    "event_labels": pl.List(pl.Int8),
    "label": pl.Int8,
}
EVENT = {"a": (1, 0.9), "b": (2, 0.5), "odd": (3, 0.001)}  # `odd` stands for a known key where none expects it


def sequences(windows: list[str], anomalous: str = "", labels: list[int] | None = None) -> pl.DataFrame:
    """Windows as words, one letter a key; `anomalous` are the keys whose lines are labeled 1."""
    keys = [list(window.replace("!", "a")) for window in windows]
    events = [[int(key in anomalous) for key in window] for window in keys]
    starts = np.cumsum([1, *map(len, keys)])
    return pl.DataFrame(
        {
            "sequence_id": [f"window {number}" for number in range(1, len(keys) + 1)],
            "keys": keys,
            "lines": [list(range(start, start + len(window))) for start, window in zip(starts, keys, strict=False)],
            "event_labels": events,
            "label": labels or [max(window, default=0) for window in events],
        },
        schema=SCHEMA,
    )


def scores(windows: list[str]) -> pl.DataFrame:
    """Stored scores of such windows; `!` is a known key that was not expected, other letters than a, b are new_keys."""
    events = [[*(EVENT["odd"] if key == "!" else EVENT.get(key, (V + 2, 0.0)) for key in w), (1, 0.9)] for w in windows]
    return pl.DataFrame(
        {
            "event_ranks": [[rank for rank, _ in window] for window in events],
            "event_tail_probabilities": [[tail for _, tail in window] for window in events],
            "rank": [max(rank for rank, _ in window) for window in events],
            "tail_probability": [min(tail for _, tail in window) for window in events],
            "has_unseen_key": [any(rank == V + 2 for rank, _ in window) for window in events],
            "count_vector_seen": [False] * len(windows),
        },
        schema_overrides={
            "event_ranks": pl.List(pl.Int32),
            "event_tail_probabilities": pl.List(pl.Float32),
            "rank": pl.Int32,
            "tail_probability": pl.Float32,
        },
    )


def rest(windows: list[str]) -> pl.DataFrame:
    """Stored scores of what is left of the windows with unseen keys."""
    rows = [(row, "".join(key for key in window if key in "ab!")) for row, window in enumerate(windows)]
    rows = [(row, left) for row, left in rows if left != windows[row]]
    scored = scores([left for _, left in rows])
    empty = pl.Series([left == "" for _, left in rows], dtype=pl.Boolean)
    return scored.select(
        pl.Series("row", [row for row, _ in rows], dtype=pl.UInt32),
        pl.when(empty).then(1).otherwise("rank").alias("rank"),
        pl.when(empty).then(1.0).otherwise("tail_probability").alias("tail_probability"),
        pl.lit(0).alias("worst_event"),
        "count_vector_seen",
    )


DECISION = rules.calibrate(scores(["ab"] * 99), V, alpha=0.01)  # flags rank 3 and 0.001, and nothing milder


def flagged(windows: list[str], accepted: dict[str, int]) -> list[list[bool]]:
    """The verdicts of the three rules on each window."""
    settled = unseen.settle(sequences(windows), scores(windows), rest(windows), KNOWN, accepted)
    return [list(row) for row in unseen.flags({"any": settled}, DECISION).iter_rows()]


def asked(windows: list[str], anomalous: str = "", labels: list[int] | None = None) -> list[bool]:
    found = sequences(windows, anomalous, labels)
    new_keys = unseen.unseen_keys(found, KNOWN)
    verdicts = flagged(windows, unseen.ask_once(new_keys, unseen.label_answers(found, new_keys)))
    assert all(len(set(verdict)) == 1 for verdict in verdicts)
    return [row[0] for row in verdicts]


# --------------------------------------------------------------------------------------------------- what is unseen


def test_unseen_keys_stand_by_first_occurrence_and_count_a_window_once():
    new_keys = unseen.unseen_keys(sequences(["ab", "ayxy", "b", "xa"]), KNOWN)
    assert new_keys.rows() == [("y", [1], 1), ("x", [1, 3], 2)]


def test_the_line_of_the_first_occurrence_answers_and_not_the_window_it_lies_in():
    found = sequences(["axf", "x"], anomalous="f")
    assert unseen.label_answers(found, unseen.unseen_keys(found, KNOWN)) == {"x": "benign", "f": "alert"}


def test_a_label_that_comes_later_does_not_answer_the_question_asked_before():
    found = sequences(["ax", "x"]).with_columns(pl.Series("event_labels", [[0, 0], [1]], dtype=pl.List(pl.Int8)))
    assert unseen.label_answers(found, unseen.unseen_keys(found, KNOWN)) == {"x": "benign"}


def test_the_sequence_answers_where_lines_are_not_labeled_and_nobody_where_nothing_is():
    found = sequences(["x", "y"], labels=[1, 0]).with_columns(event_labels=pl.lit(None, SCHEMA["event_labels"]))
    new_keys = unseen.unseen_keys(found, KNOWN)
    assert unseen.label_answers(found, new_keys) == {"x": "alert", "y": "benign"}
    assert unseen.label_answers(found.with_columns(label=pl.lit(None, pl.Int8)), new_keys) == {}


# ------------------------------------------------------------------------------------------------ -- the handling


def test_a_benign_answer_makes_the_key_known_at_once():
    assert asked(["ax", "xb"]) == [False, False]


def test_an_alert_answer_is_an_alarm_for_good():
    assert asked(["ab", "af", "ab", "fa", "xf"], anomalous="f") == [False, True, False, True, True]


def test_an_answer_holds_for_its_own_key_alone():
    assert asked(["x", "xy"], anomalous="y") == [False, True]


def test_the_order_decides_which_label_answers():
    """Without labels of lines, a benign key that first comes beside a fault is an alarm for good."""
    unlabeled = pl.lit(None, SCHEMA["event_labels"])
    for windows, labels, answer in ((["xf", "x"], [1, 0], "alert"), (["x", "xf"], [0, 1], "benign")):
        found = sequences(windows, labels=labels).with_columns(event_labels=unlabeled)
        assert unseen.label_answers(found, unseen.unseen_keys(found, KNOWN))["x"] == answer


def test_a_question_without_an_answer_stays_an_alarm():
    new_keys = unseen.unseen_keys(sequences(["x", "y"]), KNOWN)
    assert unseen.ask_once(new_keys, {"x": "benign"}) == {"x": 0}
    assert flagged(["x", "y"], {"x": 0}) == [[False] * 3, [True] * 3]


def test_the_other_events_of_a_sequence_are_still_judged():
    """An accepted key would else hide whatever comes beside it."""
    assert asked(["ax!", "ax", "!"]) == [True, False, True]
    windows = ["axb", "xx", "axy"]
    settled = unseen.settle(sequences(windows), scores(windows), rest(windows), KNOWN, {"x": 0})
    assert settled["rank"].to_list() == [2, 1, V + 2]
    assert settled["tail_probability"].to_list() == pytest.approx([0.5, 1.0, 0.0])
    assert settled["has_unseen_key"].to_list() == [False, False, True]


def test_settled_scores_keep_their_columns_and_types():
    before = scores(["ax", "b"])
    after = unseen.settle(sequences(["ax", "b"]), before, rest(["ax", "b"]), KNOWN, {"x": 0})
    assert after.schema == before.schema | {"fault_score": pl.Float64}
    assert after[1].drop("fault_score").equals(before[1])


def test_an_answer_for_a_known_key_changes_nothing():
    """A file of answers may come from another run, whose training had not seen the key."""
    new_keys = unseen.unseen_keys(sequences(["!x"]), KNOWN)
    assert unseen.ask_once(new_keys, {"a": "benign", "x": "benign", "z": "benign"}) == {"x": 0}


WINDOWS = st.lists(st.text("abxyz!", min_size=1, max_size=6), min_size=1, max_size=12)


def static(windows: list[str]) -> np.ndarray:
    return rules.apply(scores(windows), DECISION).select(f"flagged_{rule}" for rule in rules.RANK_RULES).to_numpy()


@given(WINDOWS)
def test_benign_answers_never_add_an_alarm(windows):
    new_keys = unseen.unseen_keys(sequences(windows), KNOWN)
    benign = np.array(flagged(windows, unseen.ask_once(new_keys, dict.fromkeys(new_keys["key"], "benign"))))
    assert not (benign & ~static(windows)).any()
    assert benign[:, 0].tolist() == ["!" in window for window in windows]


@given(WINDOWS)
def test_alert_answers_are_the_static_rules(windows):
    new_keys = unseen.unseen_keys(sequences(windows), KNOWN)
    alert = unseen.ask_once(new_keys, dict.fromkeys(new_keys["key"], "alert"))
    assert alert == {}
    assert np.array_equal(flagged(windows, alert), static(windows))


@given(st.lists(st.text("ab!", min_size=1, max_size=6), min_size=1, max_size=12))
def test_without_unseen_keys_nothing_is_asked_and_nothing_changes(windows):
    new_keys = unseen.unseen_keys(sequences(windows), KNOWN)
    assert new_keys.is_empty()
    assert np.array_equal(flagged(windows, unseen.ask_once(new_keys, {})), static(windows))


def test_flags_carry_the_names_of_rule_and_handling():
    names = unseen.flags(dict.fromkeys(unseen.HANDLINGS, scores(["a"])), DECISION).columns
    rows = {f"flagged_{name}" for name in unseen.TITLES if not name.startswith("unseen_key")}
    assert set(names) == rows


# ---------------------------------------------------------------------------------------------------------- blocks


@given(st.integers(10, 500))
def test_blocks_are_ten_of_equal_size_in_order(size):
    blocks = unseen.number_blocks(size)
    sizes = np.bincount(blocks)[1:]
    assert len(sizes) == 10 and sizes.max() - sizes.min() <= 1
    assert (np.diff(blocks) >= 0).all()


def test_blocks_count_a_new_key_where_it_comes_first():
    windows = ["ax", "ab", "xy", "x"]
    found = sequences(windows, anomalous="y")
    blocks = unseen.describe_blocks(found, scores(windows), unseen.unseen_keys(found, KNOWN), count=2)
    assert blocks.rows() == [(1, "window 1", 2, 0, 1, 0.5), (2, "window 3", 2, 1, 1, 1.0)]
    unlabeled = found.with_columns(label=pl.lit(None, pl.Int8))
    blocks = unseen.describe_blocks(unlabeled, scores(windows), unseen.unseen_keys(found, KNOWN), count=2)
    assert blocks["anomalies"].to_list() == [None, None]


def test_each_rule_is_measured_in_each_block():
    labels = np.array([1, 0, 0, 0])
    verdicts = {"all": np.array([True] * 4), "none": np.array([False] * 4)}
    rows = unseen.measure_blocks(verdicts, labels, count=2).rows()
    assert rows[0] == ("all", 1, 2, 1, 0.5, 1.0, pytest.approx(2 / 3))
    assert rows[1] == ("all", 2, 2, 2, None, None, None)
    assert rows[2] == ("none", 1, 0, 0, None, 0.0, 0.0)
