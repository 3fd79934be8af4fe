"""The files of a data folder: contract 1, the manifest last; `place` puts the folder where it belongs."""

import csv
import json
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from core.files import data_hash, sha256

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
        "begun": pa.bool_(),  # false: the log began while it was going on
        "closed": pa.bool_(),  # false: the log began, or ended, while it was going on
    }
)


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
            csv.writer(_UnixLines(file), lineterminator="\r\n").writerows(rows)


class _UnixLines:
    r"""Rows that end with a newline alone; csv quotes \r and \n only where its line end holds them, so that is \r\n."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, row: str) -> int:
        return self._file.write(row.removesuffix("\r\n") + "\n")


def sizes(sources: list[Path]) -> list[dict]:
    """Return name and size of each source file."""
    return [{"file": path.name, "bytes": path.stat().st_size} for path in sources]


def describe_sources(sources: list[Path]) -> list[dict]:
    """Return name, size and SHA-256 of each source file, for the manifest."""
    return [size | {"sha256": sha256(path)} for size, path in zip(sizes(sources), sources, strict=True)]


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
        "data_hash": data_hash(folder),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest
