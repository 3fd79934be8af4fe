"""Sweeps: finished runs are passed over, failed ones stay visible, a seed splits the data anew."""

import json
import subprocess

import polars as pl
import pytest

import parse_logs
from commands import sweep
from core.errors import BadInput
from evaluation import ledger
from utils import LEDGER, open_data


class Runs:
    """Stands in for the processes of a sweep: keeps their commands, records a row, fails where it is told to."""

    def __init__(self, failing: str = "") -> None:
        self.commands, self.failing = [], failing

    def __call__(self, command, stdout, stderr):
        words = dict(zip(command[3::2], command[4::2], strict=False))
        self.commands.append(words)
        if self.failing == words["--model"]:
            stdout.write("epoch 1\nrun.py: it does not fit\n")
            stdout.flush()
            return subprocess.CompletedProcess(command, 2)
        about = open_data(words["--data"]).ledger_columns() | {"method": "next_key", "rule": "top_k", "status": "done"}
        about |= {"alpha": 0.01}
        ledger.record(LEDGER, [about | {"model": words["--model"], "seed": int(words["--seed"])}])
        return subprocess.CompletedProcess(command, 0)


def test_a_seed_is_that_of_the_weights_and_of_the_split(workspace, monkeypatch):
    runs = Runs()
    monkeypatch.setattr(sweep.subprocess, "run", runs)
    assert sweep.main(["--data", "sample", "--seeds", "0", "1"]) == 0
    assert [(words["--data"], words["--seed"]) for words in runs.commands] == [("sample", "0"), ("sample-split1", "1")]
    rows = ledger.read(LEDGER)
    assert rows["data"].unique().to_list() == ["sample"]
    assert rows["split_seed"].to_list() == [0, 1]


def test_finished_runs_are_passed_over_until_the_data_change(workspace, monkeypatch, capsys):
    runs = Runs()
    monkeypatch.setattr(sweep.subprocess, "run", runs)
    for _ in range(2):
        sweep.main(["--data", "sample", "--seeds", "0", "1"])
    assert len(runs.commands) == 2
    assert capsys.readouterr().out.count("done already") == 2
    path = workspace / "data" / "sample" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data_hash": "0" * 16}))
    sweep.main(["--data", "sample", "--seeds", "0", "1"])
    assert len(runs.commands) == 3, "the split of a changed folder has other sequences only if they changed"


def test_a_failed_run_is_recorded_and_the_next_one_begins(workspace, monkeypatch, capsys):
    runs = Runs(failing="tiny-qwen2")
    monkeypatch.setattr(sweep.subprocess, "run", runs)
    assert sweep.main(["--models", "tiny-qwen2", "tiny-llama"]) == 1
    assert len(runs.commands) == 2
    assert "run.py: it does not fit" in capsys.readouterr().out
    assert ledger.failures(ledger.read(LEDGER))["status"].to_list() == ["failed: run.py: it does not fit"]
    runs.failing = ""
    assert sweep.main(["--models", "tiny-qwen2", "tiny-llama"]) == 0
    assert len(runs.commands) == 3
    assert ledger.failures(ledger.read(LEDGER)).is_empty()


def test_missing_data_are_a_sentence_with_exit_code_2(workspace, capsys):
    assert sweep.main(["--data", "nothing"]) == 2
    assert "data/nothing" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------------- split anew


def test_splitting_anew_keeps_every_sequence_and_changes_who_trains(workspace):
    old = pl.read_parquet("data/sample/sequences.parquet")
    assert parse_logs.main(["sample-split1", "--resplit", "data/sample", "--seed", "1"]) == 0
    new = pl.read_parquet("data/sample-split1/sequences.parquet")
    assert new.drop("split").equals(old.drop("split"))
    assert new["split"].value_counts().sort("split").equals(old["split"].value_counts().sort("split"))
    assert not new["split"].equals(old["split"])
    assert new.filter(pl.col("split") != "test")["label"].to_list().count(1) == 0
    manifest = open_data("sample-split1").manifest
    assert (manifest["split"]["seed"], manifest["split"]["of"]) == (1, "sample")
    assert manifest["data_hash"] != open_data("sample").manifest["data_hash"]


def test_the_same_seed_gives_the_split_of_the_folder_it_came_from(workspace):
    parse_logs.main(["again", "--resplit", "data/sample", "--seed", "0"])
    assert pl.read_parquet("data/again/sequences.parquet").equals(pl.read_parquet("data/sample/sequences.parquet"))


def test_what_cannot_be_split_anew_is_a_sentence(workspace, capsys):
    assert parse_logs.main(["x", "--resplit", "data/nothing"]) == 2
    assert "is no data folder" in capsys.readouterr().err
    path = workspace / "data" / "sample" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["split"]["rule"] = "by time: normals first"
    path.write_text(json.dumps(manifest))
    assert parse_logs.main(["x", "--resplit", "data/sample", "--seed", "1"]) == 2
    assert "split by time" in capsys.readouterr().err
    assert sweep.split_folder("sample", 1) == "sample"


def test_a_folder_that_cannot_be_made_stops_the_sweep_before_it_begins(workspace, monkeypatch):
    monkeypatch.setattr(sweep.parse_logs, "main", lambda arguments: 2)
    with pytest.raises(BadInput, match="data/sample-split3 could not be made"):
        sweep.split_folder("sample", 3)
