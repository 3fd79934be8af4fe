"""LogAnomaly: count vectors, template vectors without leakage, and new templates taken for known ones."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadInput
from core.keys import KeyNumbers, make_windows
from methods.loganomaly import LogAnomaly, Settings, count_vectors
from methods.parts.semantics import WordVectors, cosines, encode, hash_direction, split_words

TEMPLATES = {
    "open": "Opening session <*> for user <*> on port <*>",
    "read": "Read <*> bytes from block <*>",
    "write": "Wrote <*> bytes to disk <*>",
    "close": "Closing session <*> after <*> ms",
}
LATER = {
    "close2": "Closing session <*> after <*> seconds",  # one other word
    "open2": "Opening session <*> for user <*> on port <*> <*>",  # one more placeholder
    "panic": "Kernel panic: unable to mount root filesystem",
    "textless": None,
}
TRAIN = [["open", *["read"] * (number % 3), "write", "close"] for number in range(60)]
SMALL = Settings(history=4, width=8, max_epochs=4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> LogAnomaly:
    return fit(tmp_path_factory.mktemp("checkpoints"), templates=TEMPLATES | LATER)


def fit(checkpoints, sequences=TRAIN, settings=SMALL, **options) -> LogAnomaly:
    detector = LogAnomaly(settings=settings, **options)
    detector.fit(sequences, sequences[:9], checkpoints)
    return detector


def assert_same(scores: pl.DataFrame, others: pl.DataFrame) -> None:
    for one, other in zip(scores, others, strict=True):
        exploded = (column.explode() if column.dtype == pl.List else column for column in (one, other))
        np.testing.assert_allclose(*(column.cast(pl.Float64).to_numpy() for column in exploded), atol=1e-5)


def stand_in(texts: list[str]) -> np.ndarray:
    """A sentence encoder that knows what the words hash does not: that a panic is a kind of closing."""
    meanings = ["opening", "read", "wrote", "clos|panic"]
    return np.array([[any(part in text.lower() for part in one.split("|")) for one in meanings] for text in texts], int)


# ------------------------------------------------------------------------------------------------------------- counts


def test_count_vectors_of_a_window_worked_by_hand():
    """Published code gives the LSTM the sums of the whole window, not what had come up to each step."""
    histories = torch.tensor([[3, 0, 4, 0], [2, 2, 1, 2]])  # three keys, 3 before the begin, 4 never seen
    assert count_vectors(histories, 3).tolist() == [
        [[0, 0, 0], [1, 0, 0], [1, 0, 0], [2, 0, 0]],
        [[0, 0, 1], [0, 0, 2], [0, 1, 2], [0, 1, 3]],
    ]


@given(st.lists(st.lists(st.sampled_from("abcx"), min_size=1, max_size=6), min_size=1, max_size=4))
def test_the_last_count_vector_holds_the_counts_of_the_whole_window(sequences):
    keys = KeyNumbers("abc")
    windows = make_windows(keys, sequences, history=6)
    before = [sequence[:end] for sequence in sequences for end in range(len(sequence) + 1)]
    last = count_vectors(torch.from_numpy(windows.histories), 3)[:, -1]
    np.testing.assert_array_equal(last.numpy(), keys.counts(before))


def test_where_all_templates_mean_the_same_the_counts_tell_what_comes_next(tmp_path):
    """An LSTM whose input is not wired in, or not trained, would go unnoticed where the other one suffices."""
    generator = np.random.default_rng(0)
    orders = [generator.permutation(list("aaab" if number % 2 else "abbb")).tolist() for number in range(40)]
    sequences = [[*order, "more_a" if order.count("a") > 2 else "more_b"] for order in orders]
    templates = {key: key for key in ("a", "b", "more_a", "more_b")}
    settings = Settings(history=5, width=16, learning_rate=2e-2, max_epochs=25)
    blind = {"templates": templates, "encoder": lambda texts: np.ones((len(texts), 4))}
    detector = fit(tmp_path, sequences, settings, **blind)

    def ranks_of_the_last_key() -> set[int]:
        return {ranks[4] for ranks in detector.score(sequences)["event_ranks"]}

    assert ranks_of_the_last_key() == {1}
    for weights in detector.network.quantitative.parameters():
        torch.nn.init.zeros_(weights)
    assert ranks_of_the_last_key() != {1}


def test_what_the_keys_mean_is_read_too(trained):
    histories = torch.tensor([[0, 1, 2, 3]])
    before = trained.network(histories)
    vectors = trained.network.vectors.weight
    kept = vectors.clone()
    vectors[:4] = kept[:4].flip(0)
    after = trained.network(histories)
    vectors[:] = kept
    assert not torch.allclose(before, after)


# ------------------------------------------------------------------------------------------------------------ vectors


def test_words_of_a_template_worked_by_hand():
    text = "BLOCK* NameSystem.addStoredBlock: <*> is added to blk_<*> in 20 µs"
    words = "block name system add stored block <*> is added to blk <*> in 20 µs"
    assert split_words(text) == words.split()


def test_a_word_points_the_same_way_on_every_machine():
    """Python's own hash of a string changes with every start of the interpreter."""
    assert hash_direction("block", 10).tolist() == [1, -1, 1, 1, -1, -1, 1, 1, 1, -1]
    assert abs(hash_direction("block", 1000) @ hash_direction("blocks", 1000)) < 150


