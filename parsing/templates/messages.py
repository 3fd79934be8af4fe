"""Distinct messages, numbered while a log streams by, and the log keys of their templates."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from core.errors import BadInput, printable
from core.keys import UNMATCHED

MANY_UNMATCHED = 0.01  # share of the lines; new messages of a program that is watched are far fewer
COMMONEST = 5  # of them that are shown
LONGEST = 150  # letters of one


class NoneMatches(BadInput):
    """No line of a log matches a template of an earlier run: they belong to different programs."""

    def __init__(self, lines: int, templates: Path) -> None:
        self.lines = lines
        super().__init__(
            f"{templates} matches none of {lines:,} lines; give the templates.csv of a log of the same program, read "
            "with the same format and masks, or leave out --templates."
        )


class MessageTable:
    """Numbers distinct masked messages while a log streams by, so that no column of text stays in memory."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.examples: list[str] = []
        self.counts = np.zeros(0, np.int64)
        self.first_lines = np.zeros(0, np.int64)

    def number(self, messages: pl.Series, places: np.ndarray, contents: pl.Series) -> np.ndarray:
        """Return the message number of each row, uint32; new messages get the next number and their row as example.

        `messages` and `places` are those of `distinct_messages(contents)`.
        """
        known = len(self.numbers)
        numbers = np.array([self.numbers.setdefault(message, len(self.numbers)) for message in messages], np.uint32)
        if len(self.numbers) > known:
            first = np.empty(len(messages), np.int64)
            first[places[::-1]] = np.arange(len(places))[::-1]  # the last write of each place wins: its first row
            self.examples += contents.gather(first[numbers >= known]).to_list()
        return numbers[places]

    def tally(self, events: pl.DataFrame) -> None:
        """Count the lines of each message; `events` has `line, message`, a line of several sessions in a row."""
        lines = events.filter(pl.col("line") != pl.col("line").shift(1, fill_value=0))
        grown = len(self.numbers) - len(self.counts)
        self.counts = np.pad(self.counts, (0, grown))
        self.first_lines = np.pad(self.first_lines, (0, grown), constant_values=np.iinfo(np.int64).max)
        numbers = lines["message"].to_numpy()
        self.counts += np.bincount(numbers, minlength=len(self.counts))
        np.minimum.at(self.first_lines, numbers, lines["line"].to_numpy())

    def keys(self, templates: Sequence[str | None]) -> pl.DataFrame:
        """Return `key, template, count (lines), first_line, example`, one row per distinct message, by their numbers.

        Two templates never share a key.
        """
        frame = pl.DataFrame(
            {
                "key": [template_key(template) for template in templates],
                "template": pl.Series(templates, dtype=pl.String),
                "count": self.counts,
                "first_line": self.first_lines,
                "example": self.examples,
            }
        )
        assert frame["key"].n_unique() == frame["template"].n_unique(), "two templates share their 8-digit key"
        return frame


def template_key(template: str | None) -> str:
    """Return the log key: 8 hex digits of the template's SHA-256, the same in every run and on every machine."""
    return UNMATCHED if template is None else hashlib.sha256(template.encode()).hexdigest()[:8]


def check_matched(keys: pl.DataFrame, templates: Path) -> None:
    """Print how many lines of a log match none of the `templates` of an earlier run if these are more than a few.

    `keys` are those of `MessageTable.keys`. Raise NoneMatches if no line matches.
    """
    known = pl.Series(read_templates(templates)).implode()
    others = keys.filter(~pl.col("template").is_in(known).fill_null(False))
    lines, unmatched = int(keys["count"].sum()), int(others["count"].sum())
    if unmatched == lines:
        raise NoneMatches(lines, templates)
    if unmatched > MANY_UNMATCHED * lines:
        given = f"have the key {UNMATCHED!r}" if others["template"].null_count() else "have templates of their own"
        print(
            f"  {unmatched:,} of {lines:,} lines match none of the templates in {printable(str(templates))} and "
            f"{given}; if they are not new to the program, leave out --templates. The commonest:"
        )
        shown = others.group_by(text=pl.coalesce("template", "example")).agg(pl.col("count").sum())
        for text, count in shown.top_k(COMMONEST, by="count").sort("count", "text", descending=True).iter_rows():
            print(f"  {count:>9,}  {printable(text, LONGEST)}")


def read_templates(path: Path) -> list[str]:
    """Return the templates of a templates.csv that an earlier run wrote."""
    try:
        table = pl.read_csv(path, glob=False, infer_schema=False)
        known = pl.col("template").is_not_null() | (pl.col("key") == template_key(""))  # a CSV spells None as ""
        templates = table.filter(known)["template"].fill_null("").to_list()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{path} is not a templates.csv of an earlier run; give data/<name>/templates.csv.") from error
    if not templates:
        raise BadInput(f"{path} holds no template; key sequences made elsewhere have none. Parse a raw log first.")
    return templates
