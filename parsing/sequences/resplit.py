"""An existing data folder with another random split: the same sequences, used differently."""

import json
import shutil
from pathlib import Path

import polars as pl

from core.data import Data, open_folder
from core.errors import BadInput
from core.raw_lines import find_log, keep_place
from core.schemas import check
from parsing.sequences.folder import ARROW_SCHEMA, sequences_file
from parsing.sequences.split import NAMES, SplitSettings, split_sequences
from parsing.sequences.store import NO_LABEL
from parsing.workflows.folder import resplit_jobs


def resplit(folder: Path, source: Path, seed: int) -> tuple[dict, list[dict], dict[str, int]]:
    """Write the files of `source` into `folder`, split by `seed`; return what the manifest says about them.

    These are its head (title, spec, split, grouping), its sources and its counts. Raise BadInput if `source` is no
    data folder, or is split by time, where a seed changes nothing.
    """
    if not (source / "manifest.json").is_file():
        raise BadInput(f"{source} is no data folder; make it first with parse_logs.py, then split it again.")
    if (source / "jobs.parquet").is_file():
        return resplit_jobs(folder, open_folder(source), seed)
    data, settings = _open(source)
    manifest, sequences = data.manifest, data.sequences
    split = split_sequences(sequences["label"].fill_null(NO_LABEL).to_numpy(), None, settings, seed)
    table = sequences.with_columns(split.names).select(ARROW_SCHEMA.names).to_arrow()
    with sequences_file(folder) as file:
        file.write_table(table.cast(ARROW_SCHEMA))
    for name in ("templates.csv", "rejected.csv"):
        shutil.copyfile(source / name, folder / name)
    if log := find_log(source, manifest["sources"]):
        keep_place(folder, log)
    sizes = {name: int((split.codes == code).sum()) for code, name in enumerate(NAMES)}
    counts = manifest["counts"] | sizes | {"lines_in_test_and_training": shared_lines(sequences, split.names)}
    head = {name: manifest.get(name) for name in ("title", "simulated", "spec")}
    head |= {name: manifest[name] for name in ("grouping", "words", "pauses") if name in manifest}
    of = {"of": source.name, "of_hash": manifest["data_hash"]}
    return (
        head | {"split": manifest["split"] | split.protocol | of},
        manifest["sources"],
        counts,
    )


def _open(source: Path) -> tuple[Data, SplitSettings]:
    """Return the data folder and the settings of its split, which is a random one; raise BadInput if it has none."""
    data = open_folder(source)
    split = data.manifest["split"]
    if data.is_chronological:
        raise BadInput(f"{source} is split by time, so a seed changes nothing in it; use it as it is.")
    if "settings" in split:
        return data, check(json.dumps(split["settings"]), SplitSettings, source / "manifest.json", data.remedy)
    asked, share = split.get("asked_normals"), split.get("validation_share")  # of an earlier version
    if not (asked is None or type(asked) is int) or type(share) is not float:
        raise BadInput(f"{source}/manifest.json does not say how large its split is; {data.remedy}")
    return data, SplitSettings("random", asked, validation_share=share)


def shared_lines(sequences: pl.DataFrame, split: pl.Series) -> int:
    """Return how many lines are both in a test sequence and in a training or validation sequence."""
    lines = sequences.select(split, line="lines").drop_nulls("line").explode("line")
    test = lines.filter(pl.col("split") == "test")["line"].unique()
    learned = lines.filter(pl.col("split").is_in(["train", "validation"]))["line"].unique()
    return int(test.is_in(learned.implode()).sum())
