"""What a log or the name of a folder holds is text: in a spreadsheet, a terminal, a notebook and on a page."""

import polars as pl
import pytest

import utils
from core import cells
from core.data import open_data
from core.errors import BadInput
from evaluation.report import markdown
from evaluation.report.alarms import read_alarms
from evaluation.show import notebook, text
from methods.words.reader import TemplateReader
from runs import steps
from tests.changed import set_manifest
from tests.runs.test_runs import fake_score, judged_run

FORMULAS = ["=cmd|'/C calc'!A0", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''=1"]
PLAIN = ["text", "a=b", "'quoted'", "", None, "<*>"]
ESCAPE = "\x1b]0;owned\x07\x1b[31mred"


def test_no_cell_begins_like_a_formula_and_all_come_back():
    frame = pl.DataFrame({"text": FORMULAS + PLAIN, "number": range(len(FORMULAS + PLAIN))})
    guarded = cells.guard(frame)
    assert all(one.startswith("'") for one in guarded["text"][: len(FORMULAS)])
    assert guarded["text"][len(FORMULAS) :].to_list() == PLAIN
    assert cells.unguard(guarded).equals(frame)


def test_alarms_and_the_queue_hold_no_formula_and_read_back_what_the_log_said(workspace):
    run, _, decision = judged_run(workspace)
    keys = run.data.split("test")["keys"].explode().unique()
    run.data.__dict__["templates"] = dict.fromkeys(keys, "=HYPERLINK(A1)")
    scores = steps.score(run, "test", fake_score)
    judged, _ = steps.judge(run, scores, decision)
    steps.report(run, judged, {}, lambda prefixes: [[("=k", 1.0)] for _ in prefixes])
    written = pl.read_csv(run.folder / "alarms.csv", infer_schema=False)
    assert set(written["template"].drop_nulls()) == {"'=HYPERLINK(A1)"}
    assert set(read_alarms(run.folder / "alarms.csv")["template"].drop_nulls()) == {"=HYPERLINK(A1)"}
    steps.handle(run, scores, "ask", fake_score, TemplateReader())
    queue = pl.read_csv(run.folder / "triage.csv", infer_schema=False)
    assert set(queue["template"]) == {"'=HYPERLINK(A1)"}
    queue.with_columns(answer=pl.lit("benign")).write_csv(run.folder / "triage.csv")
    steps.handle(run, scores, "ask", fake_score, TemplateReader())
    assert set(pl.read_csv(run.folder / "triage.csv")["answer"]) == {"benign"}


def test_a_table_in_a_terminal_commands_nothing():
    shown = text.as_text(pl.DataFrame({ESCAPE: [ESCAPE]}), ESCAPE)
    assert shown.replace("\n", "").isprintable()
    assert r"\x1b]0;owned\x07" in shown


def test_a_sentence_commands_nothing():
    assert str(BadInput(ESCAPE)).isprintable()


def test_the_name_of_a_data_folder_is_no_markup(workspace, monkeypatch):
    """Raw in test.ipynb: it ran in the browser of whoever opened the notebook."""
    name = "<img src=x onerror=alert(9)>"
    (workspace / "data" / "sample").rename(workspace / "data" / name)
    set_manifest(workspace / "data" / name, name=name)
    shown = []
    monkeypatch.setattr(notebook, "display", lambda content, raw: shown.append(content["text/html"]))
    data = open_data(name)
    run = type("Run", (), {"label": f"{data.label}, m, seed 0"})()
    utils.show_gallery(run, {"hits": []}, "top_k")
    utils.show_table(pl.DataFrame({name: [name]}), name)
    utils.show_sentence(name)
    assert shown and not [one for one in shown if "<img" in one]
    about = {"data": name, "simulated": True}
    assert "<img" not in markdown.label(about)


@pytest.mark.parametrize("damage", [b"", b"sequence_id\n1,2,3\n"])
def test_damaged_alarms_are_a_sentence(damage, tmp_path):
    (tmp_path / "alarms.csv").write_bytes(damage)
    with pytest.raises(BadInput, match=r"alarms\.csv is missing or damaged; run test\.ipynb again"):
        read_alarms(tmp_path / "alarms.csv")
