"""The options that several commands share, and how each of them begins and ends."""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from core.asked import UNSEEN, check_alpha, check_data, check_model, check_prevalence, check_seed, check_unseen
from core.cluster import LOCAL, RAY, check_engine
from core.ending import GOES_ON, said_in_a_sentence

ALPHA = 0.01  # the false-alarm rate of get_k.ipynb and compare.ipynb, for runs without a notebook
SHARED: dict[str, dict] = {
    "--data": {"default": "sample", "help": "folder of data/ (default: sample, simulated)"},
    "--model": {"default": "tiny-llama", "help": "MODEL of the notebooks (default: tiny-llama)"},
    "--seed": {"type": int, "default": 0, "help": "SEED of the notebooks (default: 0)"},
    "--seeds": {"nargs": "+", "type": int, "default": [0], "help": "seeds of weights and split (default: 0)"},
    "--recipe": {"help": "RECIPE of train.ipynb: tiny, lora or paper (default: by the model)"},
    "--set": {"nargs": "+", "metavar": "NAME=VALUE", "help": "SET of train.ipynb: what differs from the recipe"},
    "--key-embeddings": {"help": "KEY_EMBEDDINGS of train.ipynb: template, random or paper"},
    "--prevalence": {"type": float, "help": "PREVALENCE of test.ipynb: weigh the normals to this share of anomalies"},
    "--unseen": {"default": UNSEEN[0], "help": f"UNSEEN of test.ipynb: {', '.join(UNSEEN)} (default: {UNSEEN[0]})"},
    "--alpha": {"type": float, "help": "ALPHA of get_k.ipynb: share of normal sequences that may be flagged (0.01)"},
    "--engine": {
        "default": LOCAL,
        "help": f"ENGINE of the runs: {LOCAL}, or {RAY}, where each is a task of a cluster (default: {LOCAL})",
    },
    "--encoder": {"help": "ENCODER of the notebooks: what reads words, by its name on the hub or its folder"},
}


def parser_of(description: str | None, *shared: str) -> argparse.ArgumentParser:
    """Return a parser that has these of the shared options; a command adds its own."""
    name = f"python -m commands.{Path(sys.argv[0]).stem}"
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(name, description=description, formatter_class=form)
    for name in shared:
        parser.add_argument(name, **SHARED[name])
    return parser


def changes(options: argparse.Namespace) -> str | None:
    """Return what --set asks for, as SET of train.ipynb has it."""
    return " ".join(options.set) if options.set else None


def check(options: argparse.Namespace) -> None:
    """Refuse what is out of range, before anything is touched; raise BadInput."""
    checks: dict[str, Callable] = {
        "data": check_data,
        "model": check_model,
        "seed": check_seed,
        "split": check_seed,
        "prevalence": check_prevalence,
        "alpha": check_alpha,
        "unseen": check_unseen,
        "engine": check_engine,
    }
    for name, check_one in checks.items():
        for value in (*_values(options, name), *_values(options, f"{name}s")):
            check_one(value)


def _values(options: argparse.Namespace, name: str) -> Iterable:
    given = getattr(options, name, None)
    return given if isinstance(given, list) else [] if given is None else [given]


def said(work: Callable[[], int], stopped: str = GOES_ON) -> int:
    """Return the exit code of a command's `work`, see `ending.said_in_a_sentence`."""
    return said_in_a_sentence(work, Path(sys.argv[0]).stem, stopped)
