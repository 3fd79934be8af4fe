"""Which old template a new one may be a rewording of: words, places, and nothing mapped in silence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evolution import EVOLUTION_SCHEMA
from core.keys import KeyNumbers
from methods.words import matching
from methods.words.places import Expected, from_expected, missing, neighbors

TRAINING = [["open", "read", "close"]] * 8 + [["open", "write", "close"]] * 2
KNOWN = {"open": "Opening file <*>", "read": "Read <*> bytes", "write": "Wrote <*> bytes", "close": "Closed file <*>"}
EXPECTED = Expected.by_bigram(TRAINING)


def proposed(new: dict[str, str], sequences: list[list[str]], **how) -> dict[str, str | None]:
    """The old key that is proposed for each new one."""
    table = matching.propose(KNOWN, new, sequences, how.pop("expected", EXPECTED), **how)
    assert table.schema == EVOLUTION_SCHEMA and table["key"].to_list() == list(new)
    assert table["answer"].null_count() == len(new)
    return dict(table.select("key", "proposed_key").iter_rows())


def blind(new: list[str], known: list[str]) -> np.ndarray:
    """A similarity that sees nothing."""
    return np.zeros((len(new), len(known)))


# ------------------------------------------------------------------------------------------------------------- words


def test_similarities_worked_by_hand():
    new, known = ["Read block <*>"], ["Read block <*>", "Read file <*>", "stopped"]
    assert matching.jaccard(new, known).tolist() == [[1.0, 0.5, 0.0]]
    cosines = matching.tfidf(new, known)
    assert cosines[0, 0] == pytest.approx(1) and cosines[0, 2] == 0 and 0 < cosines[0, 1] < 1

    def by_length(texts):
        return np.array([[len(text), 1.0] for text in texts])

    assert matching.by_encoder(by_length)(["abc"], ["xyz"]).tolist() == [[pytest.approx(1)]]
    both = matching.largest_of(blind, matching.jaccard)
    assert both(new, known).tolist() == [[1.0, 0.5, 0.0]]


def test_texts_without_a_word_are_like_nothing():
    """A template of signs alone ended in an error of the vectorizer."""
    assert matching.tfidf(["!!"], ["--"]).tolist() == [[0.0]]
    assert matching.jaccard([""], ["--"]).tolist() == [[0.0]]


WORDS = st.lists(st.sampled_from(["block", "file", "read", "<*>", "sizeOf"]), max_size=5).map(" ".join)


@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(WORDS, min_size=1, max_size=4))
def test_every_similarity_lies_between_0_and_1_and_does_not_depend_on_the_side(new, known):
    for similarity in (matching.jaccard, matching.tfidf):
        found = similarity(new, known)
        assert found.shape == (len(new), len(known))
        assert (found >= 0).all() and (found <= 1 + 1e-9).all()
        np.testing.assert_allclose(found, similarity(known, new).T, atol=1e-9)


# ------------------------------------------------------------------------------------------------------------ places


def next_key(table: dict[tuple[int, int], float]):
    """A model of the next key that gives 1e-3 but for these pairs of number before and number next."""

    def log_probabilities(histories: np.ndarray) -> np.ndarray:
        found = np.full((len(histories), 3), np.log(1e-3))
        for row, (before,) in enumerate(histories.tolist()):
            for (first, then), probability in table.items():
                if first == before:
                    found[row, then] = np.log(probability)
        return found

    return log_probabilities


def of_two(table: dict[tuple[int, int], float]) -> Expected:
    """What is expected of keys a and b, numbers 0 and 1, by such a model; 2 is begin and end."""
    return Expected(KeyNumbers("ab"), [["a", "b"]], np.ones(1), 1, next_key(table))


def test_fit_is_the_mean_over_all_occurrences_worked_by_hand():
    expected = of_two({(0, 1): 0.5, (1, 2): 0.25, (0, 0): 0.1})
    fits = neighbors(expected, ["x"], [["a", "x"], ["a", "x"], ["a", "x", "a"]], {})
    low = np.log(1e-3)
    before = [np.log(0.1), np.log(0.5)]
    after = [(2 * low + np.log(0.1)) / 3, (2 * np.log(0.25) + low) / 3]
    np.testing.assert_allclose(fits, [np.add(before, after)])


def test_new_neighbors_are_no_evidence_until_they_are_read_as_something():
    expected = of_two({(0, 1): 0.5})
    alone = neighbors(expected, ["x", "y"], [["y", "x", "y"]], {})
    assert alone[0].tolist() == [0, 0] and alone[1].any()  # y has the begin and the end
    read = neighbors(expected, ["x", "y"], [["y", "x", "y"]], {"y": "a"})
    np.testing.assert_allclose(read[0], np.log([1e-3 * 1e-3, 0.5 * 1e-3]))


def test_a_longer_history_moves_on_by_the_old_key():
    """What came next must be asked after the old key, with the older history before it, not after the new one."""
    asked = []

    def log_probabilities(histories):
        asked.extend(map(tuple, histories.tolist()))
        return np.zeros((len(histories), 4))

    expected = Expected(KeyNumbers("abc"), [["a"]], np.ones(1), 2, log_probabilities)
    neighbors(expected, ["x"], [["a", "b", "x", "c"]], {})
    assert asked == [(0, 1), (1, 0), (1, 1), (1, 2)]


def test_a_missing_key_gains_and_one_too_many_loses():
    expected = Expected.by_bigram([["a", "b"]] * 9)
    gains = missing(expected, ["x"], [["a", "x"]], {})
    often, never = np.log(9.5 / 10.5), np.log(0.5 / 10.5)  # of 0, 1 and more: half a sequence more each
    np.testing.assert_allclose(gains, [[never - often, often - never]])
    again = missing(expected, ["x"], [["a", "x"]], {"x": "b"})
    np.testing.assert_allclose(again, gains)  # what it is read as so far must not fill its own place


def test_lines_are_as_far_from_what_was_expected_above_as_below():
    found = from_expected(np.array([9.0, 0.0, 99.0]), np.array([9.0, 9.0, 9.0]))
    np.testing.assert_allclose(found, [0, np.log(10), np.log(10)])


# --------------------------------------------------------------------------------------------------------- proposals


def test_a_reworded_event_is_found_by_its_place_where_no_word_is_left():
    log = [["open", "x", "close"]] * 8 + [["open", "write", "close"]] * 2
    assert proposed({"x": "fetched data"}, log, similarity=blind) == {"x": "read"}


def test_words_decide_where_two_events_stand_in_the_same_places():
    log = [["open", "x", "close"]] * 5 + [["open", "y", "close"]] * 5
    assert proposed({"x": "Wrote <*> octets", "y": "Read <*> octets"}, log) == {"x": "write", "y": "read"}


def test_two_new_templates_do_not_both_take_the_commoner_old_one():
    """Else one of two that vanished stays vanished, and its rewording becomes the other event."""
    log = [["open", "x", "close"]] * 80 + [["open", "y", "close"]] * 20
    assert proposed({"y": "stored", "x": "fetched"}, log, similarity=blind) == {"y": "write", "x": "read"}


def test_a_rare_event_is_found_again_and_not_taken_for_the_common_one_of_its_place():
    """Where log p(old key | before) alone counted, the common event won against the words of the rare one."""
    training = [["open", "read", "close"]] * 99 + [["open", "write", "close"]]
    log = [["open", "read", "close"]] * 99 + [["open", "x", "close"]]
    expected = Expected.by_bigram(training)
    assert proposed({"x": "Wrote <*> octets"}, log, expected=expected, similarity=matching.jaccard) == {"x": "write"}


def test_what_is_like_nothing_and_stands_beside_nothing_known_gets_no_proposal():
    strange = {"w": "quux", "x": "flurb", "y": "zork"}
    expected = Expected(KeyNumbers(["read"]), [["read"]], np.ones(1), 1, lambda rows: np.zeros((len(rows), 2)))
    assert proposed(strange, [["w", "x", "y"]], expected=expected) == dict.fromkeys("wxy")
    assert proposed({"w": "quux"}, [["w"]], expected=expected, similarity=matching.jaccard) == {"w": None}


def test_only_what_training_knows_and_what_has_words_is_proposed():
    known = {"gone": "Read <*> bytes", "close": "Closed file <*>"}
    table = matching.propose(known, {"x": "Read <*> bytes now"}, [["open", "x", "close"]], EXPECTED)
    assert table["proposed_key"].to_list() == ["close"]
    assert matching.propose({}, {"x": "Read"}, [["x"]], EXPECTED)["proposed_key"].to_list() == [None]
    assert len(matching.propose(KNOWN, {}, [["open"]], EXPECTED)) == 0


def test_a_row_says_what_the_proposal_rests_on():
    log = [["open", "x", "close"]] * 8 + [["open", "write", "close"]] * 2
    row = matching.propose(KNOWN, {"x": "Read <*> octets"}, log, EXPECTED, matching.jaccard).row(0, named=True)
    assert row["proposed_template"] == KNOWN["read"]
    assert row["similarity"] == 0.5 and row["old_vanished"] is True and row["lines"] == 8
    bigram = EXPECTED.log_probabilities(np.array([[EXPECTED.keys.keys.index(key)] for key in ("open", "read")]))
    place = [EXPECTED.keys.keys.index(key) for key in ("read", "close")]
    assert row["context"] == pytest.approx(bigram[0, place[0]] + bigram[1, place[1]])


LOGS = st.lists(st.lists(st.sampled_from(["open", "read", "write", "close", "x", "y"]), max_size=6), max_size=5)


@given(LOGS)
def test_proposals_do_not_depend_on_the_order_of_the_sequences(log):
    new = {"x": "Reading <*> octets", "y": "Shut <*>"}
    assert proposed(new, log) == proposed(new, log[::-1])
    assert set(proposed(new, log).values()) <= {None, *KNOWN}
