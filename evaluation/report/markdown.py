"""The result tables of README.md and results/README.md, made from the reference ledger and the published figures."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

import polars as pl

from core.errors import printable
from core.files import write
from core.new_keys import WORD_LIST
from evaluation import compare, ledger, unseen
from evaluation.ledger import TITLES, number

MARKS = ("<!-- results: made by make table -->", "<!-- end of results -->")
PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published.csv"
SAMPLES = {  # of which full data set
    "hdfs_keys": "hdfs", "hdfs_2pct": "hdfs", "hdfs_time": "hdfs", "bgl_keys": "bgl", "bgl_time": "bgl",
    "hdfs_2pct_supervised": "hdfs", "bgl_logllm": "bgl",
}  # fmt: skip
JOB_PROTOCOLS = ("runs", "published", "workflow")  # of workflow jobs
SAME_ROWS = ("1000genome_published",)  # whose published figures are of the same rows
# What a paper's figure on the whole data set stands beside in README.md: our method's next of kin, its protocol named.
BESIDE = "LogGPT"
OURS, FLOOR, RIVAL = "tiny-llama, default verdict", "best floor, learns nothing", "best rival, default verdict"
ASKED = "tiny-llama, each new key asked once"
README_ENCODER = "all-MiniLM-L6-v2"
BY_WORDS = f"tiny-llama, new keys judged by words ({README_ENCODER})"
HEADS = (
    "method", "learned from", "rule", "n", "F1", "range", "P", "R", "FA", "AP", "K/V", "F1 new", "best F1", "s", "#",
)  # fmt: skip

Section = tuple[dict, pl.DataFrame]  # what a table is about (its first row), and its rows of `ledger.summary`


def sections(runs: pl.DataFrame) -> Iterator[Section]:
    """Yield each table of results."""
    for _, rows in ledger.summary(runs).group_by("data", "protocol", "prevalence", maintain_order=True):
        yield rows.row(0, named=True), rows


def stated(runs: pl.DataFrame) -> list[Section]:
    """Return of each data set the table at the stated prevalence, or else the one at its own share of anomalies."""
    every = list(sections(runs))
    weighted = {about["data"] for about, _ in every if about["prevalence"] is not None}
    return [(about, rows) for about, rows in every if about["prevalence"] is not None or about["data"] not in weighted]


# -------------------------------------------------------------------------------------------------- README.md


def on_the_first_page(runs: pl.DataFrame) -> list[Section]:
    """Return those of the `stated` tables that are of real data; simulated ones only where there is nothing else.

    Data split to learn from labels are left out: next to what learns from normals alone they would mislead.
    """
    every = stated(runs.filter(~pl.col("data").is_in(labeled_data(runs))))
    return [(about, rows) for about, rows in every if not about["simulated"]] or every


def labeled_data(runs: pl.DataFrame) -> list[str]:
    """Return the data sets on which something learned from labels."""
    return runs.filter(pl.col("learned_from") == "labels")["data"].unique().sort().to_list()


def headline(runs: pl.DataFrame, published: pl.DataFrame) -> str:
    """Return the table of README.md: data sets as columns, and what stands on each of them as rows."""
    columns = [_column(about, best_rows(rows), published) for about, rows in on_the_first_page(runs)]
    names = list(columns[0])
    lines = [f"| {name} | {' | '.join(column[name] for column in columns)} |" for name in names[1:]]
    return "\n".join([_head(["F1", *(column[names[0]] for column in columns)]), *lines])


def best_rows(rows: pl.DataFrame) -> dict[str, dict | None]:
    """Return our default verdict on one data set, the best floor and rival, ours asked once, and by words.

    Floor and rival are the ones that the test finds best: the hardest to beat, not ones that anybody could choose.
    """
    handled = [name for name in TITLES if unseen.split_name(name)[1]]
    default, ours = pl.col("default"), pl.col("method") == "next_key"
    named = rows.filter(default & ours)["rule"].to_list()
    asked_once, by_words = (pl.col("rule").is_in([f"{rule}_{way}" for rule in named]) for way in ("ask", "words"))
    wanted = {
        OURS: default & ours,
        FLOOR: (pl.col("method") == "trivial") & ~pl.col("rule").is_in(handled),
        RIVAL: default & ~ours,
        ASKED: ours & asked_once,
        BY_WORDS: ours & by_words & (pl.col("encoder") == README_ENCODER),
    }
    found = {name: rows.filter(which).drop_nulls("f1").sort("f1", descending=True) for name, which in wanted.items()}
    return {name: of.row(0, named=True) if len(of) else None for name, of in found.items()}


def _column(about: dict, best: dict[str, dict | None], published: pl.DataFrame) -> dict[str, str]:
    """Return the cells of one data set by the names of their rows."""
    share = about["prevalence"] or about["test_anomalies"] / about["test_sequences"]
    known = published.filter(pl.col("data") == SAMPLES.get(about["data"], about["data"]), pl.col("method") == BESIDE)
    ours, asked, by_words = best[OURS], best[ASKED], best[BY_WORDS]
    return {
        "data": label(about),
        "share of anomalies": f"{share:.1%}",
        "splits": str(ours["splits"]) if ours else "-",
        f"**{OURS}**": f"**{number(ours['f1'])}**" if ours else "-",
        FLOOR: _with_name(best[FLOOR]),
        RIVAL: _with_name(best[RIVAL]),
        ASKED: number(asked["f1"]) if asked else "-",
        BY_WORDS: number(by_words["f1"]) if by_words else "-",
        f"published by {BESIDE}, another protocol": number(known["f1"][0]) if len(known) else "-",
    }


def label(about: dict) -> str:
    """Return the name of a data set; simulated data says so wherever it shows."""
    return f"{_text(about['data'])} (simulated)" if about["simulated"] else _text(about["data"])


def _text(value) -> str:
    """Return a value as text of a cell or a head: no markup, no end of the cell."""
    return escape(printable(str(value)), quote=False).replace("|", "&#124;")


def _with_name(row: dict | None) -> str:
    """Return F1 and the name of what has it."""
    if row is None:
        return "-"
    what = TITLES[row["rule"]].removeprefix("trivial: ") if row["method"] == "trivial" else _name(row)
    return f"{number(row['f1'])} ({what})"


# ------------------------------------------------------------------------------------------- results/README.md


def everything(runs: pl.DataFrame, published: pl.DataFrame) -> str:
    """Return results/README.md: every table, at both prevalences, and the runs that failed."""
    parts = [_INTRODUCTION, *(_section(about, rows, published) for about, rows in sections(runs))]
    failed = ledger.failures(runs)
    if len(failed):
        lines = [f"| {' | '.join(map(_text, row))} |" for row in failed.iter_rows()]
        parts.append("## Failed runs\n\n" + "\n".join([_head(failed.columns), *lines]))
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = """# Results

