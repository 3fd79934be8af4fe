"""The figures of compare.ipynb: plain functions that give a matplotlib figure."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from evaluation.metrics import precision_recall
from evaluation.show.plots import ANOMALY, NORMAL, PALE


def headline(best: Mapping[str, Mapping[str, float | None]]) -> Figure:
    """Plot F1 of each data set (names of `best`), a bar each for what stands on it; the figure of README.md."""
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    axes = figure.subplots()
    kinds = list(next(iter(best.values())))
    width, colors = 0.8 / len(kinds), (ANOMALY, PALE, NORMAL)
    for number, (kind, color) in enumerate(zip(kinds, colors, strict=True)):
        for place, values in enumerate(best.values()):
            value, x = values[kind], place + (number - (len(kinds) - 1) / 2) * width
            if value is not None:
                axes.bar(x, value, width * 0.92, color=color)
                axes.text(x, value + 0.01, f"{value:.2f}".lstrip("0"), ha="center", va="bottom", fontsize=8)
    axes.set(xticks=range(len(best)), xticklabels=list(best), ylabel="F1", ylim=(0, 1.1))
    axes.spines[["top", "right"]].set_visible(False)
    shown = [Patch(color=color, label=kind) for kind, color in zip(kinds, colors, strict=True)]
    figure.legend(handles=shown, frameon=False, fontsize=8, loc="outside lower center", ncols=len(kinds))
    return figure


def f1_points(f1: pl.DataFrame, confirmed: pl.DataFrame) -> Figure:
    """Plot F1 of every seed, one line a detector: its plain rule as dots, confirmed by counts as rings."""
    names = sorted(f1.columns[1:], key=lambda name: f1[name].to_numpy().mean())
    figure = Figure(figsize=(8.0, 1.4 + 0.3 * len(names)), layout="constrained", dpi=110)
    axes = figure.subplots()
    for place, name in enumerate(names):
        axes.scatter(f1[name], np.full(len(f1), place), color=NORMAL, s=22, label="plain rule" if not place else None)
        rings = confirmed[name].to_list() if name in confirmed.columns else []
        label = "confirmed by counts" if not place else None
        axes.scatter(rings, np.full(len(rings), place), edgecolors=ANOMALY, facecolors="none", s=36, label=label)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("F1 at the calibrated rate, one mark a seed")
    axes.set_title("F1 of every seed", loc="left", fontsize=11)
    axes.grid(axis="x", color=PALE, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside lower left", ncols=2)
    return figure


def critical_difference(found: Mapping, title: str) -> Figure:
    """Mean ranks over seeds on one axis; a bar joins detectors that Nemenyi's test cannot tell apart."""
    ordered = sorted(found["ranks"].items(), key=lambda item: item[1])
    groups = _groups([rank for _, rank in ordered], found["difference"])
    figure = Figure(figsize=(8.0, 1.4 + 0.26 * (len(ordered) + len(groups))), layout="constrained", dpi=110)
    axes = figure.subplots()
    for place, (begin, end) in enumerate(groups):
        height = -0.6 - 0.5 * place
        axes.plot([ordered[begin][1] - 0.05, ordered[end][1] + 0.05], [height, height], color=ANOMALY, linewidth=3)
    top = -0.9 - 0.5 * len(groups)
    for place, (name, rank) in enumerate(ordered):
        height = top - place
        axes.plot([rank, rank], [0, height], color=PALE, linewidth=1, zorder=0)
        axes.text(rank + 0.08, height, f"{name}  {rank:.1f}", va="center", fontsize=8)
        axes.plot(rank, height, marker="o", markersize=4, color=NORMAL)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlim=(0.5, len(ordered) * 1.25 + 1), ylim=(top - len(ordered), 0.6), yticks=[])
    axes.set_xlabel(f"mean rank over {found['runs']} seeds, 1 = best; critical difference {found['difference']:.2f}")
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _groups(ranks: list[float], difference: float) -> list[tuple[int, int]]:
    """Return the longest stretches of sorted ranks that lie within the critical difference, as first and last place."""
    stretches: list[tuple[int, int]] = []
    for begin, rank in enumerate(ranks):
        end = max(place for place, other in enumerate(ranks) if other - rank < difference)
        if end > begin and (not stretches or end > stretches[-1][1]):
            stretches.append((begin, end))
    return stretches


def precision_recall_curves(
    orders: Mapping[str, np.ndarray], labels: np.ndarray, prevalence: float | None = None
) -> Figure:
    """Plot precision over recall of every detector's own number, in one plot."""
    figure = Figure(figsize=(9.0, 5.2), layout="constrained", dpi=110)
    axes = figure.subplots()
    colors = colormaps["tab20"](np.arange(20))
    for number, (name, order) in enumerate(orders.items()):
        precision, recall = precision_recall(order, labels, prevalence)
        # steps: a straight line between two thresholds would promise a precision that no threshold has
        axes.step(recall, precision, where="post", color=colors[number % len(colors)], linewidth=1.4, label=name)
    share = "the test set's own share of anomalies" if prevalence is None else f"{prevalence:.2%} anomalies"
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
    axes.set_title(f"Precision and recall at every threshold, at {share}", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    return figure


def agreement(kappa: np.ndarray, names: list[str]) -> Figure:
    """Plot Cohen's kappa of every two detectors as a map."""
    side = 2.4 + 0.42 * len(names)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained", dpi=110)
    axes = figure.subplots()
    picture = axes.imshow(kappa, vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    for row, column in np.ndindex(kappa.shape):
        dark = kappa[row, column] > 0.6
        axes.text(
            column, row, f"{kappa[row, column]:.2f}", ha="center", va="center", fontsize=7,
            color="white" if dark else "black",
        )  # fmt: skip
    axes.set_title("Agreement of verdicts (Cohen's kappa)", loc="left", fontsize=11)
    figure.colorbar(picture, ax=axes, shrink=0.7)
    return figure
