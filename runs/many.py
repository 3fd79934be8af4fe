"""Many runs, each in a process of its own, a few at a time: what `make compare` and `make sweep` have in common.

What is done is passed over, what was interrupted goes on, a run that fails stays in the ledger as failed, and the next
one begins.
"""

import contextlib
import io
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from tqdm import tqdm

from core.data import open_data
from core.ending import INTERRUPTED
from core.errors import EXIT_CODE, BadInput
from core.files import disk_fault
from core.schemas import Config, read_checked
from evaluation import ledger, verdicts
from evaluation.unseen import ALARM, split_name
from runs import steps
from runs.folder import LEDGER, hold, open_run, refuse_other, run_folder, wanted_config
from runs.handling import WORDS, Reader, answered

STOPPED = (INTERRUPTED, -signal.SIGINT, -signal.SIGTERM)  # by a person: such a run has not failed, it goes on


@dataclass(frozen=True)
class Wanted:
    """One run: how its detector is made, on a folder that is split by its seed, and what its verdicts are to say."""

    make: steps.Make
    method: str
    model: str
    folder: str
    seed: int
    settings: dict  # what the detector describes; a run folder with others is refused
    alpha: float
    prevalence: float | None = None
    unseen: str = ALARM
    reader: Reader | None = None

    @property
    def title(self) -> str:
        """Return what the line says that tells how it went."""
        return f"{self.method}/{self.model} on {self.folder}, seed {self.seed}"

    @property
    def results(self) -> Path:
        """Return its run folder."""
        return run_folder(self.folder, self.model, self.seed, self.method)

    @property
    def log(self) -> Path:
        """Return where what it prints goes."""
        return self.results.with_name(f"{self.results.name}.log")


def run_all(wanted: list[Wanted]) -> pl.DataFrame:
    """Do what the ledger lacks; return one row a run: `method, data, seed, status, seconds` (of this call).

    Raise BadInput, before the first one begins, if the folder of one holds a run of other data or with other settings.
    """
    for run in wanted:
        _refuse_other(run)
    at_once, threads = workers()
    terminal = sys.stderr if sys.stderr.isatty() else io.StringIO()  # disabled, the bar would not count
    with (
        environment(OMP_NUM_THREADS=str(threads), OMP_WAIT_POLICY="PASSIVE"),
        ThreadPoolExecutor(at_once, initializer=_keep_ctrl_c_here) as pool,
        tqdm(total=len(wanted), desc="runs", file=terminal, leave=False) as bar,
    ):
        futures = [pool.submit(_run, run, bar) for run in wanted]
        try:
            return pl.DataFrame([future.result() for future in futures])
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _keep_ctrl_c_here() -> None:
    """Let the processes that this thread starts not see a Ctrl-C, which may hit them in the middle of an import."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def workers() -> tuple[int, int]:
    """Return how many runs at a time, and threads of each: small models gain little from threads, a GPU is for one."""
    import torch  # here: a look at the GPU is all that is wanted

    cores = os.cpu_count() or 1
    at_once = 1 if torch.cuda.is_available() else min(cores, 4)
    return at_once, max(1, cores // at_once)


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


def _run(run: Wanted, bar: tqdm) -> dict:
    """Do one run in a new process, unless the ledger has it; return its row."""
    row = {"method": f"{run.method}/{run.model}", "data": run.folder, "seed": run.seed}
    if is_done(run):
        bar.update()
        return row | {"status": "done before", "seconds": 0.0}
    started = time.perf_counter()
    run.log.parent.mkdir(parents=True, exist_ok=True)
    # spawn: a fork of a notebook would share its threads and its GPU
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(run,))
    process.start()
    process.join()
    seconds = time.perf_counter() - started
    if process.exitcode in STOPPED:
        return row | {"status": "stopped", "seconds": seconds}
    status = "done" if process.exitcode == 0 else f"failed: {_reason(run.log, process.exitcode)}"[:200]
    _record(run, status)
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


def _record(run: Wanted, status: str) -> None:
    """Write the verdicts of a run, or its failure, into the ledger."""
    if status == "done":
        opened = open_run(run.folder, run.model, run.seed, run.method)
        steps.record(opened, opened.read_metrics(), opened.read_decision())
        return
    about = open_data(run.folder).ledger_columns() | {"method": run.method, "model": run.model, "seed": run.seed}
    ledger.record(LEDGER, [about | {"date": verdicts.today(), "status": status}])


def _reason(log: Path, code: int | None) -> str:
    """Return the last line that a failed run printed; of one that was killed, as for its memory, it says nothing."""
    if code is not None and code < 0:
        return f"killed by signal {-code}; all that it printed is in {log.as_posix()}"
    lines = log.read_text(encoding="utf-8").strip().splitlines() if log.is_file() else []
    return lines[-1] if lines else f"exit code {code}"


def _work(run: Wanted) -> None:
    """Do the work of the new process; its exit code says whether it came to the end."""
    with (
        run.log.open("w", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        try:
            with hold(run.results):
                steps.complete(run.make, run.folder, run.seed, run.alpha, run.prevalence, run.unseen, run.reader)
        except BadInput as error:
            print(error)
            sys.exit(EXIT_CODE)
        except KeyboardInterrupt:
            print("interrupted; the same command goes on where it stopped")
            sys.exit(INTERRUPTED)
        except Exception as error:
            traceback.print_exc()
            if (fault := disk_fault(error)) is not None:
                print(fault)
            sys.exit(1)
