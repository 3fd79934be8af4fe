"""Scores and a decision to everything `metrics.json` says of them, and to rows of the ledger."""

from datetime import date

import numpy as np
import polars as pl

from evaluation import floors, ledger, metrics, rules, unseen


def calibrate_all(
    scores: pl.DataFrame,
    vocabulary_size: int,
    alpha: float,
    ngram_scores: dict[str, pl.DataFrame],
    windowed: bool,
) -> dict:
    """Return what `decision.json` holds: the rules on the model's validation scores, and on those of the n-grams.

    `default_rule` names the verdict that sentences and the first table speak of; it is chosen here, before any test, by
    whether the sequences are windows of a log or whole sessions.
    """
    decision = rules.calibrate(scores, vocabulary_size, alpha)
    counted = {name: rules.calibrate(own, vocabulary_size, alpha)["rules"] for name, own in ngram_scores.items()}
    return {"default_rule": rules.default_rule(decision["rules"], windowed)} | decision | {"ngrams": counted}


def measure_all(
    scores: pl.DataFrame,
    decision: dict,
    ngram_scores: dict[str, pl.DataFrame],
    prevalence: float | None,
    handled: dict[str, pl.DataFrame],
) -> tuple[pl.DataFrame, dict]:
    """Return the scores with `flagged_<rule>` columns, those of `handled` too, and what `metrics.json` says of them:
    `rules, ranking, data, prevalence`.

    The trivial detectors stand among the rules. `at_prevalence` has the same figures with the normals weighted to
    that share of anomalies, `distinct` those with every distinct sequence counted once, `new` those on the sequences
    that training did not have. `handled` are the scores with unseen keys accepted over time (`unseen.settle`), whose
    verdicts stand beside the others as `<rule>_<handling>`.
    The ranking is that of the smallest tail probability, or of the score of a detector without ranks.
    """
    flags = rules.apply(scores, decision)
    verdicts, orders = _verdicts(scores, flags, decision, ngram_scores)
    for handling, settled in handled.items():
        verdicts[f"unseen_key_{handling}"] = settled["has_unseen_key"].to_numpy()
        applied = unseen.flags({handling: settled}, decision)
        for rule in rules.RANK_RULES:
            verdicts[f"{rule}_{handling}"] = applied[f"flagged_{rule}_{handling}"].to_numpy()
            orders[f"{rule}_{handling}"] = unseen.order(settled, rule)
    labels = scores["label"].to_numpy()
    main = "tail_probability" if "tail_probability" in orders else "score"
    parts = {"distinct": scores["first_of_its_kind"].to_numpy(), "new": ~scores["in_training"].to_numpy()}
    found = {
        "default_rule": decision["default_rule"],
        "rules": _measure_all(verdicts, orders, labels),
        "at_prevalence": None,
        **{name: _measure_part(verdicts, orders, labels, chosen) for name, chosen in parts.items()},
        "ranking": metrics.ranking(orders[main], labels),
        "data": describe(scores),
        "prevalence": float((labels == 1).mean()),
    }
    if prevalence is not None and found["data"]["test_anomalies"]:
        found["at_prevalence"] = {
            "prevalence": prevalence,
            "rules": _measure_all(verdicts, orders, labels, prevalence),
            "ranking": metrics.ranking(orders[main], labels, prevalence),
        }
    unflagged = scores.drop(name for name in scores.columns if name.startswith("flagged_"))
    handled_flags = [unseen.flags(handled, decision)] if handled else []
    return pl.concat([unflagged, flags, *handled_flags], how="horizontal"), found


