"""Every flagged sequence with its worst event: where it is in the log, what came, and what the model expected there."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl

from core import cells
from core.errors import BadInput
from core.raw_lines import RawLines
from evaluation import fault_scores, unseen
from evaluation.report.reasons import END, Choices, as_text, dated, judged_rules

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "sequence_id": pl.String,
    "label": pl.Int8,
    "flagged_by": pl.String,
    "length": pl.Int64,
    "worst_event": pl.Int64,
    "start": pl.Datetime("us"),  # of the sequence, where the log has times and names their year
    "line": pl.Int64,
    "raw": pl.String,  # the line as it stands in the log, where that is at hand
    "key": pl.String,
    "template": pl.String,
    "rank": pl.Int64,
    "tail_probability": pl.Float32,
    "expected": pl.String,  # shares and templates, as `reasons.as_text` writes them
    "has_unseen_key": pl.Boolean,
    "words": pl.String,  # what is said of the words of a worst event that came new
}


def alarms(
    judged: pl.DataFrame,
    sequences: pl.DataFrame,
    templates: Mapping[str, str | None],
    expected: Callable[[list[list[str]]], Sequence[Choices]],
    rules: Sequence[str] | None = None,
    rated: pl.DataFrame | None = None,
    raw_lines: RawLines | None = None,
) -> pl.DataFrame:
    """Return one row a sequence that any of `rules` flags, columns of `SCHEMA`, the strangest first.

    `judged` are scores with `flagged_<rule>`, `sequences` the data's, `expected` the likeliest choices after each of
    many prefixes: it is asked once, for distinct prefixes. `worst_event` and `line` count from 1. An end that came too
    early is the event after the last one, with key `<end>` and no line. The rules are those of `reasons.judged_rules`
    if none are given, as they are and with unseen keys handled. `rated` are fault scores of new templates,
    `raw_lines` the lines of the log.
    """
    rules = [*judged_rules(judged), *unseen.handled_rules(judged)] if rules is None else rules
    flagged = judged.filter(pl.any_horizontal(f"flagged_{rule}" for rule in rules))
    about = sequences.select("sequence_id", "keys", "lines", dated("start"))
    found = flagged.join(about, on="sequence_id", maintain_order="left")
    worst = pl.col("worst_event")
    names = [pl.when(f"flagged_{rule}").then(pl.lit(rule)) for rule in rules]
    found = found.with_columns(
        pl.concat_str(names, separator=" ", ignore_nulls=True).alias("flagged_by"),
        pl.col("lines").list.get(worst, null_on_oob=True).alias("line"),
        pl.col("keys").list.get(worst, null_on_oob=True).fill_null(END).alias("key"),
        pl.Series("expected", _choices(found, expected, templates), pl.String),
        worst + 1,
    )
    stood = raw_lines.at(found["line"]) if raw_lines else {}
    template = pl.col("key").replace_strict(dict(templates), default=None, return_dtype=pl.String)
    said = {} if rated is None else fault_scores.sentences(rated)
    words = pl.col("key").replace_strict(said, default=None, return_dtype=pl.String)
    raw = pl.Series("raw", [stood.get(line) for line in found["line"]], pl.String)
    found = found.with_columns(template.alias("template"), words.alias("words"), raw)
    return found.select(*SCHEMA).cast(pl.Schema(SCHEMA)).sort("tail_probability", maintain_order=True)


def read_alarms(path: Path) -> pl.DataFrame:
    """Return alarms.csv of a run, columns of `SCHEMA`; raise BadInput if it is not there or damaged."""
    try:
        return cells.unguard(pl.read_csv(path, glob=False, schema=SCHEMA))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"{path.as_posix()} is missing or damaged; run test.ipynb again.") from error


def _choices(
    found: pl.DataFrame,
    expected: Callable[[list[list[str]]], Sequence[Choices]],
    templates: Mapping[str, str | None],
) -> list[str]:
    """Return what was expected at the worst event of each row, as text."""
    prefixes = [tuple(keys[:worst]) for keys, worst in found.select("keys", "worst_event").iter_rows()]
    distinct = list(dict.fromkeys(prefixes))
    answers = expected([list(prefix) for prefix in distinct]) if distinct else []
    texts = {prefix: as_text(choices, templates) for prefix, choices in zip(distinct, answers, strict=True)}
    return [texts[prefix] for prefix in prefixes]
