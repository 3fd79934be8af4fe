"""What differs between the log that a run learned and a judged one: templates and neighbors, and how often they come.

Frequencies are shares of the events. How much a change says is its log-likelihood ratio G squared (Dunning 1993,
Computational Linguistics 19), large where both logs are long and the shares differ; by chance alone one template in a
thousand passes `LEAST`.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

LEAST = 10.83  # the 99.9% quantile of chi squared with one degree of freedom
KINDS = ("new", "vanished", "more frequent", "less frequent", "other order")
CHANGES: dict[str, type[pl.DataType]] = {
    "kind": pl.String,
    "template": pl.String,
    "before": pl.Float64,  # share of the events; null of neighbors
    "after": pl.Float64,
    "events": pl.Int64,  # of the judged log
    "g_squared": pl.Float64,
}


def changes(before: pl.Series, after: pl.Series, templates: Mapping[str, str | None]) -> pl.DataFrame:
    """Return what changed from the sequences `before` to those `after`, lists of keys, what says most first."""
    found = pl.concat([_frequencies(before, after, templates), _neighbors(before, after, templates)])
    return found.sort("g_squared", descending=True, maintain_order=True)


def _frequencies(before: pl.Series, after: pl.Series, templates: Mapping[str, str | None]) -> pl.DataFrame:
    """Return the templates whose share of the events changed by more than chance."""
    old, new = (keys.explode().alias("key").value_counts(name=name) for keys, name in ((before, "old"), (after, "new")))
    both = old.join(new, on="key", how="full", coalesce=True).fill_null(0).sort("key")
    counts = both.select("old", "new").to_numpy().astype(float)
    totals = counts.sum(0)
    expected = counts.sum(1, keepdims=True) * totals / totals.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(counts > 0, counts * np.log(counts / expected), 0.0)
        rest, left = totals - counts, totals - expected
        terms += np.where(rest > 0, rest * np.log(rest / left), 0.0)
    kinds = np.select(
        [counts[:, 0] == 0, counts[:, 1] == 0, counts[:, 1] / totals[1] > counts[:, 0] / totals[0]], KINDS[:3], KINDS[3]
    )
    table = pl.DataFrame(
        {
            "kind": kinds.tolist(),
            "template": [templates.get(key) or key for key in both["key"]],
            "before": counts[:, 0] / totals[0],
            "after": counts[:, 1] / totals[1],
            "events": counts[:, 1].astype(int),
            "g_squared": 2 * terms.sum(1),
        },
        schema=CHANGES,
    )
    return table.filter((pl.col("g_squared") > LEAST) | (pl.col("kind") == "new"))


def _neighbors(before: pl.Series, after: pl.Series, templates: Mapping[str, str | None]) -> pl.DataFrame:
    """Return the pairs of known templates that never stood side by side before, and do so now."""
    old, new = _pairs(before), _pairs(after)
    known = before.explode().unique().implode()
    fresh = new.join(old, on=["first", "next"], how="anti").filter(
        pl.col("first").is_in(known) & pl.col("next").is_in(known)
    )
    fresh = fresh.sort("events", "first", "next", descending=[True, False, False])
    sizes = int(old["events"].sum()), int(new["events"].sum())
    rows = [
        ("other order", f"{templates.get(one) or one}  ->  {templates.get(other) or other}", None, None, events)
        for one, other, events in fresh.select("first", "next", "events").iter_rows()
    ]
    table = pl.DataFrame(rows, schema=dict(list(CHANGES.items())[:5]), orient="row")
    never = 2 * np.log(
        max(sum(sizes), 1) / max(sizes[1], 1)
    )  # G squared of each event of what the old log never had, nearly
    return table.with_columns(g_squared=pl.col("events") * never).filter(pl.col("g_squared") > LEAST)


def _pairs(sequences: pl.Series) -> pl.DataFrame:
    """Return `first, next, events` of the neighbors in sequences of keys."""
    rows = sequences.alias("first").to_frame().with_row_index("row").explode("first")
    follows = pl.col("row") == pl.col("row").shift(-1)
    pairs = rows.with_columns(next=pl.when(follows).then(pl.col("first").shift(-1))).drop_nulls("next")
    return pairs.group_by("first", "next", maintain_order=True).agg(events=pl.len().cast(pl.Int64))
