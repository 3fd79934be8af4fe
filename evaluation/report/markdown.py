"""The result tables of README.md and results/README.md, made from the ledger and the published figures."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from evaluation import compare, ledger
from evaluation.ledger import TITLES, number
from evaluation.rules import PAPER_RULE

MARKS = ("<!-- results: made by make table -->", "<!-- end of results -->")
HEADS = (
    "method", "rule", "seeds", "F1", "interval", "precision", "recall", "false alarms", "average precision", "K / V",
    "command",
)  # fmt: skip
MORE_HEADS = (*HEADS, "best F1", "AUROC", "questions", "seconds", "GB", "parameters")
PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published.csv"
SAMPLES = {"hdfs_keys": "hdfs", "hdfs_2pct": "hdfs", "bgl_keys": "bgl", "bgl_time": "bgl"}  # of which full data set


def sections(runs: pl.DataFrame) -> Iterator[tuple[dict, pl.DataFrame]]:
    """Each table of results: what it is about (its first row), and its rows of `ledger.summary`."""
    for _, rows in ledger.summary(runs).group_by("data", "protocol", "prevalence", maintain_order=True):
        yield rows.row(0, named=True), rows


def headline(runs: pl.DataFrame, published: pl.DataFrame) -> str:
    """The tables of README.md: of each data set those at the stated prevalence, or else at its own.

    K as in the paper is the framework's own way to choose it; of the rivals it is in results/README.md alone.
    """
    weighted = {(about["data"], about["protocol"]) for about, _ in sections(runs) if about["prevalence"] is not None}
    parts = [
        _section(
            about, rows.filter((pl.col("rule") != PAPER_RULE) | (pl.col("method") == "next_key")), published, HEADS
        )
        for about, rows in sections(runs)
        if about["prevalence"] is not None or (about["data"], about["protocol"]) not in weighted
    ]
    return "\n\n".join(parts) + "\n"


def everything(runs: pl.DataFrame, published: pl.DataFrame) -> str:
    """results/README.md: every table, at both prevalences, with time and memory, and the runs that failed."""
    parts = [_INTRODUCTION, *(_section(about, rows, published, MORE_HEADS) for about, rows in sections(runs))]
    failed = ledger.failures(runs)
    if len(failed):
        lines = [f"| {' | '.join(map(str, row))} |" for row in failed.iter_rows()]
        parts.append("## Failed runs\n\n" + "\n".join([_head(failed.columns), *lines]))
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = """# Results

