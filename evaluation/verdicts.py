"""Scores and a decision to everything `metrics.json` says of them, and to rows of the ledger."""

from datetime import date

import numpy as np
import polars as pl

from evaluation import floors, ledger, metrics, rules


def judge(scores: pl.DataFrame, decision: dict) -> tuple[pl.DataFrame, dict]:
    """The scores with `flagged_<rule>` columns, and `rules, ranking, data, prevalence` of `metrics.json`.

    The trivial detectors stand among the rules. The ranking is that of the smallest tail probability.
    """
    flags, trivial = rules.apply(scores, decision), floors.trivial_flags(scores)
    labels = scores["label"].to_numpy()
    verdicts = {rule: flags[f"flagged_{rule}"] for rule in rules.RULES} | {
        name: trivial[name] for name in floors.TRIVIAL
    }
    found = {
        "rules": {name: metrics.measure(flagged.to_numpy(), labels) for name, flagged in verdicts.items()},
        "ranking": metrics.ranking(-scores["tail_probability"].to_numpy().astype(float), labels),
        "data": describe(scores),
        "prevalence": float((labels == 1).mean()),
    }
    unflagged = scores.drop(name for name in scores.columns if name.startswith("flagged_"))
    return pl.concat([unflagged, flags], how="horizontal"), found


def describe(scores: pl.DataFrame) -> dict[str, float | int | None]:
    """Sizes of the test set, its overlap with training, and the share of sequences with a key training never saw."""
    normal, anomalous = (scores.filter(pl.col("label") == label) for label in (0, 1))
    return {
        "test_sequences": len(scores),
        "test_anomalies": len(anomalous),
        "normals_also_in_training": normal["in_training"].mean(),
        "anomalies_also_in_training": anomalous["in_training"].mean(),
        "normals_with_unseen_key": normal["has_unseen_key"].mean(),
        "anomalies_with_unseen_key": anomalous["has_unseen_key"].mean(),
    }


def f1_over_k(scores: pl.DataFrame, vocabulary_size: int) -> pl.DataFrame:
    """`K, f1` of Top-K at every K from 1 to V + 1: a diagnostic that uses test labels, never a way to choose K."""
    ranks, labels = scores["rank"].to_numpy(), scores["label"].to_numpy()
    ks = range(1, vocabulary_size + 2)
    return pl.DataFrame({"K": list(ks), "f1": [metrics.f1(metrics.confusion(ranks > k, labels)) for k in ks]})


def score_gap(first: pl.DataFrame, second: pl.DataFrame) -> float:
    """Largest absolute difference of two scorings' log-probabilities, in nats; unseen keys must be the same."""
    one, two = (scores["event_log_probabilities"].explode().to_numpy() for scores in (first, second))
    known = np.isfinite(one)
    if not np.array_equal(known, np.isfinite(two)):
        return float("inf")
    return float(np.abs(one[known] - two[known]).max())


def ledger_rows(found: dict, decision: dict, config: dict, environment: dict) -> list[dict]:
    """Rows for `ledger.record`: the run's rules, and the trivial detectors, which belong to the data alone."""
    shared = {
        "date": date.today().isoformat(),
        "data": config["data"],
        "data_hash": config["data_hash"],
        "simulated": found["data"]["simulated"],
        "test_sequences": found["data"]["test_sequences"],
        "test_anomalies": found["data"]["test_anomalies"],
        "commit": environment["commit"],
    }
    own = {name: config[name] for name in ("method", "model", "seed")} | {
        name: decision[name] for name in ("alpha", "V")
    }
    own |= found["ranking"] | {"seconds": sum(found["seconds"].values()), "peak_memory_gb": found["peak_memory_gb"]}
    own["device"] = environment["device"]
    rows = []
    for rule, measured in found["rules"].items():
        about = {"method": "trivial"} if rule in floors.TRIVIAL else own | {"K": decision["rules"][rule].get("K")}
        figures = {name: measured[name] for name in measured if name in ledger.SCHEMA}
        rows.append(shared | about | figures | {"rule": rule})
    return rows
