"""Unigram and bigram by hand: counting must be a fair rival, so its probabilities are exact."""

import numpy as np
import polars as pl
import pytest

from evaluation import ngrams


def series(*sequences: list[str]) -> pl.Series:
    return pl.Series("keys", list(sequences), dtype=pl.List(pl.String))


def test_unigram_by_hand():
    """a b a, a: counts a 3, b 1, end 2; three kinds of six; uniform 1/3: p = (count + 1) / 9."""
    model = ngrams.fit(series(["a", "b", "a"], ["a"]), 1)
    scored = model.score(series(["a"], ["b"], ["b", "new"]))
    assert scored["rank"].to_list() == [2, 3, 4]
    assert scored["tail_probability"].to_list() == pytest.approx([5 / 9, 2 / 9, 0.0])
    assert scored["has_unseen_key"].to_list() == [False, False, True]


def test_bigram_by_hand():
    """After b came a once: one kind, so p(a | b) = (1 + p(a)) / 2 and p(end | b) = p(end) / 2."""
    model = ngrams.fit(series(["a", "b", "a"], ["a"]), 2)
    single = {"a": 4 / 9, "b": 2 / 9, "end": 3 / 9}
    scored = model.score(series(["a", "b"]))
    assert scored["tail_probability"].item() == pytest.approx(single["b"] / 2 + single["end"] / 2)
    assert scored["rank"].item() == 2


def test_an_unseen_key_as_context_falls_back_to_the_unigram():
    training = series(["a", "b", "a"], ["a"])
    bigram, unigram = ngrams.fit(training, 2), ngrams.fit(training, 1)
    assert np.allclose(bigram.tails[-1], unigram.tails[0])
    assert np.array_equal(bigram.ranks[-1], unigram.ranks[0])


def test_ties_count_against_the_model():
    model = ngrams.fit(series(["a"], ["b"]), 1)
    assert model.score(series(["a"], ["b"]))["rank"].to_list() == [3, 3]


def test_sequences_are_scored_alone_and_together_alike():
    chance = np.random.default_rng(0)
    sequences = [list(chance.choice(list("abcd"), size=size)) for size in chance.integers(1, 9, size=50)]
    model = ngrams.fit(series(*sequences[:30]), 2)
    together = model.score(series(*sequences))
    assert together.equals(pl.concat([model.score(series(keys)) for keys in sequences]))
