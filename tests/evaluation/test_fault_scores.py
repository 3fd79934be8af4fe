"""What words decide: a threshold from known templates alone, what is accepted by it, and in which order alarms come."""

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from core.logs import LogFile
from core.new_keys import FAULTS
from core.raw_lines import RawLines
from evaluation import fault_scores, triage, unseen
from tests.evaluation.test_unseen import DECISION, KNOWN, rest, scores, sequences


def rated(known: list[float], new: dict[str, float]) -> pl.DataFrame:
    """A table of fault scores."""
    rows = [(f"k{number}", "known", True, score, None, None, None) for number, score in enumerate(known)]
    rows += [(key, f"template {key}", False, score, "a", "template a", 0.5) for key, score in new.items()]
    return pl.DataFrame(rows, schema=FAULTS, orient="row")


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=40), st.sampled_from([0.2, 0.5]))
def test_no_more_than_the_stated_share_of_known_templates_lies_above_the_threshold(known, share):
    limit = fault_scores.threshold(rated(known, {}), share)
    told_apart = len(known) == 1 or len(set(known)) > 1
    assert np.mean(np.array(known) > limit) <= share if told_apart else limit == -np.inf


def test_without_known_templates_nothing_is_accepted():
    """Nothing says then which score is high."""
    assert fault_scores.harmless(rated([], {"x": -1.0})) == {}


def test_a_new_key_at_the_threshold_is_accepted_and_one_above_it_is_not():
    table = rated([0.0, 0.0, 0.0, 0.2, 1.0], {"x": 0.2, "y": 0.21})
    assert fault_scores.threshold(table) == 0.2
    assert fault_scores.harmless(table) == {"x": 0}


def test_alarms_by_words_come_with_the_most_fault_like_first_and_before_all_that_only_the_model_finds_odd():
    windows = ["ab", "ay", "ax", "!", "az"]
    found = sequences(windows)
    settled = unseen.settle(found, scores(windows), rest(windows), KNOWN, {"z": 0}, {"x": 0.9, "y": 0.3, "z": -1.0})
    assert settled["fault_score"].to_list() == [None, 0.3, 0.9, None, -1.0]
    order = unseen.order(settled, "tail_probability")
    assert list(np.argsort(-order)[:4]) == [
        2,
        1,
        4,
        3,
    ]  # x, y, z, which is accepted, then what is odd without a new key
    assert unseen.flags({"words": settled}, DECISION)["flagged_tail_probability_words"].to_list() == [
        False, True, True, True, False,
    ]  # fmt: skip


def test_a_sequence_has_the_highest_fault_score_of_its_keys():
    settled = unseen.settle(sequences(["xyz"]), scores(["xyz"]), rest(["xyz"]), KNOWN, {"z": 0}, {"x": 0.1, "y": 0.3})
    assert settled["fault_score"].to_list() == [0.3]


def test_a_key_without_words_is_taken_for_the_worst():
    windows = ["ax", "ay"]
    settled = unseen.settle(sequences(windows), scores(windows), rest(windows), KNOWN, {}, {"x": 9.0})
    assert list(np.argsort(-unseen.order(settled, "top_k"))) == [1, 0]


def test_names_of_handled_rules_are_taken_apart():
    """`ask_words` ends with `words`, too."""
    assert unseen.split_name("top_k_ask_words") == ("top_k", "ask_words")
    assert unseen.split_name("tail_probability_words") == ("tail_probability", "words")
    assert unseen.split_name("unseen_key_ask") == ("unseen_key", "ask")
    assert unseen.split_name("tail_probability_and_counts") == ("tail_probability_and_counts", None)
    assert {unseen.split_name(name)[1] for name in unseen.TITLES} == set(unseen.HANDLINGS)


def test_the_queue_puts_the_most_fault_like_question_first(tmp_path):
    log = tmp_path / "app.log"
    log.write_text("".join(f"raw line {line}\n" for line in range(1, 10)))
    found = sequences(["ax", "ay", "az"])
    keys = unseen.unseen_keys(found, KNOWN)
    queue = triage.triage(found, keys, {}, rated([], {"x": 0.1, "y": 0.7}), RawLines(LogFile(log)))
    assert queue["key"].to_list() == ["y", "x", "z"]
    assert queue["fault_score"].to_list() == [0.7, 0.1, None]
    assert queue["nearest_known"].to_list() == ["template a", "template a", None]
    assert queue["example_line"].to_list() == ["raw line 4", "raw line 2", "raw line 6"]


def test_a_queue_of_an_earlier_version_keeps_its_answers(tmp_path):
    """It lacks the columns of words, and its answers were refused."""
    path = tmp_path / "triage.csv"
    path.write_text("key,template,first_sequence,first_line,count,answer\nx,disk,window 1,2,1,benign\n")
    found = sequences(["ax"])
    fresh = triage.triage(found, unseen.unseen_keys(found, KNOWN), {}, rated([], {"x": 0.1}))
    kept = triage.keep_answers(fresh, triage.read_answers(path))
    assert kept.select("key", "fault_score", "answer").rows() == [("x", 0.1, "benign")]


def test_an_alarm_says_how_its_new_template_reads_and_what_is_nearest():
    said = fault_scores.sentences(rated([0.0] * 5 + [0.1], {"x": 0.314, "y": -0.2}))
    assert said["x"] == "new template, reads like a fault (0.31; nearest known: template a)"
    assert said["y"] == "new template, does not read like a fault (-0.20; nearest known: template a)"


def test_what_becomes_of_the_sequences_of_a_new_template_worked_by_hand():
    found = sequences(["ax", "ax", "xy", "ab"], labels=[0, 1, 1, 0])
    table = fault_scores.fates(
        found, rated([0.0] * 5 + [0.1], {"x": 0.0, "y": 1.0}), np.array([False, False, True, False])
    )
    assert table.select("template", "by words").rows() == [("template x", "accepted"), ("template y", "alarm")]
    counts = ("normal", "normal_still_flagged", "anomalous", "anomalous_still_flagged")
    assert table.select(counts).rows() == [(1, 0, 2, 1), (0, 0, 1, 1)]


def test_a_reader_that_tells_nothing_apart_accepts_nothing():
    """A list of English words finds every Chinese template alike, faults among them."""
    assert fault_scores.harmless(rated([0.1] * 9, {"x": 0.1})) == {}
    assert fault_scores.harmless(rated([0.1] * 9 + [0.2], {"x": 0.1})) == {"x": 0}
