"""A new log read as a trained run read its own: the same header, masks, templates and grouping.

What the run learned stands beside it in one data folder (contract 1): its sequences train and validate, the new log is
the test. So everything that reads a data folder reads a judged log.
"""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import polars as pl

from core.data import Data
from core.errors import BadInput
from core.logs import LogFile
from core.raw_lines import keep_place
from core.schemas import check
from parsing.datasets import Spec
from parsing.lines.blocks import read_here, read_log
from parsing.lines.headers import Header, compile_header, split_fields
from parsing.lines.times import names_year, recipe_fields, timestamps
from parsing.sequences.assemble import Plan, assemble
from parsing.sequences.cut import Pauses
from parsing.sequences.folder import CsvFile, describe_sources, write_manifest
from parsing.sequences.group import Grouping
from parsing.sequences.labels import read_labels
from parsing.sequences.split import SplitSettings
from parsing.templates.messages import NoneMatches

Kind = TypeVar("Kind")


def read_judged(folder: Path, name: str, learned: Data, log: LogFile, labels: LogFile | None) -> dict:
    """Write the data folder of a judged log into `folder`; return its manifest.

    `learned` is what a run carries of its data, `labels` a file of labels where somebody has one. A template
    that the run never saw gets a key of its own. Raise BadInput if none of the lines matches what the run knows.
    """
    spec = described(learned, "spec", Spec)
    plan = plan_of(learned)
    rejected = CsvFile(folder / "rejected.csv", ("line", "reason", "text"))
    known = read_labels(labels) if labels else None
    raw = read_log(spec, log, read_here(spec, log, (1, None)), folder / ".events", rejected, known)
    try:
        with ThreadPoolExecutor(1) as pool:  # hashing keeps the core busy that assembling leaves idle
            sources = pool.submit(describe_sources, [log.path, *([labels.path] if labels else [])])
            protocol, counts, pauses = assemble(folder, spec, raw, plan)
    except NoneMatches as error:
        raise BadInput(
            f"{log.path} is a log of another program: none of its {error.lines:,} lines matches a template of "
            f"{learned.folder.parent.as_posix()}; train a run on such a log, or look at it with: "
            f"python parse_logs.py check {log.path} --format auto"
        ) from error
    shutil.rmtree(folder / ".events", ignore_errors=True)
    add_templates(folder, learned)
    keep_place(folder, log)
    counts |= {"lines": raw.read_lines, "rejected": rejected.rows, "further_lines": raw.further_lines}
    about = {"title": f"{log.path.name} judged", "simulated": spec.simulated, "spec": asdict(spec), **pauses}
    about |= {"grouping": asdict(plan.grouping), "split": protocol}
    return write_manifest(folder, name, about, sources.result(), counts)


def plan_of(learned: Data) -> Plan:
    """Return how the sequences of a new log are made: as those that a run learned, and all of them judged."""
    grouping = described(learned, "grouping", Grouping)
    pauses = described(learned, "pauses", Pauses) if grouping.kind == "session" else None
    mine = "none" if learned.manifest["split"].get("mined") == "none" else "whole"
    return Plan(
        grouping,
        SplitSettings("judged"),
        mine=mine,
        templates=learned.folder / "templates.csv",
        evolve=True,
        pauses=pauses,
        learned=learned.folder / "sequences.parquet",
    )


def described(learned: Data, name: str, kind: type[Kind]) -> Kind:
    """Return what the manifest says under `name`; raise BadInput if that is missing or no such thing."""
    place, found = learned.folder / "manifest.json", learned.manifest.get(name)
    if found is None:
        raise BadInput(
            f"{place.as_posix()} does not say how the log was read ({name}): the run learned ready-made keys, or "
            "another version of this program made it; train a run on a raw log with this version."
        )
    return check(json.dumps(found), kind, place, "train the run again.")


def add_templates(folder: Path, learned: Data) -> None:
    """Put the templates that a run learned, and the new log does not have, behind those in `folder`."""
    path = folder / "templates.csv"
    own, known = (pl.read_csv(one, glob=False, infer_schema=False) for one in (path, learned.folder / "templates.csv"))
    absent = known.join(own, on="key", how="anti").with_columns(count=pl.lit("0"), first_line=pl.lit(None, pl.String))
    pl.concat([own, absent.select(own.columns)]).write_csv(path)


def read_lines(log: LogFile, spec: Spec, numbers: list[int]) -> pl.DataFrame:
    """Return `line, time, raw` of these lines of a log, by their numbers; no time where the spec names none."""
    rows = log.pick(numbers)
    return rows.select("line", _times(rows, spec, compile_header(spec.header)), raw="text")


def _times(rows: pl.DataFrame, spec: Spec, header: Header) -> pl.Series:
    """Return the time of each of some lines that have one."""
    nothing = pl.Series("time", [None] * len(rows), pl.Datetime("us"))
    if not spec.time or not names_year(spec.time):  # a time without its year says less than the line does
        return nothing
    fields, _ = split_fields(rows, header, recipe_fields(spec.time))
    times = fields.select("line", timestamps(fields, spec.time).cast(pl.Datetime("us")).alias("time"))
    return rows.join(times, on="line", how="left", maintain_order="left")["time"]
