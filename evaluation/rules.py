"""The decision rules: pure functions of stored scores, calibrated on validation normals alone.

Calibration is split conformal: with n exchangeable normal sequences, flagging a new one only if it would rank among
the floor(alpha (n + 1)) most abnormal of the n + 1 keeps the false-alarm rate at or below alpha on average (Vovk,
Gammerman and Shafer 2005; Bates et al. 2023, arXiv 2104.08279). So at most floor(alpha (n + 1)) - 1 of the n
validation sequences may be flagged, and n sequences cannot promise less than 1 / (n + 1).

The threshold is the score of a normal sequence, and logs repeat themselves: where the same sequence comes again, in
another batch or as a log grows, its score differs in the last digits, and must not become an alarm by that.

A key that training never saw is an alarm under every rule but the likelier class, which is what a classifier publishes.
docs/add-a-rule.md adds a rule.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import floor

import numpy as np
import polars as pl
from scipy.special import betaincinv

from core.progress import progress

ROUNDING = 1e-4  # of a threshold: scores in single precision that differ by less are the same


@dataclass(frozen=True)
class Rule:
    """One way to decide on a sequence; it reads one column of the scores.

    `calibrate(used, allowed, V)` gives its settings, which flag at most `allowed` of the validation sequences `used`;
    `flag(settings)` what it flags beside unseen keys; `order(scores)` what it thresholds, higher for more abnormal.
    `color` is that of its marks in figures. A rule that is not `calibrated` keeps no false-alarm rate.
    `alarms_unseen`: a sequence with a key that training never saw is an alarm, whatever else the rule says.
    """

    name: str
    title: str
    color: str
    reads: str
    calibrate: Callable[[pl.DataFrame, int, int], dict]
    flag: Callable[[dict], pl.Expr]
    order: Callable[[pl.DataFrame], np.ndarray]
    calibrated: bool = True
    alarms_unseen: bool = True


def confirmed_by_counts(rule: Rule, name: str, color: str) -> Rule:
    """Return a rule that excuses what `rule` flags if training has a normal sequence with the same key counts.

    In its order, sequences whose counts training had seen come after all others, in their own order.
    """

    def order(scores: pl.DataFrame) -> np.ndarray:
        values = rule.order(scores)
        excused = scores["count_vector_seen"].to_numpy() & ~scores["has_unseen_key"].to_numpy()
        return values - (values.max() - values.min() + 1.0) * excused

    def flag(settings: dict) -> pl.Expr:
        return rule.flag(settings) & ~pl.col("count_vector_seen")

    return Rule(name, f"{rule.title}, confirmed by counts", color, rule.reads, rule.calibrate, flag, order)


# ---------------------------------------------------------------------------------------------------------- settings


def allowed_alarms(size: int, alpha: float) -> int:
    """Return how many of `size` validation sequences may be flagged at alpha; -1 if `size` is too small for alpha."""
    return floor(alpha * (size + 1) + 1e-9) - 1


def smallest_k(ranks: pl.Series, allowed: int, vocabulary_size: int) -> int:
    """Return the smallest K that at most `allowed` sequences exceed; V + 1, all choices, if none may be flagged."""
    if allowed < 0 or not len(ranks):
        return vocabulary_size + 1
    return max(1, int(np.sort(ranks.to_numpy())[::-1][allowed]))


def tail_threshold(tails: pl.Series, allowed: int) -> float:
    """Return the tail probability below which at most `allowed` sequences lie; 0, which flags none, if none may be."""
    return float(np.sort(tails.to_numpy())[allowed]) if allowed >= 0 else 0.0


def score_threshold(values: pl.Series, allowed: int) -> float | None:
    """Return the score above which at most `allowed` sequences lie; None, which flags none, if none may be."""
    return float(np.sort(values.to_numpy())[::-1][allowed]) if allowed >= 0 else None


def _paper_k(used: pl.DataFrame, _: int, vocabulary_size: int) -> dict:
    """Return K as in the paper, which keeps no alpha.

    The paper picks K by eye where the curve of validation misses has come down; its K of 177 for 181 keys is read here
    as the smallest K that no validation sequence exceeds.
    """
    seen = used.filter(~pl.col("has_unseen_key"))
    return {"K": smallest_k(seen["rank"], 0, vocabulary_size)}


def _beyond_score(settings: dict) -> pl.Expr:
    threshold = settings["threshold"]
    return pl.lit(False) if threshold is None else pl.col("score") > threshold + ROUNDING * abs(threshold)


def _below_tail(settings: dict) -> pl.Expr:
    return pl.col("tail_probability").cast(pl.Float64) < settings["threshold"] * (1 - ROUNDING)


def _by_score(scores: pl.DataFrame) -> np.ndarray:
    """Return places, because scores have no bounds: all with an unseen key lie above all without."""
    places = np.unique(scores["score"].to_numpy(), return_inverse=True)[1]
    return places + (len(scores) + 1.0) * scores["has_unseen_key"].to_numpy()


# ------------------------------------------------------------------------------------------------------------- rules

TOP_K = Rule(
    name="top_k",
    title="Top-K",
    color="#4878a8",
    reads="rank",
    calibrate=lambda used, allowed, vocabulary_size: {"K": smallest_k(used["rank"], allowed, vocabulary_size)},
    flag=lambda settings: pl.col("rank") > settings["K"],
    order=lambda scores: scores["rank"].to_numpy().astype(float),
)
TAIL_PROBABILITY = Rule(
    name="tail_probability",
    title="tail probability",
    color="#55a868",
    reads="tail_probability",
    calibrate=lambda used, allowed, _: {"threshold": tail_threshold(used["tail_probability"], allowed)},
    flag=_below_tail,
    order=lambda scores: -scores["tail_probability"].to_numpy().astype(float),
)
CONFIRMED = confirmed_by_counts(TAIL_PROBABILITY, "tail_probability_and_counts", "#8172b3")
TOP_K_AS_IN_THE_PAPER = Rule(
    name="top_k_paper",
    title="Top-K, K as in the paper",
    color="#937860",
    reads="rank",
    calibrate=_paper_k,
    flag=TOP_K.flag,
    order=TOP_K.order,
    calibrated=False,
)
SCORE = Rule(  # of detectors that give one number a sequence
    name="score",
    title="score",
    color="#c44e52",
    reads="score",
    calibrate=lambda used, allowed, _: {"threshold": score_threshold(used["score"], allowed)},
    flag=_beyond_score,
    order=_by_score,
)
SCORE_CONFIRMED = confirmed_by_counts(SCORE, "score_and_counts", "#da8bc3")

LIKELIER_CLASS = Rule(  # of detectors that learn from labels: what their papers publish, LogLLM's among them
    name="likelier_class",
    title="likelier class",
    color="#64b5cd",
    reads="log_odds",
    calibrate=lambda used, allowed, _: {"threshold": 0.0},
    flag=lambda settings: pl.col("log_odds") > settings["threshold"],
    order=lambda scores: scores["log_odds"].to_numpy().astype(float),
    calibrated=False,
    alarms_unseen=False,
)

RULES = (TOP_K, TAIL_PROBABILITY, CONFIRMED, TOP_K_AS_IN_THE_PAPER, SCORE, SCORE_CONFIRMED, LIKELIER_CLASS)
BY_NAME = {rule.name: rule for rule in RULES}
RULE_TITLES = {rule.name: rule.title for rule in RULES}
RANK_RULES = tuple(rule.name for rule in RULES if rule.calibrated and rule.reads in ("rank", "tail_probability"))
SCORE_RULES = tuple(rule.name for rule in RULES if rule.reads == "score")
PAPER_RULE = TOP_K_AS_IN_THE_PAPER.name


def default_rule(names: Collection[str], windowed: bool) -> str:
    """Return the name of the default verdict among `names`, chosen before any test.

    Sessions: the tail probability confirmed by counts; windows, whose counts hardly repeat: the tail probability;
    detectors of one number: their score; those that learn from labels: the likelier class, because labels say how many
    anomalies to expect, which alpha does not know.
    """
    if LIKELIER_CLASS.name in names:
        return LIKELIER_CLASS.name
    if TAIL_PROBABILITY.name not in names:
        return SCORE.name
    return TAIL_PROBABILITY.name if windowed else CONFIRMED.name


# ----------------------------------------------------------------------------------------------------------- decision


def calibrate(validation: pl.DataFrame, vocabulary_size: int, alpha: float) -> dict:
    """Return what `decision.json` holds of the rules, from validation scores of normal sequences.

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
    elif 2 * unseen > allowed_alarms(size, alpha) > 0:
        notes.append(
            f"{unseen:,} of {size:,} validation sequences have a key that training never saw, most of what alpha = "
            f"{alpha:.2%} allows: where so little is left, the rate averages up to a quarter above alpha."
        )
    used = validation if kept else validation.filter(~pl.col("has_unseen_key"))
    if "score" in used.columns:  # a rank or a tail probability puts unseen keys first by itself
        used = used.with_columns(score=pl.when("has_unseen_key").then(pl.lit(float("inf"))).otherwise("score"))
    allowed = allowed_alarms(len(used), alpha)
    if allowed < 0:
        notes.append(
            f"{len(used):,} validation sequences can promise a false-alarm rate of {1 / (len(used) + 1):.2%} at best, "
            f"not {alpha:.2%}: the rules flag unseen keys only. Give more validation sequences, or a larger ALPHA."
        )
    decision: dict = {
        "alpha": alpha,
        "alpha_kept": kept and allowed >= 0,
        "notes": notes,
        "V": vocabulary_size,
        "validation_sequences": size,
        "smallest_alpha": 1 / (size + 1),
        "false_alarm_interval": false_alarm_interval(len(used), alpha),
        "rules": {
            rule.name: rule.calibrate(used, allowed, vocabulary_size)
            for rule in RULES
            if rule.reads in validation.columns
        },
    }
    flags = apply(validation, decision)
    for rule, values in decision["rules"].items():
        values["validation_false_alarm_rate"] = flags[f"flagged_{rule}"].mean()
        if "K" in values:
            values["K_over_V"] = values["K"] / vocabulary_size
    return decision


