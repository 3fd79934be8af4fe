"""results/results.csv, the ledger: one row a run and rule. The tables of README are made from it, never typed."""

import sys
from pathlib import Path

import polars as pl

from evaluation.floors import TRIVIAL_TITLES
from evaluation.rules import RULE_TITLES

SCHEMA = {
    "date": pl.String,
    "data": pl.String,
    "simulated": pl.Boolean,
    "data_hash": pl.String,
    "method": pl.String,
    "model": pl.String,
    "seed": pl.Int64,
    "rule": pl.String,
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
    "test_sequences": pl.Int64,
    "test_anomalies": pl.Int64,
    "seconds": pl.Float64,
    "peak_memory_gb": pl.Float64,
    "device": pl.String,
    "commit": pl.String,
}
IDENTITY = ("data", "data_hash", "method", "model", "seed", "rule")
MARKS = ("<!-- results: made by make table -->", "<!-- end of results -->")
HEADS = (
    "model",
    "rule",
    "seeds",
    "F1",
    "interval",
    "precision",
    "recall",
    "false alarms",
    "average precision",
    "K / V",
)
TITLES = RULE_TITLES | TRIVIAL_TITLES


def read(path: Path) -> pl.DataFrame:
    """All rows, or none if there is no ledger yet."""
    return pl.read_csv(path, schema=SCHEMA) if path.is_file() else pl.DataFrame(schema=SCHEMA)


def record(path: Path, rows: list[dict]) -> pl.DataFrame:
    """Add rows, each taking the place of an earlier one of the same identity; returns the whole ledger.

    Figures are rounded to 6 decimals. The file is written beside and renamed.
    """
    new = pl.DataFrame(rows, schema=SCHEMA).with_columns(pl.col(pl.Float64).round(6))
    kept = read(path).join(new, on=IDENTITY, how="anti", nulls_equal=True)
    ledger = pl.concat([kept, new]).sort("data", "method", "model", "seed", maintain_order=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    ledger.write_csv(beside)
    beside.replace(path)
    return ledger


def summary(ledger: pl.DataFrame) -> pl.DataFrame:
    """One row a data set, model and rule, best mean F1 first: means over seeds and, for F1, lowest and highest."""
    grouped = ledger.group_by("data", "simulated", "data_hash", "method", "model", "rule", maintain_order=True)
    means = ("precision", "recall", "f1", "average_precision", "auroc", "false_alarm_rate", "seconds")
    table = grouped.agg(
        pl.len().alias("seeds"),
        *(pl.col(name).mean() for name in means),
        pl.col("f1").min().alias("f1_lowest"),
        pl.col("f1").max().alias("f1_highest"),
        pl.col("f1_low", "f1_high", "V", "test_sequences", "test_anomalies").first(),
        pl.col("K").min().alias("K_lowest"),
        pl.col("K").max().alias("K_highest"),
    )
    return table.sort("data", "f1", descending=[False, True], nulls_last=True, maintain_order=True)


def markdown(ledger: pl.DataFrame) -> str:
    """The table of README: one section a data set, the trivial detectors among the rest."""
    parts = []
    for (data, simulated), rows in summary(ledger).group_by("data", "simulated", maintain_order=True):
        first = rows.row(0, named=True)
        share = first["test_anomalies"] / first["test_sequences"]
        parts.append(
            f"**{data}**{' (simulated log)' if simulated else ''}: {first['test_sequences']:,} test sequences, "
            f"{first['test_anomalies']:,} anomalous ({share:.1%})\n\n"
            f"| {' | '.join(HEADS)} |\n{'|---' * len(HEADS)}|\n"
            + "\n".join(_markdown_row(row) for row in rows.iter_rows(named=True))
        )
    return "\n\n".join(parts) + "\n"


def _markdown_row(row: dict) -> str:
    interval = f"{number(row['f1_low'])} - {number(row['f1_high'])}"
    if row["seeds"] > 1:
        interval = f"{number(row['f1_lowest'])} - {number(row['f1_highest'])} over seeds"
    ks = f"{row['K_lowest']}" if row["K_lowest"] == row["K_highest"] else f"{row['K_lowest']}-{row['K_highest']}"
    k_over_v = f"{ks} / {row['V']}" if row["K_lowest"] is not None else ""
    method = row["model"] if row["method"] != "trivial" else "none"
    cells = [
        method,
        TITLES[row["rule"]],
        "" if row["method"] == "trivial" else str(row["seeds"]),
        number(row["f1"]),
        interval,
        number(row["precision"]),
        number(row["recall"]),
        "" if row["false_alarm_rate"] is None else f"{row['false_alarm_rate']:.2%}",
        number(row["average_precision"]) if row["method"] != "trivial" else "",
        k_over_v,
    ]
    return f"| {' | '.join(cells)} |"


def number(value: float | None) -> str:
    """Three decimals, or a dash for an undefined figure."""
    return "-" if value is None else f"{value:.3f}"


def write_table(readme: Path, path: Path) -> None:
    """Put the ledger's table between the two marks of `readme`."""
    text = readme.read_text(encoding="utf-8")
    begin, end = text.index(MARKS[0]) + len(MARKS[0]), text.index(MARKS[1])
    readme.write_text(f"{text[:begin]}\n\n{markdown(read(path))}\n{text[end:]}", encoding="utf-8")


if __name__ == "__main__":
    write_table(Path(sys.argv[1]), Path("results/results.csv"))
