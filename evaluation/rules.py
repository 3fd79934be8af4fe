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
from scipy.stats import beta, rankdata

RULES = ("top_k", "tail_probability", "tail_probability_and_counts")
SCORE_RULES = ("score", "score_and_counts")  # of detectors that give one number a sequence and no ranks
PAPER_RULE = "top_k_paper"
RULE_TITLES = {
    "top_k": "Top-K",
    "tail_probability": "tail probability",
    "tail_probability_and_counts": "tail probability, confirmed by counts",
    "top_k_paper": "Top-K, K as in the paper",
    "score": "score",
    "score_and_counts": "score, confirmed by counts",
}


def calibrate(validation: pl.DataFrame, vocabulary_size: int, alpha: float) -> dict:
    """What `decision.json` holds of the rules, from validation scores of normal sequences.

    Keys: `alpha, alpha_kept, notes, V, validation_sequences, smallest_alpha, rules`. Which rules there are depends on
    what the detector gives: ranks and tail probabilities, a score, or both. `rules.top_k.K` is the smallest K that
    keeps alpha; `threshold` of the others is the conformal quantile of the smallest tail probability, or of the score.
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
    decision = {
        "alpha": alpha,
        "alpha_kept": kept and allowed >= 0,
        "notes": notes,
        "V": vocabulary_size,
        "validation_sequences": size,
        "smallest_alpha": 1 / (size + 1),
        "false_alarm_interval": false_alarm_interval(len(used), alpha),
        "rules": _settings(used, validation, allowed, vocabulary_size),
    }
    flags = apply(validation, decision)
    for rule, values in decision["rules"].items():
        values["validation_false_alarm_rate"] = flags[f"flagged_{rule}"].mean()
        if "K" in values:
            values["K_over_V"] = values["K"] / vocabulary_size
    return decision


def _settings(used: pl.DataFrame, validation: pl.DataFrame, allowed: int, vocabulary_size: int) -> dict[str, dict]:
    """K or threshold of every rule that the scores allow for, at `allowed` alarms on the sequences `used`.

    `top_k_paper` keeps no alpha: the paper picks K by eye where the curve of validation misses has come down, and its K
    of 177 for 181 keys is read here as the smallest K that no validation sequence exceeds.
    """
    found = {}
    if "rank" in used.columns:
        found["top_k"] = {"K": smallest_k(used["rank"], allowed, vocabulary_size)}
        for rule in RULES[1:]:
            found[rule] = {"threshold": tail_threshold(used["tail_probability"], allowed)}
        seen = validation.filter(~pl.col("has_unseen_key"))
        found[PAPER_RULE] = {"K": smallest_k(seen["rank"], 0, vocabulary_size)}
    if "score" in used.columns:
        for rule in SCORE_RULES:
            found[rule] = {"threshold": score_threshold(used["score"], allowed)}
    return found


def allowed_alarms(size: int, alpha: float) -> int:
    """How many of `size` validation sequences may be flagged at alpha; -1 if `size` is too small to promise alpha."""
    return floor(alpha * (size + 1) + 1e-9) - 1


def false_alarm_interval(size: int, alpha: float) -> tuple[float, float]:
    """Between which rates (95 %) the false-alarm rate of one calibration on `size` sequences lies, where no scores tie.

    Given the calibration it follows a beta distribution (Vovk 2012, "Conditional validity of inductive conformal
    predictors", proposition 2a); (0, 0) if nothing may be flagged.
    """
    flagged = allowed_alarms(size, alpha) + 1
    if flagged < 1:
        return 0.0, 0.0
    return tuple(float(rate) for rate in beta(flagged, size + 1 - flagged).ppf([0.025, 0.975]))


def smallest_k(ranks: pl.Series, allowed: int, vocabulary_size: int) -> int:
    """The smallest K that at most `allowed` sequences exceed; V + 1, all known choices, if none may be flagged."""
    if allowed < 0 or not len(ranks):
        return vocabulary_size + 1
    return max(1, int(np.sort(ranks.to_numpy())[::-1][allowed]))


def tail_threshold(tails: pl.Series, allowed: int) -> float:
    """The tail probability below which at most `allowed` sequences lie; 0, which flags none, if none may be flagged."""
    return float(np.sort(tails.to_numpy())[allowed]) if allowed >= 0 else 0.0


def score_threshold(values: pl.Series, allowed: int) -> float | None:
    """The score above which at most `allowed` sequences lie; None, which flags none, if none may be flagged."""
    return float(np.sort(values.to_numpy())[::-1][allowed]) if allowed >= 0 else None


def apply(scores: pl.DataFrame, decision: dict) -> pl.DataFrame:
    """`flagged_<rule>: bool` for every rule of the decision, one row a sequence.

    `scores` has `has_unseen_key`, `count_vector_seen`, and what the rules read: `rank, tail_probability`, or `score`.
    """
    flags = {
        f"flagged_{rule}": pl.col("has_unseen_key") | _is_odd(rule, values)
        for rule, values in decision["rules"].items()
    }
    return scores.select(**flags)


def _is_odd(rule: str, values: dict) -> pl.Expr:
    """What a rule flags beside unseen keys."""
    if rule in ("top_k", PAPER_RULE):
        return pl.col("rank") > values["K"]
    if rule in SCORE_RULES:
        odd = pl.lit(False) if values["threshold"] is None else pl.col("score") > values["threshold"]
    else:
        odd = pl.col("tail_probability").cast(pl.Float64) < values["threshold"]
    return odd & ~pl.col("count_vector_seen") if rule.endswith("_and_counts") else odd


def abnormality(scores: pl.DataFrame, rule: str) -> np.ndarray:
    """What a rule thresholds, higher for more abnormal: with it a rule ranks all sequences, at no threshold.

    An unseen key comes first under a rule on scores, as it does by its rank and tail probability. Confirmed by counts,
    sequences whose counts training had seen come after all others, in their own order.
    """
    if rule in ("top_k", PAPER_RULE):
        return scores["rank"].to_numpy().astype(float)
    unseen = scores["has_unseen_key"].to_numpy()
    if rule in SCORE_RULES:
        # by place, because scores have no bounds: everything with an unseen key lies above everything without
        order = rankdata(scores["score"].to_numpy(), method="dense") + (len(scores) + 1.0) * unseen
    else:
        order = -scores["tail_probability"].to_numpy().astype(float)
    if not rule.endswith("_and_counts"):
        return order
    excused = scores["count_vector_seen"].to_numpy() & ~unseen
    return order - (order.max() - order.min() + 1.0) * excused


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
    """One row a rule and alpha, and one for the paper's K: its setting, and the share of validation it flags.

    `rate_low` and `rate_high` bound that share with 95 % over bootstrap samples of the validation sequences.
    """
    decisions = {alpha: calibrate(validation, vocabulary_size, alpha) for alpha in alphas}
    rows = []
    for rule in (*RULES, PAPER_RULE):
        for alpha, decision in decisions.items() if rule != PAPER_RULE else list(decisions.items())[:1]:
            values = decision["rules"][rule]
            low, high = _bootstrap_share(apply(validation, decision)[f"flagged_{rule}"].to_numpy())
            about = {"rule": RULE_TITLES[rule], "alpha": None if rule == PAPER_RULE else alpha}
            about |= {name: values.get(name) for name in ("K", "K_over_V", "threshold")}
            about |= {"false_alarm_rate": values["validation_false_alarm_rate"], "rate_low": low, "rate_high": high}
            rows.append(about | {"kept": None if rule == PAPER_RULE else decision["alpha_kept"]})
    return pl.DataFrame(rows, infer_schema_length=None)


def _bootstrap_share(flags: np.ndarray, resamples: int = 1_000) -> tuple[float, float]:
    """2.5 % and 97.5 % quantiles of the share of flagged sequences over bootstrap samples. Seeded."""
    shares = np.random.default_rng(0).binomial(len(flags), flags.mean(), size=resamples) / len(flags)
    return tuple(float(share) for share in np.quantile(shares, [0.025, 0.975]))


def bootstrap_k(validation: pl.DataFrame, vocabulary_size: int, alpha: float, resamples: int = 500) -> np.ndarray:
    """K of `resamples` bootstrap samples of the validation sequences: how much K owes to chance. Seeded."""
    chance = np.random.default_rng(0)
    known = validation.filter(~pl.col("has_unseen_key"))["rank"]
    allowed = allowed_alarms(len(known), alpha)
    samples = (known.gather(chance.integers(len(known), size=len(known))) for _ in range(resamples))
    return np.array([smallest_k(sample, allowed, vocabulary_size) for sample in samples])
