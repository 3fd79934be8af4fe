"""An existing data folder with another random split: the same sequences, other ones to train, validate and test on."""

import json
import shutil
from pathlib import Path

import polars as pl

from core.errors import BadInput
from parsing.sequences.folder import ARROW_SCHEMA, sequences_file
from parsing.sequences.split import NAMES, SplitSettings, split_sequences


def resplit(folder: Path, source: Path, seed: int) -> tuple[dict, list[dict], dict[str, int]]:
    """Write the files of `source` into `folder` split by `seed`; returns what the manifest says of them.

    These are its head (name, spec, split, grouping), its sources and its counts. Raises BadInput if `source` is no
    data folder, or is split by time, where a seed changes nothing.
    """
    path = source / "manifest.json"
    if not path.is_file():
        raise BadInput(f"{source} is no data folder; make it first with parse_logs.py, then split it anew.")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    old = manifest["split"]
    if not old["rule"].startswith("normals shuffled"):
        raise BadInput(f"{source} is split by time, so a seed changes nothing in it; use it as it is.")
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


def shared_lines(sequences: pl.DataFrame, split: pl.Series) -> int:
    """How many lines are in a test sequence and in a training or validation sequence, too."""
    lines = sequences.select(split, line="lines").drop_nulls("line").explode("line")
    test = lines.filter(pl.col("split") == "test")["line"].unique()
    learned = lines.filter(pl.col("split").is_in(["train", "validation"]))["line"].unique()
    return int(test.is_in(learned.implode()).sum())
