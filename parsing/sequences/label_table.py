"""A file of labels as a table, in the forms that people keep them: columns by many names, or none at all."""

from collections.abc import Iterable

import polars as pl

from core.errors import BadInput, printable
from core.logs import IS_BLANK, IS_TOO_LONG, LogFile

NORMAL = ("normal", "benign", "ok", "-", "0", "0.0", "false", "no")
ANOMALOUS = ("anomaly", "anomalous", "abnormal", "attack", "alert", "fault", "failure", "1", "1.0", "true", "yes")
YES_OR_NO = ("0", "0.0", "1", "1.0", "false", "true", "no", "yes")
NAMES = {  # of columns, in small letters and without anything between these
    "id": ("blockid", "block", "sessionid", "session", "sequenceid", "sequence", "traceid", "requestid", "id"),
    "line": ("line", "lineid", "linenumber", "lineno"),
    "start": ("start", "begin", "from", "since", "starttime"),
    "end": ("end", "stop", "to", "until", "endtime"),
    "label": ("label", "labels", "isanomaly", "anomalous", "anomaly", "class", "target", "y"),
}
SEPARATORS = (",", ";", "\t", "|")


def is_normal(field: str) -> pl.Expr:
    """Return whether a column of words says normal; every other word is an anomaly, as BGL's categories of alerts."""
    return pl.col(field).str.strip_chars().str.to_lowercase().is_in(NORMAL)


def read_table(source: LogFile) -> pl.DataFrame:
    """Return a file of labels: `at` (line of the file), those of `NAMES` that it has, `label` as 0, 1 or null.

    Without a column of labels each row is an anomaly. Raise BadInput for a file that cannot be read so.
    """
    lines = _lines(source)
    separator = max(SEPARATORS, key=lines["text"][0].count)
    text = "\n".join(lines["text"]).encode()
    try:
        cells = pl.read_csv(text, separator=separator, has_header=False, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise BadInput(
            f"{source.path} is no table of labels: its rows have different numbers of cells; give one id and label a "
            "row, such as blk_1,Anomaly."
        ) from error
    table = _named(source, cells.insert_column(0, lines["line"].rename("at").head(len(cells))))
    if "label" not in table.columns:
        return table.with_columns(label=pl.lit(1, pl.Int8))
    word = pl.col("label").str.strip_chars().str.to_lowercase()
    read = table.with_columns(
        label=pl.when(word.is_in(NORMAL)).then(0).when(word.is_in(ANOMALOUS)).then(1).cast(pl.Int8)
    )
    if read["label"].null_count():
        row = table.filter(read["label"].is_null()).row(0, named=True)
        raise BadInput(
            f"{source.path} line {row['at']:,}: the label is {printable(repr(row['label']), 100)}; it must be Normal "
            "or Anomaly, 0 or 1, or true or false."
        )
    return read


def _lines(source: LogFile) -> pl.DataFrame:
    """Return the lines of a file of labels that say something."""
    path, lines = source.path, pl.concat(list(source.blocks()))
    if len(long := lines.filter(IS_TOO_LONG)):
        raise BadInput(f"{path} line {long['line'][0]:,} has more than a megabyte; it needs one id and label a line.")
    if source.undecodable:
        raise BadInput(f"{path} line {source.first_undecodable:,} is not UTF-8; convert the file with: iconv -t UTF-8")
    if not len(said := lines.filter(~IS_BLANK)):
        raise BadInput(f"{path} holds no label; give a line such as blk_1,Anomaly for each sequence.")
    return said


def _named(source: LogFile, cells: pl.DataFrame) -> pl.DataFrame:
    """Return the columns by the names of `NAMES`, without the row that names them, if there is one."""
    first = dict(zip(cells.columns[1:], cells.row(0)[1:], strict=True))
    heads = {column: _plain(cell) for column, cell in first.items()}
    found = {kind: _first_of(heads, names) for kind, names in NAMES.items()}
    chosen = {kind: column for kind, column in found.items() if column}
    label = found["label"]
    is_word = label and heads[label] in ANOMALOUS and not _is_head(cells[label][1:])  # `blk_1,Anomaly`
    if is_word or not chosen:
        chosen = _without_heads(cells, first)
    else:
        cells = cells[1:]
        if chosen.keys() == {"label"} and len(first) == 2:
            chosen["id"] = next(column for column in first if column != label)
    complete = ({"id", "label"}, {"line"}, {"start", "end"}) if len(first) > 1 else ({"id"}, {"line"})
    if not any(kinds <= chosen.keys() for kinds in complete):
        shown = printable(",".join(cell or "" for cell in first.values()), 200)
        raise BadInput(
            f"{source.path} line 1 is {shown}; the first line must name BlockId and Label, or line and Label, or start "
            "and end, or each line must be the id of an anomaly."
        )
    return cells.select("at", **{kind: pl.col(column).str.strip_chars() for kind, column in chosen.items()})


def _is_head(below: pl.Series) -> bool:
    """Return whether `anomaly` over these words is the name of their column: it is where they are 0 and 1, or yes."""
    words = below.drop_nulls().str.strip_chars().str.to_lowercase()
    return len(words) > 0 and words.is_in(YES_OR_NO).all()


def _without_heads(cells: pl.DataFrame, first: dict[str, str | None]) -> dict[str, str]:
    """Return the columns of a table without a row of names: ids of anomalies, or ids and words for labels."""
    if len(first) == 1:
        return {"id": cells.columns[1]}
    words = [name for name, cell in first.items() if (cell or "").strip().lower() in (*NORMAL, *ANOMALOUS)]
    if len(first) > 2 or len(words) != 1:
        return {}
    return {"label": words[0], "id": next(name for name in first if name != words[0])}


def _plain(cell: str | None) -> str:
    return "".join(letter for letter in (cell or "").lower() if letter.isalnum())


def _first_of(heads: dict[str, str], names: Iterable[str]) -> str | None:
    """Return the column whose head is the earliest of `names`."""
    return next((column for name in names for column, head in heads.items() if head == name), None)
