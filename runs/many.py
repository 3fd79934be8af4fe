"""Many runs, each in a process of its own, a few at a time: what `make compare` and `make sweep` have in common.

What is done is passed over, what was interrupted goes on, a run that fails stays in the ledger as failed, and the next
one begins. The processes are those of this machine or tasks on a Ray cluster (on_ray.py); this one alone writes into
the ledger.
"""

import contextlib
import io
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Protocol

import polars as pl
from tqdm import tqdm

from core.cluster import LOCAL, check_engine
from core.data import open_data
from core.errors import BadInput
from core.schemas import Config, read_checked
from evaluation import ledger
from evaluation.unseen import ALARM, split_name
from runs import on_ray
from runs.folder import LEDGER, open_run, refuse_other, wanted_config
from runs.handling import WORDS, answered
from runs.task import STOPPED, Ended, Wanted, ended, shared_out, work_and_exit


class Engine(Protocol):
    """Where runs are done, each in a process of its own."""

    def do(self, run: Wanted) -> Ended:
        """Do a run, and return when it has ended; many threads call it at once."""

    def stop(self) -> None:
        """Stop all runs that are being done."""


def run_all(wanted: list[Wanted], engine: str = LOCAL) -> pl.DataFrame:
    """Do what the ledger lacks; return one row a run: `method, data, seed, status, seconds` (of this call).

    `engine` is one of `cluster.ENGINES`. Raise BadInput if it is not there, or, before the first one begins, if the
    folder of one holds a run of other data or with other settings.
    """
    check_engine(engine)
    for run in wanted:
        _refuse_other(run)
    terminal = sys.stderr if sys.stderr.isatty() else io.StringIO()  # disabled, the bar would not count
    with (
        _begun(engine, len(wanted)) as (place, at_once),
        ThreadPoolExecutor(at_once, initializer=_keep_ctrl_c_here) as pool,
        tqdm(total=len(wanted), desc="runs", file=terminal, leave=False) as bar,
    ):
        futures = [pool.submit(_run, run, place, bar) for run in wanted]
        try:
            return pl.DataFrame(_results(futures))
        except (KeyboardInterrupt, BadInput):
            pool.shutdown(wait=False, cancel_futures=True)
            place.stop()
            raise


@contextlib.contextmanager
def _begun(engine: str, runs: int) -> Iterator[tuple[Engine, int]]:
    """Yield the engine, and how many of so many runs are given to it at once: a cluster keeps a queue of its own."""
    if engine != LOCAL:
        with on_ray.begun() as cluster:
            yield cluster, max(1, runs)
        return
    at_once, threads = workers()
    with environment(OMP_NUM_THREADS=str(threads), OMP_WAIT_POLICY="PASSIVE"):
        yield Processes(), at_once


class Processes:
    """New processes of this machine."""

    def do(self, run: Wanted) -> Ended:
        """Do a run in a new process."""
        started = time.perf_counter()
        # spawn: a fork of a notebook would share its threads and its GPU
        process = multiprocessing.get_context("spawn").Process(target=work_and_exit, args=(run,))
        process.start()
        process.join()
        return ended(run, process.exitcode, time.perf_counter() - started)

    def stop(self) -> None:
        """Stop all of them; a run goes on from its checkpoints."""
        for process in multiprocessing.active_children():
            process.terminate()


def _results(futures: list[Future[dict]]) -> list[dict]:
    """Return what they give in their order; raise what one of them raises at once, not after those before it."""
    pending = set(futures)
    while pending:  # in short waits: Ctrl-C does not end a long one where Ray's threads got the signal
        done, pending = wait(pending, timeout=1, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    return [future.result() for future in futures]


def _keep_ctrl_c_here() -> None:
    """Let the processes that this thread starts not see a Ctrl-C, which may hit them in the middle of an import."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def workers() -> tuple[int, int]:
    """Return how many runs at a time, and threads of each: a GPU is for one."""
    import torch  # here: a look at the GPU is all that is wanted

    cores = os.cpu_count() or 1
    return (1, cores) if torch.cuda.is_available() else shared_out(cores)


@contextlib.contextmanager
def environment(**wanted: str) -> Iterator[None]:
    """Set variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({name: value} if value is not None else {})


def _run(run: Wanted, engine: Engine, bar: tqdm) -> dict:
    """Do one run, unless the ledger has it; return its row."""
    row = {"method": f"{run.method}/{run.model}", "data": run.folder, "seed": run.seed}
    if is_done(run):
        bar.update()
        return row | {"status": "done before", "seconds": 0.0}
    run.log.parent.mkdir(parents=True, exist_ok=True)
    status, rows, seconds = engine.do(run)
    if status != STOPPED:
        ledger.record(LEDGER, rows)
        bar.update()
        tqdm.write(f"[{bar.n}/{bar.total}] {run.title}: {status} in {seconds:.0f} s", file=sys.stdout)
    return row | {"status": status, "seconds": seconds}


def _refuse_other(run: Wanted) -> None:
    path = run.results / "config.json"
    if path.is_file():
        found = read_checked(path, Config, f"remove {run.results.as_posix()} to start again.")
        config = wanted_config(open_data(run.folder), run.model, run.seed, run.settings, run.method)
        refuse_other(run.results, found, config)


def is_done(run: Wanted) -> bool:
    """Return whether the ledger has the rows that are asked for, and the run folder the verdicts of them."""
    data = open_data(run.folder)
    about = (data.manifest["data_hash"], run.method, run.model, run.seed, run.prevalence, run.alpha)
    rows = ledger.finished(ledger.read(LEDGER), *about)
    found = {(split_name(rule)[1], encoder) for rule, encoder in rows.iter_rows()}
    handling = None if run.unseen == ALARM else run.unseen.replace("-", "_")
    encoder = run.reader.identity["encoder"] if run.reader and run.unseen in WORDS else None
    if (handling, encoder) not in found or not (run.results / "metrics.json").is_file():
        return False
    return handling is None or _is_answered_as_before(run)


def _is_answered_as_before(run: Wanted) -> bool:
    """Return whether the verdicts of a run were made with what people have answered by now about new keys."""
    opened = open_run(run.folder, run.model, run.seed, run.method)
    metrics = opened.read_metrics()
    return metrics["unseen"] == run.unseen and metrics.get("answered") == answered(opened, run.unseen)
