"""Key sequences that somebody else made: one sequence a line, keys apart by blanks."""

from pathlib import Path

import polars as pl

from errors import BadInput
from parsing.folder import SEQUENCE_SCHEMA, Parsed
from parsing.read import LogFile


def parse_keys(files: list[Path]) -> Parsed:
    """The sequences of NORMAL [ABNORMAL]; they have no templates, no log lines and no times, so those are null."""
    read = [read_key_sequences(path, label) for label, path in enumerate(files)]
    sequences = pl.concat(sequences for sequences, _ in read)
    rejected = pl.concat(rejected for _, rejected in read)
    if sequences["sequence_id"].is_duplicated().any():
        raise BadInput(
            f"{files[0]} and {files[1]} have the same name, so sequence ids would repeat; rename one of them."
        )
    templates = (
        sequences.select(pl.col("keys").explode().alias("key"))
        .group_by("key")
        .agg(count=pl.len())
        .sort("key")
        .select("key", pl.lit(None).alias("template"), "count", pl.lit(None).alias("first_line"))
    )
    counts = {"lines": len(sequences) + len(rejected), "lines_in_sequences": len(sequences), "rejected": len(rejected)}
    return Parsed(sequences, templates, rejected, files, counts)


def read_key_sequences(path: Path, label: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sequences of one file with ids `<file name>:<line>`, and its rejected (blank) lines."""
    source = LogFile(path)
    lines = pl.concat(list(source.blocks()))
    if source.undecodable:
        raise BadInput(f"{path} line {source.first_undecodable:,} is not UTF-8; convert the file with: iconv -t UTF-8")
    keys = lines.with_columns(keys=pl.col("text").str.extract_all(r"\S+"))
    filled = pl.col("keys").list.len() > 0
    sequences = keys.filter(filled).select(
        "keys",
        sequence_id=pl.format("{}:{}", pl.lit(path.name.split(".")[0]), "line"),
        label=pl.lit(label, pl.Int8),
        lines=pl.lit(None, SEQUENCE_SCHEMA["lines"]),
        start=pl.lit(None, SEQUENCE_SCHEMA["start"]),
        end=pl.lit(None, SEQUENCE_SCHEMA["end"]),
    )
    return sequences, keys.filter(~filled).select("line", "text", reason=pl.lit("no keys"))
