"""What the log cut off is not judged: half of the false alarms of a log are sessions still going on at its end."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import cut, floors
from methods.parts.judging import summarize

TRAINING = pl.Series([list("abcd"), list("abbd")])
OPEN = pl.DataFrame({"begun": [True], "closed": [False]})
WHOLE = pl.DataFrame({"begun": [True], "closed": [True]})
LATE = pl.DataFrame({"begun": [False], "closed": [False]})


def scored(*tails: list[float]) -> pl.DataFrame:
    """Scores of sequences with these tail probabilities, the end the last of each; 0 is an unseen key."""
    flat = np.concatenate(tails)
    ranks = np.where(flat > 0, np.round(1 / np.maximum(flat, 0.01)), 999).astype(int)
    with np.errstate(divide="ignore"):
        return summarize(ranks, flat, np.log(flat), np.cumsum([len(one) for one in tails]), 999)


def test_the_end_of_an_open_session_is_not_judged_and_that_of_a_closed_one_is():
    scores = scored([0.5, 0.2, 0.01], [0.5, 0.2, 0.01])
    cuts = pl.concat([OPEN, WHOLE])
    spared = cut.spare(scores, cuts)
    assert spared["tail_probability"].to_list() == pytest.approx([0.2, 0.01])
    assert spared["rank"].to_list() == [5, 100]
    assert spared["worst_event"].to_list() == [1, 2]
    assert spared["event_ranks"].to_list() == [[2, 5, 1], [2, 5, 100]]
    assert spared.schema == scores.schema


def test_the_first_event_of_a_session_that_the_log_began_in_is_not_judged_either():
    assert cut.spare(scored([0.01, 0.2, 0.01]), LATE)["tail_probability"].to_list() == pytest.approx([0.2])


def test_an_unseen_key_stays_one_wherever_it_stands():
    spared = cut.spare(scored([0.0, 0.2, 0.01]), LATE)
    assert spared["tail_probability"].to_list() == [0.0]
    assert spared["rank"].to_list() == [999]


def test_a_detector_without_ends_or_without_events_keeps_its_scores():
    masked = summarize(np.array([5]), np.array([0.2]), np.array([-1.0]), np.array([1]), 9, judged_ends=False)
    assert cut.spare(masked, OPEN).equals(masked)
    numbers = pl.DataFrame({"score": [3.0]})
    assert cut.spare(numbers, OPEN).equals(numbers)


def test_an_open_session_is_familiar_if_it_can_grow_into_one_of_training_worked_by_hand():
    sequences = pl.Series([list("ab"), list("abb"), list("abbc"), list("ax"), list("ba")])
    cuts = pl.concat([OPEN] * 5)
    seen = floors.familiarity(TRAINING, sequences, cuts)
    assert seen["count_vector_seen"].to_list() == [True, True, False, False, True]
    assert seen["length_seen"].to_list() == [True] * 5
    assert seen["all_pairs_seen"].to_list() == [True, True, True, False, False]
    whole = floors.familiarity(TRAINING, sequences)
    assert not whole["count_vector_seen"].any()
    assert not whole["all_pairs_seen"].any()


def test_ngrams_do_not_judge_an_open_end_either():
    sequences = pl.Series([list("ab"), list("ab")])
    found = floors.count_ngrams(TRAINING, sequences, pl.concat([OPEN, WHOLE]))["bigram"]
    assert found["rank"].to_list()[0] == 1 < found["rank"].to_list()[1]


@given(st.lists(st.lists(st.sampled_from("abcdx"), min_size=1, max_size=6), min_size=1, max_size=8), st.randoms())
def test_an_open_session_is_never_stranger_than_the_same_one_closed(sequences, random):
    keys = pl.Series(sequences)
    closed = pl.Series([random.random() < 0.5 for _ in sequences])
    cuts = pl.DataFrame({"begun": [True] * len(sequences), "closed": closed})
    seen, whole = floors.familiarity(TRAINING, keys, cuts), floors.familiarity(TRAINING, keys)
    for name in ("count_vector_seen", "length_seen", "all_keys_seen", "all_pairs_seen"):
        assert (seen[name] | ~whole[name]).all()
        assert (seen[name] == whole[name]).filter(closed).all()
    one, other = floors.count_ngrams(TRAINING, keys, cuts)["bigram"], floors.count_ngrams(TRAINING, keys)["bigram"]
    assert (one["rank"] <= other["rank"]).all()
    assert (one["tail_probability"] == other["tail_probability"]).filter(closed).all()
