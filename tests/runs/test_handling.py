"""UNSEEN: what becomes of keys that training never saw, from the stored scores of a run."""

import json

import polars as pl
import pytest

from core.data import open_data
from core.errors import BadInput
from core.evolution import EVOLUTION_SCHEMA, write_evolution
from core.new_keys import FAULTS
from evaluation import triage, unseen
from methods.words.reader import TemplateReader
from runs import many, steps, task
from runs.folder import Run
from runs.handling import answered, texts_of
from tests.runs.test_runs import fake_score, trained


def score_known(sequences: list[list[str]]) -> pl.DataFrame:
    """The scores of `fake_score` with unseen keys where they are, as every model of next keys has them."""
    known = open_data("sample").known_keys
    unknown = [any(key not in known for key in keys) for keys in sequences]
    tails = [[0.0 if key not in known else 1.0 for key in keys] + [1.0] for keys in sequences]  # the end comes last
    return fake_score(sequences).with_columns(
        has_unseen_key=pl.Series(unknown),
        tail_probability=pl.Series([min(row) for row in tails]),
        worst_event=pl.Series([row.index(min(row)) for row in tails]),
        event_tail_probabilities=pl.Series(tails),
    )


class FixedReader:
    """Rates the first of the new templates as harmless and the others as faults; counts how often it was asked."""

    def __init__(self, name: str = "fixed") -> None:
        self.identity, self.asked = {"encoder": name}, 0

    def __call__(self, known: dict[str, str], new: dict[str, str]) -> pl.DataFrame:
        self.asked += 1
        rows = [(key, text, True, -float(row == 0), None, None, None) for row, (key, text) in enumerate(known.items())]
        rows += [(key, text, False, float(row), None, None, None) for row, (key, text) in enumerate(new.items())]
        return pl.DataFrame(rows, schema=FAULTS, orient="row")


@pytest.fixture
def run(workspace) -> Run:
    """A trained run with test scores."""
    return trained()


def handled(run: Run, way: str, reader: FixedReader | TemplateReader | None = None) -> steps.Handled:
    """What became of the unseen keys of the test."""
    return steps.handle(run, steps.score(run, "test", score_known), way, score_known, reader or FixedReader())


def test_alarm_handles_nothing_and_reads_nothing(run):
    reader = FixedReader()
    assert handled(run, "alarm", reader).scores == {} and reader.asked == 0
    assert not (run.folder / "fault_scores.parquet").exists()


def test_words_accept_the_harmless_key_wherever_it_stands_and_no_other(run):
    found = handled(run, "words")
    settled, test = found.scores["words"], run.data.split("test")
    _, new = texts_of(run.data)
    harmless = next(iter(new))
    refused = set(new) - {harmless}
    expected = [bool(refused & set(keys)) for keys in test["keys"]]
    assert settled["has_unseen_key"].to_list() == expected and any(expected)
    assert any(harmless in keys for keys in test["keys"])
    assert found.about == {"unseen": "words", "encoder": "fixed", "answered": answered(run, "words")}


def test_labels_change_nothing_of_what_words_accept(run):
    """With every label of the test turned round, the same keys are refused and the same sequences rated."""
    first = handled(run, "words").scores["words"]
    turned = pl.when(pl.col("split") == "test").then(1 - pl.col("label")).otherwise("label")
    run.data.__dict__["sequences"] = run.data.sequences.with_columns(label=turned)
    second = handled(run, "words").scores["words"]
    assert second.select("has_unseen_key", "fault_score").equals(first.select("has_unseen_key", "fault_score"))


def test_words_are_read_once_and_again_for_another_reader(run):
    """An encoder of another name, or another version of its files, gives other scores."""
    first, other = FixedReader(), FixedReader("other")
    handled(run, "words", first)
    handled(run, "words", first)
    assert first.asked == 1
    handled(run, "words", other)
    assert other.asked == 1


def test_ask_words_asks_about_fewer_keys_than_ask_and_the_most_fault_like_first(run):
    asked, by_words = handled(run, "ask"), handled(run, "ask-words")
    assert 0 < by_words.about["questions"] == asked.about["questions"] - 1
    assert by_words.about["answers"] == asked.about["answers"] == "labels"
    queue = triage.read_answers(run.folder / "triage.csv")
    assert queue["fault_score"].is_sorted(descending=True) and len(queue) == by_words.about["questions"]
    assert queue["example_line"].null_count() == 0  # the simulated log lies in the data folder


