"""Files of a run folder that were damaged or exchanged: one sentence with the file and the field, never a traceback."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from core.errors import BadInput
from evaluation.show import tables
from runs import steps
from runs.folder import Run, find_run, open_run, start_run
from tests.core.test_data import CHANGES, changed, fields
from tests.runs.test_runs import SETTINGS, fake_score, judged_run, trained


@pytest.fixture
def judged(workspace) -> Run:
    return judged_run(workspace)[0]


def read_everything(run: Run) -> None:
    """What notebooks and commands do with the files of a finished run."""
    opened = open_run("sample", "tiny-llama", 0)
    opened.table()
    decision, found = opened.read_decision(), opened.read_metrics()
    tables.decision(decision), tables.promise(decision), tables.model_use(decision)
    tables.headline(found), tables.conclusion(found), tables.verdicts(found["distinct"])
    tables.cost(found)
    opened.read_environment()
    judged = steps.score(run, "test", fake_score)
    opened = replace(opened, data=run.data)  # read once: no damage is done to them
    steps.record(opened, found, decision)
    steps.report(opened, judged_scores(run, judged, decision), {}, lambda prefixes: [[] for _ in prefixes])


def judged_scores(run: Run, scores: pl.DataFrame, decision: dict) -> pl.DataFrame:
    from evaluation import rules

    return pl.concat([scores.drop(name for name in scores.columns if name.startswith("flagged_")),
                      rules.apply(scores, decision)], how="horizontal")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config", "decision", "environment", "metrics"])
def test_every_damaged_field_is_a_sentence_or_does_not_matter(name, judged):
    path = judged.folder / f"{name}.json"
    content, said = json.loads(path.read_text()), []
    for field in fields(content):
        if (
            name == "metrics"
            and field[0] in ("rules", "distinct")
            and "bigram" not in "".join(field)
            and len(field) > 2
        ):
            continue  # the same figures of another rule
        for value in CHANGES:
            path.write_text(json.dumps(changed(content, field, value)))
            try:
                read_everything(judged)
            except BadInput as error:
                said.append(str(error))
    assert len(said) > 10
    assert all(f"{name}.json" in one or "is a run with" in one for one in said)
    for text in ("", "[]", "null", "{"):
        path.write_text(text)
        with pytest.raises(BadInput, match=rf"{name}\.json (is broken|does not fit)"):
            read_everything(judged)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"top_k": {"K": -1}}, r"rules\.top_k\.K is -1"),
        ({"top_k": {"K": None}}, r"rules\.top_k\.K is None"),
        ({"top_k": {"K": "8"}}, r"rules\.top_k\.K is '8'"),
        ({"no_rule": {}}, "a rule 'no_rule', which nobody knows"),
        ({"tail_probability": {"threshold": None}}, "tail_probability has threshold null"),
    ],
)
def test_rules_that_cannot_be_are_refused(rules, said, judged):
    """K = -1 flagged everything, and was recorded."""
    path = judged.folder / "decision.json"
    decision = json.loads(path.read_text())
    for name, values in rules.items():
        decision["rules"][name] = decision["rules"].get(name, {"validation_false_alarm_rate": 0.0}) | values
    path.write_text(json.dumps(decision))
    with pytest.raises(BadInput, match=said + ".*run get_k.ipynb again"):
        judged.read_decision()


def test_a_decision_of_another_model_is_refused(judged):
    (judged.model_folder / "weights").write_text("other weights")
    with pytest.raises(BadInput, match=r"calibrated on model with hash \w{16}, but .*/model has \w{16}"):
        judged.read_decision()


@pytest.mark.parametrize("content", [b"", b"PAR1 cut off"])
def test_damaged_scores_are_made_again(content, judged, capsys):
    path = judged.folder / "validation_scores.parquet"
    whole = pl.read_parquet(path)
    path.write_bytes(content)
    again = steps.score(judged, "validation", fake_score)
    assert again.drop("seconds").equals(whole.drop("seconds"))
    assert "validation_scores.parquet is damaged: scoring again" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content", ["", "epoch\n1\n", "epoch;seconds\n1;2\n", "seconds,peak_memory_gb,parameters\na,b,c\n"]
)
def test_a_damaged_curve_is_a_sentence(content, judged):
    (judged.folder / "training.csv").write_text(content)
    with pytest.raises(BadInput, match=r"training\.csv is no table of epochs"):
        _ = judged.training


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "The disk is full"), (errno.EROFS, "cannot be read or w"), (errno.EFBIG, "may not be so large")],
)
def test_a_full_disk_and_a_read_only_folder_are_a_sentence(number, said, workspace, monkeypatch):
    run = trained()

    def fails(self, *_, **__):
        raise OSError(number, "it cannot", str(self))

    monkeypatch.setattr(Path, "write_text", fails)
    with pytest.raises(BadInput, match=said):
        steps.calibrate(run, steps.score(run, "validation", fake_score), 0.01)
    assert not (run.folder / "decision.json").exists()


def test_results_that_is_no_folder_is_a_sentence(workspace):
    (workspace / "results").write_text("not a folder")
    with pytest.raises(BadInput, match="cannot be read or written"):
        start_run("sample", "tiny-llama", 0, SETTINGS)


def test_what_differs_is_named(workspace):
    trained()
    with pytest.raises(BadInput, match="is a run with context 8, not 16, checkpoint hash none, not abc: its model"):
        start_run("sample", "tiny-llama", 0, {"context": 16, "checkpoint_hash": "abc"})
    assert find_run("sample", "tiny-llama", 0).config["settings"] == SETTINGS
