"""Is pretraining worth anything here? A pretrained model, the same without its weights, and a tiny one, on few logs.

    python -m benchmarks.pretraining --data hdfs_2pct --model FOLDER --keep FOLDER [--sizes 20 50 200] [--seeds 0 1 2]

The arms learn the same few normal sequences of the training split, drawn by the seed, in the same STEPS steps of BATCH
rows: the checkpoint with LoRA, its keys beginning from noise or from their templates; a checkpoint of the same config
with random weights, likewise; and tiny-llama, trained whole. tiny-llama is trained once more to its own end, as it is
used, and bigrams are counted. All compute in fp32, so that arms differ by their weights and by nothing else.

Validation loss and the threshold come from VALIDATION sequences, F1 and average precision from a part of the test
split, TESTED by label, with the normals weighted to the share of anomalies of the whole test split. Every arm is kept
in --keep when it is done and is not run again, so the sizes, seeds and arms of several calls come together.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import torch

from benchmarks.command import kept, once, parser_of, run
from evaluation import floors, metrics, rules
from methods.next_key import NextKey
from methods.next_key.models.machine import TRANSFORMERS, Plan
from methods.parts.recipes import RECIPES, TrainingSettings
from utils import Data, open_data

# After methods, which imports Unsloth first where it is installed.
# isort: split
from matplotlib.figure import Figure
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

STEPS, BATCH, RATE = 40, 25, 1e-3
VALIDATION, TESTED = 150, {0: 200, 1: 150}
ALPHA, RULE = 0.01, "tail_probability"
EQUAL = TrainingSettings(batch_size=BATCH, heaviest=1, max_epochs=1, least_steps=STEPS)  # a row a sequence
LORA = replace(RECIPES["lora"], batch_size=BATCH, heaviest=1, max_epochs=1, least_steps=STEPS, learning_rate=RATE)
ARMS = {
    "pretrained, random rows": (LORA, "random"),
    "pretrained, template rows": (LORA, "template"),
    "random weights": (LORA, "random"),
    "tiny-llama": (EQUAL, "random"),
    "tiny-llama, to its end": (replace(EQUAL, max_epochs=16), "random"),
    "bigram": (None, ""),
}
DRAWN = ("pretrained, random rows", "random weights", "tiny-llama", "tiny-llama, to its end", "bigram")  # in the plot


def sequences_of(data: Data, size: int, seed: int) -> tuple[list, list, pl.DataFrame]:
    """Return training and validation sequences, and those of the test with their labels; the last two never change."""
    drawn = np.random.default_rng(seed).permutation(len(data.keys("train")))[:size]
    train = [data.keys("train")[row] for row in drawn]
    test = data.split("test")
    parts = [test.filter(pl.col("label") == label).sample(count, seed=0) for label, count in TESTED.items()]
    return train, data.keys("validation")[:VALIDATION], pl.concat(parts)


def without_weights(model: str, folder: Path, seed: int) -> str:
    """Save a checkpoint of the same config and tokenizer with random weights; return its folder."""
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model), dtype=torch.float32).save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return str(folder)


def learn(arm: str, model: str, templates: dict, train: list, validation: list, seed: int, place: Path) -> NextKey:
    """Return the trained detector of an arm."""
    settings, rows = ARMS[arm]
    if arm.startswith("tiny"):
        detector = NextKey("tiny-llama", seed, settings=settings)
    else:
        base = without_weights(model, place / "base", seed) if arm == "random weights" else model
        detector = NextKey(base, seed, settings=settings, templates=templates, key_embeddings=rows)
        detector.plan = Plan(TRANSFORMERS, "cpu", "float32", False, "so that arms differ by their weights alone")
    detector.fit(train, validation, place / "checkpoints")
    return detector


def judged(validation: pl.DataFrame, test: pl.DataFrame, labels: np.ndarray, keys: int, share: float) -> dict:
    """Return average precision, also where no key is unseen, which needs no model, and F1 at validation's threshold."""
    decision = rules.calibrate(validation, keys, ALPHA)
    flags = rules.apply(test, decision)[f"flagged_{RULE}"].to_numpy()
    order, known = rules.abnormality(test, RULE), ~test["has_unseen_key"].to_numpy()
    return {
        "average_precision": metrics.ranking(order, labels, share)["average_precision"],
        "average_precision_known": metrics.ranking(order[known], labels[known])["average_precision"],
        "f1": metrics.measure(flags, labels, share)["f1"],
    }


