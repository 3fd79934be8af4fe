"""The whole job: data if it is missing, then train.ipynb, get_k.ipynb and test.ipynb, and the table at the end.

    python -m commands.run                                              the simulated sample
    python -m commands.run --data hdfs --spec hdfs --log HDFS.log --labels anomaly_label.csv
    python -m commands.run --data my --log my.log [--format auto] [--session REGEX | --window 60s] [--alpha 0.05]
    python -m commands.run --set learning_rate=1e-3 max_epochs=8        other than the recipe of the model says

`make run` calls it; without make call it yourself, on Windows too. What is done already is not done again; a run that
was asked another question is refused, or, where the model stays the same, its test is done again.
"""

import argparse
import sys
import time
from pathlib import Path

import polars as pl

from commands.folders import make_data
from commands.notebooks import Kernels, execute, prepare_environment
from commands.options import ALPHA, changes, check, parser_of, said
from core import cells
from core.data import open_data
from evaluation import ledger, stored
from evaluation.report.ranked import STRANGEST
from evaluation.show import tables
from evaluation.show.text import as_text
from methods.parts import choices
from methods.words.reader import TemplateReader
from runs import handling, marks
from runs.concerns import concerns
from runs.folder import LEDGER, Run, find_run, hold, refuse_other, run_folder, wanted_config

STEPS = {"train": "training.csv", "get_k": "decision.json", "test": "metrics.json"}  # notebook: what it leaves


def main(arguments: list[str] | None = None) -> int:
    """Do what is missing; return the exit code."""
    options = read_options(arguments)
    return said(lambda: run(options))


def run(options: argparse.Namespace) -> int:
    """Make the data, execute the notebooks, and print how it ended."""
    check(options)
    make_data(options)
    data = open_data(options.data)
    handling.check(data, options.unseen)
    reader(options).check()
    for concern in concerns(data, alpha_of(options)):
        print(f"before training: {concern}")
    folder = run_folder(options.data, options.model, options.seed)
    with hold(folder):
        run_notebooks(options)
    done = find_run(options.data, options.model, options.seed)
    found = done.read_metrics()
    print(f"\n{as_text(tables.headline(found), done.label)}")
    if not tables.is_labeled(found):
        print(f"\n{strangest(folder)}")
    print(f"\n{tables.conclusion(found)}")
    if lost := tables.shortfall(done.read_decision()):
        print(lost)
    print(f"Run folder: {folder.as_posix()}/ (open report.html there, or the notebooks)")
    return 0


def strangest(folder: Path) -> str:
    """Return the head of strangest.csv of a run as a table; nobody has labeled its log."""
    kinds: dict[str, type[pl.DataType] | pl.DataType] = {
        "line": pl.String,
        "sequence_id": pl.String,
        "time": pl.Datetime("us"),
        "raw": pl.String,
    }
    listed = cells.unguard(pl.read_csv(folder / STRANGEST, glob=False, schema_overrides=kinds))
    came = pl.coalesce(pl.col("raw").str.head(120), "template").alias("came")
    shown = listed.head(10).select("rank", "is_alarm", "sequence_id", "time", "line", came, "reason")
    return as_text(shown, "The strangest test sequences, whatever the threshold")


def alpha_of(options: argparse.Namespace) -> float:
    """Return the false-alarm rate that is asked for: --alpha, else that of the run if it is calibrated, else 1%."""
    path = run_folder(options.data, options.model, options.seed) / "decision.json"
    if options.alpha is None and path.is_file():
        return stored.read_decision(path, "remove it and make run does.")["alpha"]
    return options.alpha or ALPHA


