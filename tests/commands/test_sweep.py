"""Sweeps: finished runs are passed over, failed ones stay visible, a seed splits the data anew."""

import signal

import polars as pl
import pytest

import parse_logs
from commands import folders, sweep
from core.data import open_data
from core.errors import BadInput
from evaluation import ledger
from runs import many, task
from runs.folder import LEDGER
from tests.changed import other_data, set_manifest


class Runs:
    """Stands in for the processes of a sweep: does nothing, or fails where it is told to."""

    def __init__(self, failing: str = "") -> None:
        self.started, self.failing, self.exitcode_of = [], failing, {}

    def __call__(self, target, args):
        self.run = args[0]
        return self

    def start(self):
        self.started.append((self.run.folder, self.run.model, self.run.seed))

    def join(self):
        self.exitcode = self.exitcode_of.get(self.run.model, int(self.failing == self.run.model))
        self.run.log.write_text("epoch 1\nit does not fit\n")


@pytest.fixture
def runs(workspace, monkeypatch):
    """The sweep without models: a finished run records one rule."""
    stand_in = Runs()

    def rows(run, status):
        about = open_data(run.folder).ledger_columns() | {"method": run.method, "model": run.model, "seed": run.seed}
        if status == "done":
            run.results.mkdir(parents=True, exist_ok=True)
            (run.results / "metrics.json").write_text("{}")
            about |= {"rule": "top_k", "alpha": run.alpha}
        return [about | {"status": status}]

    monkeypatch.setattr(many.multiprocessing, "get_context", lambda kind: type("Context", (), {"Process": stand_in}))
    monkeypatch.setattr(many, "workers", lambda: (1, 1))
    monkeypatch.setattr(task, "ledger_rows", rows)
    return stand_in


def test_one_seed_sets_the_weights_and_the_split(runs):
    assert sweep.main(["--data", "sample", "--seeds", "0", "1"]) == 0
    assert [(folder, seed) for folder, _, seed in runs.started] == [("sample", 0), ("sample-split1", 1)]
    rows = ledger.read(LEDGER)
    assert rows["data"].unique().to_list() == ["sample"]
    assert rows["split_seed"].to_list() == [0, 1]


def test_finished_runs_are_passed_over_until_the_data_change(runs, workspace, capsys):
    for _ in range(2):
        sweep.main(["--data", "sample", "--seeds", "0", "1"])
    assert len(runs.started) == 2
    assert "2 of 2 runs are done" in capsys.readouterr().out
    other_data(workspace / "data" / "sample")
    sweep.main(["--data", "sample", "--seeds", "0", "1"])
    assert len(runs.started) == 4


def test_settings_of_ones_own_reach_every_run(runs, monkeypatch):
    wanted = []
    monkeypatch.setattr(sweep, "run_all", lambda found, _: wanted.extend(found) or pl.DataFrame({"status": ["done"]}))
    assert sweep.main(["--set", "max_epochs=2", "context=64"]) == 0
    assert [(one.settings["max_epochs"], one.settings["context"]) for one in wanted] == [(2, 64)]
    assert sweep.main(["--set", "max_epochs=two"]) == 2


def test_each_run_says_how_many_are_done(runs, capsys):
    """A bar that is switched off does not count: every line said that none was done."""
    sweep.main(["--data", "sample", "--seeds", "0", "1"])
    assert [line[:5] for line in capsys.readouterr().out.splitlines() if line.startswith("[")] == ["[1/2]", "[2/2]"]


@pytest.mark.parametrize("code", [130, -signal.SIGTERM])
def test_a_run_that_a_person_stopped_has_not_failed(runs, code):
    runs.exitcode_of = {"tiny-llama": code}
    assert sweep.main([]) == 1
    assert ledger.read(LEDGER).is_empty()


def test_another_prevalence_is_another_run(runs):
    sweep.main(["--seeds", "0"])
    sweep.main(["--seeds", "0", "--prevalence", "0.03"])
    assert len(runs.started) == 2


def test_a_failed_run_is_recorded_and_the_next_one_begins(runs, capsys):
    runs.failing = "tiny-qwen2"
    assert sweep.main(["--models", "tiny-qwen2", "tiny-llama"]) == 1
    assert len(runs.started) == 2
    assert "failed: it does not fit" in capsys.readouterr().out
    assert ledger.failures(ledger.read(LEDGER))["status"].to_list() == ["failed: it does not fit"]
    runs.failing = ""
    assert sweep.main(["--models", "tiny-qwen2", "tiny-llama"]) == 0
    assert len(runs.started) == 3
    assert ledger.failures(ledger.read(LEDGER)).is_empty()


def test_missing_data_are_a_sentence_with_exit_code_2(workspace, capsys):
    assert sweep.main(["--data", "nothing"]) == 2
    assert "data/nothing" in capsys.readouterr().err


def test_ctrl_c_ends_in_one_sentence(workspace, monkeypatch, capsys):
    """A traceback of forty lines says nothing of that the same command goes on."""

    def stopped(wanted, engine):
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "run_all", stopped)
    assert sweep.main([]) == 130
    assert "the same command goes on" in capsys.readouterr().err


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
    split = open_data("sample").manifest["split"] | {"rule": "by time: normals first"}
    set_manifest(workspace / "data" / "sample", split=split)
    assert parse_logs.main(["x", "--resplit", "data/sample", "--seed", "1"]) == 2
    assert "split by time" in capsys.readouterr().err
    assert folders.split_folder("sample", 1) == "sample"


def test_a_folder_that_cannot_be_made_stops_the_sweep_before_it_begins(workspace, monkeypatch):
    monkeypatch.setattr(folders.parse_logs, "main", lambda arguments: 2)
    with pytest.raises(BadInput, match="data/sample-split3 could not be made"):
        folders.split_folder("sample", 3)
