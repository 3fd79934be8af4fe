"""The trivial detectors, worked by hand."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from evaluation import floors

TRAINING = pl.Series([["a", "b", "c"], ["a", "b"]])
SEQUENCES = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=5), min_size=1, max_size=8)


def flags(*sequences: list[str]) -> pl.DataFrame:
    return floors.trivial_flags(floors.familiarity(TRAINING, pl.Series(list(sequences))))


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
