"""Events to sequences: sessions by an id in the message, and their labels."""

from pathlib import Path

import polars as pl

from errors import BadInput


def by_session(events: pl.DataFrame) -> pl.DataFrame:
    """Sequences `sequence_id, keys, lines, start, end` in the order of their first lines.

    `events` has `line, key, timestamp, sessions: list[str]`; an event that names several sessions belongs to each.
    """
    return (
        events.explode("sessions")
        .group_by(pl.col("sessions").alias("sequence_id"), maintain_order=True)
        .agg(
            pl.col("key").alias("keys"),
            pl.col("line").alias("lines"),
            pl.col("timestamp").min().alias("start"),
            pl.col("timestamp").max().alias("end"),
        )
    )


def label_sessions(sequences: pl.DataFrame, path: Path) -> pl.DataFrame:
    """`sequences` with `label` (1 = anomaly) from a BlockId,Label file; raises BadInput if one has no label."""
    labels = _read_labels(path)
    labeled = sequences.join(labels, on="sequence_id", how="left", maintain_order="left")
    missing = labeled.filter(pl.col("label").is_null())
    if len(missing):
        first = missing.row(0, named=True)
        raise BadInput(
            f"{path} has no label for {len(missing):,} of {len(labeled):,} blocks, the first {first['sequence_id']} "
            f"(line {first['lines'][0]:,} of the log); use the label file of this log, or look with: "
            f"grep {first['sequence_id']} {path}"
        )
    return labeled


def _read_labels(path: Path) -> pl.DataFrame:
    """`sequence_id, label: int8`."""
    try:
        table = pl.read_csv(path, infer_schema=False)
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist; check the path with: ls {path.parent}") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"{path} is not a readable label file; it needs a line BlockId,Label and UTF-8 text.") from error
    if not {"BlockId", "Label"} <= set(table.columns):
        raise BadInput(f"{path} line 1 is {','.join(table.columns)}; the first line must name BlockId and Label.")
    wrong = table.with_row_index("line", 2).filter(~pl.col("Label").is_in(["Normal", "Anomaly"]).fill_null(False))
    if len(wrong):
        line, value = wrong.select("line", "Label").row(0)
        raise BadInput(f"{path} line {line:,}: the label is {value!r}; it must be Normal or Anomaly.")
    twice = table.filter(pl.col("BlockId").is_duplicated())
    if len(twice):
        raise BadInput(f"{path} labels {twice['BlockId'][0]} more than once; keep one line a block.")
    return table.select(sequence_id="BlockId", label=(pl.col("Label") == "Anomaly").cast(pl.Int8))
