"""Recipes for the time of a line: how the fields of its header are read, guessed where nobody says."""

import re
from datetime import UTC, datetime
from functools import cache

import polars as pl

from core.errors import BadInput
from parsing.lines.headers import Header
from parsing.lines.layouts import EPOCH, Found, commonest_layouts, find_time

NO_YEAR = 1904  # the year of times such as syslog's, which name none: a leap year, so that 29 February can be read

GUESSED_FROM = 1_000  # rows
LOOKED_AT = 30  # of them one by one
MOST_FIELDS = 6  # of one time: Mon Mar 2 08:00:00 UTC 2026
ENOUGH = 0.8  # share of the lines that a proposed format or time has to read

_HAS_YEAR = "%[YyCGgDFxcvs+]"
_ENDS = r"[\])\"',;:]*"
_SECONDS = (-62_135_596_800, 253_402_300_799)  # years 1 to 9999
# Seconds of this size are the year 5138, so it counts milliseconds; a thousand times as many are microseconds.
_MILLISECONDS = 1e11


def recipe_fields(recipe: str) -> tuple[str, ...]:
    """Return the fields that a time recipe reads; raise BadInput if it is no recipe."""
    return _read_recipe(recipe)[1]


def timestamps(fields: pl.DataFrame, recipe: str) -> pl.Series:
    """Return the Datetime("us") of each row, null where it cannot be read; UTC if it names a zone, else as written.

    `recipe` is "epoch:<Field>" (since 1970, in seconds, integer or decimal, or by its size in ms, us or ns) or
    "<strptime format> of <Field> [<Field> ...]" (the fields joined by a blank), where %f after '.', ',' or ':' is a
    fraction of any length that may be missing, and %z also takes 'Z'. Times without a year get `NO_YEAR`.
    Raise BadInput for any other recipe.
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
    if re.search("(?<![.,:])%f", format):  # Polars takes it for nanoseconds, everyone else for a fraction
        return False
    written = pl.Series([datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)])
    try:
        texts = written.dt.strftime(re.sub("([.,:])%f", r"\1%6f", format))
        read = _parse_times(texts, format).item()
    except pl.exceptions.PolarsError:
        return False
    return read is not None and (read.month, read.day) == (2, 3)


def _parse_times(texts: pl.Series, format: str) -> pl.Series:
    if ",%f" in format:  # chrono knows fractions of any length only after a point
        texts, format = texts.str.replace(",([0-9]+)([^,]*)$", ".${1}${2}"), format.replace(",%f", ".%f")
    if ":%f" in format:
        texts = texts.str.replace("(:[0-9]{1,2}:[0-9]{1,2}):([0-9]+)", "${1}.${2}")
        format = format.replace(":%f", ".%f")
    format = format.replace(".%f", "%.f").replace("%z", "%#z")
    if not re.search(_HAS_YEAR, format):
        texts, format = (f"{NO_YEAR} " + texts), f"%Y {format}"
    times = texts.str.to_datetime(format, time_unit="us", strict=False)
    return times.dt.replace_time_zone(None)


def guess_time(header: Header, sample: pl.DataFrame, among: tuple[str, ...] = ()) -> str | None:
    """Return the recipe that reads `ENOUGH` of the first rows in neighboring fields, None if there is none.

    One that names the year comes before one that counts since 1970, and this before one without a year. Where days and
    months could be exchanged, that is taken which reads more, and then which goes back in time less often. Where fields
    are named, only those `among` them are looked at.
    """
    sample = sample.head(GUESSED_FROM)
    names = [name for name in among or header.fields if name in sample.columns and name != "Content"]
    best: dict[int, str] = {}
    for start in range(len(names)):
        for width in range(min(MOST_FIELDS, len(names) - start), 0, -1):  # a zone belongs to the time before it
            recipe = _recipe_of(sample, names[start : start + width])
            if recipe:
                rank = 1 if recipe.startswith("epoch:") else 0 if names_year(recipe) else 2
                best.setdefault(rank, recipe)
    return best[min(best)] if best else None


def _recipe_of(sample: pl.DataFrame, names: list[str]) -> str | None:
    """Return the recipe that reads these fields as one time, all of each but punctuation around it."""
    texts = sample.select(pl.concat_str(names, separator=" ")).to_series()
    ends = _ENDS if len(names) > 1 else f"{_ENDS}(?: UTC| GMT)?"  # of a header the zone is a field of its own
    wholes = [_whole(text, ends) for text in texts.head(LOOKED_AT) if text is not None]
    if not any(wholes):  # klog glues a letter to the date
        wholes = [_whole(f"I{text}", ends) for text in texts.head(LOOKED_AT) if text is not None]
    found = [one for one in wholes if one]
    if len(found) < ENOUGH * min(len(texts), LOOKED_AT) or not found:
        return None
    times = commonest_layouts([time for time, _, _ in found])
    _, before, after = next(one for one in found if one[0].layouts == times)
    if times == (EPOCH,):
        return f"epoch:{names[0]}" if not before + after else None
    weekday = found[0][0].weekday
    recipes = [f"{before}{weekday}{_with_fraction(layout)}{after} of {' '.join(names)}" for layout in times]
    if len(names) > 1 and weekday.endswith(" ") and not before:  # a field of its own, which a time without year denies
        return None
    usable = [recipe for recipe in recipes if _reads_own_times(recipe.rpartition(" of ")[0])]
    read = {recipe: _read_well(sample, recipe) for recipe in usable}
    best = max(read, key=lambda recipe: read[recipe], default=None)
    return best if best and read[best][0] >= ENOUGH * len(sample) else None


def _whole(text: str, ends: str) -> tuple[Found, str, str] | None:
    """Return the time that is all of a text but for punctuation and such an end, and this before and after it."""
    found = find_time(text)
    if found is None:
        return None
    before, after = text[: found.start].removeprefix("I"), text[found.end :]
    return (found, before, after) if re.fullmatch(r"[\[(\"']*", before) and re.fullmatch(ends, after) else None


def _with_fraction(layout: str) -> str:
    """Return the layout with a fraction, which may be missing, where dates of numbers have a clock with colons."""
    if "%f" in layout or not re.match("%[Yy][-/]%m[-/]%d[T ]%H:%M:%S", layout):
        return layout
    return layout.replace(":%S", ":%S.%f")


def _read_well(sample: pl.DataFrame, recipe: str) -> tuple[int, int]:
    """Return how many rows a recipe reads as times of our days, and (below 0) how often these go back."""
    times = timestamps(sample, recipe)
    years = times.dt.year()
    right = years.is_between(1980, 2099) if names_year(recipe) else years == NO_YEAR
    back = int((times.filter(right.fill_null(False)).diff().dt.total_microseconds() < 0).sum())
    return int(right.sum()), -back
