"""The whole job: data if it is missing, then train.ipynb, get_k.ipynb and test.ipynb, and the table at the end.

    python -m commands.run                                              the simulated sample
    python -m commands.run --data hdfs --spec hdfs --log HDFS.log --labels anomaly_label.csv

`make run` calls it; without make call it yourself, on Windows too. What is done already is not done again. It stands
beside the notebooks because papermill's own command line shows a person a traceback where a sentence will do.
"""

import argparse
import logging
import os
import sys
import time
from pathlib import Path

import papermill
from papermill.exceptions import PapermillExecutionError

import parse_logs
from core.errors import EXIT_CODE, BadInput
from core.files import read_json
from evaluation.show import tables
from evaluation.show.notebook import as_text
from utils import find_run, run_folder

HERE = Path(__file__).resolve().parents[1]
STEPS = {"train": "training.csv", "get_k": "decision.json", "test": "metrics.json"}  # notebook: what it leaves


def main(arguments: list[str] | None = None) -> int:
    """Do what is missing; returns the exit code."""
    options = read_options(arguments)
    try:
        code = make_data(options)
        return code or run_notebooks(options)
    except BadInput as error:
        print(f"run.py: {error}", file=sys.stderr)
        return EXIT_CODE


def make_data(options: argparse.Namespace) -> int:
    """Call parse_logs.py unless the data folder is complete; returns its exit code."""
    folder = Path("data") / options.data
    if (folder / "manifest.json").is_file():
        print(f"data: {folder.as_posix()} is there")
        return 0
    if options.data != "sample" and options.log is None and options.spec is None:
        raise BadInput(
            f"{folder.as_posix()} does not exist; add --spec hdfs --log FILE --labels FILE (with make: SPEC=hdfs "
            "LOG=FILE LABELS=FILE; without the log it is downloaded), or make the folder with parse_logs.py"
        )
    wanted = [options.spec or options.data, "--out", str(folder)]
    for name in ("log", "labels"):
        if getattr(options, name):
            wanted += [f"--{name}", str(getattr(options, name))]
    return parse_logs.main(wanted)


def run_notebooks(options: argparse.Namespace) -> int:
    """Execute the notebooks whose result is missing, with a live log, and show the verdicts."""
    folder = run_folder(options.data, options.model, options.seed)
    if (folder / "config.json").is_file():
        find_run(options.data, options.model, options.seed)  # refuses results of another version of the data
    parameters = {"DATA": options.data, "MODEL": options.model, "SEED": options.seed}
    training = {"RECIPE": options.recipe, "KEY_EMBEDDINGS": options.key_embeddings}
    testing = {"PREVALENCE": options.prevalence}
    if options.drift:
        testing |= {"ASK_ONCE": True}
    own = {"train": training, "get_k": {}, "test": testing}
    for number, (name, result) in enumerate(STEPS.items(), start=1):
        if name == "test" and not asked_the_same(folder, options):
            (folder / result).unlink(missing_ok=True)
        if (folder / result).is_file() and (folder / f"{name}.ipynb").is_file():
            print(f"[{number}/3] {name}.ipynb: done already, see {(folder / f'{name}.ipynb').as_posix()}")
            continue
        print(f"[{number}/3] {name}.ipynb", flush=True)
        started = time.perf_counter()
        execute(name, folder / f"{name}.ipynb", parameters | own[name])
        print(f"[{number}/3] {name}.ipynb took {time.perf_counter() - started:.0f} s", flush=True)
    found = read_json(folder / "metrics.json", "run test.ipynb first.")
    simulated = " (simulated)" if found["data"]["simulated"] else ""
    print(f"\n{as_text(tables.verdicts(found), f'{options.data}{simulated}, {options.model}, seed {options.seed}')}")
    print(f"\n{tables.conclusion(found)}\nRun folder: {folder.as_posix()}/ (notebooks, figures, scores, metrics.json)")
    return 0


def asked_the_same(folder: Path, options: argparse.Namespace) -> bool:
    """Whether the verdicts of an earlier call are those of the same prevalence and drift handling, if there are any."""
    if not (folder / "metrics.json").is_file():
        return True
    found = read_json(folder / "metrics.json", "run test.ipynb first.")
    prevalence = found["at_prevalence"]["prevalence"] if found.get("at_prevalence") else None
    wanted = options.prevalence if found["data"]["test_anomalies"] else None  # without labels there is nothing to weigh
    return prevalence == wanted and ("questions" in found) == options.drift


def execute(name: str, output: Path, parameters: dict) -> None:
    """Run one notebook in the current folder; what it prints streams to the terminal."""
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}")
    try:
        papermill.execute_notebook(
            HERE / f"{name}.ipynb",
            partial,
            parameters,
            kernel_name="python3",
            progress_bar=False,
            log_output=True,
            extra_arguments=["--log-level=ERROR"],  # of the kernel, which warns of its own local sockets
        )
    except PapermillExecutionError as error:
        if error.ename == "BadInput":
            raise BadInput(error.evalue) from None
        raise
    partial.replace(output)


def show_cell_output() -> None:
    """Print what the cells print and nothing of papermill's own messages."""
    log = logging.getLogger("papermill")
    log.setLevel(logging.INFO)
    log.addHandler(logging.StreamHandler(sys.stdout))
    log.addFilter(_is_cell_output)
    log.propagate = False


def _is_cell_output(record: logging.LogRecord) -> bool:
    record.msg = str(record.msg).rstrip("\n")  # the handler adds one
    return record.funcName == "log_output_message"


def prepare_environment() -> None:
    """For the kernels: import this repository, no foreign kernel, and threads that wait without spinning.

    Two spinning threads collapse many-fold beside any other busy process; passive waiting costs a little when alone.
    """
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    os.environ.pop("JUPYTER_PATH", None)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="sample", help="folder of data/ (default: sample, simulated)")
    parser.add_argument("--model", default="tiny-llama", help="MODEL of the notebooks (default: tiny-llama)")
    parser.add_argument("--seed", type=int, default=0, help="SEED of the notebooks (default: 0)")
    parser.add_argument("--recipe", help="RECIPE of train.ipynb: tiny, lora or paper (default: by the model)")
    parser.add_argument("--key-embeddings", help="KEY_EMBEDDINGS of train.ipynb: template, random or paper")
    parser.add_argument("--prevalence", type=float, help="PREVALENCE of test.ipynb: weigh the normals to this share")
    parser.add_argument("--drift", action="store_true", help="ASK_ONCE of test.ipynb")
    parser.add_argument("--spec", help="data set of parse_logs.py, to make the data folder from --log and --labels")
    parser.add_argument("--log", type=Path, help="raw log, plain or .gz")
    parser.add_argument("--labels", type=Path, help="CSV with BlockId,Label")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    prepare_environment()
    show_cell_output()
    sys.exit(main())
