"""N-grams by hand: counting must be a fair rival, so its probabilities are exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.keys import KeyNumbers
from core.ngrams import NGram

SEQUENCES = st.lists(st.lists(st.sampled_from("abcx"), min_size=1, max_size=6), min_size=1, max_size=6)


def test_a_trigram_by_hand():
    """a b a, a b: after begin a, and after a b, worked out from the unigram up."""
    model = NGram(KeyNumbers("ab"), [("a", "b", "a"), ("a", "b")], np.array([1, 1]), 3)
    begin, a, b = 2, 0, 1
    single = (np.array([3, 2, 2]) + 3 / 3) / (7 + 3)  # a, b, end: seven events of three kinds, uniform 1 / 3
    after_a = (np.array([0, 2, 1]) + 2 * single) / (3 + 2)
    after_begin_a = (np.array([0, 2, 0]) + 1 * after_a) / (2 + 1)
    after_b = (np.array([1, 0, 1]) + 2 * single) / (2 + 2)
    after_a_b = (np.array([1, 0, 1]) + 2 * after_b) / (2 + 2)
    found = model.probabilities(np.array([[begin, a], [a, b], [b, b], [begin, b], [3, 3]]))
    assert found == pytest.approx(np.array([after_begin_a, after_a_b, after_b, after_b, single]))
    assert model.parameters == 3 + 5 + 5  # counts after nothing, after one key or the begin, after two


@given(SEQUENCES)
def test_fewer_keys_of_context_ask_the_ngram_of_that_order(sequences):
    keys, weights = KeyNumbers.of(sequences), np.ones(len(sequences))
    contexts = np.arange(len(keys) + 2)[:, None]
    trigram = NGram(keys, sequences, weights, 3)
    for order in (1, 2):
        lower = NGram(keys, sequences, weights, order)
        asked = contexts[:, : order - 1]
        np.testing.assert_array_equal(trigram.probabilities(asked), lower.probabilities(asked))


def test_a_key_never_seen_as_context_falls_back_to_the_unigram():
    bigram = NGram(KeyNumbers("ab"), [("a", "b", "a"), ("a",)], np.ones(2), 2)
    never_seen = np.array([[3]])
    np.testing.assert_array_equal(bigram.probabilities(never_seen), bigram.probabilities(never_seen[:, :0]))