def test_a_rare_word_says_more_than_a_frequent_one_and_a_word_never_seen_is_not_left_out():
    encoder = WordVectors(["block moved", "block lost", "block found", "disk moved"], 400)
    block_lost, block, lost, block_lost_again = encode(encoder, ["block lost", "block", "lost", "block lost again"])
    assert cosines(block_lost[None], lost[None]) > cosines(block_lost[None], block[None]) + 0.1
    assert cosines(block_lost[None], block_lost_again[None]) < 0.9


def test_inflections_are_near_and_texts_without_words_are_like_nothing():
    receiving, received, served, nothing = encode(WordVectors([], 400), ["receiving", "received", "served", "--"])
    near, far = cosines(receiving[None], np.array([received, served]))[0]
    assert near > 0.4 > 0.3 > far
    assert cosines(nothing[None], np.array([received, nothing])).tolist() == [[0, 0]]


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_a_text_has_the_same_vector_alone_and_among_others(texts):
    encoder = WordVectors(["some words", *texts[:2]], 16)
    together = encode(encoder, texts)
    np.testing.assert_allclose(together, np.concatenate([encode(encoder, [text]) for text in texts]))
    lengths = np.linalg.norm(together, axis=1)
    assert all(length == pytest.approx(4, abs=1e-4) or length == 0 for length in lengths)


def test_templates_of_keys_outside_the_training_split_change_nothing(trained, tmp_path):
    """IDF over all templates would leak what only the test split holds."""
    alone = fit(tmp_path, templates=TEMPLATES)
    assert torch.equal(alone.network.vectors.weight, trained.network.vectors.weight)
    assert_same(alone.score(TRAIN), trained.score(TRAIN))


def test_a_known_key_without_a_text_has_a_vector_of_its_own(tmp_path):
    detector = fit(tmp_path, templates=TEMPLATES | {"read": None, "write": None})
    vectors = detector.network.vectors.weight[:4].numpy()
    assert (cosines(vectors, vectors) - np.eye(4) < 0.9).all()
    assert (np.linalg.norm(vectors, axis=1) > 1).all()


# ------------------------------------------------------------------------------------------------------ new templates


def test_a_new_template_with_one_other_word_is_scored_as_its_nearest(trained):
    """To an unmatched detector every change of wording is an alarm."""
    new = [["open2", "read", "write", "close2"], ["open", "close2", "write"]]
    assert trained.matches(LATER) == {"close2": "close", "open2": "open"}
    assert_same(trained.score(new), trained.score([["open", "read", "write", "close"], ["open", "close", "write"]]))
    assert not trained.score(new)["has_unseen_key"].any()


@pytest.mark.parametrize("key", ["panic", "textless", "never heard of"])
def test_a_new_key_that_is_like_none_stays_unseen(trained, key):
    scores = trained.score([["open", key, "close"]])
    assert scores["has_unseen_key"].to_list() == [True]
    assert scores["event_tail_probabilities"][0][1] == 0


