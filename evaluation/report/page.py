"""A run as one HTML file that opens anywhere: no script, nothing loaded from elsewhere, pictures inside the file.

This file gathers the values; page.html.j2 arranges them, and page.css dresses them.
"""

import base64
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
import polars as pl

from core import cells
from core.errors import BadInput
from core.files import write
from core.new_keys import WORD_LIST
from core.schemas import Config, Environment, read_checked
from evaluation import stored, unseen
from evaluation.ledger import TITLES
from evaluation.report.alarms import read_alarms
from evaluation.report.ranked import STRANGEST
from evaluation.report.reasons import as_tail, place, read_choices
from evaluation.rules import RULE_TITLES
from evaluation.show import tables
from evaluation.show.formats import head, readable
from evaluation.verdicts import today

SHOWN_ALARMS = 50
SHOWN_STRANGEST = 20
# A second wall behind escaping: whatever a log line holds, the browser runs no script and fetches nothing.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
CAPTIONS = {
    "f1": "F1 of every rule and trivial detector, with 95% bootstrap intervals over sequences.",
    "confusion": "Counts of right and wrong verdicts of the calibrated rules; shares are of each row.",
    "precision_recall": "The line is the tail probability at every threshold, the dots are the calibrated rules.",
    "f1_by_k": "F1 at every K, a diagnostic: its best K is chosen with test labels and is not used.",
    "sources": "By which sign each rule caught its anomalies. An unseen key needs no model; the other signs do.",
    "ranks": "Ranks of the true next key on validation normals; 1 is what the model expected most.",
    "false_alarms_by_k": "What each K costs on validation normals. The calibrated K is the smallest that keeps alpha.",
    "k_stability": "K over bootstrap samples of the validation sequences: how much it owes to chance.",
    "training": "Loss of every epoch. The dotted line is what a model that knows nothing would lose.",
    "lengths": "Length of the training sequences. Those beyond the context are read in chunks, none is cut.",
    "key_frequencies": "How often each log key occurs in training, the most frequent first.",
}
WIDE = ("confusion",)  # pictures of several panels, which half a page would make too small to read
# Autoescape for every value, whatever the name of the template ends in: a log line is text and nothing else.
PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)
_UNSAID = (None, unseen.ALARM, WORD_LIST)  # what a command need not say


def write_page(
    folder: Path,
    gallery: Mapping[str, Sequence[str]],
    templates: Mapping[str, str | None],
    rule: str | None = None,
) -> Path:
    """Write report.html of the run in `folder`, made of the files there; return its path.

    `gallery` holds, by the name of the case, sequences as `reasons.describe_sequence` gives them (`Markup`; any other
    text is escaped), `rule` the rule they are of, the default one if nothing is said, `templates` the template of each
    key.
    """
    again = "run test.ipynb again."
    config = read_checked(folder / "config.json", Config, again)
    environment = read_checked(folder / "environment.json", Environment, again)
    decision = stored.read_decision(folder / "decision.json", again)
    found = stored.read_metrics(folder / "metrics.json", again)
    default = found["default_rule"]
    listed = read_alarms(folder / "alarms.csv")
    handled = [name for name in found["rules"] if unseen.split_name(name)[0] == default and name != default]
    shown = (handled or [default])[0]
    alarms = _alarms(listed, shown)
    values = {
        "policy": POLICY,
        "today": today(),
        "config": config,
        "name": f"{config['model']} on {config['data']}{' (simulated)' if found['data']['simulated'] else ''}",
        "place": _place(config),
        "simulated": found["data"]["simulated"],
        "sentence": tables.conclusion(found),
        "handled": tables.handled(found) if shown != default else [],
        "default": RULE_TITLES[default],
        "listed": TITLES[shown],
        "tiles": _tiles(decision, found, alarms),
        "alarms": alarms,
        "strangest": None if tables.is_labeled(found) else _strangest(folder / STRANGEST),
        "gallery": gallery,
        "gallery_rule": RULE_TITLES[rule or default],
        "verdicts": _verdicts(found),
        "figures": _figures(folder / "figures"),
        "making": _making(config, environment, decision, found),
        "again": _again(config, environment, found),
        "log_keys": _log_keys(templates),
    }
    path = folder / "report.html"
    write(path, PAGES.get_template("page.html.j2").render(values))
    return path