def test_answers_of_the_queue_are_kept_by_either_way_of_asking(run):
    handled(run, "ask-words")
    path = run.folder / "triage.csv"
    pl.read_csv(path, infer_schema=False).with_columns(answer=pl.lit("benign")).write_csv(path)
    assert not handled(run, "ask-words").scores["ask_words"]["has_unseen_key"].any()
    kept = handled(run, "ask")
    assert triage.read_answers(path)["answer"].null_count() == 1  # the one that words had accepted
    assert kept.scores["ask"]["has_unseen_key"].any()


def test_templates_of_validation_normals_are_known_to_words(run):
    """They are normal by the same right as those of training, and count neither as questions nor as alarms."""
    known, new = texts_of(run.data)
    assert set(run.data.split("validation")["keys"].explode()) <= set(known)
    assert not set(known) & set(new)


@pytest.mark.parametrize("way", ["words", "ask-words"])
def test_data_without_words_say_so_in_one_sentence(run, way):
    run.data.__dict__["templates"] = dict.fromkeys(run.data.templates)
    with pytest.raises(BadInput, match="data/sample has no words for its keys"):
        handled(run, way, TemplateReader())


def test_another_word_than_the_known_ways_is_refused(run):
    with pytest.raises(BadInput, match=r"UNSEEN = 'word' .* alarm, ask, words, ask-words, evolved"):
        handled(run, "word")


def evolution(run: Run, answer: str) -> tuple[str, str]:
    """Write evolution.csv with one answer; return the new key and the old one."""
    _, new = texts_of(run.data)
    key, old = next(iter(new)), sorted(run.data.known_keys)[0]
    row = (key, new[key], old, run.data.templates[old], 0.5, None, False, 1, answer)
    write_evolution(run.data.folder, pl.DataFrame([row], schema=EVOLUTION_SCHEMA, orient="row"))
    return key, old


def test_an_accepted_rewording_is_read_as_its_old_key_and_the_other_reading_stays(run):
    key, _ = evolution(run, "same")
    found = handled(run, "evolved").scores["evolved"]
    as_is = steps.score(run, "test", score_known)
    has = pl.Series([key in keys for keys in run.data.split("test")["keys"]])
    others = pl.Series([bool((set(keys) - {key}) - run.data.known_keys) for keys in run.data.split("test")["keys"]])
    assert as_is["has_unseen_key"].to_list() == (has | others).to_list()
    assert found["has_unseen_key"].to_list() == others.to_list() and has.any()


def test_another_answer_is_scored_anew(run):
    """The scores of an earlier answer were taken for those of this one."""
    evolution(run, "same")
    first = handled(run, "evolved").scores["evolved"]["has_unseen_key"].sum()
    evolution(run, "new")
    with pytest.raises(BadInput, match="has no answer `same`"):
        handled(run, "evolved")
    evolution(run, "same")
    assert handled(run, "evolved").scores["evolved"]["has_unseen_key"].sum() == first


def test_without_proposals_the_command_that_makes_them_is_named(run):
    with pytest.raises(BadInput, match=r"evolution\.csv does not exist.*--evolve"):
        handled(run, "evolved")


def test_verdicts_by_words_stand_beside_the_others_in_metrics_ledger_and_alarms(run):
    decision = steps.calibrate(run, steps.score(run, "validation", score_known), 0.05)
    way = handled(run, "words")
    judged, found = steps.judge(run, steps.score(run, "test", score_known), decision, None, way)
    assert {"tail_probability", "tail_probability_words", "unseen_key_words"} <= set(found["rules"])
    assert json.loads((run.folder / "metrics.json").read_text())["encoder"] == "fixed"
    rows = steps.record(run, found, decision)
    assert set(rows.filter(pl.col("rule").str.ends_with("_words"))["encoder"]) == {"fixed"}
    assert rows.filter(~pl.col("rule").str.ends_with("_words"))["encoder"].null_count() == len(found["rules"]) - 4
    steps.report(run, judged, {}, lambda prefixes: [[("<end>", 1.0)] for _ in prefixes], way)
    listed = pl.read_csv(run.folder / "alarms.csv")
    assert listed["flagged_by"].str.contains("tail_probability_words").any()
    assert listed.filter("has_unseen_key")["words"].str.starts_with("new template, ").to_list().count(True) > 0
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "judged by words" in page and "new template, reads like a fault" in page


