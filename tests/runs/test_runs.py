"""Data and run folders: opened only if they belong together, written whole, scored once."""

import json
import shutil

import polars as pl
import pytest

import utils
from core.errors import BadInput
from evaluation import ledger, rules
from evaluation.report import markdown, reasons
from evaluation.show import tables
from methods.words.reader import TemplateReader
from runs import steps
from runs.folder import LEDGER, Run, open_run, start_run
from tests.changed import other_data, rewrite

SETTINGS = {"context": 8}


def trained(seed: int = 0) -> Run:
    return trained_in(start_run("sample", "tiny-llama", seed, SETTINGS))


def trained_in(run: Run) -> Run:
    """Put a model and its curve into a run folder."""
    run.model_folder.mkdir(exist_ok=True)
    rows = [{"epoch": 0, "training_loss": None, "validation_loss": 3.0, "seconds": 0.0}]
    rows.append({"epoch": 1, "training_loss": 1.0, "validation_loss": 1.5, "seconds": 2.0})
    steps.keep_training(run, pl.DataFrame(rows, infer_schema_length=None), parameters=7)
    return run


def fake_score(sequences: list[list[str]]) -> pl.DataFrame:
    """A method that finds long sequences strange."""
    lengths = [len(keys) for keys in sequences]
    tails = [1 / length for length in lengths]
    return pl.DataFrame(
        {
            "length": lengths,
            "rank": [length // 2 for length in lengths],
            "tail_probability": tails,
            "worst_event": [0] * len(lengths),
            "has_unseen_key": [False] * len(lengths),
            "event_ranks": [[length // 2] * (length + 1) for length in lengths],
            "event_tail_probabilities": [[tail] * (length + 1) for tail, length in zip(tails, lengths, strict=True)],
        }
    )


def test_missing_data_names_the_command_that_makes_it(workspace):
    with pytest.raises(BadInput, match=r"python parse_logs\.py hdfs --log FILE --labels FILE --out data/bgl"):
        utils.open_data("bgl")
    shutil.rmtree("data/sample")
    with pytest.raises(BadInput, match=r"python parse_logs\.py sample$"):
        utils.open_data("sample")


def test_a_run_of_another_data_set_is_refused(workspace):
    trained()
    other_data(workspace / "data" / "sample")
    for opening in (
        lambda: open_run("sample", "tiny-llama", 0),
        lambda: start_run("sample", "tiny-llama", 0, SETTINGS),
    ):
        with pytest.raises(BadInput, match=r"is a run with data hash \w{16}, not \w{16}.*choose another SEED"):
            opening()


def test_a_run_with_other_settings_is_refused(workspace):
    trained()
    with pytest.raises(BadInput, match="is a run with context 8, not 16"):
        start_run("sample", "tiny-llama", 0, {"context": 16})


def test_a_run_from_before_there_was_a_setting_is_the_same_run(workspace):
    """A setting that came later, and that this run does not use, made every finished run another one."""
    trained()
    assert start_run("sample", "tiny-llama", 0, SETTINGS | {"least_steps": None}).is_trained
    with pytest.raises(BadInput, match="least steps none, not 32"):
        start_run("sample", "tiny-llama", 0, SETTINGS | {"least_steps": 32})


class Refused:
    """A detector that finds out while it learns that it cannot."""

    method, name, reads, learns = "next_key", "tiny-llama", "keys", "normals"

    def fit(self, train, validation, checkpoints):
        raise BadInput("it reads in both directions")


def test_a_refused_model_leaves_no_run_folder(workspace):
    """The next one, with the settings that were advised, was told that the folder is that of another run."""
    run = start_run("sample", "tiny-llama", 0, SETTINGS)
    with pytest.raises(BadInput, match="both directions"):
        steps.fit(run, Refused())
    assert not run.folder.exists()
    run = start_run("sample", "tiny-llama", 0, SETTINGS)
    run.checkpoints.mkdir()
    with pytest.raises(BadInput, match="both directions"):
        steps.fit(run, Refused())
    assert run.checkpoints.is_dir(), "an interrupted training is kept"


def test_an_untrained_run_is_refused_and_a_broken_file_named(workspace):
    with pytest.raises(BadInput, match=r"config\.json does not exist; run train\.ipynb first"):
        open_run("sample", "tiny-llama", 0)
    run = start_run("sample", "tiny-llama", 0, SETTINGS)
    with pytest.raises(BadInput, match=r"not trained yet; run train\.ipynb"):
        open_run("sample", "tiny-llama", 0)
    (run.folder / "config.json").write_text('{"data": ')
    with pytest.raises(BadInput, match=r"config\.json is broken"):
        open_run("sample", "tiny-llama", 0)


def test_a_decision_of_another_data_set_is_refused(workspace):
    run = trained()
    with pytest.raises(BadInput, match=r"decision\.json does not exist; run get_k\.ipynb first"):
        run.read_decision()
    steps.calibrate(run, steps.score(run, "validation", fake_score), 0.01)
    assert run.read_decision()["alpha"] == 0.01
    decision = json.loads((run.folder / "decision.json").read_text())
    (run.folder / "decision.json").write_text(json.dumps(decision | {"data_hash": "f" * 16}))
    with pytest.raises(BadInput, match=r"calibrated on data with hash f{16}.*run get_k\.ipynb again"):
        run.read_decision()


def test_scores_are_made_once(workspace):
    run, calls = trained(), []

    def counted(sequences):
        calls.append(len(sequences))
        return fake_score(sequences)

    first, second = steps.score(run, "validation", counted), steps.score(run, "validation", counted)
    assert calls == [137], "each distinct sequence is scored once, and so is each split"
    assert len(first) == 250
    assert first.equals(second)


def test_scores_of_another_model_or_other_data_are_made_again(workspace):
    """Scores that outlive the model they came from would be figures of nothing."""
    run, calls = trained(), []

    def counted(sequences):
        calls.append(len(sequences))
        return fake_score(sequences)

    steps.score(run, "test", counted)
    (run.model_folder / "next_key.json").write_text("{}")
    steps.score(run, "test", counted)
    assert len(calls) == 2
    steps.judge(
        run, steps.score(run, "test", counted), steps.calibrate(run, steps.score(run, "validation", counted), 0.05)
    )
    steps.score(run, "test", counted)
    assert len(calls) == 3, "the verdicts lost what the scores belong to"
    other_data(workspace / "data" / "sample")
    steps.score(Run(run.folder, utils.open_data("sample"), run.config), "test", counted)
    assert len(calls) == 4


def test_only_the_first_process_of_a_launcher_writes(workspace, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    run = start_run("sample", "tiny-llama", 0, SETTINGS)
    assert not (run.folder / "config.json").exists()
    assert run.config["settings"] == SETTINGS


def test_another_process_never_removes_what_the_first_may_still_need(workspace, monkeypatch):
    """It may be done while the first one is still saving the model: killed then, the training would be lost."""
    run = start_run("sample", "tiny-llama", 0, SETTINGS)
    run.checkpoints.mkdir()
    monkeypatch.setenv("RANK", "1")
    steps.keep_training(run, pl.DataFrame({"epoch": [0]}), parameters=7)
    assert run.checkpoints.is_dir()
    monkeypatch.setenv("RANK", "0")
    steps.keep_training(run, pl.DataFrame({"epoch": [0]}), parameters=7)
    assert not run.checkpoints.exists()


def test_the_way_a_model_takes_stands_in_the_environment(workspace):
    run = trained()
    table = steps.keep_path(run, {"path": "Transformers + PEFT", "dtype": "float32", "why": "no GPU"})
    assert {"model: path", "model: why", "device"} <= set(table["what"])
    assert json.loads((run.folder / "environment.json").read_text())["model"]["why"] == "no GPU"


def test_a_local_model_goes_by_the_name_of_its_folder(workspace):
    """A whole path in a folder name or a table would name the machine, and could not be opened elsewhere."""
    (workspace / "models" / "mine").mkdir(parents=True)
    run = start_run("sample", str(workspace / "models" / "mine"), 0, SETTINGS)
    assert run.folder.as_posix() == "results/sample/next_key-mine-s0"
    assert run.config["model"] == "mine"


def judged_run(workspace) -> tuple[Run, dict, dict]:
    run = trained()
    decision = steps.calibrate(run, steps.score(run, "validation", fake_score), 0.05)
    _, found = steps.judge(run, steps.score(run, "test", fake_score), run.read_decision())
    return run, found, decision


def test_test_scores_and_metrics_hold_what_the_contract_names(workspace):
    run, found, _ = judged_run(workspace)
    columns = set(pl.read_parquet(run.folder / "test_scores.parquet").columns)
    own = {"sequence_id", "label", "length", "rank", "tail_probability", "worst_event"}
    seen = {"count_vector_seen", "has_unseen_key", "in_training"}
    assert own | seen | {f"flagged_{rule}" for rule in rules.RANK_RULES} <= columns
    written = json.loads((run.folder / "metrics.json").read_text())
    assert written == json.loads(json.dumps(found))
    trivial = {"unseen_key", "unseen_key_or_length", "unseen_count_vector", "unseen_bigram", "unseen_key_where_rare"}
    counting = {f"{name}_{rule}" for name in ("unigram", "bigram") for rule in rules.RANK_RULES}
    assert set(written["rules"]) == set(rules.RANK_RULES) | {"top_k_paper"} | trivial | counting
    assert set(written["distinct"]["rules"]) == set(written["rules"])
    assert written["distinct"]["sequences"] == written["data"]["distinct_sequences"] < 1250
    assert {"precision", "recall", "f1", "mcc", "f1_low", "f1_high"} <= set(written["rules"]["top_k"])
    assert {"auroc", "average_precision"} == set(written["ranking"])
    assert written["prevalence"] == 75 / 1250
    assert {"seconds", "peak_memory_gb", "data"} <= set(written)


def test_a_test_without_anomalies_has_false_alarms_and_no_f1(workspace):
    folder = workspace / "data" / "sample"
    rewrite(folder, pl.read_parquet(folder / "sequences.parquet").filter(pl.col("label") == 0))
    _, found, _ = judged_run(workspace)
    assert found["rules"]["top_k"]["f1"] is None
    assert found["rules"]["top_k"]["false_alarm_rate"] is not None
    assert found["ranking"] == {"auroc": None, "average_precision": None}
    assert "no F1 to compare" in tables.conclusion(found)
    assert tables.verdicts(found)["f1"].null_count() == 15


def test_a_test_without_labels_is_judged_without_a_crash(workspace):
    folder = workspace / "data" / "sample"
    rewrite(folder, pl.read_parquet(folder / "sequences.parquet").with_columns(label=pl.lit(None, pl.Int8)))
    run, found, decision = judged_run(workspace)
    assert found["rules"]["top_k"]["f1"] is None
    assert "nothing is called right or wrong" in tables.conclusion(found)
    assert tables.intervals(found)["f1"].null_count() == 4
    assert len(steps.record(run, found, decision)) == 15
    judged = pl.read_parquet(run.folder / "test_scores.parquet")
    assert list(reasons.pick(judged, "top_k")) == ["alarms"]
    assert len(reasons.pick(judged, "top_k")["alarms"]) > 0
    assert tables.verdicts(found).columns == tables.headline(found).columns == ["rule", "alarms", "share of the test"]


def test_the_ledger_keeps_one_row_a_run_and_rule(workspace):
    run, found, decision = judged_run(workspace)
    steps.record(run, found, decision)
    rows = steps.record(run, found, decision)
    assert len(rows) == len(ledger.read(LEDGER)) == 15
    own = rows.filter(pl.col("method") == "next_key")
    assert own["rule"].to_list() == [*rules.RANK_RULES, "top_k_paper"]
    values = decision["rules"]
    assert own["K"].to_list() == [values["top_k"]["K"], None, None, values["top_k_paper"]["K"]]
    assert rows["simulated"].all()


def test_the_conclusion_speaks_of_the_default_verdict_and_never_of_the_best_rule(workspace):
    """The best of the rules would have been chosen with test labels."""
    _, found, _ = judged_run(workspace)
    assert found["default_rule"] == "tail_probability_and_counts"
    assert "does not beat the best trivial detector" in tables.conclusion(found)
    for measured in found["rules"].values():
        measured |= {"f1": 0.5, "f1_low": 0.4, "f1_high": 0.6, "false_alarm_rate": 0.0}
    default = found["rules"]["tail_probability_and_counts"]
    default |= {"f1": 0.9, "f1_low": 0.8, "f1_high": 1.0}
    assert "It beats the best trivial detector" in tables.conclusion(found)
    default |= {"f1_low": 0.45}
    assert "which lies within its interval" in tables.conclusion(found)
    found["rules"]["top_k"] |= {"f1": 0.99}
    assert "0.99" not in tables.conclusion(found)


def test_the_default_verdict_of_windows_is_the_tail_probability_and_of_one_number_its_score():
    assert rules.default_rule(rules.RANK_RULES, windowed=True) == "tail_probability"
    assert rules.default_rule(rules.RANK_RULES, windowed=False) == "tail_probability_and_counts"
    assert rules.default_rule(rules.SCORE_RULES, windowed=False) == "score"


def test_the_table_of_the_terminal_is_short_and_begins_with_the_default_verdict(workspace):
    """It once was 326 lines, with rows of methods that nobody ran."""
    table = tables.headline(judged_run(workspace)[1])
    assert len(table) <= 8
    assert table["rule"][0] == "tail probability, confirmed by counts (default)"


def test_a_prevalence_adds_rows_and_leaves_those_at_the_tests_own(workspace):
    run = trained()
    decision = steps.calibrate(run, steps.score(run, "validation", fake_score), 0.05)
    scores = steps.score(run, "test", fake_score)
    _, own = steps.judge(run, scores, decision)
    _, both = steps.judge(run, scores, decision, 0.0293)
    assert both["rules"] == own["rules"]
    assert both["at_prevalence"]["rules"]["top_k"]["recall"] == own["rules"]["top_k"]["recall"]
    rows = steps.record(run, both, decision)
    assert rows["prevalence"].value_counts().sort("prevalence").rows() == [(None, 15), (0.0293, 15)]


def test_a_failed_run_stays_visible_until_it_succeeds(workspace):
    """A table that drops what crashed shows survivors only."""
    run, found, decision = judged_run(workspace)
    about = run.data.ledger_columns() | {"method": "next_key", "model": "tiny-llama", "seed": 0}
    failed = ledger.record(LEDGER, [about | {"status": "failed: no memory", "date": "2026-01-01"}])
    assert ledger.failures(failed)["status"].to_list() == ["failed: no memory"]
    assert "failed: no memory" in markdown.everything(failed, markdown.read_published())
    steps.record(run, found, decision)
    assert ledger.failures(ledger.read(LEDGER)).is_empty()


def test_every_row_of_the_tables_names_its_command(workspace):
    run, found, decision = judged_run(workspace)
    rows = steps.record(run, found, decision)
    text = markdown.everything(rows, markdown.read_published())
    assert '1. `make sweep DATA=sample MODELS=tiny-llama SEEDS="0"`' in text
    table = [line for line in text.splitlines() if line.startswith("| ") and "| rule |" not in line]
    assert len(table) == 15
    assert all(line.rstrip(" |").endswith("| 1") for line in table)


def test_the_table_of_the_first_page_is_small_and_says_what_is_simulated(workspace):
    run, found, decision = judged_run(workspace)
    lines = markdown.headline(steps.record(run, found, decision), markdown.read_published()).splitlines()
    assert len(lines) <= 12
    assert lines[0] == "| F1 | sample (simulated) |"
    default = found["rules"][found["default_rule"]]["f1"]
    assert f"| **{markdown.OURS}** | **{default:.3f}** |" in lines


def test_published_figures_are_marked_as_not_comparable_with_a_sample():
    runs = ledger.read(markdown.PUBLISHED.with_name("results.csv"))
    parts = markdown.everything(runs, markdown.read_published()).split("Published, ")
    assert len(parts) > 4
    same = [part for part in parts[1:] if part.startswith("of the same rows")]
    assert len(same) == len(markdown.SAME_ROWS) and not set(markdown.SAME_ROWS) & set(markdown.SAMPLES)
    assert all(part.startswith("**not comparable**") or part in same for part in parts[1:])
    assert all("verified: " in part for part in parts[1:])


@pytest.mark.parametrize("wrong", ["score", "event_log_probabilities"])
def test_scores_that_are_no_numbers_are_refused(workspace, wrong):
    """A diverged training gave NaN, which lies above no threshold: nothing flagged, and alpha kept."""

    def diverged(sequences):
        scores = fake_score(sequences)
        nothing = [float("nan")] * len(scores)
        return scores.with_columns(pl.Series(wrong, nothing if wrong == "score" else [[one] for one in nothing]))

    run = trained()
    with pytest.raises(BadInput, match=r"its training diverged; remove that folder"):
        steps.score(run, "validation", diverged)
    assert not (run.folder / "validation_scores.parquet").exists()


def test_scores_of_copies_are_those_of_the_sequence_alone(workspace):
    """Only distinct sequences are scored; a copy that got another one's score would be judged for it."""
    run = trained()
    scores, keys = steps.score(run, "test", fake_score), run.data.keys("test")
    assert scores["length"].to_list() == [len(one) for one in keys]
    assert scores["sequence_id"].to_list() == run.data.split("test")["sequence_id"].to_list()


def test_an_unknown_rule_is_a_sentence(workspace):
    run, _, _ = judged_run(workspace)
    judged = pl.read_parquet(run.folder / "test_scores.parquet")
    with pytest.raises(BadInput, match=r"no rule 'top_kk'; choose one of top_k, tail_probability"):
        steps.explain(run, judged, "top_kk", lambda prefixes: [[] for _ in prefixes])


def test_the_report_and_the_alarms_of_a_run_are_written(workspace):
    run, _, _ = judged_run(workspace)
    judged = pl.read_parquet(run.folder / "test_scores.parquet")

    def expected(prefixes):
        return [[("<end>", 1.0)] for _ in prefixes]

    shown = steps.explain(run, judged, "top_k", expected)
    assert set(shown) == {"false alarms", "misses", "hits"}
    steps.report(run, judged, shown, expected)
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "SIMULATED" in page.upper()
    assert len(pl.read_csv(run.folder / "alarms.csv")) == int(
        judged.select(pl.any_horizontal(f"flagged_{rule}" for rule in rules.RANK_RULES)).sum().item()
    )


def test_answers_in_triage_csv_are_read_back(workspace):
    """The analyst's answers must survive the next run of the notebook, and change its verdicts."""
    run = trained()
    scores = steps.score(run, "test", fake_score)
    queue = run.folder / "triage.csv"
    by_labels = steps.handle(run, scores, "ask", fake_score, TemplateReader()).scores["ask"]
    asked = pl.read_csv(queue, schema_overrides={"answer": pl.String})
    assert len(asked) >= 1
    assert asked["answer"].null_count() == len(asked)
    asked.with_columns(answer=pl.lit("benign")).write_csv(queue)
    benign = steps.handle(run, scores, "ask", fake_score, TemplateReader()).scores["ask"]
    assert not benign["has_unseen_key"].any()
    assert by_labels.columns == [*scores.columns, "fault_score"]
    assert pl.read_csv(queue)["answer"].unique().to_list() == ["benign"]