def run_notebooks(options: argparse.Namespace) -> None:
    """Execute the notebooks whose result is missing, and all after the first of them, with what they print."""
    folder, begun = run_folder(options.data, options.model, options.seed), begun_run(options)
    parameters = {"DATA": options.data, "MODEL": options.model, "SEED": options.seed}
    own = {
        "train": {"RECIPE": options.recipe, "SET": changes(options), "KEY_EMBEDDINGS": options.key_embeddings},
        "get_k": {"ALPHA": alpha_of(options)},
        "test": {"PREVALENCE": options.prevalence, "UNSEEN": options.unseen, "ENCODER": options.encoder},
    }
    done = steps_done(begun, options) if begun else 0
    with Kernels() as kernels:
        for number, name in enumerate(STEPS, start=1):
            output = folder / f"{name}.ipynb"
            if number <= done:
                print(f"[{number}/3] {name}.ipynb: done already, see {output.as_posix()}")
                continue
            if number == done + 1:
                unmark(folder, list(STEPS)[done:])
            print(f"[{number}/3] {name}.ipynb", flush=True)
            started = time.perf_counter()
            execute(name, output, parameters | own[name], kernels, another=number < len(STEPS))
            print(f"[{number}/3] {name}.ipynb took {time.perf_counter() - started:.0f} s", flush=True)
    if done < len(STEPS):
        marks.mark(
            find_run(options.data, options.model, options.seed),
            question(options, find_run(options.data, options.model, options.seed)),
        )


def begun_run(options: argparse.Namespace) -> Run | None:
    """Return the run that is in the folder, None if there is none; raise BadInput if it is another one than asked for.

    A checkpoint in 4 bits and its original count as the same: which one is used depends on the machine.
    """
    data = open_data(options.data)
    asked = (options.model, options.recipe, options.key_embeddings)
    settings = choices.wanted_settings(*asked, data.templates, changes(options))
    if not (run_folder(options.data, options.model, options.seed) / "config.json").is_file():
        return None
    begun = find_run(options.data, options.model, options.seed)
    own = begun.config["settings"]
    if isinstance(own.get("checkpoint"), str):
        own = own | {"checkpoint": choices.original(own["checkpoint"])}
    wanted = wanted_config(data, options.model, options.seed, settings)
    refuse_other(begun.folder, begun.config | {"settings": own}, wanted)
    return begun


def reader(options: argparse.Namespace) -> TemplateReader:
    """Return what reads new templates; only the ways by words load it."""
    return TemplateReader(options.encoder if options.unseen in handling.WORDS else None)


def question(options: argparse.Namespace, begun: Run) -> dict:
    """Return what the test is asked, as the mark of a run keeps it."""
    read = reader(options).identity if options.unseen in handling.WORDS else None
    answers = handling.answered(begun, options.unseen)
    return {"prevalence": options.prevalence, "unseen": options.unseen, "reader": read, "answers": answers}


def steps_done(begun: Run, options: argparse.Namespace) -> int:
    """Return how many steps are complete, from the first one on; raise BadInput if what they left is damaged.

    An executed notebook is written after everything that it leaves.
    """
    left = [all((begun.folder / file).is_file() for file in (f"{name}.ipynb", made)) for name, made in STEPS.items()]
    if not (left[0] and begun.is_trained):
        return 0
    if not left[1]:
        return 1
    decision = begun.read_decision()
    if decision["alpha"] != alpha_of(options):
        return 1
    data, config = begun.data.manifest["data_hash"], begun.config
    about = (data, config["method"], config["model"], config["seed"], None, decision["alpha"])
    answered = left[2] and marks.is_marked(begun, question(options, begun))
    return 3 if answered and len(ledger.finished(ledger.read(LEDGER), *about)) else 2


def unmark(folder: Path, names: list[str]) -> None:
    """Remove what says that these steps are complete, before one of them changes anything."""
    for file in (marks.NAME, *(f"{name}.ipynb" for name in names)):
        (folder / file).unlink(missing_ok=True)


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    names = ("data", "model", "seed", "recipe", "set", "key-embeddings", "alpha", "prevalence", "unseen", "encoder")
    parser = parser_of(__doc__, *(f"--{name}" for name in names))
    parser.add_argument("--spec", help="data set of parse_logs.py, to make the data folder from --log and --labels")
    parser.add_argument("--format", help="of a log of your own: how its lines begin (default: auto)")
    parser.add_argument("--session", metavar="REGEX", help="of a log of your own: the ids in messages that group lines")
    parser.add_argument("--window", metavar="60s", help="of a log of your own: windows of time")
    parser.add_argument("--log", type=Path, help="raw log, plain or packed")
    parser.add_argument(
        "--labels", type=Path, help="labels by session (BlockId,Label), line (line,Label) or time (start,end)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    prepare_environment()
    sys.exit(main())
