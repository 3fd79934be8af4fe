"""The trivial detectors, worked by hand."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import floors

TRAINING = pl.Series([["a", "b", "c"], ["a", "b"]])
SEQUENCES = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=5), min_size=1, max_size=8)


def flags(*sequences: list[str]) -> pl.DataFrame:
    return floors.trivial_flags(floors.familiarity(TRAINING, pl.Series(list(sequences))))


# ------------------------------------------------------------------------------------------------------- look-ups


def test_worked_by_hand():
    found = flags(
        ["a", "b", "c"],  # in training
        ["a", "x", "c"],  # a key never seen
        ["b"],  # a length never seen, and never a begin
        ["c", "b", "a"],  # the counts of a training sequence in another order
        ["a", "b", "b"],  # counts and a pair never seen
    )
    assert found["unseen_key"].to_list() == [False, True, False, False, False]
    assert found["unseen_key_or_length"].to_list() == [False, True, True, False, False]
    assert found["unseen_count_vector"].to_list() == [False, True, True, False, True]
    assert found["unseen_bigram"].to_list() == [False, True, True, True, True]


def test_an_early_end_and_a_late_begin_are_pairs_never_seen():
    assert flags(["a"], ["b", "c"])["unseen_bigram"].to_list() == [True, True]
    assert flags(["a", "b"])["unseen_bigram"].to_list() == [False]


def test_one_event_of_which_the_log_shows_neither_begin_nor_end_has_no_neighbors():
    """Without a row of its own for nothing, every sequence after it would get the answer of another one."""
    cuts = pl.DataFrame({"begun": [False, True], "closed": [False, True]})
    seen = floors.familiarity(TRAINING, pl.Series([["b"], ["a", "c"]]), cuts)
    assert seen["all_pairs_seen"].to_list() == [True, False]


@given(SEQUENCES, SEQUENCES)
def test_equal_to_python_sets(training, asked):
    seen = floors.familiarity(pl.Series(training), pl.Series(asked))

    def pairs(keys):
        return set(zip(["<", *keys], [*keys, ">"], strict=True))

    known_pairs = set().union(*map(pairs, training))
    assert seen["in_training"].to_list() == [keys in training for keys in asked]
    assert seen["count_vector_seen"].to_list() == [sorted(keys) in map(sorted, training) for keys in asked]
    assert seen["length_seen"].to_list() == [len(keys) in map(len, training) for keys in asked]
    assert seen["all_keys_seen"].to_list() == [set(keys) <= set().union(*training) for keys in asked]
    assert seen["all_pairs_seen"].to_list() == [pairs(keys) <= known_pairs for keys in asked]


def test_a_floor_on_the_simulated_sample(sample):
    """The sample must stay neither trivial nor hopeless for look-up tables."""
    sequences = pl.read_parquet(sample / "sequences.parquet")
    train, test = (sequences.filter(pl.col("split") == split) for split in ("train", "test"))
    found = floors.trivial_flags(floors.familiarity(train["keys"], test["keys"]))
    anomalous = (test["label"] == 1).to_numpy()
    recall = {name: found[name].to_numpy()[anomalous].mean() for name in floors.TRIVIAL}
    assert recall["unseen_key"] < 0.3
    assert 0.5 < recall["unseen_count_vector"] < 0.95


# --------------------------------------------------------------------------------------------------------- counts


def counted(name: str, training: list[list[str]], *sequences: list[str]) -> pl.DataFrame:
    return floors.count_ngrams(pl.Series(training), pl.Series(list(sequences)))[name]


def test_unigram_by_hand():
    """a b a, a: counts a 3, b 1, end 2; three kinds of six; uniform 1/3: p = (count + 1) / 9."""
    scored = counted("unigram", [["a", "b", "a"], ["a"]], ["a"], ["b"], ["b", "new"])
    assert scored["rank"].to_list() == [2, 3, 4]
    assert scored["tail_probability"].to_list() == pytest.approx([5 / 9, 2 / 9, 0.0])
    assert scored["has_unseen_key"].to_list() == [False, False, True]


def test_bigram_by_hand():
    """After b came a once: one kind, so p(a | b) = (1 + p(a)) / 2 and p(end | b) = p(end) / 2."""
    single = {"a": 4 / 9, "b": 2 / 9, "end": 3 / 9}
    scored = counted("bigram", [["a", "b", "a"], ["a"]], ["a", "b"])
    assert scored["tail_probability"].item() == pytest.approx(single["b"] / 2 + single["end"] / 2)
    assert scored["rank"].item() == 2


def test_ties_count_against_the_model():
    assert counted("unigram", [["a"], ["b"]], ["a"], ["b"])["rank"].to_list() == [3, 3]


def test_each_distinct_sequence_is_scored_once_and_copies_alike(monkeypatch):
    """575,000 sessions of HDFS are 19,000 distinct ones."""
    chance = np.random.default_rng(0)
    several = [list(chance.choice(list("abcd"), size=size)) for size in chance.integers(1, 9, size=50)]
    shown, make = [], floors.make_windows
    monkeypatch.setattr(floors, "make_windows", lambda keys, some, size: shown.append(some) or make(keys, some, size))
    together = counted("bigram", several[:30], *several, *several[::-1])
    alone = [counted("bigram", several[:30], keys) for keys in several]
    assert len(shown[0]) == len(set(map(tuple, several)))
    assert together.equals(pl.concat(alone + alone[::-1]))


@given(SEQUENCES, SEQUENCES)
def test_copies_are_as_familiar_as_the_first(training, asked):
    seen = floors.familiarity(pl.Series(training * 2), pl.Series(asked + asked[::-1]))
    once = floors.familiarity(pl.Series(training), pl.Series(asked))
    assert seen.equals(pl.concat([once, once[::-1]]))


def test_an_unseen_key_is_flagged_where_new_ones_are_rarer_than_usual_worked_by_hand():
    """After `a` five kinds came in ten events, after `b` always `c`: there something new is a surprise."""
    training = pl.Series([["a", key] for key in "bbbcdefaaa"] + [["b", "c"]] * 30)
    found = floors.count_ngrams(training, pl.Series([["a", "x"], ["b", "x"], ["a", "b"]]))["bigram"]
    # after a, whose last event of `aa` is the end: b 3, c, d, e, f, a 3, end 3; after b: c 30, end 3
    assert found["escape"].to_list() == [pytest.approx(7 / 20), pytest.approx(2 / 35), None]
    flags, order = floors.escape_flags(found)
    assert flags.tolist() == [False, True, False]
    assert order.argsort().tolist() == [2, 0, 1]


def test_a_context_that_never_occurred_asks_how_often_anything_is_new():
    training = pl.Series([["a", "b"]] * 10)
    found = floors.count_ngrams(training, pl.Series([["y", "x"]]))["bigram"]
    unigram = 3 / (30 + 3)  # a, b and the end
    begun = 1 / (10 + 1)  # the first key, after the begin
    assert found["escape"].to_list() == [pytest.approx(min(unigram, begun))]
