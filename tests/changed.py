"""Data folders changed as a new parse would change them: the manifest belongs to the new content."""

import json
from pathlib import Path

import polars as pl

from core.files import data_hash


def rewrite(folder: Path, sequences: pl.DataFrame) -> None:
    """Put other sequences into a data folder."""
    sequences.write_parquet(folder / "sequences.parquet")
    set_manifest(folder)


def set_manifest(folder: Path, **fields) -> None:
    """Change fields of a manifest, and let it belong to what the folder holds now."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8")) | fields | {"data_hash": data_hash(folder)}
    path.write_text(json.dumps(manifest), encoding="utf-8")


def other_data(folder: Path) -> None:
    """Make a data folder another one: its last sequence is gone."""
    rewrite(folder, pl.read_parquet(folder / "sequences.parquet")[:-1])
