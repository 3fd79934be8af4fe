"""Log keys made elsewhere: one sequence per line, or one key per row with its label."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from core.errors import BadInput
from parsing.lines.files import LogFile
from parsing.sequences.assemble import Plan, Sequences, count, window_labels, write_sequences
from parsing.sequences.folder import ARROW_SCHEMA, CsvFile, sequences_file
from parsing.sequences.group import Groups, group
from parsing.sequences.split import split_sequences
from parsing.sequences.store import NO_LABEL, EventStore


def write_key_files(folder: Path, files: list[Path], plan: Plan) -> tuple[dict, dict]:
    """Write NORMAL [ABNORMAL] files as sequences without templates, lines or times; return protocol and counts."""
    read = [read_key_sequences(path, label) for label, path in enumerate(files)]
    sequences = pl.concat(sequences for sequences, _ in read)
    if sequences["sequence_id"].is_duplicated().any():
        raise BadInput(f"{files[0]} and {files[1]} have the same name, so ids would repeat; rename one of them.")
    rejected = CsvFile(folder / "rejected.csv", ("line", "reason", "text"))
    for _, refused in read:
        rejected.append(refused)
    labels, sizes = sequences["label"].to_numpy(), sequences["keys"].list.len().to_numpy()
    stops = np.cumsum(sizes, dtype=np.int64)
    groups = Groups(stops - sizes, stops)
    split = split_sequences(labels, groups, plan.split, plan.seed)
    missing = [pl.lit(None).alias(name) for name in ARROW_SCHEMA.names if name not in (*sequences.columns, "split")]
    table = sequences.with_columns(split.names, *missing).select(ARROW_SCHEMA.names).to_arrow()
    with sequences_file(folder) as file:
        file.write_table(table.cast(ARROW_SCHEMA))
    counts = sequences.select(key=pl.col("keys").explode()).group_by("key").agg(count=pl.len())
    write_key_counts(folder, counts)
    lines = {"lines": len(sequences) + rejected.rows, "lines_in_sequences": len(sequences), "rejected": rejected.rows}
    return split.protocol, lines | count(groups, labels, split, int(sizes.sum())) | {"templates": len(counts)}


def read_key_sequences(path: Path, label: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the sequences of one file with ids `<file name>:<line>`, and its rejected (blank) lines."""
    source = LogFile(path)
    lines = pl.concat(list(source.blocks()))
    if source.undecodable:
        raise BadInput(f"{path} line {source.first_undecodable:,} is not UTF-8; convert the file with: iconv -t UTF-8")
    keys = lines.with_columns(keys=pl.col("text").str.extract_all(r"\S+"))
    filled = pl.col("keys").list.len() > 0
    ids = pl.format("{}:{}", pl.lit(path.name.split(".")[0]), "line")
    sequences = keys.filter(filled).select("keys", sequence_id=ids, label=pl.lit(label, pl.Int8))
    return sequences, keys.filter(~filled).select("line", reason=pl.lit("no keys"), text="text")


def write_key_stream(folder: Path, path: Path, plan: Plan) -> tuple[dict, dict]:
    """Write a parquet of consecutive lines (`key`, `label` 0 or 1) in line windows; return protocol and counts."""
    stream = read_key_stream(path)
    distinct = stream["key"].unique(maintain_order=True)
    numbers = stream["key"].replace_strict(distinct, pl.int_range(len(distinct), eager=True), return_dtype=pl.UInt32)
    store = EventStore(folder / ".events", ("message", "line", "label"))
    store.append(stream.select(message=numbers, line=pl.int_range(1, pl.len() + 1), label="label"))
    groups = group(store, plan.grouping)
    values = window_labels(store, groups)
    split = split_sequences(values, groups, plan.split, plan.seed)
    words = pa.array(distinct.to_list(), pa.string())
    write_sequences(folder, Sequences(store, groups, values, split.names, words, []))
    CsvFile(folder / "rejected.csv", ("line", "reason", "text"))
    write_key_counts(folder, stream.group_by("key").agg(count=pl.len()))
    counts = {"lines": len(stream), "lines_in_sequences": len(stream), "rejected": 0}
    counts["anomalous_lines"] = int((stream["label"] == 1).sum())
    return split.protocol, counts | count(groups, values, split, store.events) | {"templates": len(distinct)}


def read_key_stream(path: Path) -> pl.DataFrame:
    """Return `key: str, label: int8` of a parquet; lines without a label count as unlabeled."""
    try:
        stream = pl.read_parquet(path)
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist; check the path with: ls {path.parent}") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(
            f"{path} is not a readable parquet file; write it again with the columns key and label."
        ) from error
    if "key" not in stream.columns or not len(stream) or stream["key"].null_count():
        raise BadInput(f"{path} needs a column key without gaps, and a column label if lines are labeled.")
    label = (
        pl.col("label").cast(pl.Int8).fill_null(NO_LABEL) if "label" in stream.columns else pl.lit(NO_LABEL, pl.Int8)
    )
    try:
        stream = stream.select(pl.col("key").cast(pl.String), label.alias("label"))
    except pl.exceptions.PolarsError as error:
        raise BadInput(f"{path} has keys that are not text, or labels that are not numbers; write it again.") from error
    if not stream["label"].is_between(NO_LABEL, 1).all():
        raise BadInput(f"{path} has labels other than 0 and 1; write it again with 1 for an anomalous line.")
    return stream


def write_key_counts(folder: Path, counts: pl.DataFrame) -> None:
    """Write templates.csv of keys whose templates nobody kept."""
    heads = ("key", "template", "count", "first_line", "example")
    nothing = pl.lit(None)
    rows = counts.sort("key").select("key", nothing.alias("a"), "count", nothing.alias("b"), nothing.alias("c"))
    CsvFile(folder / "templates.csv", heads).append(rows)
