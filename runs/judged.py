"""A log judged by a run that was trained on another one: scores, handled unseen keys, drift, and figures by labels."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from core.data import Data
from core.logs import BLANK
from evaluation import difference, fault_scores, metrics, rules
from evaluation.ledger import number
from evaluation.report import ranked
from runs import concerns, handling, steps
from runs.carried import Carried
from runs.handling import Reader

DRIFT = 0.05  # share of lines with a template that training never saw, above which the run is said to be out of date
LABELED = ("precision", "recall", "f1")


@dataclass(frozen=True)
class Judged:
    """What a judged log is found to be: `listed` has the columns of `ranked.LISTED`, `new` one row a new template.

    `changes` are those of `difference.changes` from what the run learned.
    """

    listed: pl.DataFrame
    new: pl.DataFrame
    changes: pl.DataFrame
    figures: dict


def judge(
    carried: Carried, data: Data, detector: steps.Detector, way: str, reader: Reader, lines: ranked.Lines
) -> Judged:
    """Judge the test of `data`, which `carried` was not trained on, and keep its scores in its folder.

    `way` is what becomes of unseen keys, one of `asked.UNSEEN`; `lines` reads lines of the log by their numbers.
    """
    run = carried.judging(data, data.folder)
    ask = steps.asked(data, detector)
    scores = steps.score(run, "test", ask, steps.column_of(detector))
    handled = handling.handle(run, scores, way, ask, reader)
    settled = next(iter(handled.scores.values()), scores)
    known, test = data.known_keys, data.split("test")
    words = {} if handled.rated is None else fault_scores.sentences(handled.rated)
    expected: Callable | None = getattr(detector, "likeliest", None)
    chosen = ranked.strangest(settled, carried.decision)
    about = (data.templates, known, carried.decision, expected, lines, words)
    new = new_templates(data, test, known)
    listed = ranked.ranked(chosen, test, *about)
    changes = difference.changes(data.whole("train", "keys")["keys"], test["keys"], data.templates)
    return Judged(listed, new, changes, figures(carried.decision, test, settled, new) | handled.about | unread(data))


def new_templates(data: Data, test: pl.DataFrame, known: set[str]) -> pl.DataFrame:
    """Return `events, sequences, key, template` of each template that training never saw, the commonest first."""
    events = test.select("keys").with_row_index("row").explode("keys").rename({"keys": "key"})
    new = events.filter(~pl.col("key").is_in(pl.Series(sorted(known), dtype=pl.String).implode()))
    counted = new.group_by("key", maintain_order=True).agg(events=pl.len(), sequences=pl.col("row").n_unique())
    template = pl.col("key").replace_strict(data.templates, default=None, return_dtype=pl.String)
    table = counted.select("events", "sequences", "key", template=template)
    return table.sort("events", descending=True, maintain_order=True)


def unread(data: Data) -> dict:
    """Return how many of the `lines` of a judged log were `rejected`, and what is said of those that name an error.

    Blank lines are no loss, and not counted; `labels_unused` are those of sessions that the log does not have.
    """
    rejected = pl.scan_csv(data.folder / "rejected.csv", glob=False, infer_schema=False)
    lost = rejected.filter(pl.col("reason") != BLANK).select(pl.len()).collect().item()
    counts = {name: data.manifest["counts"].get(name, 0) for name in ("lines", "labels_unused")}
    return counts | {"rejected": lost, "severe": concerns.severe(data)}


def figures(decision: dict, test: pl.DataFrame, scores: pl.DataFrame, new: pl.DataFrame) -> dict:
    """Return what judged.json says: sizes, alarms, drift, and precision, recall and F1 where there are labels."""
    flags = rules.apply(scores, decision)[f"flagged_{decision['default_rule']}"]
    events = int(test["keys"].list.len().sum())
    found = {
        "sequences": len(test),
        "open_sequences": int((~test["closed"]).sum()),
        "events": events,
        "alarms": int(flags.sum()),
        "default_rule": decision["default_rule"],
        "alpha": decision["alpha"],
        "alpha_kept": decision["alpha_kept"],
        "new_templates": len(new),
        "share_of_new_events": int(new["events"].sum()) / max(events, 1),
    }
    labeled = test["label"].is_not_null()
    if labeled.any():
        own = flags.filter(labeled).to_numpy(), test["label"].filter(labeled).to_numpy()
        found |= {name: metrics.measure(*own)[name] for name in LABELED}
        found["labeled"] = int(labeled.sum())
    return found


def sentences(found: dict) -> list[str]:
    """Return what was found, for people: alarms, what alpha is worth, drift, and the figures by labels."""
    said = [
        f"{found['alarms']:,} of {found['sequences']:,} sequences are alarms by the rule "
        f"{rules.RULE_TITLES[found['default_rule']]}; {found['open_sequences']:,} go on beyond the log and are judged "
        "so far."
    ]
    if not found["alpha_kept"]:
        fewest = round(1 / found["alpha"]) - 1
        said.append(
            f"The run cannot promise a false-alarm rate of {found['alpha']:.1%}: its validation was too small, or had "
            f"new templates of its own ({fewest:,} normal sequences to validate on are the least); go by the ranks."
        )
    if found.get("rejected"):
        said.append(f"{found['rejected']:,} of {found['lines']:,} lines were not read; rejected.csv has them with why.")
    if found.get("severe"):
        said.append(found["severe"])
    if found["share_of_new_events"] > DRIFT:
        said.append(
            f"{found['share_of_new_events']:.1%} of the events have one of {found['new_templates']:,} templates that "
            "training never saw: the program has changed, and the run should be trained anew."
        )
    if found.get("labels_unused"):
        said.append(f"{found['labels_unused']:,} labels name sessions that the log does not have.")
    if "f1" in found:
        shares = [f"{name.replace('f1', 'F1')} {number(found[name])}" for name in ("precision", "recall", "f1")]
        said.append(f"By the labels of {found['labeled']:,} sequences: {', '.join(shares)}.")
    return said