def _verdicts(
    scores: pl.DataFrame, flags: pl.DataFrame, decision: dict, ngram_scores: dict[str, pl.DataFrame]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the flags of every rule and detector, and the order in which those that have one put the sequences."""
    verdicts = {rule: flags[f"flagged_{rule}"].to_numpy() for rule in decision["rules"]}
    orders = {rule: rules.abnormality(scores, rule) for rule in decision["rules"]}
    trivial = floors.trivial_flags(scores)
    verdicts |= {name: trivial[name].to_numpy() for name in floors.TRIVIAL}
    if "bigram" in ngram_scores:
        verdicts[floors.ESCAPE], orders[floors.ESCAPE] = floors.escape_flags(ngram_scores["bigram"])
    for ngram, own in ngram_scores.items():
        applied = rules.apply(own, {"rules": decision["ngrams"][ngram]})
        for rule in rules.RANK_RULES:
            verdicts[f"{ngram}_{rule}"] = applied[f"flagged_{rule}"].to_numpy()
            orders[f"{ngram}_{rule}"] = rules.abnormality(own, rule)
    return verdicts, orders


def _measure_all(
    verdicts: dict[str, np.ndarray], orders: dict[str, np.ndarray], labels: np.ndarray, prevalence: float | None = None
) -> dict[str, dict]:
    return {
        name: metrics.measure(flagged, labels, prevalence) | _ranked(orders.get(name), labels, prevalence)
        for name, flagged in verdicts.items()
    }


def _measure_part(
    verdicts: dict[str, np.ndarray], orders: dict[str, np.ndarray], labels: np.ndarray, chosen: np.ndarray
) -> dict:
    """Return `sequences, rules` of the chosen part of the test; no rules where there is nothing to judge."""
    own, own_orders = ({name: values[chosen] for name, values in of.items()} for of in (verdicts, orders))
    measured = _measure_all(own, own_orders, labels[chosen]) if chosen.any() else {}
    return {"sequences": int(chosen.sum()), "rules": measured}


def _ranked(order: np.ndarray | None, labels: np.ndarray, prevalence: float | None) -> dict[str, float | None]:
    """Return what needs no threshold, and F1 at the best one; nothing of detectors that only say yes or no."""
    if order is None:
        return {"auroc": None, "average_precision": None, "best_f1": None}
    return metrics.ranking(order, labels, prevalence) | {"best_f1": metrics.best_f1(order, labels, prevalence)}


def block_measures(judged: pl.DataFrame, decision: dict, accepted: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Return alarms, false alarms and F1 in each block of time, of the rules as they are and with keys accepted."""
    flagged = [judged.select(f"flagged_{rule}" for rule in rules.RANK_RULES)]
    flagged += [unseen.flags(accepted, decision)] if accepted else []
    flags = pl.concat(flagged, how="horizontal")
    by_rule = {name.removeprefix("flagged_"): flags[name].to_numpy() for name in flags.columns}
    return unseen.measure_blocks(by_rule, judged["label"].to_numpy())


def describe(scores: pl.DataFrame) -> dict:
    """Return sizes of the test set, its overlap with training, and the share of sequences with an unseen key."""
    normal, anomalous = (scores.filter(pl.col("label") == label) for label in (0, 1))
    return {
        "test_sequences": len(scores),
        "labeled_sequences": int(scores["label"].is_not_null().sum()),
        "test_anomalies": len(anomalous),
        "distinct_sequences": int(scores["first_of_its_kind"].sum()),
        "normals_also_in_training": normal["in_training"].mean(),
        "anomalies_also_in_training": anomalous["in_training"].mean(),
        "normals_with_unseen_key": normal["has_unseen_key"].mean(),
        "anomalies_with_unseen_key": anomalous["has_unseen_key"].mean(),
    }


def f1_over_k(scores: pl.DataFrame, vocabulary_size: int) -> pl.DataFrame:
    """Return `K, f1` of Top-K at every K from 1 to V + 1: a diagnostic with test labels, no way to choose K."""
    ranks, labels = scores["rank"].to_numpy(), scores["label"].to_numpy()
    ks = range(1, vocabulary_size + 2)
    return pl.DataFrame({"K": list(ks), "f1": [metrics.f1(metrics.confusion(ranks > k, labels)) for k in ks]})


def score_gap(first: pl.DataFrame, second: pl.DataFrame) -> float:
    """Return largest absolute difference of two scorings' log-probabilities, in nats; unseen keys must be the same."""
    one, two = (scores["event_log_probabilities"].explode().to_numpy() for scores in (first, second))
    known = np.isfinite(one)
    if not np.array_equal(known, np.isfinite(two)):
        return float("inf")
    return float(np.abs(one[known] - two[known]).max())


def ledger_rows(found: dict, decision: dict, about: dict) -> list[dict]:
    """Return rows for `ledger.record`: the run's rules, and the trivial detectors, which belong to the data alone.

    Each rule has a row at the test set's own share of anomalies, and one at the prevalence that was asked for.
    `about` are the columns that the run as a whole fills.
    """
    learned = rules.LIKELIER_CLASS.name in decision["rules"]
    about = about | {
        "V": decision["V"],
        "questions": None,
        "encoder": None,
        "learned_from": "labels" if learned else "normals",
    }
    about |= {"labeled_anomalies": found["data"]["training_anomalies"] if learned else None}
    rows = _rows_at(found["rules"], None, decision, about)
    for row in rows:
        row |= {f"f1_{part}": found[part]["rules"].get(row["rule"], {}).get("f1") for part in ("distinct", "new")}
    if found["at_prevalence"]:
        rows += _rows_at(found["at_prevalence"]["rules"], found["at_prevalence"]["prevalence"], decision, about)
    handled = {"questions": found.get("questions"), "encoder": found.get("encoder")}
    return [row | (handled if unseen.split_name(row["rule"])[1] else {}) for row in rows]


def _rows_at(measured: dict[str, dict], prevalence: float | None, decision: dict, about: dict) -> list[dict]:
    rows = []
    default = decision["default_rule"]
    for rule, figures in measured.items():
        values = decision["rules"].get(unseen.split_name(rule)[0])
        own = about | {"alpha": decision["alpha"], "K": values.get("K") if values else None}
        if values is None:  # nothing of the model is in it: no seed but that of the split, no time of its own
            own |= dict.fromkeys(("model", "seed", "seconds", "peak_memory_gb", "parameters"))
            own |= {"method": "trivial", "learned_from": "normals", "labeled_anomalies": None}
            ngram, _, counted = rule.partition("_")
            own |= {"K": decision["ngrams"][ngram][counted].get("K")} if ngram in floors.NGRAMS else {"alpha": None}
        kept = {name: value for name, value in figures.items() if name in ledger.SCHEMA}
        rows.append(own | kept | {"rule": rule, "default": rule == default, "prevalence": prevalence})
    return rows


def today() -> str:
    """Return the date of a ledger row."""
    return date.today().isoformat()
