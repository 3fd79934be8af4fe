"""The files of the publication: one sentence a job, shuffled, in four csv files.

Written from the description, so that they come out byte for byte as the published ones; their MD5 says whether they do.
"""

import hashlib
from pathlib import Path

import numpy as np
import polars as pl

from core.jobs import sentences
from parsing.workflows.specs import PARTS, Workflow

SHUFFLED_BY = 42  # seed of NumPy's old generator, as pandas' sample(frac=1, random_state=42) uses it
SHARES = (0.8, 0.9)  # until where shuffled rows train, and until where they validate
HEAD = "text,label\n"


def in_order(jobs: pl.DataFrame, graph: list[str], order: list[int] | None, workflow: Workflow) -> pl.DataFrame:
    """Return the jobs in the order of the publication: runs as listed, in each the jobs by their place in its graph.

    Runs that no list names follow in the order of their numbers. Jobs without a place follow in that of NumPy's
    sort, which is not stable, and may be another one with another version or another kind of processor: the MD5 says.
    """
    places = {name: place for place, name in enumerate(_cut(graph) if workflow.cut_names else graph)}
    listed = {run: place for place, run in enumerate(order or [])}
    parts = []
    for run in sorted(jobs["run"].unique(), key=lambda number: (listed.get(number, len(listed)), number)):
        own = jobs.filter(pl.col("run") == run).sort("row")
        place = np.array([places.get(name, np.nan) for name in _cut(own["job"].to_list())])
        parts.append(own[np.argsort(place, kind="heapsort")])
    return pl.concat(parts)


def _cut(names: list[str]) -> list[str]:
    """Return the names with those of auxiliary jobs cut at the first hyphen."""
    return [name.split("-")[0] if name.startswith(("create_dir_", "cleanup_")) else name for name in names]


def split_rows(rows: int) -> dict[str, np.ndarray]:
    """Return which rows train, validate and test, in their shuffled order, by the name of the part."""
    shuffled = np.random.RandomState(SHUFFLED_BY).permutation(rows)
    return dict(zip(PARTS[1:], np.split(shuffled, [int(share * rows) for share in SHARES]), strict=True))


def write(folder: Path, jobs: pl.DataFrame) -> dict[str, str]:
    """Write the four files of jobs that are in the publication's order; return the MD5 of each."""
    pairs = zip(sentences(jobs), jobs["label"].to_list(), strict=True)
    lines = np.array([f"{text},{label}\n" for text, label in pairs], dtype=object)
    digests = {}
    for part, rows in ({PARTS[0]: np.arange(len(jobs))} | split_rows(len(jobs))).items():
        content = (HEAD + "".join(lines[rows])).encode()
        (folder / f"{part}.csv").write_bytes(content)
        digests[part] = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return digests