def false_alarm_interval(size: int, alpha: float) -> tuple[float, float]:
    """Return between which rates (95%) the false-alarm rate of one calibration on `size` sequences lies, if none tie.

    Given the calibration it follows a beta distribution (Vovk 2012, "Conditional validity of inductive conformal
    predictors", proposition 2a); (0, 0) if nothing may be flagged.
    """
    flagged = allowed_alarms(size, alpha) + 1
    if flagged < 1:
        return 0.0, 0.0
    low, high = betaincinv(flagged, size + 1 - flagged, [0.025, 0.975])
    return float(low), float(high)


def apply(scores: pl.DataFrame, decision: dict) -> pl.DataFrame:
    """Return `flagged_<rule>: bool` for every rule of the decision, one row a sequence.

    `scores` has `has_unseen_key`, `count_vector_seen`, and what the rules read: `rank, tail_probability`, `score`, or
    `log_odds`.
    """
    flags = {
        f"flagged_{name}": (pl.col("has_unseen_key") & BY_NAME[name].alarms_unseen) | BY_NAME[name].flag(settings)
        for name, settings in decision["rules"].items()
    }
    return scores.select(**flags)


def abnormality(scores: pl.DataFrame, name: str) -> np.ndarray:
    """Return what a rule thresholds, higher for more abnormal: with it a rule ranks all sequences, at no threshold.

    An unseen key comes first under every rule.
    """
    return BY_NAME[name].order(scores)


