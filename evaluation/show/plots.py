"""Every figure of the notebooks: plain functions of frames that give a matplotlib figure."""

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from evaluation import unseen
from evaluation.ledger import TITLES
from evaluation.metrics import precision_recall
from evaluation.rules import BY_NAME, RULE_TITLES

NORMAL, ANOMALY, ACCENT, PALE = "#4878a8", "#c44e52", "#dd8452", "#b8c4d0"


def _axes(title: str, x: str, y: str, width: float = 7.0, height: float = 3.4):
    figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def lengths(training: pl.Series, context: int) -> Figure:
    """Plot a histogram of sequence lengths (keys) and the share beyond the model's context, chunked, not cut."""
    sizes = training.list.len().to_numpy()
    figure, axes = _axes("Length of the training sequences", "keys in a sequence", "sequences")
    axes.hist(sizes, bins=np.arange(sizes.min(), sizes.max() + 2, max(1, np.ptp(sizes) // 60)) - 0.5, color=NORMAL)
    beyond = (sizes + 2 > context).mean()
    axes.text(
        0.98,
        0.92,
        f"beyond the context of {context} tokens: {beyond:.1%}, cut off: 0%",
        ha="right",
        transform=axes.transAxes,
    )
    return figure


def key_frequencies(training: pl.Series) -> Figure:
    """Plot the occurrences of each log key, most frequent first, on a log axis."""
    counts = training.explode().value_counts(sort=True)["count"].to_numpy()
    figure, axes = _axes(
        "How often each log key occurs in training", "log keys, most frequent first", "occurrences (log)"
    )
    axes.bar(np.arange(1, len(counts) + 1), counts, color=NORMAL, width=0.8)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def training_curve(training: pl.DataFrame, vocabulary_size: int) -> Figure:
    """Plot training and validation loss by epoch, the kept epoch marked, with ln(V + 1), a model that knows nothing."""
    figure, axes = _axes("Loss while learning", "epoch", "nats a key (log)")
    axes.plot(training["epoch"], training["training_loss"], color=PALE, marker=".", label="training")
    axes.plot(training["epoch"], training["validation_loss"], color=NORMAL, marker=".", label="validation")
    best = training.row(training["validation_loss"].arg_min(), named=True)
    axes.plot(best["epoch"], best["validation_loss"], "o", color=ACCENT, label=f"kept: epoch {best['epoch']}")
    axes.axhline(np.log(vocabulary_size + 1), color="gray", lw=0.8, ls=":", label="ln(V + 1): knows nothing")
    axes.set_yscale("log")
    losses = training["validation_loss"].to_numpy()
    ticks = np.geomspace(losses.min(), losses.max(), 5)
    axes.set_yticks(ticks, [f"{tick:.2g}" for tick in ticks])
    axes.minorticks_off()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, ncols=2)
    return figure


def rank_histogram(validation: pl.DataFrame, vocabulary_size: int) -> Figure:
    """Plot ranks of all true keys, and of each sequence's worst key, on a log axis."""
    figure, axes = _axes("Rank of the true next key on validation normals", "rank (1 = expected most)", "count (log)")
    edges = np.arange(0.5, vocabulary_size + 3)
    axes.hist(validation["event_ranks"].explode(), bins=edges, color=PALE, label="every key")
    axes.hist(validation["rank"], bins=edges, color=NORMAL, rwidth=0.6, label="worst key of a sequence")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure


def false_alarms_by_k(sweep: pl.DataFrame, k: int, vocabulary_size: int, alpha: float) -> Figure:
    """Plot false-alarm rate on validation against K on a log axis, with K / V above and the calibrated K marked."""
    figure, axes = _axes("", "K (log)", "share of validation", height=3.8)
    figure.suptitle("What K costs in false alarms", x=0.01, ha="left", fontsize=11)
    axes.step(sweep["K"], sweep["coverage"], where="post", color=PALE, label="keys within K")
    axes.step(sweep["K"], sweep["false_alarm_rate"], where="post", color=NORMAL, label="sequences beyond K")
    axes.set_xscale("log")
    axes.axhline(alpha, color="gray", lw=0.8, ls=":", label=f"alpha = {alpha:.1%}")
    axes.axvline(k, color=ACCENT, label=f"K = {k}, K / V = {k / vocabulary_size:.2f}")
    ticks = np.unique(np.geomspace(1, vocabulary_size + 1, 8).round().astype(int))
    axes.set_xticks(ticks, ticks)
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.legend(frameon=False)
    above = axes.secondary_xaxis("top", functions=(lambda x: x / vocabulary_size, lambda x: x * vocabulary_size))
    above.set_xticks(ticks / vocabulary_size, [f"{tick / vocabulary_size:.2f}" for tick in ticks])
    above.minorticks_off()
    above.set_xlabel("K / V")
    return figure


def k_stability(samples: np.ndarray, k: int) -> Figure:
    """Plot how often each K comes out of bootstrap samples of the validation sequences."""
    figure, axes = _axes("K over bootstrap samples of the validation sequences", "K", "share of samples", height=2.8)
    values, counts = np.unique(samples, return_counts=True)
    axes.bar(values, counts / len(samples), color=[ACCENT if value == k else PALE for value in values], width=0.8)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def f1_bars(table: pl.DataFrame) -> Figure:
    """Plot F1 of every rule and trivial detector with its 95% interval; `table` is that of `tables.verdicts`."""
    rows = table.drop_nulls("f1").reverse()
    figure, axes = _axes("F1 on the test set, with 95% intervals", "F1", "", height=0.42 * len(rows) + 1.0)
    if rows.is_empty():
        axes.text(0.5, 0.5, "no F1: the test set has no labeled anomaly", ha="center", transform=axes.transAxes)
        return figure
    errors = [rows["f1"] - rows["f1_low"], rows["f1_high"] - rows["f1"]]
    colors = [PALE if rule.startswith("trivial") else NORMAL for rule in rows["rule"]]
    axes.barh(rows["rule"], rows["f1"], xerr=errors, color=colors, error_kw={"ecolor": "#444444", "capsize": 3})
    axes.set_xlim(0, 1.02)
    return figure


def confusion_matrices(metrics: dict[str, dict]) -> Figure:
    """Draw one confusion matrix a rule, three in a row: rows are the labels, columns the verdicts."""
    columns = min(len(metrics), 3)
    rows = -(-len(metrics) // 3)
    figure = Figure(figsize=(4.2 * columns, 3.9 * rows), layout="constrained", dpi=110)
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for (rule, found), axes in zip(metrics.items(), panels, strict=False):  # the last row need not be full
        _confusion(axes, RULE_TITLES[rule], found)
    for axes in panels:  # those that are left
        axes.set_axis_off()
    return figure


def _confusion(axes, title: str, found: dict) -> None:
    """Draw counts with their share of the row, the darker the larger the share."""
    cells = np.array(
        [[found["true_negatives"], found["false_positives"]], [found["false_negatives"], found["true_positives"]]]
    )
    shares = cells / np.maximum(cells.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.2)
    for (row, column), count in np.ndenumerate(cells):
        style = {"ha": "center", "color": "white" if shares[row, column] > 0.6 else "#1c232b"}
        axes.text(column, row, f"{count:,}", va="bottom", fontsize=17, **style)
        axes.text(column, row + 0.08, f"{100 * shares[row, column]:.1f} %", va="top", fontsize=13, **style)
    axes.set_xticks([0, 1], ["passed", "flagged"], fontsize=13)
    axes.set_yticks([0, 1], ["normal", "anomaly"], fontsize=13, rotation=90, va="center")
    axes.tick_params(length=0)
    axes.set_title(title.replace(", ", ",\n"), fontsize=13)


def precision_recall_curves(scores: pl.DataFrame, metrics: dict[str, dict]) -> Figure:
    """Plot precision against recall of the tail probability at every threshold, and the point of every rule."""
    figure, axes = _axes("Precision and recall of the tail probability", "recall", "precision", width=5.2, height=4.0)
    precision, recall = precision_recall(
        -scores["tail_probability"].to_numpy().astype(float), scores["label"].to_numpy()
    )
    axes.step(recall, precision, where="post", color=PALE, label="every threshold")
    for rule, found in metrics.items():
        if found["precision"] is not None:
            axes.plot(found["recall"], found["precision"], "o", color=BY_NAME[rule].color, label=RULE_TITLES[rule])
    axes.set_xlim(0, 1.03)
    axes.set_ylim(0, 1.03)
    axes.legend(frameon=False, loc="lower left", fontsize=8)
    return figure


def f1_by_k(table: pl.DataFrame, k: int) -> Figure:
    """Plot F1 of Top-K at every K. A diagnostic: the best K is chosen with test labels and is not used.

    `table` is that of `verdicts.f1_over_k`.
    """
    ks, f1 = table["K"].to_numpy(), table["f1"].to_numpy()
    figure, axes = _axes("F1 of Top-K at every K (diagnostic, not used)", "K", "F1")
    axes.plot(ks, f1, color=NORMAL, marker=".")
    best = int(ks[np.argmax(f1)])
    axes.axvline(k, color=ACCENT, label=f"calibrated K = {k}: F1 {f1[ks == k][0]:.3f}")
    axes.axvline(best, color="gray", ls=":", label=f"best K on test labels = {best}: F1 {f1.max():.3f}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, 1.03)
    axes.legend(frameon=False)
    return figure


def detection_sources(sources: dict[str, dict[str, int]]) -> Figure:
    """Plot stacked bars: by which sign each rule's detections came, and what it missed."""
    signs = list(next(iter(sources.values())))
    figure, axes = _axes("Where the detections come from", "anomalous test sequences", "", height=3.2)
    colors = dict(zip(signs, ("#8172b3", NORMAL, "#55a868", ACCENT, "#dddddd"), strict=True))
    for row, counts in enumerate(reversed(sources.values())):
        left = 0
        for sign in signs:
            axes.barh(row, counts[sign], left=left, color=colors[sign], label=sign if row == 0 else None)
            left += counts[sign]
    axes.set_yticks(range(len(sources)), [RULE_TITLES[rule].replace(", ", ",\n") for rule in reversed(sources)])
    axes.legend(frameon=False, ncols=3, loc="upper left", bbox_to_anchor=(-0.01, -0.28), fontsize=8)
    return figure


def drift(blocks: pl.DataFrame) -> Figure:
    """Plot F1 and false alarms of each rule over blocks of test time; `blocks` is that of `unseen.measure_blocks`."""
    figure = Figure(figsize=(8.6, 5.4), layout="constrained", dpi=110)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for (rule,), rows in blocks.group_by("rule", maintain_order=True):
        base = BY_NAME.get(unseen.split_name(rule)[0])
        style = {"marker": ".", "label": TITLES[rule], "color": base.color if base else "#888888"}
        style["linestyle"] = "-" if unseen.split_name(rule)[1] else "--"
        upper.plot(rows["block"], rows["f1"], **style)
        lower.plot(rows["block"], rows["false_alarms"], **style)
    upper.set(ylabel="F1", ylim=(0, 1.02), title="Over test time: dashed as they are, solid with unseen keys handled")
    lower.set(ylabel="false alarms", xlabel="block of test time")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*upper.get_legend_handles_labels(), frameon=False, loc="outside lower left", ncols=2, fontsize=8)
    return figure
