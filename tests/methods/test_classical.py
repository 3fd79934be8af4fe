"""The classical detectors by hand: what each finds in a corpus small enough to work out on paper."""

from collections import Counter
from math import log
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.svm import OneClassSVM

from core.errors import BadInput
from core.keys import KeyNumbers
from core.ngrams import NGram
from evaluation import floors
from methods import classical
from methods.classical import CLASSICAL, Classical, _coefficients, invariants, log_cluster, one_class_svm, pca
from methods.parts.judging import judge_ngrams

NOWHERE = Path("unused")
SEQUENCES = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=6), min_size=1, max_size=12)


def fitted(model: str, sequences: list, seed: int = 0) -> Classical:
    detector = Classical(model, seed)
    detector.fit(sequences, [], NOWHERE)
    return detector


def scores(detector: Classical, *sequences: list) -> list[float]:
    return detector.score(list(sequences))["score"].to_list()


def sessions(seed: int = 0, size: int = 200) -> list[list[str]]:
    """Each key that opens closes, in any order; `read` as often as chance says; one `start`."""
    chance = np.random.default_rng(seed)
    opened = chance.integers(0, 4, size)
    reads = chance.integers(0, 3, size)
    return [["start"] + ["open"] * o + ["read"] * r + ["close"] * o for o, r in zip(opened, reads, strict=True)]


def test_an_unknown_name_is_refused_with_the_names_there_are():
    with pytest.raises(BadInput, match="pca, isolation_forest"):
        Classical("deep_pca")


def test_pca_flags_what_leaves_the_subspace_and_not_what_is_only_far_along_it():
    """open = close makes one direction of the counts; a session with more of both is farther, yet on it."""
    train = [["open"] * n + ["close"] * n for n in range(1, 6)] * 4
    inside, outside = scores(fitted("pca", train), ["open"] * 9 + ["close"] * 9, ["open"] * 4 + ["close"] * 2)
    assert inside == pytest.approx(0, abs=1e-9)
    # both keys are in all sessions, so both weigh 1: (4, 2) is 1, -1 off the diagonal, squared and summed 2
    assert outside == pytest.approx(2.0)


def test_pca_misses_a_key_of_every_session():
    """With loglizer's IDF, log(n / n) = 0, nobody would miss it."""
    normal, lost = scores(fitted("pca", sessions()), sessions()[0], sessions()[0][1:])
    assert lost == pytest.approx(normal + 1.0)


def test_pca_of_weights_is_scikit_learns_of_copies():
    chance = np.random.default_rng(0)
    vectors, weights = chance.integers(0, 5, (12, 6)).astype(float), chance.integers(1, 9, 12)
    copies = np.repeat(vectors, weights, axis=0)
    rarity = np.log((1 + len(copies)) / (1 + (copies > 0).sum(0))) + 1
    theirs = PCA(0.95, svd_solver="full").fit(copies * rarity)
    shown = chance.integers(0, 5, (20, 6)).astype(float)
    left = shown * rarity - theirs.inverse_transform(theirs.transform(shown * rarity))
    assert pca(vectors, weights, variance=0.95).score(shown) == pytest.approx(np.square(left).sum(1))


def test_pca_of_sessions_that_are_all_alike_leaves_no_direction_out():
    """The covariance is zero but for rounding: an arbitrary axis as a component would hide what lies along it."""
    alike, *others = scores(fitted("pca", [["a", "b", "b"]] * 7), ["a", "b", "b"], ["a"], ["b"], ["a", "b"])
    assert alike == pytest.approx(0)
    assert others == pytest.approx([4, 2, 1])


def test_one_class_svm_weights_do_what_copies_do():
    """scikit-learn's default width would be that of the distinct rows, whatever their weights."""
    chance = np.random.default_rng(0)
    vectors, weights = chance.integers(0, 5, (30, 4)).astype(float), chance.integers(1, 40, 30)
    copies = np.repeat(vectors, weights, axis=0)
    scaled = (copies - copies.mean(0)) / copies.std(0)
    theirs = OneClassSVM(gamma="scale", nu=0.1, tol=1e-6).fit(scaled)
    shown = chance.integers(0, 8, (50, 4)).astype(float)
    ours = one_class_svm(vectors, weights, outside=0.1).score(shown)
    expected = -theirs.decision_function((shown - copies.mean(0)) / copies.std(0))
    assert ours == pytest.approx(expected, abs=1e-3 * np.ptp(expected))


def test_one_class_svm_gives_a_score_that_rises_outwards():
    """Taken for labels, +1 and -1 turn inliers into alarms, as in published tables."""
    detector = fitted("one_class_svm", sessions())
    inside, near, far = scores(detector, sessions()[0], sessions()[0] + ["open"], sessions()[0] + ["open"] * 5)
    assert inside < near < far
    assert inside < 1e-4 < far


def test_isolation_forest_isolates_the_rare_sooner_and_a_key_never_seen_at_once():
    train = sessions()
    usual, rare, unseen = scores(fitted("isolation_forest", train), train[0], ["open"] * 9, [*train[0], "new"])
    assert usual < rare < unseen == 1


