"""The rivals' detectors beside the loops of their published code: the same trained network, in one process.

    python -m benchmarks.rivals [--data hdfs_keys] [--only deeplog] [--sample 150] [--epochs 2] [--json FILE]

Ours is `score` on all distinct test sequences. The loops (published_rivals.py) are slow, so they judge a random sample.
A ratio is ours in sequences a second over the loop's: above 1 ours is faster. `same_sample` is ours on the sample
alone, where sequences share less. All are medians of REPEATS runs, the sides taking turns, after uncounted ones.

deeplog, loganomaly: `ratio` against the loop that leaves a session at its first miss and begins after ten keys;
`ratio_without_break` against the same one judging every key and the end, as ours does; `ratio_windows_together` against
the one that reads the windows of a session in batches, from the same key on.
logbert: the loop masks a share of the keys once and judges those; ours masks and judges every key, in two passes, as
the loop of `ratio_every_key` does. The loops are quick and judge all sequences, the longest first as theirs.
loggpt: the loop reads a session at once and judges all but its first key. Ours is before the reinforcement.

Speed does not depend on the weights, so the networks are trained for `--epochs` only, too few for good figures. But
where the loop with the break stops depends on weights and K; so the networks that read windows, which learn quickly,
have WINDOW_EPOCHS times as many. K is calibrated on validation (alpha = ALPHA), the same for both sides. Verdicts are
asserted to be equal on the events that both judge, sequences left out where rounding decides: where the logits of the
true key and of the K-th likeliest are within TIE.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl
import torch
from torch import Tensor

from benchmarks import published_rivals as published
from benchmarks.command import parser_of, run
from evaluation import rules
from methods import deeplog, loganomaly, logbert, loggpt
from methods.next_key.vocabulary import FIRST_CHOICE
from utils import Data, open_data

Figures = dict[str, float]
Keys = tuple[str, ...]
Output = tuple[Tensor, Tensor]  # logits (events, choices) and true choices (events,), negative if unseen
Detector = deeplog.DeepLog | loganomaly.LogAnomaly | logbert.LogBERT | loggpt.LogGPT
SEED = 0
REPEATS = 3
ALPHA = 0.01
WINDOW_EPOCHS = 5
LONGEST = 510  # keys; the loops would cut a longer session, or fail at it
TIE = 1e-3
TITLES = {  # of the loops, by method and the end of their figures' names
    ("deeplog", ""): "DeepLog, to the first miss",
    ("deeplog", "_without_break"): "DeepLog, every event",
    ("deeplog", "_windows_together"): "DeepLog, a session's windows together",
    ("loganomaly", ""): "LogAnomaly, to the first miss",
    ("loganomaly", "_without_break"): "LogAnomaly, every event",
    ("loganomaly", "_windows_together"): "LogAnomaly, a session's windows together",
    ("logbert", ""): "LogBERT, one random mask, 32 sessions",
    ("logbert", "_every_key"): "LogBERT, every key masked once",
    ("loggpt", ""): "LogGPT, one session at once",
}


@dataclass(frozen=True)
class Subject:
    """A data folder, how many of its sequences the loops judge, and how long the networks learn."""

    data: Data
    sample: int
    epochs: int

    @cached_property
    def test(self) -> list[Keys]:
        """The distinct test sequences."""
        return list(dict.fromkeys(map(tuple, self.data.keys("test"))))

    @cached_property
    def short(self) -> list[Keys]:
        """Those of them that the loops can read."""
        return [sequence for sequence in self.test if len(sequence) <= LONGEST]

    @cached_property
    def drawn(self) -> list[Keys]:
        """A random sample of them."""
        return random.Random(SEED).sample(self.short, min(self.sample, len(self.short)))

    def train(self, detector: Detector) -> None:
        """Fit `detector`."""
        print(f"\n{detector.method}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            detector.fit(self.data.keys("train"), self.data.keys("validation"), Path(folder) / "checkpoints")
            print(f"{detector.parameters:,} weights")  # LogGPT's are read from the folder at first use

    def calibrate(self, detector: Detector) -> int:
        """Return the K of the Top-K rule, which does not read the added column."""
        scores = detector.score(self.data.keys("validation")).with_columns(count_vector_seen=pl.lit(False))
        return rules.calibrate(scores, len(self.data.known_keys), ALPHA)["rules"]["top_k"]["K"]


@dataclass(frozen=True)
class Loop:
    """A published loop: `judge` takes K and gives the misses of each session of the sample."""

    judge: Callable[[int], list[int]]
    judged: slice | None = None  # which of the events that ours judges; None: what it judges cannot be compared
    stops: bool = False  # at the first miss


def race(sides: dict[str, Callable]) -> tuple[dict, dict[str, float]]:
    """Return what each side does, and its median seconds; they take turns, so that a busy moment is nobody's loss."""
    found, seconds = {}, {name: [] for name in sides}
    for _ in range(REPEATS):
        for name, side in sides.items():
            started = time.perf_counter()
            found[name] = side()
            seconds[name].append(time.perf_counter() - started)
    return found, {name: median(all_of_them) for name, all_of_them in seconds.items()}


