"""What words say of templates that training never saw, to what is accepted and what is asked: no label is used.

A table of fault scores (core/new_keys.py) rates known templates as if they were new beside the new ones. A threshold
is the quantile of the known ones above which a stated share of them lies: so many benign new templates are to be
flagged. benchmarks/README.md has what else was tried, and how it was measured.
"""

import numpy as np
import polars as pl

FLAGGED = 0.3  # share of the known templates that would have been an alarm when they came new


def threshold(rated: pl.DataFrame, share: float = FLAGGED) -> float:
    """Return the fault score above which at most `share` of the known templates lie; or minus infinity."""
    known = rated.filter("is_known")["fault_score"].to_numpy()
    if len(known) == 0 or (len(known) > 1 and known.min() == known.max()):
        return float("-inf")  # the reader tells nothing apart here, as where it does not know the language
    return float(np.quantile(known, 1 - share, method="higher"))


def harmless(rated: pl.DataFrame) -> dict[str, int]:
    """Return the new keys whose fault score is at most the threshold, accepted from the beginning on."""
    new = rated.filter(~pl.col("is_known") & (pl.col("fault_score") <= threshold(rated)))
    return dict.fromkeys(new["key"], 0)


def of_new(rated: pl.DataFrame | None) -> dict[str, float]:
    """Return the fault score of each new key; of none without a table."""
    if rated is None:
        return {}
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


def fates(test: pl.DataFrame, rated: pl.DataFrame, flagged: np.ndarray) -> pl.DataFrame:
    """Return what becomes of the sequences of each new template, the commonest first.

    `normal` and `anomalous` count the test sequences that have it, `still_flagged` those of them that are alarms all
    the same, because of another key or of the rest; `flagged` are the verdicts by words, one a sequence of `test`.
    """
    new = rated.filter(~pl.col("is_known"))
    events = test.select("label", key=pl.col("keys").list.unique(), flagged=pl.Series(flagged)).explode("key")
    normal, anomalous = (pl.col("label") == label for label in (0, 1))
    counted = events.group_by("key").agg(
        normal=normal.sum(),
        normal_still_flagged=(normal & pl.col("flagged")).sum(),
        anomalous=anomalous.sum(),
        anomalous_still_flagged=(anomalous & pl.col("flagged")).sum(),
        sequences=pl.len(),
    )
    said = pl.when(pl.col("fault_score") > threshold(rated)).then(pl.lit("alarm")).otherwise(pl.lit("accepted"))
    table = new.join(counted, on="key", maintain_order="left").sort("sequences", descending=True, maintain_order=True)
    columns = ("normal", "normal_still_flagged", "anomalous", "anomalous_still_flagged")
    return table.select("fault_score", said.alias("by words"), *columns, "template", nearest_known="nearest_template")
