"""The next-key model beside the published procedure: same tiny model, same data, same verdicts, in one run on the CPU.

    python -m benchmarks.model [--data hdfs_keys] [--windows bgl_keys] [--only k_sweep] [--json FILE]

k_sweep: the share of validation sequences that each K from 1 to V flags. Of windows the published procedure sweeps a
part (PART_SWEPT), its seconds are extrapolated by sequences, and the shares are compared on that part.
test: the verdicts of Top-K on the test split, and at HDFS's published size (FULL_SIZE), drawn with replacement. There
the published procedure judges a part (PART_TESTED) and is extrapolated. `full` has no more distinct sequences than the
test split it is drawn from; `full_distinct` has as many as HDFS (FULL_DISTINCT), made by swapping keys.
train: seconds until the published training is at its best, over the seconds until ours is as good; 0 if it never is.
It has the published settings and is ended after LITERAL_SECONDS. `same_settings` gives it ours, but every copy is a
row; ours may take LONGER_EPOCHS there, since only the time until the loss is reached counts.
output: a scoring batch (BATCH) with an output layer of WORDS tokens, and with one of the keys. The gigabytes are what
a process of its own holds at most, sampled every millisecond, beyond what it held before it made the model.
prefixes: scoring the distinct test sequences in plain batches, over scoring them in trees of shared prefixes.

Seconds of ours are the median of REPEATS runs where they are short. Models for speed are trained for EPOCHS only.
"""

import argparse
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import numpy as np
import polars as pl
import psutil
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks import published
from benchmarks.command import parser_of, run
from evaluation import rules
from methods.next_key import NextKey, scoring
from methods.next_key.vocabulary import Vocabulary
from methods.parts.recipes import RECIPES, TrainingSettings
from utils import Data, open_data

Found = TypeVar("Found")
Figures = dict[str, float]
MODEL, SEED = "tiny-llama", 0
EPOCHS = 4
REPEATS = 3
ALPHA = 0.01
PART_SWEPT = 200
PART_TESTED = 16_384
FULL_SIZE = {0: 553_223, 1: 16_838}  # by label: all HDFS sessions but the 5,000 normals that train and validate
FULL_DISTINCT = 26_814  # distinct sequences among all HDFS sessions (Landauer, Skopik and Wurzenberger 2024)
LITERAL_SECONDS = 150
LONGER_EPOCHS = 24
WORDS, BATCH = 128_256, (32, 128)  # the tokens of Llama 3; rows and their length


@dataclass(frozen=True)
class Subject:
    """A data folder and a tiny model that has seen it, trained at first use."""

    data: Data

    @cached_property
    def detector(self) -> NextKey:
        """The model of the parts that measure speed."""
        detector = NextKey(MODEL, SEED, settings=replace(TrainingSettings(), max_epochs=EPOCHS))
        with tempfile.TemporaryDirectory() as folder:
            detector.fit(self.data.keys("train"), self.data.keys("validation"), Path(folder) / "checkpoints")
        return detector

    def score(self, sequences: list[list[str]]) -> pl.DataFrame:
        """Return scores as rules want them; Top-K, which is all that is compared, does not read the added column."""
        return self.detector.score(sequences).with_columns(count_vector_seen=pl.lit(False))

    def encode(self, sequences: list[list[str]]) -> list[list[int]]:
        """Return token ids for the published procedure."""
        return [self.detector.vocabulary.encode(keys) for keys in sequences]


