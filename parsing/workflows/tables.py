"""The files of a workflow: one csv a run, one row a job; its graph; the order of its runs in the publication."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from core.asked import shown
from core.errors import BadInput
from core.jobs import COUNTERS, FEATURES, SCHEMA
from parsing.workflows.specs import KINDS, Workflow

RUN_NUMBER = re.compile(r"run(\d{1,9})\.csv$")
NAMED = {"worker": "kickstart_hostname", "kind": "anomaly_type"}
TIMES = {"submit": "submit", "start": "execute_start", "end": "execute_end"}  # epoch seconds
LATEST = 1e11  # seconds, of the year 5138; a table in milliseconds is beyond it
_ID = r"(_P?ID\d+|_\d+)+$"  # what tells jobs of one type apart: frequency_ID0000012, stage_out_local_condorpool_2_0
_AUXILIARY = r"^(create_dir|cleanup)_.*$"
_REMEDY = "it must be a job table as FlowBench has them, one csv a run of the workflow."


@dataclass(frozen=True)
class Source:
    """Where the files of one workflow are."""

    workflow: Workflow
    tables: list[Path]
    graph: Path
    order: Path | None

    @property
    def files(self) -> list[Path]:
        """Return every file that is read."""
        return [*self.tables, self.graph, *([self.order] if self.order else [])]


def find(folder: Path, workflow: Workflow) -> Source:
    """Return the files of a workflow in `folder`, or in its subfolder of the workflow's name.

    Raise BadInput if there are no tables, or no graph beside them.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder; give the one that holds {workflow.name}/ and adjacency_list_dags/.")
    inner = folder / workflow.name
    tables = sorted(
        path for path in (inner if inner.is_dir() else folder).glob("*.csv") if RUN_NUMBER.search(path.name)
    )
    if not tables:
        raise BadInput(
            f"{folder} holds no runs of {workflow.name}: there is no file like {workflow.name}/"
            f"{workflow.name}-run0001.csv in it; check with: ls {folder}"
        )
    numbers = [run_number(path) for path in tables]
    for number in {number for number in numbers if numbers.count(number) > 1}:
        same = [path.name for path in tables if run_number(path) == number]
        raise BadInput(f"{folder} has two tables of run {number}, {same[0]} and {same[1]}; remove one of them.")
    return Source(workflow, tables, _graph(folder, workflow), _beside(folder, "run_order.json"))


def _graph(folder: Path, workflow: Workflow) -> Path:
    name = f"adjacency_list_dags/{workflow.name}.json"
    if (found := _beside(folder, name) or _beside(folder, f"{workflow.name}.json")) is None:
        raise BadInput(
            f"{folder} has runs of {workflow.name} without the list of what follows what in them; put FlowBench's "
            f"{name} into it."
        )
    return found


def _beside(folder: Path, name: str) -> Path | None:
    """Return a file of the folder, or of the one that holds it."""
    return next((path for path in (folder / name, folder.resolve().parent / name) if path.is_file()), None)


def run_number(table: Path) -> int:
    """Return the number of the run that a file name ends with."""
    found = RUN_NUMBER.search(table.name)
    assert found is not None
    return int(found[1])


def read(source: Source) -> pl.DataFrame:
    """Return the jobs of all runs, columns of `core.jobs.SCHEMA` but for the split, in the order in which they ended.

    `row` is a job's place in its file. Raise BadInput for a file that is no such table, with the line at fault.
    """
    runs = pl.concat([read_run(path).with_row_index("row") for path in source.tables])
    types = pl.col("job").str.replace(_AUXILIARY, "$1").str.replace(_ID, "")
    found = runs.with_columns(workflow=pl.lit(source.workflow.name), type=types)
    return found.select(*(name for name in SCHEMA if name != "split"), "row").sort("run", "end", "job")


def read_run(path: Path) -> pl.DataFrame:
    """Return the jobs of one run; raise BadInput with the line at fault."""
    text = _read_text(path)
    needed = [*NAMED.values(), *TIMES.values(), *FEATURES, *COUNTERS]
    if missing := [name for name in needed if name not in text.columns]:
        raise BadInput(f"{path} has no column {missing[0]}; {_REMEDY}")
    if not len(text):
        raise BadInput(f"{path} has no job; {_REMEDY}")
    numeric = [*TIMES.values(), *FEATURES, *COUNTERS]
    numbers = text.select(pl.col(numeric).cast(pl.Float64, strict=False))
    for name in numeric:
        _refuse(path, text[name], text[name].is_not_null() & ~numbers[name].is_finite().fill_null(False), "no number")
    for name in TIMES.values():
        _refuse(path, text[name], numbers[name].abs() > LATEST, "no time in seconds")
    for name in (text.columns[0], *NAMED.values(), *TIMES.values()):
        _refuse(path, text[name], text[name].is_null(), f"missing in column {name or 1}")
    _refuse(path, text["anomaly_type"], ~text["anomaly_type"].is_in(KINDS), f"no known anomaly: {', '.join(KINDS)}")
    _refuse(path, text[text.columns[0]], ~text[text.columns[0]].is_first_distinct(), "a job that stands there twice")
    times = [
        (numbers[own] * 1e6).round().cast(pl.Int64).cast(pl.Datetime("us")).alias(name) for name, own in TIMES.items()
    ]
    return pl.DataFrame(
        [
            text[text.columns[0]].alias("job"),
            pl.Series("run", [run_number(path)] * len(text), pl.Int64),
            *(text[own].alias(name) for name, own in NAMED.items()),
            *times,
            *(numbers[name] for name in (*FEATURES, *COUNTERS)),
            (text["anomaly_type"] != KINDS[0]).cast(pl.Int8).alias("label"),
        ]
    )


def _read_text(path: Path) -> pl.DataFrame:
    """Return the cells as text; only an empty one is missing, so that the word None stays a word."""
    try:
        return pl.read_csv(path, infer_schema=False, glob=False)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({str(error).splitlines()[0]}); {_REMEDY}") from error


def _refuse(path: Path, cells: pl.Series, wrong: pl.Series, why: str) -> None:
    if (rows := wrong.arg_true()).len():
        cell = cells[rows[0]]
        said = "a cell" if cell is None else shown(cell)
        raise BadInput(f"{path} line {rows[0] + 2:,}: {said} is {why}; {_REMEDY}")


def read_graph(source: Source) -> list[str]:
    """Return the names of the graph's jobs in its order; raise BadInput if the file is none."""
    names = _read_json(source.graph)
    if not isinstance(names, dict) or not names:
        raise BadInput(f"{source.graph} is no adjacency list (a JSON object of job names); fetch it again.")
    return list(names)


def read_order(source: Source) -> list[int] | None:
    """Return the numbers of the runs in the order of the publication, None if nothing says it."""
    if source.order is None:
        return None
    found = _read_json(source.order)
    order = found.get(source.workflow.name, []) if isinstance(found, dict) else None
    numbers = order if isinstance(order, list) else [None]
    if any(type(number) is not int for number in numbers) or len(set(numbers)) < len(numbers):
        raise BadInput(f"{source.order} must hold a list of run numbers for each workflow; fetch it again.")
    return order or None


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} is no JSON ({error}); fetch it again.") from error
