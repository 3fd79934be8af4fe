"""What reinforcement adds to a pretrained model with LoRA: the first stage alone, LogGPT's and LogLLaMA's after it.

    python -m benchmarks.reinforced --data hdfs_2pct --model FOLDER [--epochs 3] [--episodes 3] [--json FILE]

Each is a run of its own, from training to its rows in the ledger, with the same first stage from the same seed; what is
done already is not done again. Learning rate RATE and few epochs, so that it ends on a CPU: no more than a look at
whether the stages work on real weights and which way they move the figures.
"""

import argparse
from dataclasses import replace
from functools import partial

import polars as pl

from benchmarks.command import parser_of, run
from methods.loggpt import LogGPT, Settings
from methods.parts.recipes import RECIPES
from runs import steps

RATE, ALPHA = 1e-3, 0.01
RULES = ("top_k", "tail_probability", "tail_probability_and_counts")
STAGES = {"first stage": None, "LogGPT": "ppo", "LogLLaMA": "logllama"}


def figures_of(done: steps.Run) -> dict[str, float | None]:
    """Return what one run came to: its loss, its reward before and after the stage, and its verdicts."""
    curve, found = done.training, done.read_metrics()
    second = curve.filter(pl.col("stage") == "reinforcement")
    figures: dict[str, float | None] = {
        "validation loss": curve["validation_loss"][-1],
        "seconds": curve["seconds"][-1],
    }
    if len(second):
        figures |= {"reward before": second["reward"][0], "reward after": second["reward"][-1]}
    for rule in RULES:
        figures |= {f"{rule} {what}": found["rules"][rule][what] for what in ("f1", "average_precision")}
    return figures


def measure(options: argparse.Namespace) -> dict[str, float | None]:
    """Do the runs and return their figures."""
    first = replace(RECIPES["lora"], learning_rate=RATE, max_epochs=options.epochs)
    settings, figures = Settings(pretraining=first, episodes=options.episodes), {}
    for name, reinforcement in STAGES.items():
        make = partial(LogGPT, options.model, reinforcement=reinforcement, settings=settings)
        done = steps.complete(make, options.data, options.seed, ALPHA, None)
        steps.record(done, done.read_metrics(), done.read_decision())
        figures |= {f"{name}: {what}": value for what, value in figures_of(done).items()}
    return figures


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--data", default="hdfs_2pct", help="folder of data/")
    parser.add_argument("--model", required=True, help="a pretrained checkpoint: a folder, or a name of the hub")
    parser.add_argument("--epochs", type=int, default=3, help="of the first stage")
    parser.add_argument("--episodes", type=int, default=3, help="of the second stage")
    parser.add_argument("--seed", type=int, default=0)
    run(parser.parse_args(), measure)
