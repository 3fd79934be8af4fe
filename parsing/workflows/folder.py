"""The data folder of a workflow: jobs.parquet, and contract 1 made of it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from core.data import Data
from core.errors import BadInput, printable
from core.files import sha256
from core.jobs import RUN, SCHEMA, WORKER, sentences
from parsing.sequences.folder import ARROW_SCHEMA, CsvFile, sequences_file
from parsing.workflows import published, split, tables
from parsing.workflows.specs import ALL, PARTS, PROTOCOLS, WORKFLOWS, Workflow
from parsing.workflows.words import RuntimeClasses

NAMES = (*PARTS[1:], "unused")


@dataclass(frozen=True)
class Made:
    """What the manifest is to say of a folder."""

    about: dict
    sources: list[dict]
    counts: dict[str, int]


def write_workflow(folder: Path, workflow: Workflow, log: Path, protocol: str, seed: int) -> Made:
    """Write jobs.parquet, the sequences and, as published, the four csv files; raise BadInput for other files."""
    sources = [tables.find(log, one) for one in _wanted(workflow, log, protocol)]
    jobs = pl.concat([tables.read(source) for source in sources])
    graph, order = tables.read_graph(sources[0]), tables.read_order(sources[0])
    notes = _unlisted(sources[0], jobs, graph)
    if protocol == "published":
        counts, note = _write_published(folder, jobs, graph, order, workflow)
        notes.append(note)
    else:
        parts = split.split_runs(jobs, seed, workflow.name if protocol == "workflow" else None)
        counts = write_workers(folder, jobs.with_columns(parts).select(SCHEMA.keys()))
    about = {"rule": _rule(sources, protocol), "seed": seed, "notes": notes, "has_one_split": protocol == "published"}
    about["protocol"] = {"name": protocol, "source": PROTOCOLS[protocol]}
    head = {"title": f"workflow jobs of {workflow.title}", "simulated": workflow.imitates is not None, "spec": None}
    head |= {"grouping": {"kind": "session"}, "split": about}
    return Made(head, [_described(source) for source in sources], counts)


def _wanted(workflow: Workflow, log: Path, protocol: str) -> list[Workflow]:
    """Return the workflows to read, the one that is named first."""
    if protocol != "workflow":
        return [workflow]
    others = [one for one in ALL.values() if one != workflow and (log / one.name).is_dir()]
    if not others:
        raise BadInput(
            f"{log} holds no workflow beside {workflow.name} to learn from; give the folder that holds several of "
            f"{', '.join(WORKFLOWS)}."
        )
    return [workflow, *others]


def _rule(sources: list[tables.Source], protocol: str) -> str:
    tested, *others = (source.workflow.name for source in sources)
    return {
        "runs": f"whole runs, of each kind of anomaly {split.TEST_SHARE:.0%} test and of the others "
        f"{split.VALIDATION_SHARE:.0%} validate; the rest trains, all with their labels",
        "published": f"jobs shuffled with seed {published.SHUFFLED_BY}: 80% train, 10% validate, 10% test",
        "workflow": f"runs of {' and '.join(others)} train, of each kind of anomaly {split.VALIDATION_SHARE:.0%} "
        f"validate; all of {tested} test",
    }[protocol]


def _unlisted(source: tables.Source, jobs: pl.DataFrame, graph: list[str]) -> list[str]:
    """Return a note if the graph does not name the jobs of the tables."""
    own = set(jobs.filter(pl.col("workflow") == source.workflow.name)["job"])
    unknown = sorted(own - set(graph))
    if not unknown:
        return []
    return [f"{len(unknown):,} job names, such as {printable(unknown[0], 60)}, are not in {source.graph.name}."]


def _described(source: tables.Source) -> dict:
    """Return one entry for the files of a workflow: hundreds would hide what the folder was made of."""
    digests = "".join(f"{path.name} {sha256(path)}\n" for path in source.tables)
    total = hashlib.sha256(digests.encode()).hexdigest()
    size = sum(path.stat().st_size for path in source.tables)
    return {"file": source.workflow.name, "files": len(source.tables), "bytes": size, "sha256": total}


def resplit_jobs(folder: Path, data: Data, seed: int) -> tuple[dict, list[dict], dict[str, int]]:
    """Write the jobs of a data folder, its runs split by `seed`; return head, sources and counts of the manifest.

    Raise BadInput if it has one split alone.
    """
    manifest, protocol = data.manifest, (data.manifest["split"].get("protocol") or {}).get("name")
    if protocol not in PROTOCOLS or not manifest["sources"]:
        raise BadInput(f"data/{data.name}/manifest.json does not say how its jobs are split; {data.remedy}")
    if data.has_one_split:
        raise BadInput(f"data/{data.name} has the published split, and a seed changes nothing in it; use it as it is.")
    tested = manifest["sources"][0]["file"] if protocol == "workflow" else None
    parts = split.split_runs(data.jobs, seed, tested)
    counts = write_workers(folder, data.jobs.with_columns(parts).select(SCHEMA.keys()))
    head = {name: manifest[name] for name in ("title", "simulated", "spec", "grouping")}
    of = {"seed": seed, "of": data.name, "of_hash": manifest["data_hash"]}
    return head | {"split": manifest["split"] | of}, manifest["sources"], counts


# -------------------------------------------------------------------------------------------------------- as published


def _write_published(
    folder: Path, jobs: pl.DataFrame, graph: list[str], order: list[int] | None, workflow: Workflow
) -> tuple[dict[str, int], str]:
    """Write the four csv files and each job as a sequence of its own; return counts and a note on the files."""
    ordered = published.in_order(jobs, graph, order, workflow)
    digests = published.write(folder, ordered)
    parts = np.empty(len(ordered), dtype=object)
    for part, rows in published.split_rows(len(ordered)).items():
        parts[rows] = part
    kept = ordered.with_columns(split=pl.Series(parts, dtype=pl.String)).sort("run", "end", "job").select(SCHEMA.keys())
    texts = pl.Series("text", sentences(kept), dtype=pl.String)
    numbers = texts.rank("dense").cast(pl.UInt32)
    sequences = kept.select(
        "label",
        "split",
        "start",
        "end",
        sequence_id=_run_name("job"),
        keys=pl.concat_list(pl.format("text{}", pl.lit(numbers))),
        lines=pl.concat_list(pl.int_range(1, pl.len() + 1)),
    )
    words = (
        pl.DataFrame({"key": numbers, "template": texts})
        .group_by("key", maintain_order=True)
        .agg(pl.col("template").first(), count=pl.len())
    )
    counts = _write(folder, kept, sequences, words.with_columns(pl.format("text{}", "key").alias("key")))
    both = kept.with_columns(texts).group_by("text").agg(pl.len(), both=pl.col("label").n_unique() > 1)
    sides = kept.filter(pl.col("split").is_in(["train", "test"])).group_by(WORKER).agg(pl.col("split").n_unique() > 1)
    counts["jobs_whose_text_has_both_labels"] = int(both.filter("both")["len"].sum())
    counts["workers_in_training_and_test"] = int(sides["split"].sum())
    return counts, _compared(digests, workflow, order)


def _compared(digests: dict[str, str], workflow: Workflow, order: list[int] | None) -> str:
    """Return the sentence on whether the four files are those of the publication."""
    if workflow.imitates:
        return "Nothing is published of a simulated workflow: the four csv files show what they would look like."
    if digests == workflow.md5:
        return "all.csv, train.csv, validation.csv and test.csv are the published files, byte for byte (MD5)."
    if order is None:
        return (
            f"No run_order.json says in what order the publication took the runs of {workflow.name}, so all.csv, "
            "train.csv, validation.csv and test.csv have them by number and are not the published files."
        )
    return (
        f"The MD5 of all.csv is {digests['all']}, that of the published file {workflow.md5['all']}: these tables are "
        "another version of the data, and figures will differ from the published ones."
    )


# ------------------------------------------------------------------------------------------------------ workers, files


def write_workers(folder: Path, jobs: pl.DataFrame) -> dict[str, int]:
    """Write jobs.parquet and, of the jobs of each worker in a run, a sequence; return counts."""
    classes = RuntimeClasses.of(jobs.filter(pl.col("split") == split.TRAIN))
    keys = classes.keys(jobs).alias("key")
    numbered = jobs.with_columns(keys, line=pl.int_range(1, pl.len() + 1))
    sequences = numbered.group_by(WORKER, maintain_order=True).agg(
        pl.col("label").max(),
        pl.col("split").first(),
        pl.col("start").min(),
        pl.col("end").max(),
        keys="key",
        lines="line",
    )
    words = keys.to_frame().group_by("key").agg(count=pl.len()).sort("key")
    templates = words.with_columns(template=pl.Series([*map(classes.template, words["key"])], dtype=pl.String))
    return _write(folder, jobs, sequences.with_columns(sequence_id=_run_name("worker")), templates)


def _run_name(last: str) -> pl.Expr:
    return pl.format("{}-run{}/{}", "workflow", pl.col("run").cast(pl.String).str.zfill(4), last)


def _write(folder: Path, jobs: pl.DataFrame, sequences: pl.DataFrame, words: pl.DataFrame) -> dict[str, int]:
    jobs.write_parquet(folder / "jobs.parquet")
    given = sequences.with_columns(begun=pl.lit(True), closed=pl.lit(True))
    missing = [pl.lit(None).alias(name) for name in ARROW_SCHEMA.names if name not in given.columns]
    with sequences_file(folder) as file:
        file.write_table(given.with_columns(missing).select(ARROW_SCHEMA.names).to_arrow().cast(ARROW_SCHEMA))
    nothing = pl.lit(None)
    rows = words.select("key", "template", "count", nothing.alias("first_line"), nothing.alias("example"))
    CsvFile(folder / "templates.csv", ("key", "template", "count", "first_line", "example")).append(rows)
    CsvFile(folder / "rejected.csv", ("line", "reason", "text"))
    sizes = {name: int((sequences["split"] == name).sum()) for name in NAMES}
    return {
        "lines": len(jobs),
        "lines_in_sequences": len(jobs),
        "rejected": 0,
        "anomalous_lines": int(jobs["label"].sum()),
        "runs": jobs.select(RUN).n_unique(),
        "workers": jobs.select(WORKER).n_unique(),
        "events": len(jobs),
        "sequences": len(sequences),
        "anomalous": int(sequences["label"].sum()),
        **sizes,
        "lines_in_test_and_training": 0,
        "templates": len(words),
    }