Generated from `results.csv`, the reference ledger, by `make table`; `published.csv` holds the published figures with
their sources, and [LOG.md](LOG.md) says what was tried and what did not work.
[docs/results.md](../docs/results.md) explains rules and columns. In short: *n* seeds, *range* of F1 over seeds (95%
interval with one), *P* precision, *R* recall, *FA* false-alarm rate, *AP* average precision, *F1 new* on the test
sequences that training did not have, *best F1* at the threshold that test labels would choose, *s* seconds of training
and scoring, *#* the command below the table that makes the row again; where a method's name has an encoder other than
`word-hash`, with ENCODER and its name or folder. The weights of `SmolLM2` are the published ones up to 4-bit rounding.
**Bold** is the default verdict of a method, named before the test."""


def _head(names: Sequence[str]) -> str:
    return f"| {' | '.join(names)} |\n{'|---' * len(names)}|"


def _section(about: dict, rows: pl.DataFrame, published: pl.DataFrame) -> str:
    share = about["test_anomalies"] / about["test_sequences"]
    at = "at its own share of anomalies" if about["prevalence"] is None else f"weighted to {about['prevalence']:.2%}"
    title = (
        f"## {_text(about['data'])}{' (simulated log)' if about['simulated'] else ''}, split {about['protocol']}, {at}"
    )
    sizes = f"{about['test_sequences']:,} test sequences, {about['test_anomalies']:,} anomalous ({share:.1%})."
    every = rows.to_dicts()
    commands = list(dict.fromkeys(map(_command, every)))
    counted = [row for row in every if row["rule"].startswith(("unigram_", "bigram_"))]
    parts = [title, sizes, _table((row for row in every if row not in counted), commands)]
    if counted:
        summary = "<summary>unigram and bigram of keys under the rules</summary>"
        parts.append(f"<details>{summary}\n\n{_table(counted, commands)}\n\n</details>")
    parts.append(compare.standing(_named(rows)))
    parts.append("\n".join(f"{place}. `{command}`" for place, command in enumerate(commands, start=1)))
    return "\n\n".join(parts + _published(about, published))


def _table(rows: Iterable[dict], commands: list[str]) -> str:
    lines = [_row(row, commands.index(_command(row)) + 1) for row in rows]
    return "\n".join([_head(HEADS), *lines])


def _named(rows: pl.DataFrame) -> pl.DataFrame:
    """Return `method, rule, f1` as `compare.standing` reads them."""
    titles = [TITLES[row["rule"]] + compare.DEFAULT * bool(row["default"]) for row in rows.iter_rows(named=True)]
    names = [_name(row) for row in rows.iter_rows(named=True)]
    return rows.select(pl.Series("method", names), pl.Series("rule", titles), "f1")


def _name(row: dict) -> str:
    """Return a detector as compare.ipynb calls it; none where nothing is learned."""
    return f"{row['method']}/{row['model']}" if row["model"] else "none"


def _command(row: dict) -> str:
    """Return what makes a row again; the trivial detectors come with any model.

    On data whose training keeps labels there are as many runs as seeds on each split.
    """
    if row["protocol"] in JOB_PROTOCOLS:
        name = shlex.quote(row["data"].removesuffix("_published"))
        return f'make workflows DATA={name} SPLITS="{" ".join(map(str, row["split_seed"]))}"'
    if row["learned_from"] == "labels" or row["protocol"] == "supervised":
        asked = {"SEEDS": row["seed"] if row["model"] else [0], "SPLITS": row["split_seed"]}
        shown = (f'{name}="{" ".join(map(str, values))}"' for name, values in asked.items())
        return f"make supervised DATA={shlex.quote(row['data'])} {' '.join(shown)}"
    if row["method"] in ("next_key", "trivial"):
        words = [f"make sweep DATA={shlex.quote(row['data'])}", f"MODELS={row['model'] or 'tiny-llama'}"]
    else:
        words = [f"make compare DATA={shlex.quote(row['data'])}"]
    seeds = row["seed"] if row["model"] else row["split_seed"]
    words.append(f'SEEDS="{" ".join(map(str, seeds))}"')
    if row["prevalence"] is not None:
        words.append(f"PREVALENCE={row['prevalence']:g}")
    handling = unseen.split_name(row["rule"])[1]
    words += [f"UNSEEN={handling.replace('_', '-')}"] if handling else []
    words += [f"ENCODER={shlex.quote(row['encoder'])}"] if row["encoder"] not in (None, WORD_LIST) else []
    return " ".join(words)


def _row(row: dict, command: int) -> str:
    several = row["seeds"] > 1
    low, high = (row["f1_lowest"], row["f1_highest"]) if several else (row["f1_low"], row["f1_high"])
    ks = f"{row['K_lowest']}" if row["K_lowest"] == row["K_highest"] else f"{row['K_lowest']}-{row['K_highest']}"
    mark = "**" if row["default"] else ""
    cells = (
        _name(row),
        row["learned_from"] or "",
        f"{mark}{ledger.titled(row)}{mark}",
        str(row["seeds"]),
        f"{mark}{number(row['f1'])}{mark}",
        f"{number(low)}-{number(high)}",
        number(row["precision"]),
        number(row["recall"]),
        "" if row["false_alarm_rate"] is None else f"{row['false_alarm_rate']:.2%}",
        "" if row["average_precision"] is None else number(row["average_precision"]),
        f"{ks}/{row['V']}" if row["K_lowest"] is not None else "",
        "" if row["f1_new"] is None else number(row["f1_new"]),
        "" if row["best_f1"] is None else number(row["best_f1"]),
        "" if row["seconds"] is None else f"{row['seconds']:.0f}",
        str(command),
    )
    return f"| {' | '.join(cells)} |"


def _published(about: dict, published: pl.DataFrame) -> list[str]:
    """Return the published figures as a list; none is comparable with a sample."""
    rows = published.filter(pl.col("data") == SAMPLES.get(about["data"], about["data"])).to_dicts()
    if not rows:
        return []
    if about["data"] in SAME_ROWS:
        why = "Published, of the same rows"
    else:
        why = f"Published, **not comparable** ({'a sample here' if about['data'] in SAMPLES else 'another protocol'})"
    lines = [
        f"- {row['method']}: F1 {number(row['f1'])}, P {number(row['precision'])}, R {number(row['recall'])}; "
        f"{row['protocol']}; {row['source']}; verified: {row['verified']}"
        for row in rows
    ]
    return ["\n".join([f"{why}:", "", *lines])]


# ----------------------------------------------------------------------------------------------------- on disk


def read_published() -> pl.DataFrame:
    """Return the published figures: `data, method, protocol, precision, recall, f1, source, verified`."""
    figures = dict.fromkeys(("precision", "recall", "f1"), pl.Float64)
    return pl.read_csv(PUBLISHED, schema_overrides=figures)


def write_tables(readme: Path, results: Path) -> None:
    """Put the short table between the two marks of `readme`, and all of them into README.md of `results`."""
    runs, published = ledger.read(results / "results.csv"), read_published()
    text = readme.read_text(encoding="utf-8")
    begin, end = text.index(MARKS[0]) + len(MARKS[0]), text.index(MARKS[1])
    write(readme, f"{text[:begin]}\n\n{headline(runs, published)}\n\n{text[end:]}")
    write(results / "README.md", everything(runs, published))
