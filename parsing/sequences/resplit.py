"""An existing data folder with another random split: the same sequences, used differently."""

import json
import shutil
from pathlib import Path

import polars as pl

from core.errors import BadInput
from parsing.sequences.folder import ARROW_SCHEMA, sequences_file
from parsing.sequences.split import NAMES, SplitSettings, split_sequences


def resplit(folder: Path, source: Path, seed: int) -> tuple[dict, list[dict], dict[str, int]]:
    """Write the files of `source` into `folder`, split by `seed`; return what the manifest says about them.

    These are its head (title, spec, split, grouping), its sources and its counts. Raise BadInput if `source` is no
    data folder, or is split by time, where a seed changes nothing.
    """
    manifest = _manifest_of(source)
    old = manifest["split"]
    sequences = pl.read_parquet(source / "sequences.parquet")
    settings = SplitSettings("random", old["asked_normals"], validation_share=old["validation_share"])
    split = split_sequences(sequences["label"].fill_null(-1).to_numpy(), None, settings, seed)
    table = sequences.with_columns(split.names).select(ARROW_SCHEMA.names).to_arrow()
    with sequences_file(folder) as file:
        file.write_table(table.cast(ARROW_SCHEMA))
    for name in ("templates.csv", "rejected.csv"):
        shutil.copyfile(source / name, folder / name)
    sizes = {name: int((split.codes == code).sum()) for code, name in enumerate(NAMES)}
    counts = manifest["counts"] | sizes | {"lines_in_test_and_training": shared_lines(sequences, split.names)}
    head = {name: manifest[name] for name in ("title", "simulated", "spec", "grouping") if name in manifest}
    return (
        head | {"split": old | split.protocol | {"of": source.name, "of_hash": manifest["data_hash"]}},
        manifest["sources"],
        counts,
    )


def _manifest_of(source: Path) -> dict:
    path = source / "manifest.json"
    if not path.is_file():
        raise BadInput(f"{source} is no data folder; make it first with parse_logs.py, then split it again.")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    if not manifest["split"]["rule"].startswith("normals shuffled"):
        raise BadInput(f"{source} is split by time, so a seed changes nothing in it; use it as it is.")
    return manifest


def shared_lines(sequences: pl.DataFrame, split: pl.Series) -> int:
    """Return how many lines are both in a test sequence and in a training or validation sequence."""
    lines = sequences.select(split, line="lines").drop_nulls("line").explode("line")
    test = lines.filter(pl.col("split") == "test")["line"].unique()
    learned = lines.filter(pl.col("split").is_in(["train", "validation"]))["line"].unique()
    return int(test.is_in(learned.implode()).sum())
