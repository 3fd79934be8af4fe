"""Recipes for the time of a line: how the fields of its header are read, guessed where nobody says."""

import re
from datetime import UTC, datetime
from functools import cache

import polars as pl

from core.errors import BadInput
from parsing.lines.headers import Header

NO_YEAR = 1904  # the year of times such as syslog's, which name none: a leap year, so that 29 February can be read

_DATES = ("%Y-%m-%dT", "%Y-%m-%d ", "%y/%m/%d ", "%Y/%m/%d ")  # %y before %Y, which reads "08" as the year 8
_FRACTIONS_ZONES = (".%f", ".%f%z", ".%f %z", ",%f", ",%f%z", ",%f %z")
LAYOUTS = (
    *(f"{date}%H:%M:%S{rest}" for date in _DATES for rest in _FRACTIONS_ZONES),
    "%Y-%m-%d-%H.%M.%S.%f",  # BGL
    "%d/%b/%Y:%H:%M:%S %z",  # Apache access
    "[%d/%b/%Y:%H:%M:%S %z]",
    "%a %b %d %H:%M:%S.%f %Y",  # Apache error
    "%y%m%d %H%M%S",  # HDFS
    "%Y%m%d %H%M%S",
    "epoch",
    "%b %d %H:%M:%S",  # syslog
)
ENOUGH = 0.8  # share of the lines that a proposed format or time has to read

_HAS_YEAR = "%[YyCGgDFxcvs+]"
_SECONDS = (-62_135_596_800, 253_402_300_799)  # years 1 to 9999
# Seconds of this size are the year 5138, so it counts milliseconds; a thousand times as many are microseconds.
_MILLISECONDS = 1e11


def recipe_fields(recipe: str) -> tuple[str, ...]:
    """Return the fields that a time recipe reads; raise BadInput if it is no recipe."""
    return _read_recipe(recipe)[1]


def timestamps(fields: pl.DataFrame, recipe: str) -> pl.Series:
    """Return the Datetime("us") of each row, null where it cannot be read; UTC if it names a zone, else as written.

    `recipe` is "epoch:<Field>" (since 1970, in seconds, integer or decimal, or by its size in ms, us or ns) or
    "<strptime format> of <Field> [<Field> ...]" (the fields joined by a blank), where %f after '.' or ',' is a fraction
    of any length that may be missing, and %z also takes 'Z'. Times without a year get `NO_YEAR`. Raise BadInput for any
    other recipe.
    """
    format, names = _read_recipe(recipe)
    if not set(names) <= set(fields.columns):
        raise BadInput(f"The time {recipe!r} reads fields that are not among {', '.join(fields.columns)}: name these.")
    if format is None:
        seconds = _seconds(fields[names[0]].cast(pl.Float64, strict=False))
        seconds = seconds.set(~seconds.is_between(*_SECONDS).fill_null(False), None)
        return (seconds * 1e6).round().cast(pl.Int64).cast(pl.Datetime("us")).alias("timestamp")
    return _parse_times(fields.select(timestamp=pl.concat_str(names, separator=" ")).to_series(), format)


def _read_recipe(recipe: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the strptime format (None for epoch seconds) and the fields."""
    kind, _, name = recipe.partition(":")
    if kind == "epoch" and name and " " not in name:
        return None, (name,)
    format, _, names = recipe.rpartition(" of ")
    if not names.split() or not _reads_own_times(format):
        raise BadInput(
            f"The time {recipe!r} cannot be used; write 'epoch:Field' for a time since 1970, or a strptime format "
            "that has at least month and day and then the fields, such as '%Y-%m-%d %H:%M:%S of Date Time'."
        )
    return format, tuple(names.split())


def _seconds(numbers: pl.Series) -> pl.Series:
    """Return seconds of numbers that count seconds, milliseconds, microseconds or nanoseconds, each by its size."""
    divisor = pl.lit(1.0)
    for power in range(3):
        divisor = pl.when(pl.col("n").abs() >= _MILLISECONDS * 1e3**power).then(1e3 ** (power + 1)).otherwise(divisor)
    return numbers.to_frame("n").select(pl.col("n") / divisor).to_series()


def names_year(recipe: str) -> bool:
    """Return whether the times of a recipe name their year."""
    format = _read_recipe(recipe)[0]
    return format is None or bool(re.search(_HAS_YEAR, format))


@cache
def _reads_own_times(format: str) -> bool:
    """Return whether a day survives writing and reading by `format`; Polars reads a wrong format as nulls."""
    if re.search("(?<![.,])%f", format):  # Polars takes it for nanoseconds, everyone else for a fraction
        return False
    written = pl.Series([datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)])
    try:
        texts = written.dt.strftime(format.replace(".%f", "%.6f").replace(",%f", ",%6f"))
        read = _parse_times(texts, format).item()
    except pl.exceptions.PolarsError:
        return False
    return read is not None and (read.month, read.day) == (2, 3)


def _parse_times(texts: pl.Series, format: str) -> pl.Series:
    if ",%f" in format:  # chrono knows fractions of any length only after a point
        texts, format = texts.str.replace_all(",", ".", literal=True), format.replace(",", ".")
    format = format.replace(".%f", "%.f").replace("%z", "%#z")
    if not re.search(_HAS_YEAR, format):
        texts, format = (f"{NO_YEAR} " + texts), f"%Y {format}"
    times = texts.str.to_datetime(format, time_unit="us", strict=False)
    return times.dt.replace_time_zone(None)


def guess_time(header: Header, sample: pl.DataFrame) -> str | None:
    """Return the first recipe of `LAYOUTS` that reads `ENOUGH` of the first 100 rows in neighboring fields, or None."""
    sample = sample.head(100)
    names = [name for name in header.fields[:-1] if name in sample.columns]
    for layout in LAYOUTS if len(sample) else ():
        for width in sorted({1, layout.count(" ") + 1}):
            for start in range(len(names) - width + 1):
                chosen = names[start : start + width]
                recipe = f"epoch:{chosen[0]}" if layout == "epoch" else f"{layout} of {' '.join(chosen)}"
                years = timestamps(sample, recipe).dt.year()
                plausible = years.is_between(1980, 2099) | ((years == NO_YEAR) & (layout == LAYOUTS[-1]))
                if plausible.sum() >= ENOUGH * len(sample):
                    return recipe
    return None
