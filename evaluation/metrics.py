"""Precision, recall, F1 and MCC of a verdict, with intervals; AUROC and average precision of a score."""

import numpy as np

RESAMPLES = 2_000
MEASURES = ("precision", "recall", "f1", "mcc")


def confusion(flags: np.ndarray, labels: np.ndarray) -> dict[str, int]:
    """Counts `true_positives, false_positives, false_negatives, true_negatives`; label 1 is an anomaly."""
    flags, anomalous = np.asarray(flags, dtype=bool), np.asarray(labels) == 1
    return {
        "true_positives": int((flags & anomalous).sum()),
        "false_positives": int((flags & ~anomalous).sum()),
        "false_negatives": int((~flags & anomalous).sum()),
        "true_negatives": int((~flags & ~anomalous).sum()),
    }


def measure(flags: np.ndarray, labels: np.ndarray, prevalence: float | None = None) -> dict[str, float | int | None]:
    """Return the four counts, `false_alarm_rate`, and precision, recall, f1, mcc with `_low` and `_high` (95%).

    With `prevalence` the measures are those of a test set with that share of anomalies: normals are weighted, the
    counts stay as they are. Intervals are percentiles of a bootstrap over sequences, which for fixed flags is a
    multinomial draw of the four counts. A measure that is undefined (no sequence flagged, no anomaly in the test) is
    None, never 0 or 1.
    """
    counts = confusion(flags, labels)
    cells = np.array(list(counts.values()))
    draws = np.random.default_rng(0).multinomial(cells.sum(), cells / cells.sum(), size=RESAMPLES)
    point, resampled = _measures(_weighted(cells, prevalence)), _measures(_weighted(draws.T, prevalence))
    result: dict[str, float | int | None] = dict(counts)
    normals = counts["false_positives"] + counts["true_negatives"]
    result["false_alarm_rate"] = counts["false_positives"] / normals if normals else None
    for name in MEASURES:
        defined = np.isfinite(point[name])
        low, high = np.nanquantile(resampled[name], [0.025, 0.975]) if defined else (np.nan, np.nan)
        for suffix, value in (("", point[name]), ("_low", low), ("_high", high)):
            result[name + suffix] = float(value) if defined else None
    return result


def f1_gain(flags: np.ndarray, others: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """Return F1 of `flags` minus that of `others`, with the ends of its 95% bootstrap interval. Seeded."""
    chance = np.random.default_rng(0)
    cells = 4 * (labels == 1) + 2 * flags.astype(int) + others  # eight kinds of sequences; a sample is how many of each
    counts = np.bincount(cells, minlength=8)

    def gain(drawn: np.ndarray) -> np.ndarray:
        anomalous, flagged, other = ((np.arange(8) & bit) > 0 for bit in (4, 2, 1))
        first, second = (
            2
            * drawn[..., anomalous & by].sum(-1)
            / np.maximum(drawn[..., anomalous].sum(-1) + drawn[..., by].sum(-1), 1)
            for by in (flagged, other)
        )
        return first - second

    low, high = np.quantile(gain(chance.multinomial(len(labels), counts / len(labels), RESAMPLES)), [0.025, 0.975])
    return float(gain(counts)), float(low), float(high)


def normal_weight(labels: np.ndarray, prevalence: float | None) -> float:
    """Return what each normal counts so that anomalies make up `prevalence` of the whole; 1 without a prevalence."""
    anomalies = int((np.asarray(labels) == 1).sum())
    normals = len(labels) - anomalies
    if prevalence is None or not anomalies or not normals:
        return 1.0
    return anomalies * (1 - prevalence) / (prevalence * normals)


def _weighted(cells: np.ndarray, prevalence: float | None) -> np.ndarray:
    """Return cells (4, ...) with false positives and true negatives scaled to `prevalence`."""
    if prevalence is None:
        return cells
    tp, fp, fn, tn = np.asarray(cells, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = (tp + fn) * (1 - prevalence) / (prevalence * (fp + tn))
    weight = np.where(np.isfinite(weight), weight, 1.0)
    return np.stack([tp, fp * weight, fn, tn * weight])


def f1(counts: dict[str, int]) -> float:
    """Return F1 of the four counts; 0 if nothing is found, NaN without an anomaly."""
    return float(_measures(np.array(list(counts.values())))["f1"])


def _measures(cells: np.ndarray) -> dict[str, np.ndarray]:
    """Return measures of `cells` (4, ...): true and false positives, false and true negatives; NaN where undefined."""
    tp, fp, fn, tn = np.asarray(cells, dtype=float)
    anomalies = np.where(tp + fn > 0, 1.0, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        return {
            "precision": tp / (tp + fp) * anomalies,
            "recall": tp / (tp + fn),
            "f1": 2 * tp / (2 * tp + fp + fn) * anomalies,
            # one empty row or column makes MCC 0/0; 0, no correlation, is the usual convention
            "mcc": np.where(product > 0, (tp * tn - fp * fn) / np.sqrt(product), 0.0) * anomalies,
        }


def ranking(abnormality: np.ndarray, labels: np.ndarray, prevalence: float | None = None) -> dict[str, float | None]:
    """Return `auroc` and `average_precision` of a score that is higher for more abnormal; None with only one class.

    Average precision depends on the share of anomalies, which `prevalence` sets by weighting normals; AUROC does not.
    """
    if len(np.unique(labels)) < 2:
        return {"auroc": None, "average_precision": None}
    from sklearn.metrics import average_precision_score, roc_auc_score  # here: without labels nobody waits for it

    weights = _sample_weights(labels, prevalence)
    return {
        "auroc": float(roc_auc_score(labels, abnormality)),
        "average_precision": float(average_precision_score(labels, abnormality, sample_weight=weights)),
    }


def _sample_weights(labels: np.ndarray, prevalence: float | None) -> np.ndarray:
    return np.where(np.asarray(labels) == 1, 1.0, normal_weight(labels, prevalence))


def precision_recall(
    abnormality: np.ndarray, labels: np.ndarray, prevalence: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return precision and recall at every threshold of the score, for a plot; `labels` must hold both classes."""
    from sklearn.metrics import precision_recall_curve

    weights = _sample_weights(labels, prevalence)
    precision, recall, _ = precision_recall_curve(labels, abnormality, sample_weight=weights)
    return precision, recall


def best_f1(abnormality: np.ndarray, labels: np.ndarray, prevalence: float | None = None) -> float | None:
    """Return F1 at the threshold that test labels would choose: what a paper with a tuned threshold reports.

    A diagnostic, never a result of a detector; None if only one class is there.
    """
    if len(np.unique(labels)) < 2:
        return None
    precision, recall = precision_recall(abnormality, labels, prevalence)
    return float(np.max(2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)))