def test_isolation_forest_sees_copies_and_the_seed():
    """Its trees draw rows without replacement: with weights instead of rows, a common vector would be drawn once."""
    train = [["a"]] * 99 + [["a", "b"]]
    common, rare = scores(fitted("isolation_forest", train), ["a"], ["a", "b"])
    assert rare > 0.8 > 0.5 > common
    assert scores(fitted("isolation_forest", sessions(), 1), ["open"]) != scores(
        fitted("isolation_forest", sessions(), 2), ["open"]
    )


def test_log_cluster_by_hand():
    """Two clusters, of a alone and of b alone; a session of one a and one b has the cosine distance of 45 degrees."""
    train = [["a"], ["a", "a"], ["b"], ["b", "b", "b"]]
    a, mixed = scores(fitted("log_cluster", train), ["a"] * 5, ["a", "b"])
    assert a == pytest.approx(0, abs=1e-12)
    assert mixed == pytest.approx(1 - np.sqrt(0.5))


def test_log_cluster_means_are_of_copies():
    """(1, 0) three times and (1, 1) once, in one cluster at any distance below 1: mean (4, 1) / 4, with equal IDF."""
    vectors = np.array([[1.0, 0], [1, 1]])
    rarity = np.log(5 / np.array([5, 2])) + 1
    mean, shown = np.array([4, 1]) * rarity, np.array([1, 0]) * rarity
    expected = 1 - mean @ shown / np.linalg.norm(mean) / np.linalg.norm(shown)
    learned = log_cluster(vectors, np.array([3, 1]), max_distance=0.9, most_clustered=10)
    assert learned.score(vectors[:1]) == pytest.approx(expected)


def test_log_cluster_keeps_rare_vectors_beside_the_clusters_when_there_are_too_many():
    """A log of a hundred thousand distinct windows must not ask for their square in memory, nor forget the rest."""
    vectors = np.eye(5)
    learned = log_cluster(vectors, np.array([5, 4, 3, 2, 1]), max_distance=0.3, most_clustered=2)
    assert learned.score(vectors) == pytest.approx(0, abs=1e-12)
    assert learned.parameters == 5 * 5 + 5


def test_invariants_find_open_equals_close_and_count_what_breaks_them():
    """open = close and start = 1 hold in all 200 sessions, read obeys nothing: each break weighs log(202 / 1)."""
    train = sessions()
    with_either = sum(len(session) > 1 and "open" in session for session in train)
    detector = fitted("invariants", train)
    normal, leak, twice, both, unseen = scores(
        detector,
        train[0],
        ["start", "open", "read"],
        ["start", "start", "open", "close"],
        ["start", "start", "open"],
        ["start", "new"],
    )
    assert normal == 0
    assert leak == pytest.approx(log(with_either + 2))
    assert twice == pytest.approx(log(202))
    assert both == pytest.approx(leak + twice)
    assert unseen == pytest.approx(log(202))
    assert detector.parameters == 4 + 2 + 1  # four coefficients, two surprises, and that of keys never seen