# ------------------------------------------------------------------------------------------------ head and alarms


def _tiles(decision: dict, found: dict, alarms: dict) -> dict[str, str]:
    """Return the few figures under the head by their names."""
    test, top_k = found["data"], decision["rules"].get("top_k")
    labeled = test["test_anomalies"] or test.get("normals_also_in_training") is not None
    tiles = {
        "alarms": f"{alarms['own_count']:,}",
        "of any rule": f"{alarms['own_count'] + alarms['other_count']:,}",
        "test sequences": f"{test['test_sequences']:,}",
        "anomalous": f"{test['test_anomalies']:,} ({found['prevalence']:.1%})" if labeled else "no labels",
        "allowed false alarms": f"{100 * decision['alpha']:.3g}%",
    }
    return tiles | ({"K of V log keys": f"{top_k['K']} of {decision['V']}"} if top_k else {})


def _alarms(listed: pl.DataFrame, default: str) -> dict:
    """Return the alarms of the default rule and those of the others, each cut to what a page can hold."""
    by_default = pl.col("flagged_by").str.split(" ").list.contains(default)
    own, others = listed.filter(by_default), listed.filter(~by_default)
    rules = {rule for names in listed["flagged_by"] for rule in names.split()}
    return {
        "own": [_alarm(row, rules) for row in own.head(SHOWN_ALARMS).iter_rows(named=True)],
        "own_count": len(own),
        "others": [_alarm(row, rules) for row in others.head(SHOWN_ALARMS).iter_rows(named=True)],
        "other_count": len(others),
        "labeled": bool(listed["label"].is_not_null().any()),
    }


def _strangest(path: Path) -> dict | None:
    """Return the head of strangest.csv as a table; None of a run of an earlier version, which has none."""
    if not path.is_file():
        return None
    columns: dict[str, type[pl.DataType] | pl.DataType] = {
        "rank": pl.Int64,
        "sequence_id": pl.String,
        "time": pl.Datetime("us"),
        "line": pl.String,
        "raw": pl.String,
        "template": pl.String,
        "reason": pl.String,
    }
    try:
        listed = cells.unguard(pl.read_csv(path, glob=False, columns=list(columns), schema_overrides=columns))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"{path.as_posix()} is damaged; run test.ipynb again.") from error
    came = pl.coalesce("raw", "template").alias("came")
    return _table(listed.head(SHOWN_STRANGEST).select("rank", "sequence_id", "time", "line", came, "reason"))


def _alarm(row: dict, rules: set[str]) -> dict:
    """Return one alarm as the page shows it; `rules` are all those that flag anything."""
    flagged_by = row["flagged_by"].split()
    at_end = row["worst_event"] > row["length"]
    return {
        "id": row["sequence_id"],
        "place": place(row["worst_event"], row["length"], row["line"]),
        "label": {0: "normal", 1: "anomaly", None: "-"}[row["label"]],
        "start": "" if row["start"] is None else f"{row['start']:%Y-%m-%d %H:%M:%S}",
        "came": "the sequence ends here" if at_end else row["raw"] or row["template"] or row["key"],
        "unseen": row["has_unseen_key"],
        "words": row["words"],
        "expected": read_choices(row["expected"]),
        "flagged_by": ["every rule"] if set(flagged_by) == rules else [TITLES[rule] for rule in flagged_by],
        "rank": "unseen" if row["has_unseen_key"] else f"{row['rank']:,}",
        "tail": as_tail(row["tail_probability"]),
    }


# ---------------------------------------------------------------------------------------------- verdicts, figures


