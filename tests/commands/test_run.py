"""A second call does what is missing for its own question, and never shows the answer to another one."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from commands import run
from core.data import open_data
from core.errors import BadInput
from core.files import lock
from evaluation import ledger
from methods.parts import choices
from runs import many, marks, steps, task
from runs.folder import LEDGER, find_run, run_folder, start_run, wanted_config
from runs.handling import answered
from tests.changed import other_data
from tests.core.test_files import in_processes
from tests.runs.test_runs import fake_score, trained_in

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path("results/sample/next_key-tiny-llama-s0")
QUESTION = {"prevalence": None, "unseen": "alarm", "reader": None}


class Killed(BaseException):
    """What SIGKILL leaves behind, without ending the tests."""


class Notebooks:
    """Stands in for the three notebooks: the same steps, without a model; `dies_after` a file of the run folder."""

    def __init__(self) -> None:
        self.executed, self.dies_after = [], None

    def __call__(self, name: str, output: Path, parameters: dict, kernels: object, another: bool) -> None:
        self.executed.append(name)
        getattr(self, name)(parameters)
        output.write_text(json.dumps(parameters))

    def train(self, parameters: dict) -> None:
        asked = (parameters["MODEL"], parameters["RECIPE"], parameters["KEY_EMBEDDINGS"])
        settings = choices.wanted_settings(*asked, open_data("sample").templates, parameters["SET"])
        trained_in(start_run(parameters["DATA"], parameters["MODEL"], parameters["SEED"], settings))

    def get_k(self, parameters: dict) -> None:
        own = find_run(parameters["DATA"], parameters["MODEL"], parameters["SEED"])
        steps.calibrate(own, steps.score(own, "validation", fake_score), 0.05)

    def test(self, parameters: dict) -> None:
        own = find_run(parameters["DATA"], parameters["MODEL"], parameters["SEED"])
        decision = own.read_decision()
        judged, found = steps.judge(own, steps.score(own, "test", fake_score), decision, parameters["PREVALENCE"])
        if self.dies_after == "metrics.json":
            raise Killed
        steps.record(own, found, decision)
        steps.report(own, judged, {}, lambda prefixes: [[] for _ in prefixes])


@pytest.fixture
def notebooks(workspace, monkeypatch) -> Notebooks:
    stand_in = Notebooks()
    monkeypatch.setattr(run, "execute", stand_in)
    return stand_in


def test_a_finished_run_is_not_done_again(notebooks, capsys):
    assert run.main([]) == run.main([]) == 0
    assert notebooks.executed == ["train", "get_k", "test"]
    assert capsys.readouterr().out.count("done already") == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--recipe", "paper"], "context 512, not 128"),
        (["--key-embeddings", "paper"], "can only be 'random'"),
        (["--set", "learning_rate=1e-3"], "learning rate 0.002, not 0.001"),
    ],
)
def test_another_recipe_is_refused_and_does_not_get_the_first_answer(arguments, said, notebooks, capsys):
    run.main([])
    before = {path: path.stat().st_mtime_ns for path in FOLDER.rglob("*")}
    assert run.main(arguments) == 2
    assert said in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in FOLDER.rglob("*")} == before
    assert notebooks.executed == ["train", "get_k", "test"]


def checkpoint(folder: Path, content: str) -> str:
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text(content)
    return str(folder)


def test_another_checkpoint_of_the_same_folder_name_is_refused(notebooks, capsys):
    """B was shown with the scores of A."""
    first, second = checkpoint(Path("m1/final"), "one"), checkpoint(Path("m2/final"), "two")
    assert run.main(["--model", first]) == 0
    assert run.main(["--model", first]) == 0
    assert run.main(["--model", second]) == 2
    assert "is a run with checkpoint hash" in capsys.readouterr().err
    (Path(first) / "model.safetensors").write_text("trained on")
    assert run.main(["--model", first]) == 2


def test_settings_of_ones_own_stand_in_the_config_and_no_path_in_the_title(notebooks, capsys):
    """The table at the end was headed by the absolute path of a local model, which names the machine."""
    model = checkpoint(Path("m1/final").absolute(), "one")
    arguments = ["--model", model, "--set", "max_epochs=8", "learning_rate=1e-3"]
    assert run.main(arguments) == run.main(arguments) == 0
    said = capsys.readouterr().out
    assert "sample (simulated), final, seed 0" in said and "m1" not in said
    settings = json.loads(Path("results/sample/next_key-final-s0/config.json").read_text())["settings"]
    assert (settings["max_epochs"], settings["learning_rate"]) == (8, 1e-3)
    assert run.main(["--model", model]) == 2
    assert "max epochs 8, not 16" in capsys.readouterr().err


def test_a_setting_that_is_not_there_is_a_sentence_with_exit_code_2(notebooks, capsys):
    assert run.main(["--set", "epochs=8"]) == 2
    assert "'epochs=8' names no setting; write name=value, with one of context, batch_size" in capsys.readouterr().err
    assert not FOLDER.exists() and not notebooks.executed


def test_other_key_embeddings_of_a_checkpoint_are_refused(notebooks, capsys):
    model = checkpoint(Path("m1/final"), "one")
    run.main(["--model", model])
    assert run.main(["--model", model, "--key-embeddings", "template"]) == 2
    assert "key embeddings random, not template" in capsys.readouterr().err


def test_a_run_that_was_begun_with_a_gpu_is_shown_without_one(notebooks):
    """The 4-bit build and its original are the same MODEL; which one is used depends on the machine."""
    assert run.main(["--model", "llama-3.2-1b"]) == 0
    path = run_folder("sample", "llama-3.2-1b", 0) / "config.json"
    config = json.loads(path.read_text())
    config["settings"]["checkpoint"] = choices.PRESETS["llama-3.2-1b"]
    path.write_text(json.dumps(config))
    assert run.main(["--model", "llama-3.2-1b"]) == 0
    assert len(notebooks.executed) == 3


def test_a_new_version_of_the_data_is_refused(notebooks, capsys):
    run.main([])
    other_data(Path("data/sample"))
    assert run.main([]) == 2
    assert "is a run with data hash" in capsys.readouterr().err


def test_another_prevalence_does_the_test_again_alone(notebooks):
    run.main([])
    run.main(["--prevalence", "0.03"])
    assert notebooks.executed == ["train", "get_k", "test", "test"]
    assert set(ledger.read(LEDGER)["prevalence"]) == {None, 0.03}
    run.main(["--prevalence", "0.03"])
    assert len(notebooks.executed) == 4
    run.main([])
    assert len(notebooks.executed) == 5


def test_a_test_that_was_killed_after_its_figures_is_done_again(notebooks, capsys):
    """The notebook, alarms and report stayed those of the question before for good, and no row reached the ledger."""
    run.main([])
    notebooks.dies_after = "metrics.json"
    with pytest.raises(Killed):
        run.main(["--prevalence", "0.03"])
    assert json.loads((FOLDER / "metrics.json").read_text())["at_prevalence"]["prevalence"] == 0.03
    notebooks.dies_after = None
    assert run.main(["--prevalence", "0.03"]) == 0
    assert set(ledger.read(LEDGER)["prevalence"]) == {None, 0.03}
    assert json.loads((FOLDER / "test.ipynb").read_text())["PREVALENCE"] == 0.03
    assert capsys.readouterr().out.count("3/3] test.ipynb: done already") == 0


def test_a_verdict_that_another_notebook_changed_is_not_taken_for_this_one(notebooks):
    """test.ipynb run by hand with the same PREVALENCE leaves figures, but not the report of `make run`."""
    run.main([])
    own = find_run("sample", "tiny-llama", 0)
    steps.calibrate(own, steps.score(own, "validation", fake_score), 0.01)
    run.main([])
    assert notebooks.executed[3:] == ["test"]
    assert marks.is_marked(own, QUESTION | {"answers": answered(own, "alarm")})
    (FOLDER / marks.NAME).write_text("{")
    assert not marks.is_marked(own, QUESTION | {"answers": answered(own, "alarm")})


def test_a_model_trained_again_takes_every_later_step_again(notebooks):
    run.main([])
    (FOLDER / "train.ipynb").unlink()
    run.main([])
    assert notebooks.executed[3:] == ["train", "get_k", "test"]


def test_rows_that_are_gone_from_the_ledger_come_back(notebooks):
    run.main([])
    LEDGER.unlink()
    run.main([])
    assert len(ledger.read(LEDGER)) == 15


@pytest.mark.slow
def test_a_second_command_on_one_run_folder_is_told_so(notebooks, capsys):
    with lock(FOLDER):
        code = "import sys; from commands import run; sys.exit(run.main([]))"
        environment = {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PATH": ""}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.strip().endswith(
        "results/sample/next_key-tiny-llama-s0 is held by another process; wait until it ends, then try again."
    )
    assert run.main([]) == 0


def test_many_runs_refuse_another_question_before_the_first_one_begins(workspace, monkeypatch):
    run_of = {"method": "next_key", "model": "tiny-llama", "folder": "sample", "seed": 0, "alpha": 0.01}
    trained_in(start_run("sample", "tiny-llama", 0, {"context": 8}))
    monkeypatch.setattr(many, "_run", lambda *_: pytest.fail("it began"))
    with pytest.raises(BadInput, match="is a run with context 8, not 16"):
        many.run_all([task.Wanted(None, settings={"context": 16}, **run_of)])


@pytest.mark.slow
def test_what_is_asked_is_known_without_the_libraries_of_models(workspace):
    code = (
        "import sys\n"
        "import commands.run\n"
        "from methods.parts.choices import wanted_settings\n"
        "wanted_settings('tiny-llama', None, None, {})\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), 'a second `make run` would take ten seconds'\n"
    )
    in_processes(1, code, workspace)


def test_what_is_wanted_is_what_the_detector_describes(workspace):
    from methods.next_key import NextKey

    data = open_data("sample")
    folder = checkpoint(Path("m1/final"), "one")
    for model in ("tiny-llama", "llama-3.2-1b", folder):
        settings = choices.wanted_settings(model, None, None, data.templates)
        described = NextKey(model, 0, templates=data.templates).describe()
        assert wanted_config(data, model, 0, settings) == wanted_config(data, model, 0, described)
    shutil.rmtree("m1")


@pytest.mark.slow
def test_an_own_log_without_labels_is_ranked_and_nothing_is_called_false(notebooks_here, tmp_path, monkeypatch, capsys):
    """600 sessions, 12 of them bad, no labels: they were ranks 1 to 5 of a file that nobody showed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    lines = []
    for number in range(300):
        at, job = f"2026-03-02 {8 + number // 60:02d}:{number % 60:02d}", f"job {number:08x}"
        lines += [f"{at}:01 INFO queue: picked {job}", f"{at}:02 INFO worker: started {job} on host n{number % 7}"]
        lines += [f"{at}:0{3 + beat} INFO worker: heartbeat of {job}" for beat in range(0 if number % 50 == 17 else 2)]
        lines += [f"{at}:09 INFO worker: finished {job}"]
    Path("jobs.log").write_text("\n".join(lines) + "\n")
    own = ["--format", "<Date> <Time> <Level> <Component>: <Content>", "--session", "job [0-9a-f]{8}"]
    arguments = ["--data", "jobs", "--log", "jobs.log", "--model", "tiny-gpt2", *own]
    assert run.main(arguments) == 0
    said = capsys.readouterr().out
    assert "before training: A false-alarm rate of 1.0% needs 99" in said
    assert "There are no labels" in said and "false alarms" not in said
    assert re.search(r"1  no .* 2026-03-02 \d\d:\d\d:01  \d+ +2026-03-02 .* INFO worker: finished job", said)
    assert "The strangest test sequences" in said and "ALPHA = 1.0% is not promised" in said
    folder = Path("results/jobs/next_key-tiny-gpt2-s0")
    listed = pl.read_csv(folder / "strangest.csv")
    data = pl.read_parquet("data/jobs/sequences.parquet").filter(pl.col("split") == "test")
    bad = set(data.filter(pl.col("keys").list.len() == 3)["sequence_id"])
    assert bad and set(listed["sequence_id"][: len(bad)]) == bad
    html = (folder / "report.html").read_text()
    assert "The strangest, whatever the threshold" in html
    first = listed.row(0, named=True)
    assert html.count(first["raw"]) and f"{first['time']:.19}".replace("T", " ") in html
    assert run.main([*arguments, "--alpha", "0.1"]) == 0
    assert json.loads((folder / "decision.json").read_text())["alpha"] == 0.1
    assert "is not promised" not in capsys.readouterr().out