def timed(call: Callable[[], Found], repeats: int = 1) -> tuple[Found, float]:
    """Return what `call` returns and its median seconds."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        found = call()
        seconds.append(time.perf_counter() - started)
    return found, float(np.median(seconds))


# ----------------------------------------------------------------------------------------------------- the choice of K


def compare_k_sweeps(logs: Subject, windows: Subject) -> Figures:
    """Return seconds of both sweeps over K, and how many times faster ours is."""
    return sweep_both("hdfs", logs) | sweep_both("bgl", windows, PART_SWEPT)


def sweep_both(name: str, subject: Subject, part: int | None = None) -> Figures:
    """Time both sweeps on one data folder; the published procedure sweeps the first `part` sequences."""
    sequences, size = subject.data.keys("validation"), len(subject.detector.vocabulary)
    encoded = subject.encode(sequences[:part])
    theirs, seconds = timed(lambda: published.sweep_k(subject.detector.model, encoded, size))

    def ours() -> pl.DataFrame:
        scores = subject.detector.score(sequences)
        rules.sweep_k(scores, size)
        return scores

    scores, own_seconds = timed(ours, REPEATS)
    shares = rules.sweep_k(scores.head(len(encoded)), size)["false_alarm_rate"].head(size)
    assert np.allclose(theirs, shares, rtol=0, atol=1e-9), "the two sweeps flag different shares"
    seconds *= len(sequences) / len(encoded)
    return {
        f"k_sweep_{name}_V": size,
        f"k_sweep_{name}_sequences_swept": len(encoded),
        f"k_sweep_{name}_seconds": own_seconds,
        f"k_sweep_{name}_seconds_published": seconds,
        f"k_sweep_speedup_{name}": seconds / own_seconds,
    }


# ------------------------------------------------------------------------------------------------------------ the test


def compare_tests(logs: Subject, windows: Subject) -> Figures:
    """Return seconds of both tests on the split as it is and at full size, and how many times faster ours is."""
    full = draw_full(logs.data.split("test"))
    return (
        judge_both("", logs, logs.data.keys("test"), REPEATS)
        | judge_both("_full", logs, full)
        | judge_both("_full_distinct", logs, with_variants(full))
    )


def judge_both(name: str, subject: Subject, sequences: list[list[str]], repeats: int = 1) -> Figures:
    """Time both tests on one list of sequences; the published procedure judges the first PART_TESTED of them."""
    model, size = subject.detector.model, len(subject.detector.vocabulary)
    decision = rules.calibrate(subject.score(subject.data.keys("validation")), size, ALPHA)
    k = decision["rules"]["top_k"]["K"]
    with watched_memory() as memory:
        verdicts, own_seconds = timed(lambda: rules.apply(subject.score(sequences), decision)["flagged_top_k"], repeats)
    encoded = subject.encode(sequences[:PART_TESTED])
    theirs, seconds = timed(lambda: published.flag(model, encoded, k))
    assert theirs == verdicts.head(len(theirs)).to_list(), "the two tests flag different sequences"
    seconds *= len(sequences) / len(encoded)
    return {
        f"test{name}_sequences": len(sequences),
        f"test{name}_distinct": len(set(map(tuple, sequences))),
        f"test{name}_sequences_published": len(encoded),
        f"test{name}_K": k,
        f"test{name}_flagged": int(verdicts.sum()),
        f"test{name}_seconds": own_seconds,
        f"test{name}_gb": memory["gb"],
        f"test{name}_seconds_published": seconds,
        f"test_speedup{name}": seconds / own_seconds,
    }


def draw_full(test: pl.DataFrame) -> list[list[str]]:
    """Return FULL_SIZE sequences of the test split, drawn with replacement, in random order."""
    drawn = [
        test.filter(pl.col("label") == label).sample(size, with_replacement=True, seed=SEED)
        for label, size in FULL_SIZE.items()
    ]
    return pl.concat(drawn).sample(fraction=1, shuffle=True, seed=SEED)["keys"].to_list()


def with_variants(sequences: list[list[str]]) -> list[list[str]]:
    """Return as many sequences, FULL_DISTINCT of them distinct: in some copies two keys are swapped."""
    chance, counts, changed = random.Random(SEED), Counter(map(tuple, sequences)), list(sequences)
    while len(counts) < FULL_DISTINCT:
        row = chance.randrange(len(changed))
        old = tuple(changed[row])
        new = list(old)
        one, other = chance.choices(range(len(new)), k=2)
        new[one], new[other] = new[other], new[one]
        if counts[old] > 1 and tuple(new) not in counts:
            counts[old] -= 1
            counts[tuple(new)] = 1
            changed[row] = new
    return changed


# -------------------------------------------------------------------------------------------------------- the training


def compare_training(logs: Subject, windows: Subject) -> Figures:
    """Return seconds until each published training is at its best and until ours is as good, and their ratio."""
    train, validation = logs.data.keys("train"), logs.data.keys("validation")
    literal = replace(RECIPES["paper"], lora_rank=None)  # a tiny model is trained whole
    own, found = TrainingSettings(), {}
    sides = {
        "": (own, literal, LITERAL_SECONDS),
        "_same_settings": (replace(own, max_epochs=LONGER_EPOCHS), own, float("inf")),
    }
    for name, (ours, theirs, limit) in sides.items():
        with tempfile.TemporaryDirectory() as folder:
            curve = NextKey(MODEL, SEED, settings=ours).fit(train, validation, Path(folder) / "checkpoints")
        rows = published.train(NextKey(MODEL, SEED, settings=theirs), train, validation, limit)
        best = min(rows, key=lambda row: row["validation_loss"])
        reached = curve.filter(pl.col("validation_loss") <= best["validation_loss"])["seconds"].min()
        found[f"train_loss{name}"] = curve["validation_loss"].min()
        found[f"train_loss_published{name}"] = best["validation_loss"]
        found[f"train_seconds_published{name}"] = best["seconds"]
        found |= {f"train_seconds_to_that_loss{name}": reached} if reached else {}
        found[f"train_speedup{name}"] = best["seconds"] / reached if reached else 0.0
    return found


# ---------------------------------------------------------------------------------------------------- the output layer


def compare_output_layers(logs: Subject, windows: Subject) -> Figures:
    """Return seconds and gigabytes of one scoring batch with the words of a language model and with the keys alone."""
    rows = Vocabulary.of(windows.data.keys("train")).tokens
    found = {"restricted_output_rows": rows}
    for name, words in {"full": WORDS, "restricted": rows}.items():
        # of its own: memory that an earlier batch gave back would not be seen when it is taken again
        with ProcessPoolExecutor(1, get_context("spawn")) as alone:
            seconds, memory = alone.submit(score_one_batch, words).result()
        found |= {f"{name}_output_seconds": seconds, f"{name}_output_gb": memory}
    found["restricted_output_speedup"] = found["full_output_seconds"] / found["restricted_output_seconds"]
    return found


@torch.inference_mode()
def score_one_batch(words: int) -> tuple[float, float]:
    """Return median seconds, and gigabytes with the model, of one batch's log-probabilities under a two-layer Llama."""
    size = {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 2, "num_attention_heads": 4}
    with watched_memory() as memory:
        model = LlamaForCausalLM(LlamaConfig(vocab_size=words, **size)).eval()
        ids = torch.randint(words, BATCH)

        def true_log_probabilities() -> torch.Tensor:
            logits = model(ids, use_cache=False).logits
            return torch.log_softmax(logits.float(), dim=-1)[:, :-1].gather(2, ids[:, 1:, None])

        _, seconds = timed(true_log_probabilities, REPEATS)
    return seconds, memory["gb"]