def compare(
    subject: Subject, detector: Detector, sample: list[Keys], loops: dict[str, Loop], outputs: list[Output]
) -> Figures:
    """Return speeds of `detector` and of `loops` over `sample`, by the end of their figures' names, and equal verdicts.

    `outputs` are those of the network for each sequence of the sample, to see where rounding decides.
    """
    k, method = subject.calibrate(detector), detector.method
    sides: dict[str, Callable] = {f"loop{name}": partial(loop.judge, k) for name, loop in loops.items()}
    if len(sample) < len(subject.test):
        sides["same_sample"] = lambda: detector.score(sample)
    for warm_up in sides.values():
        warm_up()
    found, seconds = race(sides | {"ours": lambda: detector.score(subject.test)})
    speed = len(subject.test) / seconds["ours"]
    figures: Figures = {f"{method}_K": k, f"{method}_sequences_sampled": len(sample), f"{method}_per_second": speed}
    own_seconds = seconds.get("same_sample", seconds["ours"])
    figures[f"{method}_per_second_same_sample"] = len(sample) / own_seconds
    ranks = [np.array(own) for own in found.get("same_sample", found["ours"])["event_ranks"].to_list()]
    doubtful = [is_doubtful(*output, k) for output in outputs]
    for name, loop in loops.items():
        misses, theirs = found[f"loop{name}"], len(sample) / seconds[f"loop{name}"]
        figures[f"{method}_per_second_loop{name}"] = theirs
        figures[f"{method}_flagged_share_loop{name}"] = float(np.mean(np.array(misses) > 0))
        figures[f"{method}_ratio{name}"] = speed / theirs
        figures[f"{method}_ratio_same_sample{name}"] = seconds[f"loop{name}"] / own_seconds
        if loop.judged is not None:
            figures[f"{method}_equal_verdicts{name}"] = check(loop, misses, ranks, doubtful, k)
    return figures


def is_doubtful(logits: Tensor, targets: Tensor, k: int) -> np.ndarray:
    """Return where the true choice is among the K likeliest or not (events,) only by a difference of at most TIE."""
    true = logits.gather(1, targets.clamp(min=0)[:, None])
    best, worst = (logits > true + TIE).sum(1) + 1, (logits >= true - TIE).sum(1)
    return ((targets >= 0) & (best <= k) & (k < worst)).cpu().numpy()


def check(loop: Loop, misses: list[int], ranks: list[np.ndarray], doubtful: list[np.ndarray], k: int) -> int:
    """Return how many sequences have been compared; raise AssertionError if both sides differ on one."""
    compared = 0
    for missed, own, unsure in zip(misses, ranks, doubtful, strict=True):
        own, unsure = own[loop.judged], unsure[loop.judged]
        if len(own) and not unsure.any():
            expected = int((own > k).sum())
            assert missed == (min(expected, 1) if loop.stops else expected), "the loop gives other verdicts than ours"
            compared += 1
    return compared


def show(figures: Figures) -> None:
    """Print one row a loop."""
    columns = ("ours/s", "loop/s", "times as fast", "same sample", "equal verdicts", "sampled", "flagged", "K")
    print(f"\n{'of ' + format(figures['sequences'], ',') + ' distinct test sequences':<44}", end="")
    print("".join(f"{column:>16}" for column in columns))
    for (method, name), title in TITLES.items():
        if f"{method}_ratio{name}" in figures:
            shown = [f"{figures[f'{method}_per_second{end}']:,.0f}" for end in ("", f"_loop{name}")]
            shown += [f"{figures[f'{method}_{ratio}{name}']:.2f}" for ratio in ("ratio", "ratio_same_sample")]
            shown += [figures.get(f"{method}_equal_verdicts{name}", "not comparable")]
            shown += [figures[f"{method}_sequences_sampled"], f"{figures[f'{method}_flagged_share_loop{name}']:.0%}"]
            print(f"{title:<44}" + "".join(f"{value:>16}" for value in [*shown, figures[f"{method}_K"]]))


# --------------------------------------------------------------------------------------------------------- the methods


def compare_deeplog(subject: Subject) -> Figures:
    """Compare DeepLog."""
    detector = deeplog.DeepLog(SEED, settings=replace(deeplog.Settings(), max_epochs=WINDOW_EPOCHS * subject.epochs))
    subject.train(detector)
    return compare_windows(subject, detector, subject.drawn)


