"""Log keys made elsewhere: one sequence per line, or one key per row with its label."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from core.asked import shown
from core.errors import BadInput, printable
from core.logs import IS_TOO_LONG, SHOWN_OF_LONG, LogFile
from core.tables import read_cells
from parsing.sequences.assemble import Plan, Sequences, count, worst_labels, write_sequences
from parsing.sequences.cut import nothing_cut
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
    given = (*sequences.columns, "split", "begun", "closed")
    missing = [pl.lit(None).alias(name) for name in ARROW_SCHEMA.names if name not in given]
    whole = sequences.with_columns(split.names, begun=pl.lit(True), closed=pl.lit(True))
    table = whole.with_columns(missing).select(ARROW_SCHEMA.names).to_arrow()
    with sequences_file(folder) as file:
        file.write_table(table.cast(ARROW_SCHEMA))
    counts = sequences.select(key=pl.col("keys").explode()).group_by("key").agg(count=pl.len())
    write_key_counts(folder, counts, plan.templates)
    lines = {"lines": len(sequences) + rejected.rows, "lines_in_sequences": len(sequences), "rejected": rejected.rows}
    return split.protocol, lines | count(groups, labels, split, int(sizes.sum())) | {"templates": len(counts)}


def read_key_sequences(path: Path, label: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the sequences of one file with ids `<file name>:<line>`, and its rejected (blank or too long) lines."""
    source = LogFile(path)
    lines = pl.concat(list(source.blocks()))
    if source.undecodable:
        raise BadInput(f"{path} line {source.first_undecodable:,} is not UTF-8; convert the file with: iconv -t UTF-8")
    keys = lines.with_columns(keys=pl.col("text").str.extract_all(r"\S+"))
    filled = (pl.col("keys").list.len() > 0) & ~IS_TOO_LONG
    ids = pl.format("{}:{}", pl.lit(path.name.split(".")[0]), "line")
    sequences = keys.filter(filled).select("keys", sequence_id=ids, label=pl.lit(label, pl.Int8))
    reason = pl.when(IS_TOO_LONG).then(pl.lit("line too long")).otherwise(pl.lit("no keys"))
    refused = keys.filter(~filled).with_columns(reason=reason)  # before the text is cut
    shown = pl.when(IS_TOO_LONG).then(pl.col("text").str.slice(0, SHOWN_OF_LONG)).otherwise("text")
    return sequences, refused.select("line", "reason", text=shown)


def write_key_stream(folder: Path, path: Path, plan: Plan) -> tuple[dict, dict]:
    """Write a parquet of consecutive lines (`key`, `label` 0 or 1) in line windows; return protocol and counts."""
    stream = read_key_stream(path)
    distinct = stream["key"].unique(maintain_order=True)
    numbers = stream["key"].replace_strict(distinct, pl.int_range(len(distinct), eager=True), return_dtype=pl.UInt32)
    store = EventStore(folder / ".events", ("message", "line", "label"))
    store.append(stream.select(message=numbers, line=pl.int_range(1, pl.len() + 1), label="label"))
    groups = group(store, plan.grouping)
    values = worst_labels(store, groups)
    split = split_sequences(values, groups, plan.split, plan.seed)
    words = pa.array(distinct.to_list(), pa.string())
    write_sequences(folder, Sequences(store, groups, values, split.names, nothing_cut(len(groups)), words, []))
    CsvFile(folder / "rejected.csv", ("line", "reason", "text"))
    write_key_counts(folder, stream.group_by("key").agg(count=pl.len()), plan.templates)
    counts = {"lines": len(stream), "lines_in_sequences": len(stream), "rejected": 0}
    counts["anomalous_lines"] = int((stream["label"] == 1).sum())
    return split.protocol, counts | count(groups, values, split, store.events) | {"templates": len(distinct)}


def read_key_stream(path: Path) -> pl.DataFrame:
    """Return `key: str, label: int8` of a parquet; lines without a label count as unlabeled. Labels are 0 or 1."""
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
    try:
        keys = stream["key"].cast(pl.String)
    except pl.exceptions.PolarsError as error:
        raise BadInput(f"{path} has keys that are not text; write it again.") from error
    labels = stream["label"] if "label" in stream.columns else pl.Series([None]).new_from_index(0, len(stream))
    return pl.DataFrame({"key": keys, "label": _read_line_labels(path, labels)})


def _read_line_labels(path: Path, labels: pl.Series) -> pl.Series:
    """Return 0, 1 or NO_LABEL, int8, of numbers, texts or truth values; raise BadInput for anything else."""
    try:
        numbers = labels.cast(pl.Float64, strict=False)
    except pl.exceptions.PolarsError:  # lists and the like
        numbers = pl.Series([None], dtype=pl.Float64).new_from_index(0, len(labels))
    wrong = (labels.is_not_null() & ~numbers.is_in([0.0, 1.0]).fill_null(False)).arg_true()
    if len(wrong):
        value = printable(repr(labels.to_list()[wrong[0]]), 100)
        raise BadInput(
            f"{path} row {wrong[0] + 1:,}: the label is {value}; it must be 1 for an anomalous line, 0 for a normal "
            "one, or missing."
        )
    return numbers.cast(pl.Int8).fill_null(NO_LABEL)


def write_key_counts(folder: Path, counts: pl.DataFrame, words: Path | None) -> None:
    """Write templates.csv: the keys, with the templates of the CSV `words` where it has them.

    Print how many keys and events have no words; raise BadInput if none has any.
    """
    known = read_words(words) if words else {}
    templates = pl.col("key").replace_strict(known, default=None, return_dtype=pl.String)
    nothing = pl.lit(None)
    rows = counts.sort("key").select(
        "key", templates.alias("template"), "count", nothing.alias("a"), nothing.alias("b")
    )
    silent = rows.filter(pl.col("template").is_null())
    if words and len(silent) == len(rows):
        raise BadInput(
            f"{words} has words for none of {len(rows):,} keys, such as {shown(rows['key'][0])}; give the templates of "
            "these keys, a CSV with the columns key and template."
        )
    if words and len(silent):
        print(
            f"  {printable(str(words))} has no words for {len(silent):,} of {len(rows):,} keys, such as "
            f"{shown(silent['key'][0])}, with {silent['count'].sum():,} events: methods that read text will refuse them"
        )
    CsvFile(folder / "templates.csv", ("key", "template", "count", "first_line", "example")).append(rows)


def read_words(path: Path) -> dict[str, str]:
    """Return the template of each key from a CSV with these two columns; raise BadInput with the line at fault."""
    remedy = "write it as a CSV in UTF-8 with the columns key and template."
    heads, rows = read_cells(path, remedy)
    if missing := [name for name in ("key", "template") if name not in heads]:
        raise BadInput(f"{path} has no column {missing[0]}; {remedy}")
    key, template = heads.index("key"), heads.index("template")
    known: dict[str, str] = {}
    for line, cells in rows:
        if known.setdefault(cells[key], cells[template]) != cells[template]:
            raise BadInput(f"{path} line {line}: key {shown(cells[key])} has other words than before; {remedy}")
    return {name: text for name, text in known.items() if text}
