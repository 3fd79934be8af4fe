"""The data folder on disk: contract 1. Written beside its place and renamed, the manifest last."""

import csv
import errno
import hashlib
import json
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import BadInput
from core.files import replace, sha256

ARROW_SCHEMA = pa.schema(
    {
        "sequence_id": pa.string(),
        "keys": pa.list_(pa.string()),
        "lines": pa.list_(pa.int64()),
        "event_labels": pa.list_(pa.int8()),
        "label": pa.int8(),
        "split": pa.string(),
        "start": pa.timestamp("us"),
        "end": pa.timestamp("us"),
    }
)


def refuse_overlap(out: Path, sources: list[Path]) -> None:
    """Raise BadInput if replacing `out` would remove a source, or if `out` lies inside another data folder."""
    place = out.resolve()
    for source in sources:
        if place in source.resolve().parents:
            raise BadInput(f"{source} lies in {out}, which would be replaced; move it out, or choose another --out.")
    for parent in place.parents:
        if (parent / "manifest.json").is_file():
            raise BadInput(f"{out} lies inside the data folder {parent}; choose another place with --out.")


@contextmanager
def replaced_folder(out: Path) -> Iterator[Path]:
    """Yield a new folder that replaces `out` when the block ends well; on an error `out` stays as it was."""
    if out.exists() and not (out / "manifest.json").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out} exists and is not a data folder; choose another place with --out.")
    try:
        with replace(out) as new:
            new.mkdir(parents=True)
            yield new
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BadInput(
                f"The disk is full; {out} is as it was. Free some space, or choose another disk with --out."
            ) from error
        raise


@contextmanager
def sequences_file(folder: Path) -> Iterator[pq.ParquetWriter]:
    """Yield `sequences.parquet`, to be written a batch of sequences at a time."""
    with pq.ParquetWriter(folder / "sequences.parquet", ARROW_SCHEMA, compression="zstd") as writer:
        yield writer


class CsvFile:
    """A CSV written row by row; every control character of a log line stays inside quotes."""

    def __init__(self, path: Path, heads: tuple[str, ...]) -> None:
        self.path, self.rows = path, 0
        self._write("w", [heads])

    def append(self, frame: pl.DataFrame) -> None:
        """Add the rows of a frame, its columns in the order of the heads."""
        if len(frame):
            self._write("a", frame.iter_rows())
            self.rows += len(frame)

    def _write(self, mode: str, rows: Iterable) -> None:
        with self.path.open(mode, encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


def describe_sources(sources: list[Path]) -> list[dict]:
    """Return name, size and SHA-256 of each source file, for the manifest."""
    return [{"file": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)} for path in sources]


def write_manifest(folder: Path, name: str, about: dict, sources: list[dict], counts: dict[str, int]) -> dict:
    """Write the last file of a folder and return its content; `sources` are those of `describe_sources`.

    Nothing in it depends on the clock, so the same source, options and versions give the same bytes.
    """
    manifest = {
        "name": name,
        **about,
        "sources": sources,
        "counts": counts,
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("polars", "pyarrow", "drain3", "numpy")},
        "data_hash": _data_hash(folder),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def _data_hash(folder: Path) -> str:
    """Return 16 hex digits over what a method reads; runs and decisions carry it and are refused on other data."""
    digest = hashlib.sha256()
    for name in ("sequences.parquet", "templates.csv"):
        with (folder / name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]
