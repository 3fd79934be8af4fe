"""The decision rules: pure functions of stored scores, calibrated on validation normals alone.

Calibration is split conformal: with n exchangeable normal sequences, flagging a new one only if it would rank among
the floor(alpha (n + 1)) most abnormal of the n + 1 keeps the false-alarm rate at or below alpha on average (Vovk,
Gammerman and Shafer 2005; Bates et al. 2023, arXiv 2104.08279). So at most floor(alpha (n + 1)) - 1 of the n
validation sequences may be flagged, and n sequences cannot promise less than 1 / (n + 1).

A key that training never saw is an alarm under every rule.
"""

from math import floor

import numpy as np
import polars as pl

RULES = ("top_k", "tail_probability", "tail_probability_and_counts")
RULE_TITLES = {
    "top_k": "Top-K",
    "tail_probability": "tail probability",
    "tail_probability_and_counts": "tail probability, confirmed by counts",
}


def calibrate(validation: pl.DataFrame, vocabulary_size: int, alpha: float) -> dict:
    """What `decision.json` holds of the rules, from validation scores of normal sequences.

    Keys: `alpha, alpha_kept, notes, V, validation_sequences, smallest_alpha, rules`. `rules.top_k.K` is the smallest
    K that keeps alpha; `threshold` of the other two is the conformal quantile of the smallest tail probability.
    Where unseen keys alone break alpha, the other sequences are calibrated on and `alpha_kept` is false.
    """
    unseen = int(validation["has_unseen_key"].sum())
    size, notes = len(validation), []
    kept = unseen <= max(allowed_alarms(size, alpha), 0)
    if not kept:
        notes.append(
            f"{unseen:,} of {size:,} validation sequences have a key that training never saw: a false-alarm rate of "
            f"{unseen / size:.2%} is the floor, alpha = {alpha:.2%} cannot be kept. "
            "The rules are calibrated on the others."
        )
    used = validation if kept else validation.filter(~pl.col("has_unseen_key"))
    allowed = allowed_alarms(len(used), alpha)
    if allowed < 0:
        notes.append(
            f"{len(used):,} validation sequences can promise a false-alarm rate of {1 / (len(used) + 1):.2%} at best, "
            f"not {alpha:.2%}: the rules flag unseen keys only. Give more validation sequences, or a larger ALPHA."
        )
    top_k = {"K": smallest_k(used["rank"], allowed, vocabulary_size)}
    tail = {"threshold": tail_threshold(used["tail_probability"], allowed)}
    decision = {
        "alpha": alpha,
        "alpha_kept": kept and allowed >= 0,
        "notes": notes,
        "V": vocabulary_size,
        "validation_sequences": size,
        "smallest_alpha": 1 / (size + 1),
        "rules": {"top_k": top_k, "tail_probability": tail, "tail_probability_and_counts": dict(tail)},
    }
    flags = apply(validation, decision)
    for rule in RULES:
        decision["rules"][rule]["validation_false_alarm_rate"] = flags[f"flagged_{rule}"].mean()
    top_k["K_over_V"] = top_k["K"] / vocabulary_size
    return decision


def allowed_alarms(size: int, alpha: float) -> int:
    """How many of `size` validation sequences may be flagged at alpha; -1 if `size` is too small to promise alpha."""
    return floor(alpha * (size + 1) + 1e-9) - 1


def smallest_k(ranks: pl.Series, allowed: int, vocabulary_size: int) -> int:
    """The smallest K that at most `allowed` sequences exceed; V + 1, all known choices, if none may be flagged."""
    if allowed < 0:
        return vocabulary_size + 1
    return max(1, int(np.sort(ranks.to_numpy())[::-1][allowed]))


def tail_threshold(tails: pl.Series, allowed: int) -> float:
    """The tail probability below which at most `allowed` sequences lie; 0, which flags none, if none may be flagged."""
    return float(np.sort(tails.to_numpy())[allowed]) if allowed >= 0 else 0.0


def apply(scores: pl.DataFrame, decision: dict) -> pl.DataFrame:
    """`flagged_<rule>: bool` for every rule, one row a sequence.

    `scores` has `rank, tail_probability, has_unseen_key, count_vector_seen`.
    """
    rules = decision["rules"]
    unseen = pl.col("has_unseen_key")
    rare = pl.col("tail_probability").cast(pl.Float64) < rules["tail_probability"]["threshold"]
    rare_and_new = pl.col("tail_probability").cast(pl.Float64) < rules["tail_probability_and_counts"]["threshold"]
    return scores.select(
        flagged_top_k=unseen | (pl.col("rank") > rules["top_k"]["K"]),
        flagged_tail_probability=unseen | rare,
        flagged_tail_probability_and_counts=unseen | (rare_and_new & ~pl.col("count_vector_seen")),
    )


def sweep_k(scores: pl.DataFrame, vocabulary_size: int) -> pl.DataFrame:
    """One row a K from 1 to V + 1: `K, K_over_V, false_alarm_rate` (sequences beyond K), `coverage` (keys within)."""
    ks = np.arange(1, vocabulary_size + 2)
    worst = np.sort(scores["rank"].to_numpy())
    every = np.sort(scores["event_ranks"].explode().to_numpy())
    return pl.DataFrame(
        {
            "K": ks,
            "K_over_V": ks / vocabulary_size,
            "false_alarm_rate": 1 - np.searchsorted(worst, ks, side="right") / len(worst),
            "coverage": np.searchsorted(every, ks, side="right") / len(every),
        }
    )


def candidate_rules(validation: pl.DataFrame, vocabulary_size: int, alphas: tuple[float, ...]) -> pl.DataFrame:
    """One row an alpha: what each rule would be and the share of validation sequences it flags."""
    rows = []
    for alpha in alphas:
        decision = calibrate(validation, vocabulary_size, alpha)
        rules = decision["rules"]
        rates = {f"false alarms {rule}": rules[rule]["validation_false_alarm_rate"] for rule in RULES}
        own = {"alpha": alpha, "kept": decision["alpha_kept"], "K": rules["top_k"]["K"]}
        rows.append(
            own | {"K_over_V": rules["top_k"]["K_over_V"], "threshold": rules["tail_probability"]["threshold"]} | rates
        )
    return pl.DataFrame(rows)


def bootstrap_k(validation: pl.DataFrame, vocabulary_size: int, alpha: float, resamples: int = 500) -> np.ndarray:
    """K of `resamples` bootstrap samples of the validation sequences: how much K owes to chance. Seeded."""
    chance = np.random.default_rng(0)
    known = validation.filter(~pl.col("has_unseen_key"))["rank"]
    allowed = allowed_alarms(len(known), alpha)
    samples = (known.gather(chance.integers(len(known), size=len(known))) for _ in range(resamples))
    return np.array([smallest_k(sample, allowed, vocabulary_size) for sample in samples])