def _verdicts(found: dict) -> dict:
    """Return the tables of verdicts, the share of anomalies each is at, and the size of the last one."""
    asked, distinct = found["at_prevalence"], found["distinct"]
    return {
        "share": readable("prevalence", found["prevalence"]),
        "measured": _table(tables.verdicts(found)),
        "asked_share": readable("prevalence", asked["prevalence"]) if asked else "",
        "asked": _table(tables.verdicts(asked)) if asked else None,
        "distinct_count": f"{distinct['sequences']:,}",
        "distinct": _table(tables.verdicts(distinct)),
        "labeled": tables.is_labeled(found),
    }


def _figures(folder: Path) -> list[dict]:
    """Return every picture with its caption, in the order of `CAPTIONS`; one that has none there comes last."""
    order = {name: number for number, name in enumerate(CAPTIONS)}
    paths = sorted(sorted(folder.glob("*.png")), key=lambda path: order.get(path.stem, len(order)))
    return [
        {
            "caption": CAPTIONS.get(path.stem, path.stem.replace("_", " ")),
            "picture": base64.b64encode(path.read_bytes()).decode(),
            "wide": path.stem in WIDE,
        }
        for path in paths
    ]


# ------------------------------------------------------------------------------------------------ how it was made


def _making(config: dict, environment: dict, decision: dict, found: dict) -> dict:
    """Return the notes of the calibration, its table, and tables of settings, machine, test set and cost."""
    kept = "kept" if decision["alpha_kept"] else "not kept"
    calibrated = (
        f"Calibrated on {decision['validation_sequences']:,} normal validation sequences at alpha = "
        f"{100 * decision['alpha']:.3g}%, which is {kept}; no rule saw a test label."
    )
    use = [tables.model_use(decision)] if "top_k" in decision["rules"] else []
    return {
        "notes": [" ".join([calibrated, *use]), *decision["notes"]],
        "decision": _table(tables.decision(decision)),
        "parts": {
            "Settings": _table(_pairs(config)),
            "Machine, and which way the model ran on it": _table(_pairs(environment)),
            "Test set": _table(tables.pairs(found["data"])),
            "Cost": _table(tables.cost(found)),
        },
    }


def _pairs(values: dict) -> pl.DataFrame:
    """Return two columns, name and value, as they are; what is nested is named with its parent."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += [(f"{name}: {inner}".replace("_", " "), str(own)) for inner, own in value.items()]
        else:
            rows.append((name.replace("_", " "), str(value)))
    return pl.DataFrame(rows, schema=["what", "value"], orient="row")


def _again(config: dict, environment: dict, found: dict) -> dict[str, str]:
    """Return what to have in place, and the two commands that make the run again."""
    values = {name: shlex.quote(str(config[name])) for name in ("data", "model", "seed")}
    if "checkpoint" in config["settings"]:
        values["key_embeddings"] = config["settings"]["key_embeddings"]
    values |= {name: shlex.quote(found[name]) for name in ("unseen", "encoder") if found.get(name) not in _UNSAID}
    if found["at_prevalence"]:
        values["prevalence"] = f"{found['at_prevalence']['prevalence']:g}"
    options = (f"--{name.replace('_', '-')} {value}" for name, value in values.items())
    return {
        "commit": environment["commit"],
        "make": "make run " + " ".join(f"{name.upper()}={value}" for name, value in values.items()),
        "python": f"python -m commands.run {' '.join(options)}",
    }


def _log_keys(templates: Mapping[str, str | None]) -> dict:
    """Return the table of keys and templates."""
    return {"heads": [("key", False), ("template", False)], "rows": [(k, t or "-") for k, t in templates.items()]}


def _place(config: dict) -> str:
    """Return the run folder as a reader of the repository knows it, whatever lies above it on this machine."""
    return f"results/{config['data']}/{config['method']}-{config['model'].replace('/', '--')}-s{config['seed']}"


# --------------------------------------------------------------------------------------------------------- tables


def _table(frame: pl.DataFrame) -> dict:
    """Return a frame as the page shows it: heads, each with whether its column holds numbers, and cells as text."""
    heads = [(head(name), frame[name].dtype.is_numeric()) for name in frame.columns]
    rows = [[readable(name, value) for name, value in row.items()] for row in frame.iter_rows(named=True)]
    return {"heads": heads, "rows": rows}