Generated from `results.csv` by `make table`; `published.csv` holds the published figures with their sources, and
[LOG.md](LOG.md) says what was tried and what did not work. The [README](../README.md#results) explains the columns."""


def _head(names: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(names)} |\n{'|---' * len(names)}|"


def _section(about: dict, rows: pl.DataFrame, published: pl.DataFrame, heads: tuple[str, ...]) -> str:
    share = about["test_anomalies"] / about["test_sequences"]
    at = "at its own share of anomalies" if about["prevalence"] is None else f"weighted to {about['prevalence']:.2%}"
    title = f"**{about['data']}**{' (simulated log)' if about['simulated'] else ''}, split {about['protocol']}, {at}"
    sizes = f"{about['test_sequences']:,} test sequences, {about['test_anomalies']:,} anomalous ({share:.1%})"
    commands = [_command(row) for row in rows.iter_rows(named=True)]
    numbered = list(dict.fromkeys(commands))
    lines = [
        _row(row, numbered.index(command) + 1, heads)
        for row, command in zip(rows.iter_rows(named=True), commands, strict=True)
    ]
    lines += [_published_row(row, about, heads) for row in _published(about, published)]
    listed = "\n".join(f"{number}. `{command}`" for number, command in enumerate(numbered, start=1))
    whole = f"{title}: {sizes}\n\n{_head(heads)}\n" + "\n".join(lines)
    return f"{whole}\n\n{compare.standing(_named(rows))}\n\n{listed}"


def _named(rows: pl.DataFrame) -> pl.DataFrame:
    """`method, rule, f1` as `compare.standing` reads them."""
    names = [_name(row) for row in rows.iter_rows(named=True)]
    return rows.select(pl.Series("method", names), pl.col("rule").replace_strict(TITLES), "f1")


def _name(row: dict) -> str:
    """A detector as compare.ipynb calls it; none where nothing is learned."""
    return f"{row['method']}/{row['model']}" if row["model"] else "none"


def _command(row: dict) -> str:
    """What makes a row again; the trivial detectors come with any model."""
    if row["method"] in ("next_key", "trivial"):
        words = [f"make sweep DATA={row['data']}", f"MODELS={row['model'] or 'tiny-llama'}"]
    else:
        words = [f"make compare DATA={row['data']}"]
    seeds = row["seed"] if row["model"] else row["split_seed"]
    words.append(f'SEEDS="{" ".join(map(str, seeds))}"')
    if row["prevalence"] is not None:
        words.append(f"PREVALENCE={row['prevalence']:g}")
    return " ".join(words + (["DRIFT=1"] if row["rule"].endswith("_ask_once") else []))


def _row(row: dict, command: int, heads: tuple[str, ...]) -> str:
    several = row["seeds"] > 1
    interval = (row["f1_lowest"], row["f1_highest"]) if several else (row["f1_low"], row["f1_high"])
    ks = f"{row['K_lowest']}" if row["K_lowest"] == row["K_highest"] else f"{row['K_lowest']}-{row['K_highest']}"
    cells = {
        "method": _name(row),
        "rule": TITLES[row["rule"]],
        "seeds": str(row["seeds"]),
        "F1": number(row["f1"]),
        "interval": f"{number(interval[0])} - {number(interval[1])}{' over seeds' if several else ''}",
        "precision": number(row["precision"]),
        "recall": number(row["recall"]),
        "false alarms": "" if row["false_alarm_rate"] is None else f"{row['false_alarm_rate']:.2%}",
        "average precision": "" if row["average_precision"] is None else number(row["average_precision"]),
        "K / V": f"{ks} / {row['V']}" if row["K_lowest"] is not None else "",
        "command": str(command),
        "AUROC": "" if row["auroc"] is None else number(row["auroc"]),
        "questions": "" if row["questions"] is None else f"{row['questions']:.0f}",
        "seconds": "" if row["seconds"] is None else f"{row['seconds']:.0f}",
        "GB": "" if row["peak_memory_gb"] is None else f"{row['peak_memory_gb']:.2f}",
        "best F1": "" if row["best_f1"] is None else number(row["best_f1"]),
        "parameters": "" if row["parameters"] is None else f"{row['parameters']:,.0f}",
    }
    return f"| {' | '.join(cells[head] for head in heads)} |"


def _published(about: dict, published: pl.DataFrame) -> Iterator[dict]:
    of = SAMPLES.get(about["data"], about["data"])
    yield from published.filter(pl.col("data") == of).iter_rows(named=True)


def _published_row(row: dict, about: dict, heads: tuple[str, ...]) -> str:
    """A published figure: never comparable with ours on a sample, and only with the same protocol on the whole."""
    why = "a sample here" if about["data"] in SAMPLES else "another protocol"
    cells = dict.fromkeys(heads, "") | {
        "method": f"*published: {row['method']}*",
        "rule": f"{row['protocol']}; **not comparable** ({why}); {row['source']}; verified: {row['verified']}",
        "F1": number(row["f1"]),
        "precision": number(row["precision"]),
        "recall": number(row["recall"]),
    }
    return f"| {' | '.join(cells[head] for head in heads)} |"


def read_published() -> pl.DataFrame:
    """The published figures: `data, method, protocol, precision, recall, f1, source, verified`."""
    figures = dict.fromkeys(("precision", "recall", "f1"), pl.Float64)
    return pl.read_csv(PUBLISHED, schema_overrides=figures)


def write_tables(readme: Path, results: Path) -> None:
    """Put the tables between the two marks of `readme`, and all of them into README.md of `results`."""
    runs, published = ledger.read(results / "results.csv"), read_published()
    text = readme.read_text(encoding="utf-8")
    begin, end = text.index(MARKS[0]) + len(MARKS[0]), text.index(MARKS[1])
    readme.write_text(f"{text[:begin]}\n\n{headline(runs, published)}\n{text[end:]}", encoding="utf-8")
    (results / "README.md").write_text(everything(runs, published), encoding="utf-8")
