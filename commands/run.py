"""The whole job: data if it is missing, then train.ipynb, get_k.ipynb and test.ipynb, and the table at the end.

    python -m commands.run                                              the simulated sample
    python -m commands.run --data hdfs --spec hdfs --log HDFS.log --labels anomaly_label.csv

`make run` calls it; without make call it yourself, on Windows too. What is done already is not done again.
"""

import argparse
import sys
import time
from pathlib import Path

from commands.folders import make_data
from commands.notebooks import execute, prepare_environment
from commands.options import parser_of, said_in_a_sentence
from core.files import read_json
from evaluation.show import tables
from evaluation.show.notebook import as_text
from runs.folder import find_run, run_folder

STEPS = {"train": "training.csv", "get_k": "decision.json", "test": "metrics.json"}  # notebook: what it leaves


def main(arguments: list[str] | None = None) -> int:
    """Do what is missing; return the exit code."""
    options = read_options(arguments)
    return said_in_a_sentence(lambda: run(options))


def run(options: argparse.Namespace) -> int:
    """Make the data, execute the notebooks, and print how it ended."""
    make_data(options)
    run_notebooks(options)
    folder = run_folder(options.data, options.model, options.seed)
    found = read_json(folder / "metrics.json", "run test.ipynb first.")
    simulated = " (simulated)" if found["data"]["simulated"] else ""
    print(f"\n{as_text(tables.headline(found), f'{options.data}{simulated}, {options.model}, seed {options.seed}')}")
    print(f"\n{tables.conclusion(found)}\nRun folder: {folder.as_posix()}/ (open report.html there, or the notebooks)")
    return 0


def run_notebooks(options: argparse.Namespace) -> None:
    """Execute the notebooks whose result is missing, with what they print."""
    folder = run_folder(options.data, options.model, options.seed)
    if (folder / "config.json").is_file():
        find_run(options.data, options.model, options.seed)  # refuses results of another version of the data
    parameters = {"DATA": options.data, "MODEL": options.model, "SEED": options.seed}
    own = {
        "train": {"RECIPE": options.recipe, "KEY_EMBEDDINGS": options.key_embeddings},
        "get_k": {},
        "test": {"PREVALENCE": options.prevalence, "ASK_ONCE": options.drift},
    }
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


def asked_the_same(folder: Path, options: argparse.Namespace) -> bool:
    """Return whether the verdicts of an earlier call, if any, have the same prevalence and handling of unseen keys."""
    if not (folder / "metrics.json").is_file():
        return True
    found = read_json(folder / "metrics.json", "run test.ipynb first.")
    prevalence = found["at_prevalence"]["prevalence"] if found.get("at_prevalence") else None
    wanted = options.prevalence if found["data"]["test_anomalies"] else None  # without labels there is nothing to weigh
    return prevalence == wanted and ("questions" in found) == options.drift


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of(
        __doc__, "--data", "--model", "--seed", "--recipe", "--key-embeddings", "--prevalence", "--drift"
    )
    parser.add_argument("--spec", help="data set of parse_logs.py, to make the data folder from --log and --labels")
    parser.add_argument("--log", type=Path, help="raw log, plain or packed")
    parser.add_argument("--labels", type=Path, help="CSV with BlockId,Label")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    prepare_environment()
    sys.exit(main())
