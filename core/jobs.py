"""Jobs of scientific workflows: what jobs.parquet of a data folder holds, and what a method is shown of a worker.

A workflow is a directed graph of jobs; a run is one execution of it, a worker the machine (or container) that a job ran
on. An anomaly is a worker that was throttled during a run, so a label belongs to a worker in a run: all of its jobs
have it (FlowBench, Papadimitriou et al., arXiv 2306.09930).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

# Those of the publication, in the order of its sentence; delays and runtime in seconds.
FEATURES = (
    "wms_delay",
    "queue_delay",
    "runtime",
    "post_script_delay",
    "stage_in_delay",
    "stage_out_delay",
    "stage_in_bytes",
    "stage_out_bytes",
    "kickstart_executables_cpu_time",
)
# When each is known, in the order of events: a runtime is, as its end, later than what was staged in.
STAGES: dict[str, tuple[str, ...]] = {
    "queue": ("wms_delay", "queue_delay"),
    "stage-in": ("stage_in_bytes", "stage_in_delay"),
    "stage-out": ("stage_out_bytes", "stage_out_delay"),
    "runtime": ("runtime", "kickstart_executables_cpu_time"),
    "post script": ("post_script_delay",),
}
COUNTERS = tuple(  # of the process, as kickstart measures it
    f"kickstart_online_{name}"
    for name in (
        "iowait",
        "bytes_read",
        "bytes_written",
        "read_system_calls",
        "write_system_calls",
        "utime",
        "stime",
        "bytes_read_per_second",
        "bytes_written_per_second",
    )
)
RATES = {  # quotients of two features, with a little in the divisor that keeps them finite
    "cpu_share": ("kickstart_executables_cpu_time", "runtime", 1.0),
    "stage_in_rate": ("stage_in_bytes", "stage_in_delay", 0.5),
    "stage_out_rate": ("stage_out_bytes", "stage_out_delay", 0.5),
}
OWN = (*FEATURES, *COUNTERS, *RATES)  # of the job alone
SO_FAR = tuple(f"{name}_so_far" for name in OWN)  # beside the jobs of its type that had ended in the run by then
IN_RUN = tuple(f"{name}_in_run" for name in OWN)  # beside all jobs of its type in the run, those to come as well
NUMBERS = (*OWN, *SO_FAR, *IN_RUN)
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {  # of jobs.parquet, its rows in the order in which jobs ended
    "job": pl.String,
    "workflow": pl.String,
    "run": pl.Int64,
    "worker": pl.String,
    "type": pl.String,
    "submit": pl.Datetime("us"),
    "start": pl.Datetime("us"),
    "end": pl.Datetime("us"),
    **dict.fromkeys((*FEATURES, *COUNTERS), pl.Float64),
    "label": pl.Int8,
    "kind": pl.String,
    "split": pl.String,
}
RUN = ("workflow", "run")
WORKER = (*RUN, "worker")
TINY = 1e-3  # what a logarithm of a delay of 0 is taken of


@dataclass(frozen=True)
class Worker:
    """Jobs of one worker in one run, in the order in which they ended: a sequence, to methods that read jobs.

    `numbers` (jobs, len(NUMBERS)), float32, has the columns `NUMBERS`; nan where nothing was measured.
    """

    workflow: str
    run: int
    name: str
    types: tuple[str, ...]
    numbers: np.ndarray

    def __len__(self) -> int:
        """Return how many jobs it ran."""
        return len(self.types)

    def __iter__(self) -> Iterator[str]:
        """Yield the type of each job, so that types are numbered as keys are."""
        return iter(self.types)

    def head(self, jobs: int) -> "Worker":
        """Return the worker as it was known after its first `jobs` jobs."""
        return Worker(self.workflow, self.run, self.name, self.types[:jobs], self.numbers[:jobs])


def numbers_of(jobs: pl.DataFrame) -> np.ndarray:
    """Return the columns `NUMBERS` of jobs.parquet's rows as float32 (jobs, columns).

    Ratios are logarithms, ln((v + TINY) / (median + TINY)), to the median of the same type in the same run.
    """
    rates = [(pl.col(over) / (pl.col(under) + least)).alias(name) for name, (over, under, least) in RATES.items()]
    own = jobs.with_columns(rates)
    group = [*RUN, "type"]
    so_far = [_ratio(name, _median_so_far(name, len(jobs)).over(group)).alias(f"{name}_so_far") for name in OWN]
    in_run = [_ratio(name, pl.col(name).median().over(group)).alias(f"{name}_in_run") for name in OWN]
    found = own.lazy().with_columns(*so_far, *in_run).select(pl.col(NUMBERS).cast(pl.Float32)).collect()
    return found.to_numpy()


def _median_so_far(name: str, rows: int) -> pl.Expr:
    return pl.col(name).rolling_median(window_size=max(1, rows), min_samples=1)


def _ratio(name: str, typical: pl.Expr) -> pl.Expr:
    return (pl.col(name) + TINY).log() - (typical + TINY).log()


def workers_of(jobs: pl.DataFrame, numbers: np.ndarray, rows: Sequence[Sequence[int]]) -> list[Worker]:
    """Return the workers whose jobs are these rows of jobs.parquet, counted from 1; `numbers` are its `numbers_of`."""
    types = jobs["type"].to_list()
    workflows, runs, names = (jobs[name].to_list() for name in WORKER)
    places = [np.asarray(own, dtype=np.int64) - 1 for own in rows]
    return [
        Worker(workflows[own[0]], runs[own[0]], names[own[0]], tuple(types[row] for row in own), numbers[own])
        for own in places
    ]


def sentences(jobs: pl.DataFrame) -> list[str]:
    """Return the text of each job as the publication has it: every feature as `name is value `, missing as nan.

    Values are what Python prints of a float. A blank stands at the end, too.
    """
    columns = [
        [f"{name} is {value} " for value in jobs[name].fill_null(float("nan")).to_list()]  # str of a float
        for name in FEATURES
    ]
    return ["".join(parts) for parts in zip(*columns, strict=True)]