def measure_arm(data: Data, arm: str, model: str, size: int, seed: int) -> dict[str, float]:
    """Return `validation_loss` (nats a key), `average_precision`, `f1` and `cpu_seconds` of training and all."""
    train, validation, test = sequences_of(data, size, seed)
    labels, share = test["label"].to_numpy(), float((data.split("test")["label"] == 1).mean())
    keys = len({key for sequence in train for key in sequence})
    asked = [pl.Series(validation), test["keys"]]
    started, figures = time.process_time(), {}
    if arm == "bigram":
        scores = [floors.count_ngrams(pl.Series(train), one)["bigram"] for one in asked]
    else:
        with tempfile.TemporaryDirectory() as place:
            detector = learn(arm, model, data.templates, train, validation, seed, Path(place))
            figures["cpu_seconds_training"] = time.process_time() - started
            figures["validation_loss"] = detector.loss(validation)
            scores = [detector.score(one.to_list()) for one in asked]
    scores = [
        own.with_columns(floors.familiarity(pl.Series(train), one)["count_vector_seen"])
        for own, one in zip(scores, asked, strict=True)
    ]
    figures |= judged(*scores, labels, keys, share)
    return figures | {"cpu_seconds": time.process_time() - started}


def summarize(found: pl.DataFrame) -> pl.DataFrame:
    """Return means over the seeds, and how many there were, one row an arm and size."""
    values = ["validation_loss", "average_precision", "average_precision_known", "f1", "cpu_seconds"]
    lowest, highest = (pl.col(values[0]).min().alias("loss_lowest"), pl.col(values[0]).max().alias("loss_highest"))
    rows = found.group_by("arm", "size").agg(pl.len().alias("seeds"), pl.col(values).mean(), lowest, highest)
    return rows.sort("size", "arm")


def plot(found: pl.DataFrame, path: Path) -> None:
    """Draw loss and average precision where no key is unseen by the number of training sequences, a mark a seed."""
    figure = Figure(figsize=(8.4, 3.4), layout="constrained", dpi=110)
    panels = figure.subplots(1, 2)
    titles = {
        "validation_loss": "validation loss, nats a key",
        "average_precision_known": "average precision, no unseen key",
    }
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        for number, arm in enumerate(DRAWN):
            own = found.filter(pl.col("arm") == arm).drop_nulls(name)
            means = own.group_by("size").agg(pl.col(name).mean()).sort("size")
            axes.plot(means["size"], means[name], color=f"C{number}", label=arm if len(own) else None)
            axes.scatter(own["size"], own[name], color=f"C{number}", s=12)
        axes.set(xscale="log", xlabel="training sequences", title=title)
        sizes = sorted(set(found["size"]))
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        *panels[1].get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside lower center", ncols=5
    )
    figure.savefig(path)


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Run the arms that are not done, print all that are, and return their means as flat figures."""
    data = open_data(options.data)
    options.keep.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for size in options.sizes:
            for arm in options.arms:
                about = {"arm": arm, "size": size, "seed": seed}
                once(options.keep, about, partial(measure_arm, data, arm, options.model, size, seed))
    found = kept(options.keep)
    if options.plot:
        plot(found, options.plot)
    figures = {}
    for row in summarize(found).iter_rows(named=True):
        name = f"{row.pop('size')} {row.pop('arm')}:"
        figures |= {f"{name} {what}": value for what, value in row.items() if value is not None}
    return figures


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--data", default="hdfs_2pct", help="folder of data/ with sessions that have labels")
    parser.add_argument("--model", required=True, help="a pretrained checkpoint: a folder, or a name of the hub")
    parser.add_argument("--keep", type=Path, required=True, help="folder for the arms that are done")
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 50, 200, 1000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--plot", type=Path, help="draw the figures by size here")
    run(parser.parse_args(), measure)
