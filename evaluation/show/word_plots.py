"""The figures of words.ipynb: plain functions of frames that give a matplotlib figure."""

import polars as pl
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def over_time(blocks: pl.DataFrame, title: str) -> Figure:
    """Plot F1 and false alarms over blocks of test time, a line a verdict; `blocks` of `unseen.measure_blocks`."""
    figure = Figure(figsize=(8.6, 5.4), layout="constrained", dpi=110)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for number, ((rule,), rows) in enumerate(blocks.group_by("rule", maintain_order=True)):
        style = {"marker": ".", "color": colormaps["tab10"](number), "label": rule}
        upper.plot(rows["block"], rows["f1"], **style)
        lower.plot(rows["block"], rows["false_alarms"], **style)
    upper.set(ylabel="F1", ylim=(0, 1.02), title=title)
    lower.set(ylabel="false alarms", xlabel="block of test time")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*upper.get_legend_handles_labels(), frameon=False, loc="outside lower left", ncols=2, fontsize=8)
    return figure


def over_rates(rows: pl.DataFrame, verdict: str, title: str) -> Figure:
    """Plot mean F1 of a verdict over the rate of change, a panel a kind of change, a line a way to find old templates.

    `rows` have `arm, rate, method, verdict, f1`.
    """
    own = rows.filter((pl.col("verdict") == verdict) & (pl.col("rate") > 0))
    arms, methods = (own[name].unique(maintain_order=True).to_list() for name in ("arm", "method"))
    figure = Figure(figsize=(8.6, 1.2 + 2.1 * -(-len(arms) // 2)), layout="constrained", dpi=110)
    panels = figure.subplots(-(-len(arms) // 2), 2, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, arm in zip(panels, arms, strict=False):
        for number, method in enumerate(methods):
            mine = own.filter((pl.col("arm") == arm) & (pl.col("method") == method))
            means = mine.group_by("rate", maintain_order=True).agg(pl.col("f1").mean())
            axes.plot(means["rate"], means["f1"], marker=".", color=colormaps["tab10"](number), label=method)
        axes.set_title(arm, fontsize=9)
        axes.set_ylim(0, 1.02)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(arms) :]:
        axes.set_visible(False)
    figure.suptitle(title, fontsize=10)
    figure.supxlabel("share that is changed", fontsize=9)
    figure.supylabel("F1", fontsize=9)
    figure.legend(*panels[0].get_legend_handles_labels(), frameon=False, loc="outside lower left", ncols=2, fontsize=8)
    return figure
