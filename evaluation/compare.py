"""Detectors side by side: one table, differences across seeds, agreement, and what one finds alone."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import polars as pl
from scipy.stats import friedmanchisquare, rankdata, studentized_range
from scipy.stats import t as student
from sklearn.metrics import cohen_kappa_score

from evaluation import floors, ledger, rules, unseen

LEVEL = 0.95
PLAIN_RULES = {rule.name: rule.reads for rule in (rules.LIKELIER_CLASS, rules.TAIL_PROBABILITY, rules.SCORE)}
DEFAULT = " (default)"  # marks the default verdict of a method, named before the test
Place = tuple[int, int]  # the seed of a split, and that of the weights
HEADS = (
    "method", "learned_from", "rule", "seeds", "f1", "f1_from", "f1_to", "f1_distinct", "f1_new", "best_f1",
    "average_precision", "false_alarm_rate", "seconds", "parameters",
)  # fmt: skip


def plain_rule(columns: Collection[str]) -> str:
    """Return the rule that judges by a detector's own number.

    That is the likelier class where it learned from labels, its tail probability where it has one, else its score.
    """
    return next(rule for rule, read in PLAIN_RULES.items() if read in columns)


def plain_rules(runs: pl.DataFrame) -> dict[str, str]:
    """Return the plain rule of each detector in rows of `select`, by its `name`."""
    found = runs.group_by("name").agg(pl.col("rule").unique()).rows()
    return {name: next(rule for rule in PLAIN_RULES if rule in rules) for name, rules in found}


def select(runs: pl.DataFrame, data: str, places: Sequence[Place], names: Sequence[str]) -> pl.DataFrame:
    """Return the ledger's rows of these detectors at `places`, and of the trivial ones on their splits; adds `name`."""
    named = runs.filter(pl.col("rule").is_not_null()).with_columns(name=pl.format("{}/{}", "method", "model"))
    at = pl.struct("split_seed", "seed").is_in([{"split_seed": split, "seed": seed} for split, seed in places])
    trivial = (pl.col("method") == "trivial") & pl.col("split_seed").is_in([split for split, _ in places])
    return named.filter((pl.col("data") == data) & ((pl.col("name").is_in(list(names)) & at) | trivial))


