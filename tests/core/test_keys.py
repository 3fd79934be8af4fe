"""One numbering of log keys for every method and for the trivial detectors."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadInput
from core.keys import UNSEEN, KeyNumbers, distinct, make_windows, weigh

ROOT = Path(__file__).resolve().parents[2]
KEYS = KeyNumbers(["c", "a", "b", "a"])
SEQUENCES = st.lists(st.lists(st.sampled_from("abcx"), min_size=1, max_size=6), min_size=1, max_size=6)


def test_numbers_are_in_sorted_order_and_a_key_never_seen_is_negative():
    assert len(KEYS) == 3
    assert KEYS.encode(["b", "x", "a", "c"]).tolist() == [1, UNSEEN, 0, 2]


def test_counts_leave_out_keys_that_training_never_saw():
    assert KEYS.counts([["a", "a", "x"], ["c"]]).tolist() == [[2, 0, 0], [0, 0, 1]]


def test_a_training_split_without_keys_is_a_sentence():
    with pytest.raises(BadInput, match="there is nothing to learn"):
        KeyNumbers.of([[], []])


@given(SEQUENCES)
def test_distinct_sequences_and_their_places_give_all_back(sequences):
    different, rows = distinct(sequences)
    assert [list(different[row]) for row in rows] == sequences
    assert len(set(different)) == len(different)


@given(SEQUENCES)
def test_weights_are_the_number_of_copies(sequences):
    different, counts = weigh(sequences)
    assert counts.sum() == len(sequences)
    assert [sequences.count(list(one)) for one in different] == counts.tolist()


def test_a_short_session_is_judged_from_its_first_event_to_its_end_worked_by_hand():
    """Published code skips sessions shorter than the history, or flags every one of them."""
    windows = make_windows(KEYS, [["b", "x"], ["c"]], history=2)
    assert windows.histories.tolist() == [[3, 3], [3, 1], [1, 4], [3, 3], [3, 2]]  # 3 before the begin, 4 never seen
    assert windows.targets.tolist() == [1, UNSEEN, 3, 2, 3]  # 3 the end
    assert windows.ends.tolist() == [3, 5]


def test_a_history_of_no_key_is_one_empty_context():
    windows = make_windows(KEYS, [["b", "x"]], history=0)
    assert windows.histories.shape == (3, 0)
    assert windows.targets.tolist() == [1, UNSEEN, 3]


@given(SEQUENCES)
def test_weights_of_windows_are_the_counts_of_copies(sequences):
    different, counts = weigh(sequences)
    weighted = make_windows(KEYS, different, 2).weighted(counts)
    copies = make_windows(KEYS, sequences, 2).weighted(np.ones(len(sequences)))
    for one, other in zip(weighted, copies, strict=True):
        np.testing.assert_array_equal(one, other)


def test_numbers_windows_and_ngrams_need_no_torch():
    """Evaluation counts with them, and a table must not wait for torch."""
    code = "import sys; import core.ngrams, evaluation.floors; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
