"""Tables for spreadsheets: a cell of a log that begins like a formula is text there, and comes back as it was."""

import polars as pl

# What spreadsheets take for a formula or a command (OWASP, "CSV injection"), after apostrophes of its own or ours.
FORMULA = r"^('*[=+\-@\t\r])"
GUARDED = r"^'('*[=+\-@\t\r])"


def guard(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with an apostrophe before every text that a spreadsheet would calculate."""
    return frame.with_columns(pl.col(pl.String).str.replace(FORMULA, "'${1}"))


def unguard(frame: pl.DataFrame) -> pl.DataFrame:
    """Return what `guard` was given."""
    return frame.with_columns(pl.col(pl.String).str.replace(GUARDED, "${1}"))
