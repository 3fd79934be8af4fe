"""The code of the pages in docs/, executed: a page that shows what no longer works is worse than none."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import parse_logs
from tests.commands.test_judge import jobs_log
from tests.typed import typed

ROOT = Path(__file__).resolve().parent.parent


def blocks(page: str, language: str = "python") -> list[str]:
    """The code blocks of a page of docs/."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.S | re.M)
    return [code for kind, code in found if kind == language]


def some_scores() -> pl.DataFrame:
    count = 199
    ranks = [1 + number % 7 for number in range(count)]
    tails = [1 / (2 + number) for number in range(count)]
    frame = pl.DataFrame({"rank": ranks, "tail_probability": tails})
    return frame.with_columns(has_unseen_key=pl.lit(False), count_vector_seen=pl.lit(False))


def test_method_md_calibrates_and_judges():
    names = {"validation_scores": some_scores(), "test_scores": some_scores()}
    (source,) = blocks("method.md")
    exec(source, names)
    assert 0 < names["flags"]["flagged_tail_probability"].sum() < 10
    assert names["decision"]["alpha_kept"]


def test_results_md_says_between_which_rates_a_calibration_lies():
    names: dict = {}
    (source,) = blocks("results.md")
    exec(source, names)
    assert 0 < names["low"] < 0.01 < names["high"] < 0.03


def test_models_md_prepares_a_model():
    names: dict = {}
    source, of_words = blocks("models.md")
    exec(source, names)
    assert names["parameters"]["trained"] > 100_000
    exec(of_words, names)
    assert names["settings"]["encoder"] == "word-hash"


@pytest.mark.slow
def test_add_a_rule_md_adds_a_rule_with_one_object(tmp_path, sample):
    """Nothing but the object and the tuple: tables, figures and the ledger must not know the rules by heart."""
    for room in ("core", "evaluation", "runs", "methods", "results/published.csv", "utils.py"):
        source, place = ROOT / room, tmp_path / room
        place.parent.mkdir(exist_ok=True)
        shutil.copytree(source, place) if source.is_dir() else shutil.copy(source, place)
    shutil.copytree(sample, tmp_path / "data" / "sample")
    rule, listed = blocks("add-a-rule.md")
    path = tmp_path / "evaluation" / "rules.py"
    before, found, after = path.read_text().partition("RULES = (")
    assert found
    path.write_text(f"{before}\n{rule}\n\n{listed}\n{after[after.index(')') + 1 :]}")
    done = subprocess.run([sys.executable, "-c", ADDED], cwd=tmp_path, env=environment(tmp_path), **CAUGHT)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "two odd events" in done.stdout
    assert "two_odd_events" in (tmp_path / "results" / "runs.csv").read_text()


CAUGHT: dict = {"capture_output": True, "text": True, "timeout": 300}
ADDED = """
import sys
import utils
from evaluation.show import plots
from evaluation.show.text import as_text
from methods.classical import Classical
from runs import steps

run = steps.complete(lambda seed, templates: Classical("ngram", seed), "sample", 0, 0.05, None)
decision = run.read_decision()
judged, found = steps.judge(run, steps.score(run, "test", None), decision)
steps.record(run, found, decision)
print(as_text(utils.tables.verdicts(found), "verdicts"), as_text(utils.tables.decision(decision), "decision"))
calibrated = {name: found["rules"][name] for name in decision["rules"]}
plots.confusion_matrices(calibrated)
plots.precision_recall_curves(judged, calibrated)
plots.f1_bars(utils.tables.verdicts(found))
plots.detection_sources(utils.reasons.detection_sources(judged))
"""


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}


def test_add_a_data_set_md_parses_a_log_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [
        f"2026-01-01 00:{second // 60:02d}:{second % 60:02d} INFO web: served req-{second % 40:02x} in {second} ms"
        for second in range(600)
    ]
    Path("my.log").write_text("\n".join(lines) + "\n")
    Path("normal.txt").write_text("a b c\na b\n" * 20)
    Path("abnormal.txt").write_text("c c\n")
    labeled = pl.DataFrame({"key": ["a", "b"] * 2_000, "label": [0] * 4_000})
    labeled.write_parquet("lines.parquet")
    shown = blocks("add-a-data-set.md", "")
    commands = re.findall(r"^python parse_logs\.py (.*?)(?: {3,}#.*)?$", "\n".join(shown), flags=re.M)
    assert len(commands) == 5
    for command in commands:
        words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", command)]
        assert parse_logs.main(words) == 0, command
    (spec,) = blocks("add-a-data-set.md", "yaml")
    Path("my.yaml").write_text(spec)
    assert parse_logs.main(["my.yaml", "--log", "my.log", "--out", "data/yaml"]) == 0


@pytest.mark.slow
def test_judge_md_walks_from_two_days_of_a_log_to_a_ranked_list(notebooks_here, tmp_path, monkeypatch):
    """Every command of the page, on two days of a plain log without labels; what would go on for ever ends here."""
    for name, days in (
        ("day1", {"days": 2}),
        ("day2", {"days": 1, "missing": (7,), "extra": {200: "disk failure in"}}),
    ):
        (tmp_path / f"{name}.log").write_text(jobs_log(**days))
    commands = [line for code in blocks("judge.md", "") for line in code.splitlines()]
    assert len(commands) == 9
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    for command in commands:
        if "--follow" not in command:
            assert typed(command) == 0, command
            continue
        ends = command.replace("tail -F", "cat") if "|" in command else command.replace("day2.log", "- < day2.log")
        done = subprocess.run(["sh", "-c", ends], capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert "disk failure" in done.stdout and done.stdout.startswith('{"kind": "alarm"')
    out = tmp_path / "results" / "day1" / "next_key-tiny-llama-s0" / "judged" / "day2"
    listed = pl.read_csv(out / "alarms.csv")
    assert {"job 00000007", "job 000000c8"} == set(listed["sequence_id"][:2])
    page = (ROOT / "docs" / "judge.md").read_text(encoding="utf-8")
    for file in re.findall(r"`(\w+\.(?:html|csv|json))`", page.partition("| file |")[2].partition("| the rest |")[0]):
        assert (out / file).is_file() or file == "triage.csv", file
    assert (out / "triage.csv").is_file(), "the page's last judgment asked"
