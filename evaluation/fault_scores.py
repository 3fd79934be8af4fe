"""What words say of templates that training never saw, to what is accepted and what is asked: no label is used.

A table of fault scores (core/new_keys.py) rates known templates as if they were new beside the new ones. A threshold
is the quantile of the known ones above which a stated share of them lies: so many benign new templates are to be
flagged. docs/method.md says what else was tried, and where it was measured.
"""

import numpy as np
import polars as pl

FLAGGED = 0.3  # share of the known templates that would have been an alarm when they came new


def threshold(rated: pl.DataFrame, share: float = FLAGGED) -> float:
    """Return the fault score above which at most `share` of the known templates lie; minus infinity without any."""
    known = rated.filter("is_known")["fault_score"].to_numpy()
    return float(np.quantile(known, 1 - share, method="higher")) if len(known) else float("-inf")


def harmless(rated: pl.DataFrame) -> dict[str, int]:
    """Return the new keys whose fault score is at most the threshold, accepted from the beginning on."""
    new = rated.filter(~pl.col("is_known") & (pl.col("fault_score") <= threshold(rated)))
    return dict.fromkeys(new["key"], 0)


def of_new(rated: pl.DataFrame) -> dict[str, float]:
    """Return the fault score of each new key."""
    return dict(rated.filter(~pl.col("is_known")).select("key", "fault_score").iter_rows())


def sentences(rated: pl.DataFrame) -> dict[str, str]:
    """Return what an alarm says of each new key: how it reads, how far, and which known template is nearest."""
    limit = threshold(rated)
    said = {}
    for row in rated.filter(~pl.col("is_known")).iter_rows(named=True):
        reads = "reads like a fault" if row["fault_score"] > limit else "does not read like a fault"
        nearest = f"; nearest known: {row['nearest_template']}" if row["nearest_template"] else ""
        said[row["key"]] = f"new template, {reads} ({row['fault_score']:.2f}{nearest})"
    return said
