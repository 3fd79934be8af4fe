"""compare.ipynb from the command line, and what it calls: every detector with every seed on one data set.

    python -m commands.compare                                          all methods on the simulated sample
    python -m commands.compare --data hdfs_keys --methods deeplog/lstm loganomaly/lstm --seeds 0 1 2 --prevalence 0.0293

`make compare DATA=... METHODS="..." SEEDS="..."` calls it. Each run has a process of its own and takes the steps of the
three notebooks by the same functions: fit, scores of validation, calibration, scores of the test, verdicts, a row in
the ledger for each rule. A seed is that of the weights and of the split, as in sweep.py. What is done is passed
over, what was interrupted goes on, a run that fails stays in the ledger as failed, and the next one begins.
"""

import argparse
import contextlib
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from matplotlib.figure import Figure

import parse_logs
from commands.run import execute, prepare_environment, show_cell_output
from commands.sweep import split_folder
from core.errors import EXIT_CODE, BadInput
from core.files import read_json
from evaluation import compare, ledger, verdicts
from evaluation.show import notebook
from utils import LEDGER, Data, Run, open_data, open_run, run_folder, short_name, start_run

_one_at_a_time = threading.Lock()  # the ledger is read and written as a whole
Make = Callable[..., object]  # called with seed and templates; gives a detector as methods/__init__.py describes it


@dataclass(frozen=True)
class Wanted:
    """One run: how its detector is made, on a folder that is split by its seed."""

    make: Make
    method: str
    model: str
    folder: str
    seed: int

    @property
    def title(self) -> str:
        """For the line that says how it went."""
        return f"{self.method}/{self.model} on {self.folder}, seed {self.seed}"

    @property
    def log(self) -> Path:
        """Where what it prints goes."""
        folder = run_folder(self.folder, self.model, self.seed, self.method)
        return folder.with_name(f"compare-{folder.name}.log")


def run_missing(
    detectors: Mapping[str, Make], data: str, seeds: list[int], alpha: float, prevalence: float | None
) -> pl.DataFrame:
    """Do what the ledger lacks; returns one row a run: `method, seed, status, seconds` (of this call).

    Raises BadInput if the data folder of a seed cannot be made, if there are no labels to compare by, if a detector is
    not what its name in `detectors` says, and if none is done with all seeds: there is nothing to compare then.
    """
    if not (open_data(data).split("test")["label"] == 1).any():
        raise BadInput(
            f"The test of data/{data} has no labeled anomaly to compare by; make run DATA={data} needs none."
        )
    wanted = list(_wanted(detectors, data, seeds))
    workers, threads = _workers()
    with _environment(OMP_NUM_THREADS=str(threads), OMP_WAIT_POLICY="PASSIVE"), ThreadPoolExecutor(workers) as pool:
        rows = list(pool.map(lambda run: _run(run, alpha, prevalence), wanted))
    found = pl.DataFrame(rows)
    done = found.group_by("method").agg(pl.col("status").str.starts_with("done").all())
    if not done["status"].any():
        failed = wanted[found["status"].str.starts_with("failed").arg_max()]
        raise BadInput(f"No run on data/{data} came to its end with every seed; {failed.log.as_posix()} says why.")
    return found


def _wanted(detectors: Mapping[str, Make], data: str, seeds: list[int]) -> Iterator[Wanted]:
    for seed in seeds:
        folder = split_folder(data, seed)
        templates = open_data(folder).templates
        for name, make in detectors.items():
            detector = make(seed=seed, templates=templates)
            model = short_name(detector.name)  # of a local checkpoint its folder alone, as in the ledger
            if name != f"{detector.method}/{model}":
                raise BadInput(f"The detector called {name!r} is {detector.method}/{model}; name it so.")
            yield Wanted(make, detector.method, model, folder, seed)


