"""LogBERT: every key judged once without seeing itself, padding without effect, and its hypersphere."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.keys import KeyNumbers
from methods.logbert import DIST, END, MASK, PAD, SPECIAL, LogBERT, Network, Settings

SMALL = Settings(width=32, layers=2, heads=2, context=8, max_epochs=12, learning_rate=3e-3)


@pytest.fixture(scope="module")
def untrained() -> LogBERT:
    """Random weights are enough for what does not depend on learning."""
    torch.manual_seed(0)
    detector = LogBERT(settings=SMALL)
    detector.keys = KeyNumbers("abcde")
    detector.network = Network(5, SMALL).eval()
    return detector


def test_tokens_worked_by_hand_a_key_never_seen_is_shown_as_masked(untrained):
    stretches = [untrained.keys.encode("abx"), untrained.keys.encode("c")]
    ids = untrained._ids(stretches, [np.array([True, False, False]), np.array([False])])
    assert ids.tolist() == [[DIST, MASK, 1 + SPECIAL, MASK, END], [DIST, 2 + SPECIAL, END, PAD, PAD]]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text("abcdex", min_size=1, max_size=20), min_size=1, max_size=5))
def test_every_key_is_judged_exactly_once_whatever_the_lengths(untrained, sequences):
    """The released code masks a random share once: a third go unjudged, and each run judges others."""
    scores = untrained.score(sequences)
    for sequence, ranks in zip(sequences, scores["event_ranks"].to_list(), strict=True):
        assert len(ranks) == len(sequence)
        assert min(ranks) >= 1  # 0 is what a key that no pass judged would have
        assert [rank == 6 for rank in ranks] == [key == "x" for key in sequence]


def test_a_masked_key_is_judged_without_seeing_itself(untrained):
    """Else it would copy what it was shown and never be wrong."""
    one, other = (untrained.keys.encode(text) for text in ("abcd", "aecd"))
    masks = [np.array([False, True, False, False])]
    ids = [untrained._ids([numbers], masks) for numbers in (one, other)]
    assert torch.equal(*ids)


def test_longer_neighbors_in_a_batch_change_nothing(untrained):
    alone = untrained.score(["abc"])
    among = untrained.score(["abcdeabc", "abc", "abcdeabcabcde"])[1]
    for column in ("tail_probability", "score"):
        assert alone[column][0] == pytest.approx(among[column][0], abs=1e-5)


def test_a_session_beyond_the_context_is_read_in_stretches_and_not_cut(untrained):
    assert [len(part) for part in untrained._stretches(tuple("abcdeabcdeabcdeab"))] == [8, 8, 1]
    whole = untrained.score(["abcdeabcdea"])
    first, last = untrained.score(["abcdeabc"]), untrained.score(["dea"])
    np.testing.assert_allclose(
        whole["event_log_probabilities"][0].to_numpy(),
        np.concatenate([part["event_log_probabilities"][0].to_numpy() for part in (first, last)]),
        atol=1e-5,
    )
    assert whole["score"][0] == pytest.approx(max(first["score"][0], last["score"][0]), abs=1e-5)


def test_the_score_is_the_distance_from_the_center(untrained):
    passes = [
        untrained._ids([untrained.keys.encode("abc")], masks)
        for masks in ([np.array([1, 0, 1], bool)], [np.array([0, 1, 0], bool)])
    ]
    with torch.no_grad():
        away = [(untrained.network(ids)[0, 0] - untrained.network.center).square().sum().sqrt() for ids in passes]
    assert untrained.score(["abc"])["score"][0] == pytest.approx(float(sum(away)) / 2, abs=1e-5)


def test_the_center_is_the_mean_over_all_copies(untrained):
    copies, distinct = [tuple("abc")] * 3 + [tuple("de")], [tuple("abc"), tuple("de")]
    untrained._move_center(*untrained._weighted(copies))
    untrained.network.eval()
    outcomes = untrained._dist_outputs([untrained.keys.encode(one) for one in distinct]).detach()
    expected = (3 * outcomes[0] + outcomes[1]) / 4
    torch.testing.assert_close(untrained.network.center, expected, atol=1e-5, rtol=1e-4)


def test_at_least_one_key_is_masked_and_about_the_published_share(untrained):
    torch.manual_seed(0)
    masks = untrained._masks([np.zeros(20, int)] * 400)
    assert np.mean([mask.mean() for mask in masks]) == pytest.approx(SMALL.mask_share, abs=0.02)
    assert all(mask.any() for mask in untrained._masks([np.zeros(1, int)] * 50))


def test_it_learns_which_key_belongs_where(tmp_path):
    normal = [list("abcde"), list("abce")] * 20
    detector = LogBERT(settings=SMALL)
    detector.fit(normal, normal[:4], tmp_path)
    scores = detector.score(["abcde", "abbde", "abcd"])
    tails = scores["tail_probability"].to_list()
    assert tails[0] > 0.1 > max(tails[1:])
    assert scores["worst_event"].to_list()[1:] == [2, 3], "the end token shows that a session broke off after d"