def test_an_invariant_of_three_keys_is_found():
    """Requests end done or failed: request = done + failed, and 2 write = 3 done."""
    chance = np.random.default_rng(0)
    done, failed = 2 * chance.integers(1, 4, 60), chance.integers(0, 5, 60)
    vectors = np.column_stack([done + failed, done, failed, done * 3 // 2, np.zeros(60)]).astype(float)
    learned = invariants(vectors, np.ones(60, dtype=int), support=0.98, largest=3, most_keys=40)
    shown = np.array([[5, 2, 3, 3, 0], [5, 2, 2, 3, 0], [5, 2, 3, 4, 0], [5, 2, 2, 4, 0.0]])
    assert learned.score(shown) == pytest.approx([0, log(62), log(62), 2 * log(62)])


def test_an_invariant_may_be_broken_by_two_percent_of_the_normals_and_weighs_less_then():
    train = [["open", "close"] * n for n in (1, 2)] * 49
    rare, often = [["open", "open", "close"]] * 2, [["open", "open", "close"]] * 3
    assert scores(fitted("invariants", train + rare), ["open"]) == pytest.approx([log(102 / 3)])
    assert scores(fitted("invariants", train + often), ["open"]) == [0]


def test_two_rare_keys_are_no_invariant():
    """Both are 0 in 97% of the sessions and so equal in nearly all: support counts where one of them occurs."""
    train = [["start"]] * 94 + [["start", "disk"]] * 3 + [["start", "fan", "fan"]] * 3
    assert scores(fitted("invariants", train), ["start", "disk"], ["start", "fan"]) == [0, 0]


def test_coefficients_have_both_signs_and_no_common_divisor():
    assert _coefficients(2, 2) == [(1, -1), (1, -2), (2, -1)]


def test_nearest_counts_by_hand():
    """L1 by the larger counts summed: {a 3, b 1} to {a 2, b 2} is (1 + 1) / (3 + 2); a new key is one more event."""
    detector = fitted("nearest_counts", [["a", "a", "b", "b"], ["c"] * 10])
    known, off, unseen, nothing = scores(
        detector, ["b", "a", "b", "a"], ["a", "a", "a", "b"], ["a", "a", "b", "b", "new"], ["new"]
    )
    assert [known, off, unseen, nothing] == pytest.approx([0, 2 / 5, 1 / 5, 1])


@given(SEQUENCES, st.lists(st.sampled_from("abcdx"), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_nearest_counts_is_ecvcs_distance_key_by_key(train, shown):
    def distance(one: Counter, other: Counter) -> float:
        keys = one | other
        return sum(abs(one[key] - other[key]) for key in keys) / sum(keys.values())

    nearest = min(distance(Counter(shown), Counter(sequence)) for sequence in train)
    assert scores(fitted("nearest_counts", train), shown) == pytest.approx([nearest])


def test_ngram_judges_every_event_and_the_end():
    scored = fitted("ngram", [["a", "b", "a"], ["a", "b"]]).score([["a", "b"], ["a", "new"]])
    after_begin_a = (np.array([0, 2, 0]) + (np.array([0, 2, 1]) + 2 * np.array([0.4, 0.3, 0.3])) / 5) / 3
    assert scored["event_log_probabilities"][0][1] == pytest.approx(log(after_begin_a[1]), rel=1e-6)
    assert scored["length"].to_list() == [2, 2]
    assert scored["event_ranks"].list.len().to_list() == [3, 3]
    assert scored["rank"].to_list() == [2, 4]  # the end ties with a; a key never seen is V + 2
    assert scored["tail_probability"][1] == 0
    assert scored["has_unseen_key"].to_list() == [False, True]


@given(SEQUENCES, st.lists(st.lists(st.sampled_from("abcdx"), min_size=1, max_size=6), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_ngram_of_order_two_is_the_bigram_of_the_trivial_rows(train, shown):
    """The same counts; one judges in torch, the other in numpy."""
    trivial = floors.count_ngrams(pl.Series(train), pl.Series(shown))["bigram"]
    ours = judge_ngrams(NGram(KeyNumbers.of(train), train, np.ones(len(train)), 2), shown)
    assert ours["tail_probability"].to_list() == pytest.approx(trivial["tail_probability"].to_list(), abs=1e-6)
    assert ours["has_unseen_key"].to_list() == trivial["has_unseen_key"].to_list()


def test_ngram_reads_weights_as_copies():
    train = [("a", "b"), ("a", "c", "b"), ("b",)]
    weights = np.array([3, 1, 2])
    copies = [sequence for sequence, weight in zip(train, weights, strict=True) for _ in range(weight)]
    shown = [["a", "b"], ["c"], ["b", "b", "x"]]
    one, other = (
        judge_ngrams(NGram(KeyNumbers("abc"), *given, 3), shown) for given in ((train, weights), (copies, np.ones(6)))
    )
    assert one.equals(other)


@pytest.mark.parametrize("model", CLASSICAL)
def test_the_order_of_the_training_sessions_does_not_show(model):
    """Forest and linkage follow the order of their rows: the distinct vectors must stand in an order of their own."""
    train, shown = sessions(size=60), sessions(1, 30)
    forward, backward = (fitted(model, order).score(shown) for order in (train, train[::-1]))
    column = "tail_probability" if model == "ngram" else "score"
    assert forward[column].to_list() == pytest.approx(backward[column].to_list())


@pytest.mark.parametrize("model", CLASSICAL)
def test_keys_never_seen_are_finite_and_never_less_abnormal(model):
    detector, normal = fitted(model, sessions()), sessions()[0]
    scored = detector.score([normal, [*normal, "new"], ["new"], ["new", "newer"] * 50])
    worst = 1 - scored["tail_probability"] if model == "ngram" else scored["score"]
    assert np.isfinite(worst.to_numpy()).all()
    assert worst[1] > worst[0]


@pytest.mark.parametrize("model", CLASSICAL)
@pytest.mark.parametrize("train", [[["a"]], [["a", "b"]] * 3, [["a"], ["b"]]])
def test_the_smallest_training_splits_are_learned(model, train):
    detector = fitted(model, train)
    scored = detector.score([*train, ["b", "a", "a"]])
    assert scored.height == len(train) + 1
    assert detector.parameters > 0
    if model != "ngram":
        assert np.isfinite(scored["score"].to_numpy()).all()


@pytest.mark.parametrize("model", CLASSICAL)
def test_a_saved_detector_keeps_its_own_settings_and_copies(model, tmp_path, monkeypatch):
    """It is fitted again on load: a later default, or weights left out, would change its scores without a word."""
    train, shown = [*sessions(), *[["start", "open"]] * 50], sessions(1, 40)
    detector = fitted(model, train, seed=3)
    detector.save(tmp_path / "model")
    other = {name: value / 2 if isinstance(value, float) else value + 1 for name, value in detector.describe().items()}
    monkeypatch.setitem(classical.MODELS, model, (classical.MODELS[model][0], other))
    loaded = Classical.load(tmp_path / "model")
    assert loaded.describe() == detector.describe()
    assert loaded.score(shown).equals(detector.score(shown))
    assert loaded.parameters == detector.parameters