def _workers() -> tuple[int, int]:
    """How many runs at a time, and threads of each: small models gain little from threads, a GPU is for one."""
    import torch  # here: a look at the GPU is all that is wanted

    cores = os.cpu_count() or 1
    workers = 1 if torch.cuda.is_available() else min(cores, 4)
    return workers, max(1, cores // workers)


@contextlib.contextmanager
def _environment(**wanted: str) -> Iterator[None]:
    """Set variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({name: value} if value is not None else {})


def _run(run: Wanted, alpha: float, prevalence: float | None) -> dict:
    """One run in a new process, unless the ledger has it."""
    row = {"method": f"{run.method}/{run.model}", "seed": run.seed}
    if _is_done(run, alpha, prevalence):
        return row | {"status": "done before", "seconds": 0.0}
    started = time.perf_counter()
    run.log.parent.mkdir(parents=True, exist_ok=True)
    # spawn: a fork of a notebook would share its threads and its GPU
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(run, alpha, prevalence))
    process.start()
    process.join()
    seconds = time.perf_counter() - started
    status = "done" if process.exitcode == 0 else f"failed: {_reason(run.log, process.exitcode)}"[:200]
    with _one_at_a_time:
        _record(run, status)
    print(f"{run.title}: {status} in {seconds:.0f} s", flush=True)
    return row | {"status": status, "seconds": seconds}


def _record(run: Wanted, status: str) -> None:
    """The verdicts of a run, or its failure, into the ledger."""
    if status == "done":
        opened = open_run(run.folder, run.model, run.seed, run.method)
        opened.record(read_json(opened.folder / "metrics.json", "run compare.ipynb again."), opened.read_decision())
        return
    about = open_data(run.folder).ledger_columns() | {"method": run.method, "model": run.model, "seed": run.seed}
    ledger.record(LEDGER, [about | {"date": verdicts.today(), "status": status}])


def _is_done(run: Wanted, alpha: float, prevalence: float | None) -> bool:
    """Whether the ledger has the rows, and the run folder the verdicts that the notebook shows."""
    data_hash = open_data(run.folder).manifest["data_hash"]
    rules = ledger.finished(ledger.read(LEDGER), data_hash, run.method, run.model, run.seed, prevalence, alpha)
    return len(rules) > 0 and (run_folder(run.folder, run.model, run.seed, run.method) / "metrics.json").is_file()


def _reason(log: Path, code: int) -> str:
    """The last line that a failed run printed; of one that was killed, as for its memory, that line says nothing."""
    if code < 0:
        return f"killed by signal {-code}; all that it printed is in {log.as_posix()}"
    lines = log.read_text(encoding="utf-8").strip().splitlines() if log.is_file() else []
    return lines[-1] if lines else f"exit code {code}"


def _work(run: Wanted, alpha: float, prevalence: float | None) -> None:
    """What the new process does; its exit code says whether it came to the end."""
    with (
        run.log.open("w", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        try:
            complete(run.make, run.folder, run.seed, alpha, prevalence)
        except BadInput as error:
            print(error)
            sys.exit(EXIT_CODE)
        except Exception:
            traceback.print_exc()
            sys.exit(1)


def complete(make: Make, folder: str, seed: int, alpha: float, prevalence: float | None) -> Run:
    """From a data folder to metrics.json, whatever of it is missing: the three notebooks' steps but for the ledger."""
    data = open_data(folder)
    detector = make(seed=seed, templates=data.templates)
    run = start_run(folder, detector.name, seed, detector.describe(), detector.method)
    run.fit(detector)
    saved = type(detector).load(run.model_folder, data.keys("train"))
    validation, test = (run.scores(split, saved.score) for split in ("validation", "test"))
    decision = run.calibrate(validation, len(data.known_keys), alpha)
    run.write_decision(decision)
    run.judge(test, decision, prevalence)
    return run


# --------------------------------------------------------------------------------------- what the notebook shows


def choose(detectors: Mapping[str, Make], names: list[str] | None) -> dict[str, Make]:
    """The detectors of these names, all without names; raises BadInput for a name that is not there."""
    unknown = [name for name in names or () if name not in detectors]
    if unknown:
        raise BadInput(f"There is no method {unknown[0]!r}; choose among {', '.join(detectors)}.")
    return {name: detectors[name] for name in names or detectors}


def ledger_rows(data: Data, seeds: list[int], names: Iterable[str]) -> pl.DataFrame:
    """The ledger's rows of these detectors and seeds, and the trivial ones; columns as in `compare.select`."""
    return compare.select(ledger.read(LEDGER), data.base, seeds, list(names))


def judged(names: Iterable[str], data: str, seed: int) -> dict[str, pl.DataFrame]:
    """test_scores.parquet of the finished runs with this seed, by the name of the detector."""
    folder, found = split_folder(data, seed), {}
    for name in names:
        method, _, model = name.partition("/")
        path = run_folder(folder, model, seed, method) / "test_scores.parquet"
        if path.is_file():
            found[name] = pl.read_parquet(path)
    return found


def test_sequences(data: str, seed: int) -> pl.DataFrame:
    """The test split of a seed."""
    return open_data(split_folder(data, seed)).split("test")


def plot(figure: Figure, name: str, data: Data) -> None:
    """Show a figure and keep it as results/<data>/compare/<name>.png."""
    notebook.show_plot(figure, Path("results") / data.name / "compare" / f"{name}.png", data.label)


# ------------------------------------------------------------------------------------------------------ command line


def main(arguments: list[str] | None = None) -> int:
    """Execute compare.ipynb with these parameters; returns the exit code."""
    options = read_options(arguments)
    parameters = {"DATA": options.data, "METHODS": options.methods, "SEEDS": options.seeds}
    parameters |= {"PREVALENCE": options.prevalence}
    output = Path("results") / options.data / "compare" / "compare.ipynb"
    try:
        if options.data == "sample" and not Path("data/sample/manifest.json").is_file():
            code = parse_logs.main(["sample"])
            if code:
                return code
        open_data(options.data)  # a missing folder is said at once, not by a kernel that had to start first
        execute("notebooks/compare", output, parameters)
    except BadInput as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return EXIT_CODE
    print(f"\nOpen {output.as_posix()}; the new rows are in results/runs.csv")
    return 0


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="sample", help="DATA of the notebook (default: sample)")
    parser.add_argument("--methods", nargs="+", help="METHODS of the notebook (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="SEEDS of the notebook (default: 0)")
    parser.add_argument("--prevalence", type=float, help="PREVALENCE of the notebook")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    prepare_environment()
    show_cell_output()
    sys.exit(main())