@contextmanager
def watched_memory() -> Iterator[dict[str, float]]:
    """Return `gb`: the most memory (1e9 bytes) that this process held during the block beyond what it held before."""
    process, found, done = psutil.Process(), {"gb": 0.0}, threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.001):
            found["gb"] = max(found["gb"], (process.memory_info().rss - before) / 1e9)

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield found
    done.set()
    watcher.join()


# ----------------------------------------------------------------------------------------------------- shared prefixes


def compare_prefixes(logs: Subject, windows: Subject) -> Figures:
    """Return seconds of scoring the distinct test sequences with and without tree attention, and their ratio."""
    return share_and_not("hdfs", logs) | share_and_not("bgl", windows)


def share_and_not(name: str, subject: Subject) -> Figures:
    """Time the scoring of one data folder both ways."""
    sequences = list(dict.fromkeys(map(tuple, subject.data.keys("test"))))
    plain, plain_seconds = timed(lambda: score_sharing(subject, sequences, float("inf")), REPEATS)
    shared, seconds = timed(lambda: score_sharing(subject, sequences, 0), REPEATS)
    values = [scores["event_log_probabilities"].explode().to_numpy() for scores in (plain, shared)]
    assert np.allclose(*values, rtol=0, atol=1e-4), "tree attention gives other scores"
    return {
        f"prefix_sharing_{name}_sequences": len(sequences),
        f"prefix_sharing_{name}_seconds": seconds,
        f"prefix_sharing_{name}_seconds_plain": plain_seconds,
        f"prefix_sharing_speedup_{name}": plain_seconds / seconds,
    }


def score_sharing(subject: Subject, sequences: list[tuple[str, ...]], pays: float) -> pl.DataFrame:
    """Return scores where prefixes are shared from `pays` tokens a node of the trees on."""
    with patch.object(scoring, "SHARING_PAYS", pays):
        return subject.detector.score(sequences)


PARTS = {
    "k_sweep": compare_k_sweeps,
    "test": compare_tests,
    "train": compare_training,
    "output": compare_output_layers,
    "prefixes": compare_prefixes,
}


def measure(options: argparse.Namespace) -> Figures:
    """Run the parts and return their figures."""
    subjects = Subject(open_data(options.data)), Subject(open_data(options.windows))
    figures: Figures = {}
    for part in [options.only] if options.only else PARTS:
        figures |= PARTS[part](*subjects)
    print(f"\n{options.data} and {options.windows}, {MODEL}, seed {SEED}, {torch.get_num_threads()} threads")
    return figures


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--data", default="hdfs_keys", help="folder of data/ with sessions of HDFS")
    parser.add_argument("--windows", default="bgl_keys", help="folder of data/ with windows of BGL")
    parser.add_argument("--only", choices=PARTS, help="run this part alone")
    run(parser.parse_args(), measure)
