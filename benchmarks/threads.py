"""One core or all of them: how long small networks learn on each, alone and beside another busy process.

    OMP_WAIT_POLICY=PASSIVE python -m benchmarks.threads --data hdfs_2pct [--supervised FOLDER] [--busy] [--json FILE]

Each detector learns EPOCHS epochs in turns on one thread and on all, as `methods/parts/threads.py` has it for some of
them: ROWS normal sequences, or all of --supervised that have a label. Threads are to wait without spinning, as they do
in the runs of every command. With --busy one other process computes all the while.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import torch

from benchmarks.command import parser_of, run
from core.errors import BadInput
from methods.deeplog import DeepLog
from methods.loganomaly import LogAnomaly
from methods.logbert import LogBERT
from methods.next_key import NextKey, detector
from methods.parts import networks
from methods.supervised.cnn import CNN
from methods.supervised.logrobust import LogRobust
from methods.supervised.neurallog import NeuralLog
from utils import Data, open_data

EPOCHS, ROWS, TURNS = 2, 1_500, 2
NORMALS, LABELS = (NextKey, DeepLog, LogAnomaly, LogBERT), (LogRobust, CNN, NeuralLog)


@contextmanager
def busy_process():
    """Keep another process computing."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        other.kill()
        other.wait()


def seconds_of(kind: type, data: Data, threads: int) -> float:
    """Return how long `kind` takes to learn."""
    one = kind(templates=data.templates)
    one.settings = replace(one.settings, max_epochs=EPOCHS)
    parts = [data.labeled(split) if kind in LABELS else data.keys(split)[:ROWS] for split in ("train", "validation")]
    chosen = [patch.object(module, "one_thread", lambda wanted: nullcontext()) for module in (networks, detector)]
    with tempfile.TemporaryDirectory() as place, redirect_stdout(StringIO()), chosen[0], chosen[1]:
        torch.set_num_threads(threads)
        started = time.perf_counter()
        one.fit(*parts, Path(place))
        return time.perf_counter() - started


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Return the shortest seconds of TURNS turns on one thread and on all, and their ratio."""
    every = torch.get_num_threads()
    if every == 1 or os.environ.get("OMP_WAIT_POLICY") != "PASSIVE":
        raise BadInput("Set OMP_WAIT_POLICY=PASSIVE, leave OMP_NUM_THREADS unset, and try on two cores or more.")
    figures = {"threads": float(every)}
    kinds = [(kind, open_data(options.data)) for kind in NORMALS]
    kinds += [(kind, open_data(options.supervised)) for kind in LABELS if options.supervised]
    with busy_process() if options.busy else nullcontext():
        for kind, data in kinds:
            found = [[seconds_of(kind, data, threads) for threads in (1, every)] for _ in range(TURNS)]
            one, all_of_them = (min(turns) for turns in zip(*found, strict=True))
            name = kind.__name__
            figures |= {f"{name}_seconds_one": one, f"{name}_seconds_all": all_of_them}
            figures |= {f"{name}_times_as_fast_on_one": all_of_them / one}
    return figures


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--data", default="hdfs_2pct", help="folder of data/ to learn normal sequences of")
    parser.add_argument("--supervised", help="folder of data/ with labels, for the detectors that learn from them")
    parser.add_argument("--busy", action="store_true", help="beside another busy process")
    run(parser.parse_args(), measure)