def compare_loganomaly(subject: Subject) -> Figures:
    """Compare LogAnomaly; the loops are shown new keys as the known ones that they are taken for."""
    settings = replace(loganomaly.Settings(), max_epochs=WINDOW_EPOCHS * subject.epochs)
    detector = loganomaly.LogAnomaly(SEED, settings=settings, templates=subject.data.templates)
    subject.train(detector)
    known = detector.matches(key for sequence in subject.drawn for key in sequence)
    return compare_windows(subject, detector, [tuple(known.get(key, key) for key in one) for one in subject.drawn])


def compare_windows(subject: Subject, detector: deeplog.DeepLog | loganomaly.LogAnomaly, shown: list[Keys]) -> Figures:
    """Compare a detector that reads windows; `shown` is the sample as its network reads it."""
    network = detector.network
    every = [published.every_event(detector.keys, sequence, detector.settings.history) for sequence in shown]
    later = [published.published_events(events) for events in every]
    one_by_one, together = published.judge_window_by_window, published.judge_windows_of_session
    as_published = slice(published.SKIPPED, -1)
    loops = {
        "": Loop(lambda k: one_by_one(network, later, k, True), as_published, stops=True),
        "_without_break": Loop(lambda k: one_by_one(network, every, k, False), slice(None)),
        "_windows_together": Loop(lambda k: together(network, later, k), as_published),
    }
    outputs = []
    for events in every:
        windows, targets = (torch.tensor(part, device=published.DEVICE) for part in zip(*events, strict=True))
        with torch.no_grad():
            outputs.append((network(windows), targets))
    return compare(subject, detector, subject.drawn, loops, outputs)


def compare_logbert(subject: Subject) -> Figures:
    """Compare LogBERT, the loop on all sequences, too: in a sample batches of like length would be few."""
    detector = logbert.LogBERT(SEED, settings=replace(logbert.Settings(), max_epochs=subject.epochs))
    subject.train(detector)
    share, sample = detector.settings.mask_share, sorted(subject.short, key=len, reverse=True)
    once = published.mask_batches(detector.keys, sample, published.mask_at_random(sample, share, SEED))
    passes = range(detector.settings.passes)
    turns = [[np.arange(len(one)) % len(passes) == turn for one in sample] for turn in passes]
    every = [published.mask_batches(detector.keys, sample, masks) for masks in turns]
    judge = partial(published.judge_masked_keys, detector.network)
    loops = {
        "": Loop(lambda k: judge(once, k)),
        "_every_key": Loop(lambda k: np.sum([judge(batches, k) for batches in every], axis=0).tolist()),
    }
    return compare(subject, detector, sample, loops, [])


def compare_loggpt(subject: Subject) -> Figures:
    """Compare LogGPT, whose second stage changes weights and nothing that is timed."""
    settings = loggpt.Settings(pretraining=replace(loggpt.PRETRAINING, max_epochs=subject.epochs))
    detector = loggpt.LogGPT(seed=SEED, reinforcement=None, settings=settings)
    subject.train(detector)
    model, vocabulary = detector.detector.model, detector.detector.vocabulary
    sessions = [vocabulary.encode(sequence) for sequence in subject.drawn]
    outputs = []
    for ids in sessions:
        with torch.no_grad():
            logits = model(torch.tensor([ids], device=model.device)).logits[0, :-1, FIRST_CHOICE:]
        outputs.append((logits, torch.tensor(ids[1:], device=model.device) - FIRST_CHOICE))
    loop = Loop(lambda k: published.judge_whole_session(model, sessions, k), slice(1, None))
    return compare(subject, detector, subject.drawn, {"": loop}, outputs)


METHODS = {
    "deeplog": compare_deeplog,
    "loganomaly": compare_loganomaly,
    "logbert": compare_logbert,
    "loggpt": compare_loggpt,
}


def measure(options: argparse.Namespace) -> Figures:
    """Compare the methods, print the tables and return the figures."""
    subject = Subject(open_data(options.data), options.sample, options.epochs)
    figures: Figures = {"sequences": len(subject.test)}
    for method in [options.only] if options.only else METHODS:
        figures |= METHODS[method](subject)
    print(f"\n{subject.data.label}, seed {SEED}, {torch.get_num_threads()} threads, networks trained for speed alone")
    show(figures)
    return figures


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--data", default="sample", help="folder of data/")
    parser.add_argument("--only", choices=METHODS, help="compare this method alone")
    parser.add_argument("--sample", type=int, default=150, help="how many distinct test sequences the loops judge")
    parser.add_argument("--epochs", type=int, default=2, help="how long the networks learn")
    run(parser.parse_args(), measure, table=False)