def test_every_way_has_a_title(run):
    assert {f"top_k_{handling}" for handling in unseen.HANDLINGS} <= set(unseen.TITLES)


def write_answers(run: Run, answers: dict[str, str]) -> None:
    """Answer these keys in the queue of `ask`, and no other."""
    handled(run, "ask")
    path = run.folder / "triage.csv"
    queue = pl.read_csv(path, infer_schema=False)
    queue.with_columns(answer=pl.Series([answers.get(key) for key in queue["key"]], dtype=pl.String)).write_csv(path)


def test_a_persons_alert_holds_against_words_and_leaves_the_other_questions_to_the_labels(run):
    """The key stayed accepted, and its answer made every other question one without an answer."""
    _, new = texts_of(run.data)
    harmless = next(iter(new))
    write_answers(run, {harmless: "alert"})
    has = [harmless in keys for keys in run.data.split("test")["keys"]]
    for way in ("words", "ask-words"):
        settled = handled(run, way).scores[way.replace("-", "_")]
        assert settled.filter(pl.Series(has))["has_unseen_key"].all()


def test_a_persons_benign_holds_against_words(run):
    _, new = texts_of(run.data)
    write_answers(run, dict.fromkeys(new, "benign"))
    assert not handled(run, "words").scores["words"]["has_unseen_key"].any()


def test_answers_about_other_keys_do_not_silence_the_labels(run):
    _, new = texts_of(run.data)
    write_answers(run, {next(iter(new)): "benign"})
    path = run.folder / "triage.csv"
    kept = pl.read_csv(path, infer_schema=False).filter(pl.col("answer") == "benign")
    kept.with_columns(key=pl.lit("of another log")).write_csv(path)
    assert handled(run, "ask").about["answers"] == "labels"


def test_other_answers_are_another_question(run):
    """`make run` said done already and showed the verdicts of before."""
    before = {way: answered(run, way) for way in ("alarm", "ask", "words")}
    write_answers(run, dict.fromkeys(texts_of(run.data)[1], "benign"))
    assert answered(run, "alarm") == before["alarm"]
    assert answered(run, "ask") != before["ask"] and answered(run, "words") != before["words"]


def test_a_sweep_judges_again_when_somebody_has_answered(run):
    """The ledger had a row of that handling, so the answers of a person changed nothing."""
    decision = steps.calibrate(run, steps.score(run, "validation", score_known), 0.05)
    steps.judge(run, steps.score(run, "test", score_known), decision, None, handled(run, "ask"))
    steps.record(run, run.read_metrics(), decision)
    model, data = run.config["model"], run.data
    wanted = task.Wanted(None, run.config["method"], model, data.name, run.config["seed"], {}, 0.05, unseen="ask")
    assert many.is_done(wanted)
    write_answers(run, dict.fromkeys(texts_of(data)[1], "benign"))
    assert not many.is_done(wanted)


def test_a_damaged_table_of_fault_scores_is_made_again(run):
    first = handled(run, "words").scores["words"]
    for damage in (b"", b"PAR1 no table PAR1"):
        (run.folder / "fault_scores.parquet").write_bytes(damage)
        reader = FixedReader()
        assert handled(run, "words", reader).scores["words"].equals(first) and reader.asked == 1


def test_an_old_key_that_training_does_not_have_is_named(run):
    key, _ = evolution(run, "same")
    path = run.data.folder / "evolution.csv"
    path.write_text(path.read_text().replace(sorted(run.data.known_keys)[0], "NOPE"))
    with pytest.raises(BadInput, match=rf"evolution\.csv: {key} is called the same as NOPE, which training does not"):
        handled(run, "evolved")


def test_the_event_that_an_alarm_shows_is_none_that_words_accepted(run):
    """A fifth of the alarms by words gave a template as their reason that does not read like a fault."""
    decision = steps.calibrate(run, steps.score(run, "validation", score_known), 0.05)
    way = handled(run, "words")
    judged, _ = steps.judge(run, steps.score(run, "test", score_known), decision, None, way)
    steps.report(run, judged, {}, lambda prefixes: [[("<end>", 1.0)] for _ in prefixes], way)
    listed = pl.read_csv(run.folder / "alarms.csv").filter(pl.col("flagged_by").str.contains("_words"))
    assert len(listed) and not listed["words"].fill_null("").str.contains("does not read").any()
