"""What would go wrong with a run, said before it trains: how the log was read, and whether alpha can be promised."""

from math import ceil

import polars as pl

from core.data import Data
from core.errors import printable

SHOWN = 120  # letters of a line
SEVERE = r"^[WEF][0-9]{4}\b|\b(WARN|WARNING|ERROR|ERR|FATAL|CRITICAL|SEVERE|PANIC)\b"  # klog's letter, or a level
MOST_EMPTY = 0.5  # share of the events


def concerns(data: Data, alpha: float) -> list[str]:
    """Return a sentence on each thing that will make the verdicts of a run on `data` worth little."""
    return [found for found in (_one_template(data), _empty(data), severe(data), _too_short(data, alpha)) if found]


def fewest(alpha: float) -> int:
    """Return how many validation sequences alpha needs: with n of them no rate below 1 / (n + 1) can be promised."""
    return ceil(1 / alpha - 1e-9) - 1


def _one_template(data: Data) -> str | None:
    if len(data.known_keys) > 1 or data.has_jobs:
        return None
    return (
        "All events of training have one template, so no sequence can be odd; look how lines are read with: "
        "python parse_logs.py check LOG --format auto"
    )


def _empty(data: Data) -> str | None:
    empty = [key for key, text in data.templates.items() if text == ""]
    if not empty:
        return None
    keys = data.split("train", "keys")["keys"].explode()
    share = int(keys.is_in(pl.Series(empty).implode()).sum()) / max(len(keys), 1)
    if share <= MOST_EMPTY:
        return None
    return f"{share:.0%} of the messages are empty: give a format that reads the field that holds them."


def severe(data: Data) -> str | None:
    """Return a sentence on rejected lines that name a level which a person on call would want to see."""
    path = data.folder / "rejected.csv"
    if not path.is_file():
        return None
    rejected = (
        pl.scan_csv(path, glob=False, infer_schema=False)
        .filter(pl.col("text").str.contains(SEVERE))
        .select("line", "text")
    )
    found = rejected.collect()
    if not len(found):
        return None
    line, text = found.row(0)
    return (
        f"{len(found):,} lines that were rejected name a warning or an error, such as line {line}, "
        f"{printable(text, SHOWN)!r}: they are in no sequence; give a format that reads them."
    )


def _too_short(data: Data, alpha: float) -> str | None:
    size = len(data.split("validation", "label"))
    if size >= fewest(alpha):
        return None
    longer, enough = fewest(alpha) / max(size, 1), ceil(1_000 / (size + 1)) / 1_000
    return (
        f"A false-alarm rate of {alpha:.1%} needs {fewest(alpha):,} normal sequences to validate on, and there are "
        f"{size:,}: {1 / (size + 1):.1%} is the least that can be promised. Give a log {longer:.1f} times as "
        f"long, smaller windows, or ALPHA={enough:g}; until then go by the ranks."
    )
