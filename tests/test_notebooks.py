"""The notebooks as a reader opens them, and executed from a log to a verdict on a small one."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import polars as pl
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from tests.changed import other_data

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("train", "get_k", "test")  # of one run; compare.ipynb is about many
ALL = (*NAMES, "notebooks/compare", "notebooks/supervised", "notebooks/workflows", "notebooks/words")
SAMPLES = {  # not that of the others
    "notebooks/supervised": "sample_supervised",
    "notebooks/workflows": "sample_jobs",
    "notebooks/words": "sample_update",
}


def notebook(name: str) -> nbformat.NotebookNode:
    return nbformat.read(ROOT / f"{name}.ipynb", as_version=4)


def code_cells(name: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook(name).cells if cell.cell_type == "code"]


def setting(line: str) -> str:
    """A line of the configuration without its comment."""
    return line.partition("  #")[0]


def parameters(name: str) -> str:
    return next(cell.source for cell in code_cells(name) if "parameters" in cell.metadata.get("tags", []))


@pytest.mark.parametrize("name", ALL)
def test_every_cell_compiles_and_defines_no_function_beyond_ten_lines(name):
    nbformat.validate(notebook(name))
    for cell in code_cells(name):
        tree = ast.parse(TransformerManager().transform_cell(cell.source))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        assert all(node.end_lineno - node.lineno < 10 for node in functions)
        assert len(cell.source.splitlines()) <= 25


@pytest.mark.parametrize("name", ALL)
def test_every_used_name_of_the_shared_modules_exists(name):
    """A renamed helper must not wait for a person to run into it."""
    import methods.next_key
    import utils
    from benchmarks import unstable
    from commands import compare, supervised
    from evaluation import compare as comparison
    from evaluation import fault_scores, metrics
    from evaluation.show import job_plots, label_plots, word_plots
    from runs import changes, on_jobs, trials

    modules = {"utils": utils, "compare": compare, "comparison": comparison, "supervised": supervised}
    modules |= {one.__name__.rpartition(".")[2]: one for one in (changes, job_plots, label_plots, on_jobs, trials)}
    modules |= {one.__name__.rpartition(".")[2]: one for one in (unstable, fault_scores, metrics, word_plots)}
    source = "\n".join(cell.source for cell in code_cells(name))
    shared = (
        r"(?<!\.)\b(utils|compare|comparison|supervised|label_plots|changes|trials|steps|compare_plots|floors|plots|reasons|rules"
        r"|tables|verdicts|job_plots|on_jobs|unstable|fault_scores|metrics|word_plots)\.(?!py\b|ipynb\b)(\w+)"
    )
    for module, attribute in re.findall(shared, source):
        owner = modules.get(module) or getattr(utils, module)
        assert hasattr(owner, attribute), f"{module}.{attribute}"
    for attribute in re.findall(r"\bdetector\.(\w+)\(", source):
        assert hasattr(methods.next_key.NextKey, attribute), attribute


def test_the_setup_cell_is_the_same_everywhere():
    """compare.ipynb brings more methods; how it fetches the repository on a hosted runtime is the same."""
    assert len({code_cells(name)[0].source for name in NAMES}) == 1
    assert len({code_cells(name)[0].source.partition("\n\n")[0] for name in ALL}) == 1


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="there is no repository to fetch from")
def test_the_first_cell_fetches_the_repository_on_a_hosted_runtime_and_only_there(tmp_path, monkeypatch):
    """Opened from the hub there is a notebook and nothing else: no utils.py, no requirements file."""
    source = re.sub(r'REPOSITORY = ".*?"', f'REPOSITORY = "{ROOT.as_uri()}"', code_cells("train")[0].source)
    script = (
        "import sys\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.register_magic_function(lambda line: print('pip', line), magic_name='pip')\n"
        "if sys.argv[1] == 'hosted':\n"
        "    sys.path.append('hosted')\n"
        "    import google.colab\n"
        "sys.path.insert(0, '')\n"
        "ran = shell.run_cell(open('cell.py').read())\n"
        "sys.exit(0 if ran.success else 1)\n"
    )
    (tmp_path / "hosted" / "google" / "colab").mkdir(parents=True)
    (tmp_path / "hosted" / "google" / "colab" / "__init__.py").touch()
    (tmp_path / "cell.py").write_text(source)
    (tmp_path / "job.py").write_text(script)
    environment = os.environ | {"PYTHONPATH": "", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    for runtime, works in (("hosted", True), ("local", False)):
        shutil.rmtree(tmp_path / "log-sequences", ignore_errors=True)
        command = [sys.executable, "job.py", runtime]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert (done.returncode == 0) is works, done.stdout + done.stderr
        assert any(line.startswith("pip install") for line in done.stdout.splitlines()) is works
        assert (tmp_path / "log-sequences" / "utils.py").is_file() is works


def test_one_cell_of_parameters_the_same_three_and_no_k_typed_by_hand():
    from commands import workflows

    for name in ALL:
        cells = [cell for cell in code_cells(name) if "parameters" in cell.metadata.get("tags", [])]
        assert len(cells) == 1
        same = 3 if name in NAMES else 1
        told = parameters("train").replace('"sample"  #', f'"{SAMPLES.get(name, "sample")}"  #')
        if name == "notebooks/workflows":  # the only one of several data folders: those that its command makes
            told = f"DATA = {json.dumps(workflows.read_options([]).data)}  #"
        assert [*map(setting, parameters(name).splitlines()[:same])] == [*map(setting, told.splitlines()[:same])]
        source = "\n".join(cell.source for cell in code_cells(name))
        assert not re.search(r"\bK\s*=\s*\d", source)


@pytest.mark.parametrize("name", ALL)
def test_every_parameter_is_one_that_papermill_knows(name):
    """A comment with an equals sign in quotes made it complain on every run of an unknown parameter."""
    known = papermill.inspect_notebook(ROOT / f"{name}.ipynb")
    assert list(known) == re.findall(r"^([A-Z_]+) =", parameters(name), flags=re.M)


@pytest.mark.parametrize("name", NAMES)
def test_no_title_shows_what_may_be_the_path_of_a_model(name):
    """A model in a folder headed a table with its absolute path; a run has the name of the folder alone."""
    assert not [cell.source for cell in code_cells(name) if "{MODEL}" in cell.source]


@pytest.mark.parametrize("name", ALL)
def test_committed_with_the_outputs_of_a_clean_run(name):
    path = ROOT / f"{name}.ipynb"
    assert path.stat().st_size < 1_000_000
    outputs = [output for cell in code_cells(name) for output in cell.outputs]
    shown = json.dumps(outputs)
    assert all(cell.execution_count for cell in code_cells(name))
    assert sum(output.output_type == "display_data" and "image/png" in output.data for output in outputs) >= 3
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert not re.search(r"/(home|root|work|tmp|Users)/|[A-Z]:\\\\\\\\|widget|Warning", shown)
    assert f"{SAMPLES.get(name, 'sample')} (simulated)" in shown
    assert set(notebook(name).metadata) == {"kernelspec", "language_info"}


# -------------------------------------------------------------------------------------------------------- executed


def run_job(folder: Path, *options: str) -> subprocess.CompletedProcess:
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "MPLBACKEND": "agg",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "commands.run", "--data", "small", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500)


@pytest.fixture(scope="module")
def job(tmp_path_factory, small_log):
    """The whole job on a log of 400 sessions, in a folder of its own; the finished process and the folder."""
    folder = tmp_path_factory.mktemp("job")
    log, labels = small_log
    return run_job(folder, "--spec", "hdfs", "--log", str(log), "--labels", str(labels)), folder


@pytest.mark.slow
def test_the_whole_job_ends_with_the_table_and_the_run_folder(job):
    done, _ = job
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "epoch    1   training loss" in done.stdout
    assert "trivial: unseen count vector" in done.stdout
    assert done.stdout.rstrip().splitlines()[-1].startswith("Run folder: results/small/next_key-tiny-llama-s0/")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_run_folder_holds_contract_2(job):
    run = job[1] / "results" / "small" / "next_key-tiny-llama-s0"
    files = {path.relative_to(run).as_posix() for path in run.rglob("*")}
    assert {
        "config.json", "environment.json", "model", "training.csv", "validation_scores.parquet", "decision.json",
        "test_scores.parquet", "metrics.json", "train.ipynb", "get_k.ipynb", "test.ipynb", "figures/training.png",
        "figures/false_alarms_by_k.png", "figures/f1.png", "figures/precision_recall.png", "figures/sources.png",
        "alarms.csv", "report.html",
    } <= files  # fmt: skip
    assert not [name for name in files if Path(name).name.startswith(".") or "checkpoint" in name]
    assert len(pl.read_csv(job[1] / "results" / "runs.csv")) == 15


@pytest.mark.slow
def test_methods_are_compared_on_the_same_data(job):
    command = [sys.executable, "-m", "commands.compare", "--data", "small", "--seeds", "0", "1", "--methods"]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "MPLBACKEND": "agg",
        "PYTHONPATH": str(ROOT),
    }
    command += ["classical/nearest_counts", "classical/pca", "classical/ngram"]
    done = subprocess.run(command, cwd=job[1], env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "The best row that learns nothing is" in done.stdout
    made = {path.name for path in (job[1] / "results" / "small" / "compare").iterdir()}
    assert {"compare.ipynb", "f1_by_seed.png", "precision_recall.png", "agreement.png"} <= made
    assert {"critical_difference_plain_rule.png", "critical_difference_confirmed_by_counts.png"} <= made


@pytest.mark.slow
def test_methods_that_learn_from_labels_stand_beside_a_tree(labeled, tmp_path):
    shutil.copytree(labeled, tmp_path / "data" / "small")
    asked = "--data small --seeds 0 1 --splits 0 1 --other small"
    command = [sys.executable, "-m", "commands.supervised", *asked.split()]
    command += ["--methods", "counts/tree", "words/tfidf", "classical/nearest_counts"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    folder = tmp_path / "results" / "small" / "supervised"
    figures = ("f1_by_what_is_counted", "learning_curve", "label_noise", "changed_sequences")
    made = {path.name for path in folder.iterdir()}
    assert {*(f"{name}.png" for name in figures), "supervised.ipynb", "trials.csv"} <= made
    rows = pl.read_csv(tmp_path / "results" / "runs.csv").filter(pl.col("method") == "counts")
    assert {*rows.select("split_seed", "seed").unique().rows()} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    trials = pl.read_csv(folder / "trials.csv")
    assert trials["status"].unique().to_list() == ["done"]
    assert len(trials.unique(["method", "seed", "about"])) == len(trials)


@pytest.mark.slow
def test_workflow_jobs_are_judged_from_the_table_of_jobs_to_early_verdicts(tmp_path):
    """Its command has more rows, epochs and runs than a test wants, so a script sets those; one folder is enough."""
    script = (
        "from pathlib import Path\n"
        "import parse_logs\n"
        "from commands import notebooks, workflows\n"
        "notebooks.prepare_environment()\n"
        "parse_logs.SAMPLE_RUNS = 15\n"
        "workflows.make_folders('sample_jobs', None)\n"
        "output = Path('results/sample_jobs/workflows/workflows.ipynb')\n"
        "notebooks.execute('notebooks/workflows', output, {'DATA': ['sample_jobs'], 'ROWS': 60, 'EPOCHS': 2})\n"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    asked = [sys.executable, "-c", script]
    done = subprocess.run(asked, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    folder = tmp_path / "results" / "sample_jobs" / "workflows"
    figures = ("held_out_runs", "after_jobs", "a_run", "learning_curve")
    assert {*(f"{name}.png" for name in figures), "workflows.ipynb"} <= {path.name for path in folder.iterdir()}
    rows = pl.read_csv(tmp_path / "results" / "runs.csv")
    assert {"jobs", "workers", "counts", "words"} <= set(rows["method"]) and set(rows["status"]) == {"done"}
    cells = [cell for cell in nbformat.read(folder / "workflows.ipynb", as_version=4).cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    said = [output.text for output in outputs if output.get("name") == "stderr"]
    assert "95% interval" in json.dumps(outputs) and all("n_quantiles" in text for text in said)  # see its command


@pytest.mark.slow
def test_words_are_read_of_what_comes_new_and_of_texts_that_change(tmp_path, labeled):
    """Its command has more rates than a test wants, so a script sets them."""
    shutil.copytree(labeled, tmp_path / "data" / "small")
    script = (
        "from pathlib import Path\n"
        "import parse_logs\n"
        "from commands import notebooks\n"
        "notebooks.prepare_environment()\n"
        "parse_logs.SESSIONS = 500\n"
        "parse_logs.main(['sample_update', '--protocol', 'chronological'])\n"
        "output = Path('results/sample_update/words/words.ipynb')\n"
        "notebooks.execute('notebooks/words', output, {'CHANGED': 'small', 'RATES': [0.3]})\n"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    asked = [sys.executable, "-c", script]
    done = subprocess.run(asked, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    figures = {path.as_posix() for path in (tmp_path / "results").rglob("words/*.png")}
    made = ("sample_update/words/over_time.png", "small/words/changed_count_vector.png")
    assert {(tmp_path / "results" / name).as_posix() for name in made} <= figures
    rows = pl.read_csv(tmp_path / "results" / "runs.csv")
    f1 = dict(
        rows.filter(pl.col("rule").str.starts_with("tail_probability_and_counts")).select("rule", "f1").iter_rows()
    )
    assert f1["tail_probability_and_counts"] < f1["tail_probability_and_counts_ask"]
    assert {"tail_probability_and_counts_words", "tail_probability_and_counts_ask_words"} <= set(f1)
    assert set(rows["encoder"].drop_nulls()) == {"fault words"}


@pytest.mark.slow
def test_a_second_call_does_nothing_again(job):
    run = job[1] / "results" / "small" / "next_key-tiny-llama-s0"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    done = run_job(job[1])
    assert done.returncode == 0
    assert done.stdout.count("done already") == 3
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


@pytest.mark.slow
def test_only_the_missing_step_is_done_and_gives_the_same_figures(job):
    path = job[1] / "results" / "small" / "next_key-tiny-llama-s0" / "metrics.json"
    before = json.loads(path.read_text())
    path.unlink()
    done = run_job(job[1])
    assert (done.returncode, done.stdout.count("done already")) == (0, 2)
    after = json.loads(path.read_text())
    assert (after["rules"], after["ranking"], after["data"]) == (before["rules"], before["ranking"], before["data"])


@pytest.mark.slow
def test_bad_input_inside_a_notebook_is_one_sentence_with_exit_code_2(job):
    run = job[1] / "results" / "small" / "next_key-tiny-llama-s0"
    decision, metrics = run / "decision.json", run / "metrics.json"
    kept = decision.read_text(), metrics.read_text()
    decision.write_text(json.dumps(json.loads(kept[0]) | {"data_hash": "0" * 16}))
    metrics.unlink()
    done = run_job(job[1])
    decision.write_text(kept[0])
    metrics.write_text(kept[1])
    assert done.returncode == 2
    assert done.stderr.strip().count("\n") == 0
    assert "decision.json was calibrated on data with hash 0000000000000000" in done.stderr


@pytest.mark.slow
def test_results_of_another_version_of_the_data_are_refused(job):
    folder = job[1] / "data" / "small"
    kept = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    other_data(folder)
    done = run_job(job[1])
    for path, content in kept.items():
        path.write_bytes(content)
    assert done.returncode == 2
    assert "is a run with data hash" in done.stderr
