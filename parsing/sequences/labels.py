"""Labels of sessions from a file."""

import numpy as np
import polars as pl

from core.errors import BadInput, printable
from parsing.lines.files import IS_TOO_LONG, LogFile


def session_labels(ids: list[str], first_lines: np.ndarray, source: LogFile) -> np.ndarray:
    """Return 1 (anomaly) or 0 (normal) for each session id, from a BlockId,Label file.

    Raise BadInput for an id without a label.
    """
    path, table = source.path, _read_labels(source)
    known = dict(table.iter_rows())
    missing = [place for place, name in enumerate(ids) if name not in known]
    if missing:
        raise BadInput(
            f"{path} has no label for {len(missing):,} of {len(ids):,} blocks, the first {ids[missing[0]]} "
            f"(line {first_lines[missing[0]]:,} of the log); use the label file of this log, or look with: "
            f"grep -- {ids[missing[0]]} {path}"
        )
    return np.array([known[name] for name in ids], np.int8)


def _read_labels(source: LogFile) -> pl.DataFrame:
    """Return `sequence_id, label: int8`."""
    path = source.path
    lines = pl.concat(list(source.blocks()))
    if len(long := lines.filter(IS_TOO_LONG)):
        raise BadInput(f"{path} line {long['line'][0]:,} has more than a megabyte; it needs one id and label a line.")
    text = "\n".join(lines["text"])
    if source.undecodable:
        raise BadInput(f"{path} line {source.first_undecodable:,} is not UTF-8; convert the file with: iconv -t UTF-8")
    try:
        table = pl.read_csv(text.encode(), infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise BadInput(f"{path} is not a readable label file; it needs a line BlockId,Label and UTF-8 text.") from error
    if not {"BlockId", "Label"} <= set(table.columns):
        heads = printable(",".join(table.columns), 200)
        raise BadInput(f"{path} line 1 is {heads}; the first line must name BlockId and Label.")
    wrong = table.with_row_index("line", 2).filter(~pl.col("Label").is_in(["Normal", "Anomaly"]).fill_null(False))
    if len(wrong):
        line, value = wrong.select("line", "Label").row(0)
        shown = printable(repr(value), 100)
        raise BadInput(f"{path} line {line:,}: the label is {shown}; it must be Normal or Anomaly.")
    twice = table.filter(pl.col("BlockId").is_duplicated())
    if len(twice):
        raise BadInput(f"{path} labels {twice['BlockId'][0]} more than once; keep one line per block.")
    return table.select(sequence_id="BlockId", label=(pl.col("Label") == "Anomaly").cast(pl.Int8))
