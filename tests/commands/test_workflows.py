"""make workflows: data folders that are missing are made, others left, and a wrong name is one sentence."""

import json
import shlex
import shutil
from functools import partial
from pathlib import Path

import nbformat
import pytest

import parse_logs
from commands import workflows
from core.data import open_data
from core.errors import BadInput
from methods.supervised.jobs import Jobs
from parsing.workflows.simulate import write_runs
from parsing.workflows.specs import ALL, SIMULATED
from tests.fits import fitted

ROOT = Path(__file__).resolve().parents[2]
BOTH = ("data/1000genome", "data/1000genome_published")


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    """Twelve simulated runs, in the files of FlowBench."""
    return write_runs(tmp_path_factory.mktemp("log") / "flowbench", "1000genome", 12, 0)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def states() -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in Path("data").rglob("*") if path.is_file()}


def refused(capsys, *words: str) -> str:
    """The one sentence, without a traceback, that ends the command with exit code 2."""
    capsys.readouterr()
    assert workflows.main([*words]) == 2
    said = capsys.readouterr().err.strip()
    assert said and "\n" not in said and "Traceback" not in said
    return said


# ------------------------------------------------------------------------------------------------------------- folders


def test_both_folders_are_made_of_the_same_runs_and_differ_in_the_split(log, here):
    """Were both of one protocol, what the published split hides would not show."""
    workflows.make_folders("1000genome", log)
    runs, rows = (open_data(Path(name).name) for name in BOTH)
    assert len(runs.jobs) == len(rows.jobs) and runs.jobs["job"].equals(rows.jobs["job"])
    splits = [{*data.jobs.select("run", "split").unique().iter_rows()} for data in (runs, rows)]
    assert len(splits[0]) == 12 < len(splits[1])
    assert len(rows.sequences) == len(rows.jobs) > len(runs.sequences)
    assert (runs.has_one_split, rows.has_one_split) == (False, True)


def test_folders_that_are_there_are_left_as_they_are(log, here):
    workflows.make_folders("1000genome", log)
    before = states()
    workflows.make_folders("1000genome", log)
    assert states() == before
    workflows.make_folders("1000genome", here / "nowhere")  # nothing is missing, so no runs are read
    assert states() == before


def test_only_the_folder_that_is_missing_is_made(log, here):
    workflows.make_folders("1000genome", log)
    before = states()
    shutil.rmtree(BOTH[1])
    workflows.make_folders("1000genome", log)
    after = states()
    assert {path for path, state in before.items() if state != after.get(path)} <= {*Path(BOTH[1]).rglob("*")}
    assert open_data("1000genome_published").has_jobs


def test_a_simulated_workflow_needs_no_runs_and_says_that_it_is_simulated(here):
    workflows.make_folders("sample_jobs", None)
    for name in ("sample_jobs", "sample_jobs_published"):
        assert open_data(name).has_jobs and open_data(name).label == f"{name} (simulated)"


@pytest.mark.parametrize("taken", ["1000genome", "1000genome_published"])
def test_a_folder_of_that_name_without_jobs_is_refused_and_stays(taken, log, here, sample, capsys):
    """A log that a person parsed under this name must be neither judged as jobs nor replaced."""
    shutil.copytree(sample, here / "data" / taken)
    before = states()
    said = refused(capsys, "--data", "1000genome", "--log", str(log))
    assert f"data/{taken} holds no jobs; remove it, and the same command makes it again." in said
    assert before.items() <= states().items()


def test_runs_that_are_not_there_are_a_sentence_and_leave_no_folder(here, capsys):
    capsys.readouterr()
    assert workflows.main(["--data", "1000genome", "--log", "nowhere"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not Path("data/1000genome").exists()


def test_the_remedy_of_a_damaged_published_folder_is_a_command_that_makes_it_again(log, here, capsys):
    workflows.make_folders("1000genome", log)
    folder = Path(BOTH[1])
    (folder / "jobs.parquet").write_bytes((Path("data/1000genome") / "jobs.parquet").read_bytes())
    with pytest.raises(BadInput, match="make it again with: python ") as raised:
        open_data(folder.name)
    words = shlex.split(str(raised.value).rpartition("python parse_logs.py ")[2].replace("FOLDER", str(log)))
    assert parse_logs.main(words) == 0
    assert open_data(folder.name).has_one_split


@pytest.mark.filterwarnings("error:n_quantiles")
@pytest.mark.parametrize("model", ["logistic", "neighbors"])
def test_few_runs_are_learned_without_a_warning_in_the_notebook(model, log, here):
    """Of fewer than 1,000 jobs to learn from, there are as many quantiles as jobs; that is no reason for red text."""
    workflows.make_folders("1000genome", log)
    fitted(partial(Jobs, model), open_data("1000genome"))


# ------------------------------------------------------------------------------------------------------ command line


def test_an_unknown_workflow_is_one_sentence_with_those_there_are(here, capsys):
    said = refused(capsys, "--data", "nope")
    assert "There is no workflow 'nope'" in said and all(name in said for name in ALL)
    assert not list(here.iterdir())


@pytest.mark.parametrize("words", [["--data", "../x"], ["--splits", "-1"], ["--model", ""]])
def test_what_is_out_of_range_is_refused_before_a_folder_is_made(words, here, capsys):
    refused(capsys, *words)
    assert not list(here.iterdir())


def test_by_default_two_simulated_workflows_one_split_and_no_model():
    options = workflows.read_options([])
    assert options.data == [*SIMULATED] == ["sample_jobs", "sample_mosaic"]
    assert (options.log, options.splits, options.model, options.asked) == (None, [0], None, None)


def test_options_are_read_as_lists_and_paths():
    words = "--data montage 1000genome --log runs --splits 0 1 --model tiny-bert --asked tiny-llama"
    options = workflows.read_options(words.split())
    assert (options.data, options.splits, options.log) == (["montage", "1000genome"], [0, 1], Path("runs"))
    assert (options.model, options.asked) == ("tiny-bert", "tiny-llama")


def test_the_notebook_gets_the_options_under_names_that_it_has(log, here, monkeypatch, capsys):
    """Papermill adds a parameter that the notebook does not know, and nothing would come of it."""
    called = []
    monkeypatch.setattr(workflows, "execute", lambda *given: called.append(given))
    assert workflows.main(["--data", "1000genome", "--log", str(log), "--splits", "0", "1"]) == 0
    ((name, output, given),) = called
    assert (name, output) == ("notebooks/workflows", Path("results/1000genome/workflows/workflows.ipynb"))
    assert given == {"DATA": ["1000genome"], "SPLITS": [0, 1], "MODEL": None, "ASKED": None}
    cells = nbformat.read(ROOT / f"{name}.ipynb", as_version=4).cells
    (cell,) = (cell for cell in cells if "parameters" in cell.metadata.get("tags", []))
    known = {line.partition(" = ")[0]: line.partition(" = ")[2] for line in cell.source.splitlines()}
    assert set(given) <= set(known)
    assert json.loads(known["DATA"].partition("  #")[0]) == [*SIMULATED]
    assert "make table PROMOTE=1000genome" in capsys.readouterr().out
