"""The ledger: one row a run, rule and prevalence. Tables are made from it, never typed.

results/results.csv is the reference, committed and frozen; results/runs.csv is what was run in a checkout.
"""

from pathlib import Path

import polars as pl

from core.files import lock, write
from core.tables import read_table
from evaluation import floors, rules, unseen

SCHEMA: dict[str, type[pl.DataType]] = {
    "date": pl.String,
    "status": pl.String,  # done, or failed with the reason
    "data": pl.String,
    "protocol": pl.String,
    "simulated": pl.Boolean,
    "data_hash": pl.String,
    "split_seed": pl.Int64,
    "method": pl.String,
    "model": pl.String,
    "seed": pl.Int64,
    "learned_from": pl.String,  # normals, or labels: then anomalies were shown, too
    "labeled_anomalies": pl.Int64,  # how many of those, to train and to validate on
    "rule": pl.String,
    "default": pl.Boolean,  # whether the rule is the default verdict, named before the test
    "prevalence": pl.Float64,  # the share of anomalies that normals are weighted to; null: that of the test set
    "alpha": pl.Float64,
    "K": pl.Int64,
    "V": pl.Int64,
    "precision": pl.Float64,
    "recall": pl.Float64,
    "f1": pl.Float64,
    "f1_low": pl.Float64,
    "f1_high": pl.Float64,
    "mcc": pl.Float64,
    "false_alarm_rate": pl.Float64,
    "auroc": pl.Float64,
    "average_precision": pl.Float64,
    "best_f1": pl.Float64,  # at the threshold that test labels would choose: a diagnostic
    "f1_distinct": pl.Float64,  # every distinct sequence of the test counted once
    "f1_new": pl.Float64,  # on the test sequences that training did not have
    "questions": pl.Int64,
    "encoder": pl.String,  # what read the words of unseen keys, of rules that judge these by words
    "test_sequences": pl.Int64,
    "test_anomalies": pl.Int64,
    "seconds": pl.Float64,
    "peak_memory_gb": pl.Float64,
    "parameters": pl.Int64,
    "device": pl.String,
    "commit": pl.String,
}
ADDED = (
    "learned_from",
    "labeled_anomalies",
    "f1_distinct",
    "f1_new",
    "encoder",
)  # a ledger of an earlier version lacks them
DECIMALS = 6
IDENTITY = ("data", "protocol", "split_seed", "method", "model", "seed", "rule", "prevalence", "encoder")
TITLES = rules.RULE_TITLES | floors.TRIVIAL_TITLES | floors.NGRAM_TITLES | unseen.TITLES


def titled(row: dict) -> str:
    """Return the title of a row's rule, with what read its unseen keys and the questions asked about them."""
    about = [row["encoder"]] if row["encoder"] else []
    about += [f"{row['questions']:.0f} questions"] if row["questions"] else []
    return TITLES[row["rule"]] + (f" ({', '.join(about)})" if about else "")


def read(path: Path) -> pl.DataFrame:
    """Return all rows, or none if there is no ledger yet; raise BadInput if it was damaged since it was written."""
    remedy = "mend it (git has the version before, if it is committed), or rename it to begin a new one."
    if not path.is_file():
        return pl.DataFrame(schema=SCHEMA)
    found = read_table(path, SCHEMA, remedy, ADDED)
    return found.with_columns(pl.col("rule").str.replace("_ask_once$", "_ask"))  # as earlier versions called it


def record(path: Path, rows: list[dict]) -> pl.DataFrame:
    """Add rows, each taking the place of an earlier one of the same identity; returns the whole ledger.

    A run that is done also takes the place of its earlier failure. Figures are rounded to 6 decimals. The file is
    locked meanwhile, so that two runs that end at once both stand in it.
    """
    new = pl.DataFrame(rows, schema=SCHEMA).with_columns(pl.col(pl.Float64).round(DECIMALS))
    with lock(path):
        ledger = _merged(read(path), new)
        write(path, ledger)
    return ledger


def _merged(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    kept = old.join(new, on=IDENTITY, how="anti", nulls_equal=True)
    run = ("data", "split_seed", "method", "model", "seed")
    failed = pl.col("rule").is_null()
    kept = pl.concat([kept.filter(~failed), kept.filter(failed).join(new, on=run, how="anti", nulls_equal=True)])
    order = ("data", "protocol", "prevalence", "method", "model", "split_seed", "seed")
    return pl.concat([kept, new]).sort(order, maintain_order=True)


def summary(ledger: pl.DataFrame) -> pl.DataFrame:
    """Return one row a data set, prevalence, model and rule, best mean F1 first: means over seeds, F1 as a range."""
    keys = (
        "data",
        "protocol",
        "simulated",
        "prevalence",
        "method",
        "model",
        "learned_from",
        "rule",
        "default",
        "encoder",
    )
    means = (
        "precision", "recall", "f1", "average_precision", "auroc", "best_f1", "f1_distinct", "f1_new",
        "false_alarm_rate", "seconds", "peak_memory_gb", "parameters", "labeled_anomalies",
    )  # fmt: skip
    done = ledger.filter(pl.col("rule").is_not_null())
    table = done.group_by(keys, maintain_order=True).agg(
        pl.len().alias("seeds"),
        pl.col("split_seed").n_unique().alias("splits"),
        *(pl.col(name).mean() for name in means),
        pl.col("f1").min().alias("f1_lowest"),
        pl.col("f1").max().alias("f1_highest"),
        pl.col("f1_low", "f1_high", "V", "test_sequences", "test_anomalies", "alpha").first(),
        pl.col("questions").mean(),
        pl.col("seed", "split_seed").unique().sort(),
        pl.col("K").min().alias("K_lowest"),
        pl.col("K").max().alias("K_highest"),
    )
    order = ("data", "protocol", "prevalence", "f1")
    return table.sort(order, descending=[False, False, False, True], nulls_last=True, maintain_order=True)


def finished(
    ledger: pl.DataFrame, data_hash: str, method: str, model: str, seed: int, prevalence: float | None, alpha: float
) -> pl.DataFrame:
    """Return `rule, encoder` of what the ledger has of a run at this prevalence and alpha; no row if it is not done."""
    mine = (
        (pl.col("data_hash") == data_hash)
        & (pl.col("method") == method)
        & (pl.col("model") == model)
        & (pl.col("seed") == seed)
        & (pl.col("alpha") == round(alpha, DECIMALS))
        & pl.col("prevalence").eq_missing(None if prevalence is None else round(prevalence, DECIMALS))
    )
    return ledger.filter(mine).drop_nulls("rule").select("rule", "encoder")


def failures(ledger: pl.DataFrame) -> pl.DataFrame:
    """Return the runs that failed and have not succeeded since: `date, data, method, model, seed, status`."""
    return ledger.filter(pl.col("rule").is_null()).select("date", "data", "method", "model", "seed", "status")


def number(value: float | None) -> str:
    """Return three decimals, or a dash for an undefined figure."""
    return "-" if value is None else f"{value:.3f}"
