"""The figures of workflows.ipynb: plain functions of frames that give a matplotlib figure."""

import polars as pl
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.show.plots import PALE

THROTTLED, NORMAL = "tab:red", "tab:blue"


def with_intervals(rows: pl.DataFrame, by: str, title: str) -> Figure:
    """Plot average precision of each row with its interval over runs; `by` names the rows, `level` gives the color."""
    names = rows[by].unique(maintain_order=True).to_list()
    levels = rows["level"].unique(maintain_order=True).to_list() if "level" in rows.columns else [None]
    figure, axes = _axes(8.4, 1.6 + 0.34 * len(names))
    for number, level in enumerate(levels):
        own = rows if level is None else rows.filter(pl.col("level") == level)
        places = [names.index(name) + (number - (len(levels) - 1) / 2) * 0.2 for name in own[by]]
        value = own["average_precision"].to_numpy()
        sides = [value - own["average_precision_low"].to_numpy(), own["average_precision_high"].to_numpy() - value]
        color = colormaps["tab10"](number)
        axes.errorbar(value, places, xerr=[part.clip(min=0) for part in sides], fmt="o", ms=4, color=color, label=level)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel="average precision, 95% interval over runs", xlim=(0, 1.02))
    _finish(axes, title)
    if levels != [None]:
        figure.legend(loc="outside lower left", frameon=False, fontsize=8, ncols=len(levels))
    return figure


def after_jobs(rows: pl.DataFrame, title: str) -> Figure:
    """Plot F1 over the jobs of a worker that had ended, a line a method with its interval."""
    figure, axes = _axes(8.4, 3.8)
    for number, name in enumerate(rows["method"].unique(maintain_order=True)):
        own, color = rows.filter(pl.col("method") == name), colormaps["tab10"](number)
        axes.plot(own["jobs"], own["f1"], marker="o", ms=4, color=color, label=name)
        axes.fill_between(own["jobs"], own["f1_low"], own["f1_high"], color=color, alpha=0.12, linewidth=0)
    axes.set(xlabel="jobs of the worker that had ended", ylabel="F1 of workers, log-odds above 0", ylim=(0, 1.02))
    _finish(axes, title)
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    return figure


def learning_curve(rows: pl.DataFrame, title: str) -> Figure:
    """Plot average precision over the labeled jobs that were learned, a line a method."""
    figure, axes = _axes(8.4, 3.8)
    for number, name in enumerate(rows["method"].unique(maintain_order=True)):
        own, color = rows.filter(pl.col("method") == name).sort("labeled jobs"), colormaps["tab10"](number)
        axes.plot(own["labeled jobs"], own["average_precision"], marker="o", ms=4, color=color, label=name)
        low, high = own["average_precision_low"], own["average_precision_high"]
        axes.fill_between(own["labeled jobs"], low, high, color=color, alpha=0.12, linewidth=0)
    axes.set_xscale("log")
    axes.set(xlabel="labeled jobs to learn from", ylabel="average precision of jobs", ylim=(0, 1.02))
    _finish(axes, title)
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    return figure


def of_a_run(verdicts: pl.DataFrame, run: str) -> Figure:
    """Plot the log-odds of each worker of a run after each of its jobs, over the run's time, throttled ones in red."""
    own = verdicts.filter(pl.col("run") == run)
    figure, axes = _axes(8.4, 4.2)
    for (_,), worker in own.group_by("worker", maintain_order=True):
        throttled = bool(worker["label"].max())
        color = THROTTLED if throttled else NORMAL
        axes.plot(worker["passed"], worker["log_odds"], marker="o", ms=3, lw=1, alpha=0.7, color=color)
    for color, label in ((THROTTLED, "throttled worker"), (NORMAL, "normal worker")):
        axes.plot([], [], marker="o", ms=3, lw=1, color=color, label=label)
    axes.axhline(0, color="gray", linewidth=0.8, linestyle="--")
    axes.set(xlabel="share of the run's time", ylabel="log-odds that it is throttled")
    axes.xaxis.set_major_formatter("{x:.0%}")
    _finish(axes, f"Workers of {run}, judged after each of their jobs")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
    return figure, figure.subplots()


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(color=PALE, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