def test_the_similarity_asked_for_is_a_setting(trained, tmp_path):
    strict = fit(tmp_path, settings=Settings(history=4, width=8, max_epochs=1, similarity=0.99), templates=TEMPLATES)
    strict.templates |= {"close2": LATER["close2"], "same": TEMPLATES["close"] + "!"}
    assert strict.matches(["close2", "same"]) == {"same": "close"}


def test_a_known_key_is_never_taken_for_another_one_of_the_same_words(tmp_path):
    detector = fit(tmp_path, templates=TEMPLATES | {"read": TEMPLATES["write"]})
    assert detector.matches(TEMPLATES) == {}


def test_without_templates_each_key_learns_a_vector_and_nothing_is_matched(tmp_path):
    detector = fit(tmp_path / "learned", templates=dict.fromkeys(TEMPLATES), encoder=stand_in)
    again = fit(tmp_path / "again")
    assert detector.describe()["vectors"] == "learned"
    assert torch.equal(detector.network.vectors.weight, again.network.vectors.weight)
    assert (detector.network.vectors.weight[-1] == 0).all()  # a key never seen
    assert detector.parameters == sum(weights.numel() for weights in detector.network.parameters())
    detector.templates |= LATER
    assert detector.score([["open", "write", "close2"]])["has_unseen_key"].to_list() == [True]


def test_vectors_of_templates_are_not_counted_as_learned(trained):
    frozen = trained.network.vectors.weight.numel()
    assert trained.parameters == sum(weights.numel() for weights in trained.network.parameters()) - frozen


def test_a_checkpoint_with_other_vectors_is_refused(tmp_path):
    fit(tmp_path, templates=TEMPLATES)
    with pytest.raises(BadInput, match="remove"):
        fit(tmp_path)


# ------------------------------------------------------------------------------------------------------------ loading


def test_a_loaded_detector_matches_the_same_new_templates(trained, tmp_path):
    """Templates of keys outside training must be saved, too, or each becomes an alarm after loading."""
    new = [["open2", "read", "write", "close2"], ["open", "panic"]]
    trained.save(tmp_path / "model")
    loaded = LogAnomaly.load(tmp_path / "model")
    assert loaded.matches(LATER) == trained.matches(LATER) != {}
    assert loaded.describe() == trained.describe()
    assert_same(loaded.score(new), trained.score(new))


def test_a_sentence_encoder_decides_what_is_alike_also_after_loading(tmp_path):
    detector = fit(tmp_path / "checkpoints", templates=TEMPLATES | LATER, encoder=stand_in)
    assert detector.describe()["vectors"] == "encoder"
    assert detector.network.vectors.weight.shape == (6, 4)
    assert detector.matches(LATER) == {"close2": "close", "open2": "open", "panic": "close"}
    detector.save(tmp_path / "model")
    loaded = LogAnomaly.load(tmp_path / "model", TRAIN, encoder=stand_in)
    assert_same(loaded.score([["open", "panic"], ["read"]]), detector.score([["open", "close"], ["read"]]))


def test_loading_without_the_encoder_of_the_training_is_refused(tmp_path):
    """The words of a new template would be compared with vectors that another encoder made."""
    fit(tmp_path / "checkpoints", templates=TEMPLATES, encoder=stand_in).save(tmp_path / "model")
    with pytest.raises(BadInput, match="encoder="):
        LogAnomaly.load(tmp_path / "model")
    for other in (lambda texts: stand_in(texts)[:, ::-1], lambda texts: np.ones((len(texts), 7))):
        with pytest.raises(BadInput, match="another"):
            LogAnomaly.load(tmp_path / "model", encoder=other)


def test_keys_without_templates_need_no_encoder_to_be_loaded(tmp_path):
    fit(tmp_path / "checkpoints", encoder=stand_in).save(tmp_path / "model")
    assert LogAnomaly.load(tmp_path / "model").describe()["vectors"] == "learned"


@pytest.mark.parametrize("wrong", [np.ones(4), np.ones((3, 2)), np.full((4, 2), np.nan)])
def test_an_encoder_that_gives_no_row_for_each_text_is_one_sentence(tmp_path, wrong):
    with pytest.raises(BadInput, match="one row of finite numbers for each of 4 texts"):
        fit(tmp_path, templates=TEMPLATES, encoder=lambda texts: wrong)
