"""The figures of supervised.ipynb: plain functions of the rows of runs/trials.py that give a matplotlib figure."""

import polars as pl
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.compare import plain_rules
from evaluation.show.plots import PALE


def learning_curve(rows: pl.DataFrame, label_free: pl.DataFrame) -> Figure:
    """Plot F1 over the labeled anomalies that were shown: mean and range over draws, and what reads no label dashed."""
    figure = Figure(figsize=(8.4, 4.4), layout="constrained", dpi=110)
    axes = figure.subplots()
    for number, name in enumerate(rows["method"].unique(maintain_order=True)):
        own = rows.filter(pl.col("method") == name).group_by("labeled_anomalies").agg(*_range("f1"))
        own = own.sort("labeled_anomalies")
        color = colormaps["tab10"](number % 10)
        axes.plot(own["labeled_anomalies"], own["mean"], marker="o", markersize=4, color=color, label=name)
        axes.fill_between(own["labeled_anomalies"], own["low"], own["high"], color=color, alpha=0.12, linewidth=0)
    for number, name in enumerate(label_free["method"].unique(maintain_order=True)):
        mean = label_free.filter(pl.col("method") == name)["f1"].to_numpy().mean()
        axes.axhline(mean, linestyle="--", linewidth=1, color=("black", "gray")[number % 2], label=name)
    axes.set_xscale("log")
    axes.set(xlabel="labeled anomalies to learn from, all normals beside them", ylabel="F1", ylim=(0, 1.02))
    _finish(axes, "F1 by the number of labeled anomalies, mean and range over draws")
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    return figure


def by_change(rows: pl.DataFrame, title: str) -> Figure:
    """Plot F1 of every trial, a line a detector and a mark a change; every seed is a dot of its own."""
    names = rows["method"].unique(maintain_order=True).to_list()
    changes = rows["change"].unique(maintain_order=True).to_list()
    figure = Figure(figsize=(8.4, 1.4 + 0.34 * len(names)), layout="constrained", dpi=110)
    axes = figure.subplots()
    for number, change in enumerate(changes):
        own = rows.filter(pl.col("change") == change)
        shift = (number - (len(changes) - 1) / 2) * 0.22
        places = [names.index(name) + shift for name in own["method"]]
        color = colormaps["tab10"](number % 10)
        axes.scatter(own["f1"], places, s=18, color=color, label=change, alpha=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel="F1, one dot a seed", xlim=(-0.02, 1.02))
    axes.grid(axis="x", color=PALE, linewidth=0.5)
    _finish(axes, title)
    figure.legend(loc="outside lower left", frameon=False, fontsize=8, ncols=len(changes))
    return figure


def _range(column: str) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    value = pl.col(column).fill_null(0.0)
    return value.mean().alias("mean"), value.min().alias("low"), value.max().alias("high")


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)


def by_what_is_counted(runs: pl.DataFrame) -> pl.DataFrame:
    """Return `method, change, f1` of each run of `compare.select`, by its plain rule: all, distinct, new sequences."""
    titles = {"f1": "all sequences", "f1_distinct": "each distinct one once", "f1_new": "not in training"}
    named = runs.drop_nulls("name")
    mine = named.filter(pl.col("rule") == pl.col("name").replace_strict(plain_rules(named), return_dtype=pl.String))
    shown = mine.select(pl.col("name").alias("method"), *(pl.col(name).alias(title) for name, title in titles.items()))
    return shown.unpivot([*titles.values()], index="method", variable_name="change", value_name="f1")


def means(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one row a change and detector: runs, mean F1 with its lowest and highest, and what stands beside it."""
    of = rows.filter(pl.col("status") == "done").group_by("change", "method", maintain_order=True)
    return of.agg(
        pl.len().alias("runs"),
        pl.col("labeled_anomalies").mean().round().cast(pl.Int64),
        pl.col("f1").mean(),
        pl.col("f1").min().alias("f1_lowest"),
        pl.col("f1").max().alias("f1_highest"),
        pl.col("f1_new", "average_precision", "false_alarm_rate", "seconds").mean(),
    )