def sweep_k(scores: pl.DataFrame, vocabulary_size: int) -> pl.DataFrame:
    """Return `K, K_over_V, false_alarm_rate` (sequences beyond K), `coverage` (keys within) for K from 1 to V + 1."""
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
    """Return one row a rule and alpha, and one for the paper's K: its setting, and the share of validation it flags.

    `rate_low` and `rate_high` bound that share with 95% over bootstrap samples of the validation sequences.
    """
    decisions = {alpha: calibrate(validation, vocabulary_size, alpha) for alpha in alphas}
    rows = []
    for name in (*RANK_RULES, PAPER_RULE):
        for alpha, decision in decisions.items() if name != PAPER_RULE else list(decisions.items())[:1]:
            values = decision["rules"][name]
            low, high = _bootstrap_share(apply(validation, decision)[f"flagged_{name}"].to_numpy())
            about = {"rule": RULE_TITLES[name], "alpha": None if name == PAPER_RULE else alpha}
            about |= {setting: values.get(setting) for setting in ("K", "K_over_V", "threshold")}
            about |= {"false_alarm_rate": values["validation_false_alarm_rate"], "rate_low": low, "rate_high": high}
            rows.append(about | {"kept": None if name == PAPER_RULE else decision["alpha_kept"]})
    return pl.DataFrame(rows, infer_schema_length=None)


def _bootstrap_share(flags: np.ndarray, resamples: int = 1_000) -> tuple[float, float]:
    """Return 2.5% and 97.5% quantiles of the share of flagged sequences over bootstrap samples. Seeded."""
    shares = np.random.default_rng(0).binomial(len(flags), flags.mean(), size=resamples) / len(flags)
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


def bootstrap_k(validation: pl.DataFrame, vocabulary_size: int, alpha: float, resamples: int = 500) -> np.ndarray:
    """Return K on `resamples` bootstrap samples of the validation sequences: how much K owes to chance. Seeded."""
    chance = np.random.default_rng(0)
    known = validation.filter(~pl.col("has_unseen_key"))["rank"]
    allowed = allowed_alarms(len(known), alpha)
    samples = (known.gather(chance.integers(len(known), size=len(known))) for _ in range(resamples))
    shown = progress(samples, resamples, "calibration", "samples")
    return np.array([smallest_k(sample, allowed, vocabulary_size) for sample in shown])