def interval(values: np.ndarray) -> tuple[float | None, float | None]:
    """Return Student's 95% interval of the mean of independent runs; (None, None) of fewer than two."""
    if len(values) < 2:
        return None, None
    half = student.ppf((1 + LEVEL) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def table(selected: pl.DataFrame, prevalence: float | None, published: pl.DataFrame) -> pl.DataFrame:
    """Return one row a detector and rule, trivial and published ones, too, best F1 first; columns `HEADS`.

    `f1_from` and `f1_to` are Student's interval of the mean over seeds, with one seed the bootstrap interval over
    sequences. `best_f1` is F1 at the threshold that test labels would choose. A published row has its protocol as rule.
    """
    rows = [
        _row(name, rule, runs)
        for (name, rule, _), runs in selected.filter(pl.col("prevalence").eq_missing(prevalence)).group_by(
            "name", "rule", "encoder", maintain_order=True
        )
    ]
    rows += [
        {"method": f"published: {row['method']}", "rule": f"{row['protocol']}; {row['comparable']}", "f1": row["f1"]}
        for row in published.iter_rows(named=True)
    ]
    types = dict.fromkeys(("method", "learned_from", "rule"), pl.String) | {"seeds": pl.Int64, "parameters": pl.Int64}
    schema = {name: types.get(name, pl.Float64) for name in HEADS}
    return pl.DataFrame(rows, schema=schema).sort("f1", descending=True, nulls_last=True, maintain_order=True)


def _row(name: str | None, rule: str, runs: pl.DataFrame) -> dict:
    low, high = interval(runs["f1"].drop_nulls().to_numpy())
    if len(runs) == 1:
        low, high = runs.row(0, named=True)["f1_low"], runs.row(0, named=True)["f1_high"]
    means = ("f1", "f1_distinct", "f1_new", "best_f1", "average_precision", "false_alarm_rate", "seconds")
    title = ledger.titled(runs.row(0, named=True)) + DEFAULT * bool(runs["default"].all())
    about: dict = {"method": name or "none", "learned_from": _learned_from(runs), "rule": title, "seeds": len(runs)}
    about |= {"f1_from": low, "f1_to": high}
    about |= {column: runs[column].mean() for column in means}
    parameters = runs["parameters"].drop_nulls()
    return about | {"parameters": round(sum(parameters) / len(parameters)) if len(parameters) else None}


def _learned_from(runs: pl.DataFrame) -> str | None:
    """Return what a detector saw: normals, or labels and how many anomalies of them."""
    first = runs.row(0, named=True)
    if first["learned_from"] != "labels":
        return first["learned_from"]
    counts = runs["labeled_anomalies"].to_list()
    fewest, most = min(counts), max(counts)
    return f"labels, {fewest:,}{f' to {most:,}' if most > fewest else ''} anomalies"


def standing(rows: pl.DataFrame) -> str:
    """Say how the default verdict of each detector stands to the best trivial row of a `table`."""
    ours = rows.filter(~pl.col("method").str.starts_with("published")).drop_nulls("f1")
    as_they_are = ~pl.any_horizontal(pl.col("rule").str.starts_with(title) for title in unseen.TITLES.values())
    trivial, learned = ours.filter(as_they_are & (pl.col("method") == "none")), ours.filter(pl.col("method") != "none")
    if trivial.is_empty() or learned.is_empty():
        return "There is no F1 to compare: the test set has no anomaly, or no detector is done."
    floor = trivial.row(0, named=True)
    default = learned.filter(pl.col("rule").str.ends_with(DEFAULT))
    above = default.filter(pl.col("f1") > floor["f1"])
    below = default.filter(pl.col("f1") <= floor["f1"])
    listed = [
        f"{word}: {', '.join(f'{name} ({f1:.3f})' for name, f1 in part.select('method', 'f1').rows()) or 'none'}."
        for word, part in (("Default verdicts above it", above), ("Not above it", below))
    ]
    title = floor["rule"].removeprefix("trivial: ")
    return f"The best row that learns nothing is {title}, F1 {floor['f1']:.3f}. {' '.join(listed)}"


# ---------------------------------------------------------------------------------------------------- across seeds


def by_seed(selected: pl.DataFrame, prevalence: float | None, confirmed: bool) -> pl.DataFrame:
    """Return F1 of every detector's plain rule (or the one confirmed by counts): one row a run, one column a detector.

    `seed` numbers the runs; where several splits have the same seeds, it counts on. Detectors that lack a run are left
    out.
    """
    of = selected.filter(pl.col("prevalence").eq_missing(prevalence) & pl.col("name").is_not_null())
    wanted = {name: rule + "_and_counts" * confirmed for name, rule in plain_rules(of).items()}
    mine = of.filter(pl.col("rule") == pl.col("name").replace_strict(wanted, return_dtype=pl.String))
    place = ("split_seed", "seed")
    wide = mine.pivot("name", index=place, values="f1", aggregate_function="first").sort(place)
    numbers = wide["seed"] if wide["seed"].is_unique().all() else pl.int_range(len(wide), eager=True)
    shown = [column for column in wide.columns[2:] if not wide[column].null_count()]
    return wide.select(numbers.alias("seed"), *shown)


def critical_difference(f1: pl.DataFrame) -> dict | None:
    """Mean rank of each detector over seeds (1 = best), Friedman's p, and Nemenyi's critical difference at 5%.

    Demsar 2006, "Statistical comparisons of classifiers over multiple data sets", section 3.2.2: two detectors differ
    if their mean ranks do by at least q sqrt(k (k + 1) / 6 n), k detectors and n runs, q of the studentized range by
    sqrt(2). Seeds of one data set are no independent data sets: it speaks of the seeds alone. None with fewer than two
    seeds or three detectors.
    """
    values = f1.drop("seed").to_numpy()
    runs, detectors = values.shape
    if runs < 2 or detectors < 3:
        return None
    ranks = np.array([rankdata(-row) for row in values]).mean(0)
    quantile = studentized_range.ppf(LEVEL, detectors, np.inf) / np.sqrt(2)
    return {
        "ranks": dict(zip(f1.columns[1:], map(float, ranks), strict=True)),
        "p": float(friedmanchisquare(*values.T).pvalue),
        "difference": float(quantile * np.sqrt(detectors * (detectors + 1) / (6 * runs))),
        "runs": runs,
    }


def differences(f1: pl.DataFrame, reference: str) -> pl.DataFrame:
    """Return each detector's F1 minus that of `reference` on the same seed: `method, seeds, mean, from, to, wins`."""
    rows = []
    for name in f1.columns[1:]:
        gaps = (f1[name] - f1[reference]).to_numpy()
        low, high = interval(gaps)
        if name != reference:
            rows.append((name, len(gaps), float(gaps.mean()), low, high, int((gaps > 0).sum())))
    schema = {"method": pl.String, "seeds": pl.Int64, "mean": pl.Float64, "from": pl.Float64, "to": pl.Float64}
    found = pl.DataFrame(rows, schema=schema | {"wins": pl.Int64}, orient="row")
    return found.sort("mean", descending=True)


# ------------------------------------------------------------------------------------------------- sequence by sequence


def flags(judged: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return what each detector's plain rule flags, one column a detector; beside them the unseen count vector."""
    columns = {name: scores[f"flagged_{plain_rule(scores.columns)}"] for name, scores in judged.items()}
    first = next(iter(judged.values()))
    trivial = floors.trivial_flags(first)["unseen_count_vector"]
    return pl.DataFrame(columns | {floors.TRIVIAL_TITLES["unseen_count_vector"]: trivial})


def orders(judged: Mapping[str, pl.DataFrame]) -> dict[str, np.ndarray]:
    """Return what each detector's plain rule thresholds, higher for more abnormal."""
    return {name: rules.abnormality(scores, plain_rule(scores.columns)) for name, scores in judged.items()}


def agreement(flagged: pl.DataFrame) -> np.ndarray:
    """Return Cohen's kappa of every two columns: 1 where they flag the same sequences, 0 where they agree by chance."""
    values = [flagged[name].to_numpy() for name in flagged.columns]
    return np.array([[1.0 if a is b else cohen_kappa_score(a, b) for b in values] for a in values])


def alone(flagged: pl.DataFrame, labels: np.ndarray) -> pl.DataFrame:
    """Count, for each column, the anomalies that it finds, only it finds, only it misses, and its lone false alarms."""
    values, anomalous = flagged.to_numpy(), np.asarray(labels) == 1
    count = values.sum(1)
    rows = []
    for column, name in enumerate(flagged.columns):
        own = values[:, column]
        rows.append(
            {
                "method": name,
                "anomalies_found": int((own & anomalous).sum()),
                "found_by_it_only": int((own & anomalous & (count == 1)).sum()),
                "missed_by_it_only": int((~own & anomalous & (count == values.shape[1] - 1)).sum()),
                "false_alarms": int((own & ~anomalous).sum()),
                "false_alarms_of_it_only": int((own & ~anomalous & (count == 1)).sum()),
            }
        )
    return pl.DataFrame(rows).sort("found_by_it_only", "anomalies_found", descending=True)


def examples(flagged: pl.DataFrame, labels: np.ndarray, test: pl.DataFrame, count: int = 1) -> pl.DataFrame:
    """Return `count` anomalies that only one column finds, for each column: `found by, sequence_id, length, keys`."""
    only = pl.sum_horizontal(pl.all().cast(pl.Int64)) == 1
    rows = flagged.with_columns(only=only & pl.Series(np.asarray(labels) == 1))
    found = []
    for name in flagged.columns:
        mine = test.filter(rows["only"] & rows[name]).head(count)
        found += [
            (name, row["sequence_id"], len(row["keys"]), " ".join(row["keys"][:12]) + " ..." * (len(row["keys"]) > 12))
            for row in mine.iter_rows(named=True)
        ]
    return pl.DataFrame(found, schema=["found by", "sequence_id", "events", "keys"], orient="row")
