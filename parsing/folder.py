"""The data folder on disk: contract 1. Written beside its place and renamed, the manifest last."""

import csv
import hashlib
import io
import json
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import polars as pl

from errors import BadInput
from parsing.read import sha256

SEQUENCE_SCHEMA = {
    "sequence_id": pl.String,
    "keys": pl.List(pl.String),
    "lines": pl.List(pl.Int64),
    "event_labels": pl.List(pl.Int8),
    "label": pl.Int8,
    "split": pl.String,
    "start": pl.Datetime("us"),
    "end": pl.Datetime("us"),
}


@dataclass
class Parsed:
    """What a source gave: `sequences` (no split yet), `templates`, `rejected`, its files and its line counts."""

    sequences: pl.DataFrame
    templates: pl.DataFrame
    rejected: pl.DataFrame
    sources: list[Path]
    counts: dict[str, int] = field(default_factory=dict)


@contextmanager
def replaced_folder(out: Path) -> Iterator[Path]:
    """A new folder beside `out` that takes its place when the block ends well; on an error `out` stays as it was."""
    if out.exists() and not (out / "manifest.json").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out} exists and is not a data folder; choose another place with --out.")
    new, old = out.with_name(f".{out.name}.new"), out.with_name(f".{out.name}.old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        if out.exists():
            out.rename(old)
        new.rename(out)
    finally:
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)


def write_contents(folder: Path, name: str, parsed: Parsed, split: pl.Series, about: dict) -> dict:
    """Write the four files of contract 1 into `folder`; returns the manifest.

    Nothing in them depends on the clock, so the same source, seed and versions give the same bytes.
    """
    sequences = parsed.sequences.with_columns(split, event_labels=pl.lit(None)).select(
        pl.col(column).cast(dtype) for column, dtype in SEQUENCE_SCHEMA.items()
    )
    sequences.write_parquet(folder / "sequences.parquet", compression="zstd")
    _write_csv(folder / "templates.csv", parsed.templates)
    _write_csv(folder / "rejected.csv", parsed.rejected.select("line", "reason", "text"))
    manifest = {
        "name": name,
        **about,
        "sources": [
            {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)} for path in parsed.sources
        ],
        "counts": parsed.counts | _count(sequences) | {"templates": len(parsed.templates)},
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("polars", "drain3", "numpy")},
        "data_hash": _data_hash(folder),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def _count(sequences: pl.DataFrame) -> dict[str, int]:
    splits = sequences["split"]
    return {
        "sequences": len(sequences),
        "anomalous": int((sequences["label"] == 1).sum()),
        "events": int(sequences["keys"].list.len().sum()),
        **{name: int((splits == name).sum()) for name in ("train", "validation", "test")},
    }


def _data_hash(folder: Path) -> str:
    """16 hex digits over what a method reads; runs and decisions carry it and are refused on other data."""
    digest = hashlib.sha256()
    for name in ("sequences.parquet", "templates.csv"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:16]


def _write_csv(path: Path, frame: pl.DataFrame) -> None:
    """CSV with every control character of a log line kept inside quotes; Python's writer quotes lone returns, too."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(frame.columns)
    writer.writerows(frame.iter_rows())
    path.write_text(buffer.getvalue(), encoding="utf-8", newline="")
