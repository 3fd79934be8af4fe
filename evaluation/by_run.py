"""Figures with intervals over whole runs: jobs of one worker, and workers of one run, are not independent.

An interval is the middle 95% of what the figure is when as many runs are drawn with replacement, each with all that
belongs to it (the cluster bootstrap, Efron and Tibshirani 1993). Every row of a run that is drawn twice counts twice.
"""

from collections.abc import Callable

import numpy as np

DRAWS = 500
Figure = Callable[[np.ndarray, np.ndarray, np.ndarray], float]  # of labels, scores and weights


def f1(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """Return F1 of flagging what has a score above 0; nan where nothing is flagged and nothing anomalous."""
    flags = scores > 0
    hits = float(weights[flags & (labels == 1)].sum())
    together = float(weights[flags].sum() + weights[labels == 1].sum())
    return 2 * hits / together if together else float("nan")


def average_precision(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """Return the average precision, that of scikit-learn; nan with one class alone.

    Written out, since scikit-learn checks its arguments for longer than it counts, and 500 draws are measured. Rows
    that come with falling scores are the quickest.
    """
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    ends = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(order) - 1)  # of rows with one score
    hits, flagged = (np.cumsum(values[order])[ends] for values in (weights * (labels == 1), weights))
    if not 0 < hits[-1] < flagged[-1]:
        return float("nan")
    precisions = np.divide(hits, flagged, out=np.zeros(len(ends)), where=flagged > 0)
    return float(np.diff(hits, prepend=0.0) @ precisions / hits[-1])


def accuracy(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """Return the share of right verdicts."""
    return float(np.average((scores > 0) == (labels == 1), weights=weights))


def precision(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """Return the share of anomalies among what has a score above 0; nan where nothing has."""
    flags = scores > 0
    return float(np.average(labels[flags] == 1, weights=weights[flags])) if weights[flags].sum() else float("nan")


def recall(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """Return the share of anomalies that have a score above 0; nan without one."""
    return precision(scores > 0, np.where(labels == 1, 1.0, -1.0), weights)


def measured(
    figure: Figure, labels: np.ndarray, scores: np.ndarray, runs: np.ndarray, seed: int = 0
) -> tuple[float, float, float]:
    """Return a figure and the ends of its interval over runs; `runs` says to which each row belongs."""
    order = np.argsort(-scores, kind="stable")
    labels, scores, runs = labels[order], scores[order], runs[order]
    found = [figure(labels, scores, weights) for weights in _draws(runs, seed)]
    return (figure(labels, scores, np.ones(len(labels))), *_middle(found))


def difference(
    figure: Figure, labels: np.ndarray, scores: np.ndarray, others: np.ndarray, runs: np.ndarray, seed: int = 0
) -> tuple[float, float, float]:
    """Return by how much the figure of `scores` exceeds that of `others`, and the ends of its interval over runs."""
    ones = np.ones(len(labels))
    found = [
        figure(labels, scores, weights) - figure(labels, others, weights) for weights in _draws(runs, seed)
    ]  # the same runs for both
    return (figure(labels, scores, ones) - figure(labels, others, ones), *_middle(found))


def _draws(runs: np.ndarray, seed: int):
    """Yield how often each row counts in each draw."""
    names, rows = np.unique(runs, return_inverse=True)
    chance = np.random.default_rng(seed)
    for _ in range(DRAWS):
        yield np.bincount(chance.integers(len(names), size=len(names)), minlength=len(names))[rows].astype(float)


def _middle(found: list[float]) -> tuple[float, float]:
    if np.isnan(found).all():  # one class alone
        return float("nan"), float("nan")
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(low), float(high)
