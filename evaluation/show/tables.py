"""Frames that the notebooks show, and the sentences under them."""

from collections.abc import Iterable
from math import isnan, log

import numpy as np
import polars as pl

from evaluation import fault_scores, floors, ledger, rules, unseen
from evaluation.show.formats import readable


def pairs(values: dict) -> pl.DataFrame:
    """Return two columns, name and value, of a flat dict; shares and rates in percent."""
    return pl.DataFrame(
        [(name.replace("_", " "), readable(name, value)) for name, value in values.items()],
        schema=["what", "value"],
        orient="row",
    )


def familiar(seen: pl.DataFrame) -> pl.DataFrame:
    """Return how many of the sequences of `floors.familiarity` training had seen, by what of them it had seen."""
    names = {
        "in_training": "the whole sequence",
        "count_vector_seen": "its keys with the same counts",
        "length_seen": "its length",
        "all_keys_seen": "all its keys",
        "all_pairs_seen": "all its pairs of neighbors",
    }
    rows = [(title, int(seen[name].sum()), seen[name].mean()) for name, title in names.items()]
    return pl.DataFrame(rows, schema=["seen in training", "sequences", "share"], orient="row")


def before_training(loss: float, vocabulary_size: int) -> pl.DataFrame:
    """Return an untrained model's loss beside ln(V + 1), the uniform-guess loss, and their ratio; nats a key."""
    nothing = log(vocabulary_size + 1)
    return pairs({"uniform guess, ln(V + 1)": nothing, "untrained model": loss, "ratio": loss / nothing})


def training_summary(training: pl.DataFrame, max_epochs: int) -> pl.DataFrame:
    """Return epochs, which one was kept and why training stopped, in two columns."""
    best = training.row(training["validation_loss"].arg_min(), named=True)
    last = training["epoch"].max()
    return pairs(
        {
            "epochs": last,
            "kept epoch": best["epoch"],
            "stopped because": "all epochs were done" if last == max_epochs else "validation loss no longer fell",
            "validation loss, nats a key": best["validation_loss"],
            "training loss there": best["training_loss"],
            "seconds": training["seconds"].max(),
            "training tokens a second": training["tokens_per_second"].mean(),
            "peak memory, GB": training["peak_memory_gb"].max(),
        }
    )


def likeliest(choices: pl.DataFrame, came: str, templates: dict[str, str | None]) -> pl.DataFrame:
    """Return `key, probability` with the template and a mark at the key that came."""
    names = [templates.get(key) or key for key in choices["key"]]
    marks = ["came" if key == came else "" for key in choices["key"]]
    return choices.select("probability").with_columns(pl.Series("came", marks), pl.Series("next event", names))


def scores_summary(scores: pl.DataFrame) -> pl.DataFrame:
    """Return sequences, positions and unseen keys of a scored split, and what the scoring took."""
    return pairs(
        {
            "sequences": len(scores),
            "positions (keys and ends)": int(scores["event_ranks"].list.len().sum()),
            "sequences with a key training never saw": int(scores["has_unseen_key"].sum()),
            "seconds": scores["seconds"].sum(),
            "sequences a second": len(scores) / scores["seconds"].sum(),
        }
    )


def rank_quantiles(scores: pl.DataFrame) -> pl.DataFrame:
    """Return median, 95th and 99th percentile and maximum of the ranks, of every key and of each sequence's worst."""
    series = {"every key": scores["event_ranks"].explode(), "worst key of a sequence": scores["rank"]}
    rows = []
    for name, ranks in series.items():
        values = ranks.to_numpy()
        high, higher, largest = np.quantile(values, [0.95, 0.99, 1.0], method="higher")
        rows.append((name, int(np.median(values)), int(high), int(higher), int(largest)))
    return pl.DataFrame(rows, schema=["of", "median", "95%", "99%", "largest"], orient="row")


def decision(found: dict) -> pl.DataFrame:
    """Return the calibrated rules: K and K / V, or the threshold, and the false-alarm rate on validation."""
    rows = [
        {
            "rule": rules.RULE_TITLES[name],
            "K": values.get("K"),
            "K / V": values.get("K_over_V"),
            "threshold": values.get("threshold"),
            "validation_false_alarm_rate": values["validation_false_alarm_rate"],
        }
        for name, values in found["rules"].items()
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def model_use(found: dict) -> str:
    """Say in words how much of the model Top-K uses at the calibrated K."""
    top_k = found["rules"]["top_k"]
    share = f"K = {top_k['K']} of V = {found['V']} log keys, K / V = {top_k['K_over_V']:.2f}"
    if top_k["K_over_V"] > 0.5:
        return f"{share}: more than half of all keys may come next, so the model is hardly used by Top-K."
    return f"{share}: all but the {top_k['K']} likeliest keys are alarms, so Top-K does use the model."


def trivial_false_alarms(validation: pl.DataFrame) -> pl.DataFrame:
    """Return the share of validation normals that each trivial detector would flag."""
    flags = floors.trivial_flags(validation)
    rows = [(floors.TRIVIAL_TITLES[name], flags[name].mean()) for name in floors.TRIVIAL]
    return pl.DataFrame(rows, schema=["detector", "false_alarm_rate"], orient="row")


def is_labeled(found: dict) -> bool:
    """Return whether anybody has labeled any test sequence."""
    return found["data"].get("labeled_sequences", 1) > 0


def _unlabeled(found: dict, names: Iterable[str]) -> pl.DataFrame:
    """Return one row a rule: what it flags, which nobody has called right or wrong."""
    rows = []
    for name in names:
        alarms = found["rules"][name]["true_positives"] + found["rules"][name]["false_positives"]
        title = ledger.TITLES[name] + " (default)" * (name == found["default_rule"])
        rows.append({"rule": title, "alarms": alarms, "share of the test": alarms / found["data"]["test_sequences"]})
    return pl.DataFrame(rows)


def verdicts(found: dict) -> pl.DataFrame:
    """Return one row a rule and trivial detector: precision, recall, F1, MCC with intervals, and ranking figures.

    Where there are no labels, what each flags.
    """
    if "data" in found and not is_labeled(found):
        return _unlabeled(found, found["rules"])
    wanted = ("precision", "recall", "f1", "f1_low", "f1_high", "mcc", "false_alarm_rate", "average_precision", "auroc")
    rows = [
        {"rule": ledger.TITLES[name]} | {column: measured[column] for column in wanted}
        for name, measured in found["rules"].items()
    ]
    return pl.DataFrame(rows, schema={"rule": pl.String} | dict.fromkeys(wanted, pl.Float64))


def handled(found: dict) -> list[str]:
    """Return what was done with keys that training never saw, and what the default verdict came to by it."""
    way = found.get("unseen", unseen.ALARM)
    if way == unseen.ALARM:
        return ["UNSEEN = alarm: a key that training never saw is an alarm wherever it comes."]
    default = found["default_rule"]
    own = found["rules"].get(f"{default}_{way.replace('-', '_')}")
    if own is None:
        return [f"UNSEEN = {way} changes nothing: {rules.RULE_TITLES[default]} does not read keys."]
    as_is = found["rules"][default]
    read = f", words read by {found['encoder']}" if found.get("encoder") else ""
    sentences = [
        f"UNSEEN = {way}{read}: F1 of the default verdict {ledger.number(own['f1'])}, "
        f"{ledger.number(as_is['f1'])} with every such key an alarm; false alarms {_share(own)}, {_share(as_is)}."
    ]
    if "words" in way:
        sentences += [
            "Words are for logs in which much comes new; where little does, they lose anomalies (docs/method.md)."
        ]
    if "questions" in found:
        by = "the labels, as nobody has answered in" if found["answers"] == "labels" else "what a person wrote into"
        sentences += [f"{found['questions']:,} questions, answered by {by} triage.csv of the run folder."]
    return sentences


def _share(measured: dict) -> str:
    rate = measured["false_alarm_rate"]
    return "-" if rate is None else f"{rate:.2%}"


def rated(scores: pl.DataFrame, most: int = 15) -> pl.DataFrame:
    """Return the new templates that read most like a fault, each with the nearest known one and whether it is an alarm.

    `scores` are the fault scores of a run.
    """
    limit = fault_scores.threshold(scores)
    new = scores.filter(~pl.col("is_known")).sort("fault_score", descending=True, maintain_order=True)
    said = pl.when(pl.col("fault_score") > limit).then(pl.lit("alarm")).otherwise(pl.lit("accepted"))
    return new.head(most).select("fault_score", said.alias("by words"), "template", nearest_known="nearest_template")


def intervals(found: dict) -> pl.DataFrame:
    """Return precision, recall, F1, MCC of the model's rules, each as `value (low - high)`; a dash where undefined."""
    names = ("precision", "recall", "f1", "mcc")
    rows: list[dict] = [
        {"rule": ledger.TITLES[rule]} | {name: _with_interval(measured, name) for name in names}
        for rule, measured in found["rules"].items()
        if not ledger.TITLES[rule].startswith("trivial")
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(("rule", *names), pl.String))


def _with_interval(measured: dict, name: str) -> str | None:
    value, low, high = (measured[f"{name}{end}"] for end in ("", "_low", "_high"))
    return None if value is None else f"{value:.3f} ({low:.3f} - {high:.3f})"


def beside_intervals(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame with each figure and the columns of its ends, `<name>_low` and `<name>_high`, as one text."""
    ended = [name for name in frame.columns if {f"{name}_low", f"{name}_high"} <= set(frame.columns)]
    ends = {f"{name}_{end}" for name in ended for end in ("low", "high")}
    texts = {
        name: [
            "-" if value is None or isnan(value) else f"{value:.3f} ({low:.3f} to {high:.3f})"
            for value, low, high in frame.select(name, f"{name}_low", f"{name}_high").iter_rows()
        ]
        for name in ended
    }
    return frame.with_columns(pl.Series(name, text) for name, text in texts.items()).drop(ends)


def headline(found: dict) -> pl.DataFrame:
    """Return the table for the terminal: the default verdict first, the other rules, and the floors beside them."""
    default = found["default_rule"]
    rest = [name for name in (*rules.RANK_RULES, *rules.SCORE_RULES) if name != default]
    handled = [name for name in found["rules"] if unseen.split_name(name)[0] in (default, "unseen_key")]
    handled = [name for name in handled if unseen.split_name(name)[1]]
    names = [default, *handled, *rest, *floors.TRIVIAL, f"bigram_{default}"]
    if not is_labeled(found):
        return _unlabeled(found, [name for name in names if name in found["rules"]])
    wanted = ("precision", "recall", "f1", "f1_low", "f1_high", "false_alarm_rate", "average_precision")
    rows = [
        {"rule": ledger.TITLES[name] + " (default)" * (name == default)}
        | {column: found["rules"][name][column] for column in wanted}
        for name in names
        if name in found["rules"]
    ]
    return pl.DataFrame(rows, schema={"rule": pl.String} | dict.fromkeys(wanted, pl.Float64))


def conclusion(found: dict) -> str:
    """Say what the default verdict, named before the test, achieves, and whether it beats the best trivial detector."""
    f1 = {name: values["f1"] for name, values in found["rules"].items() if values["f1"] is not None}
    default = found["default_rule"]
    if not is_labeled(found):
        own, size = found["rules"][default], found["data"]["test_sequences"]
        return (
            f"There are no labels, so nothing is called right or wrong: the default verdict ({ledger.TITLES[default]}) "
            f"flags {own['true_positives'] + own['false_positives']:,} of {size:,} test sequences, and strangest.csv "
            "ranks them whatever the threshold."
        )
    as_they_are = {name: value for name, value in f1.items() if unseen.split_name(name)[1] is None}
    trivial = {name: value for name, value in as_they_are.items() if ledger.TITLES[name].startswith("trivial")}
    if default not in f1 or not trivial:
        return "There is no F1 to compare: the test set has no labeled anomaly, or nothing was flagged."
    own, floor = found["rules"][default], max(trivial, key=trivial.__getitem__)
    outcome = "beats" if f1[default] > f1[floor] else "does not beat"
    close = ", which lies within its interval" if own["f1_low"] <= f1[floor] < f1[default] else ""
    return (
        f"The default verdict ({ledger.TITLES[default]}) has F1 {f1[default]:.3f} ({own['f1_low']:.3f} to "
        f"{own['f1_high']:.3f}) at a false-alarm rate of {own['false_alarm_rate']:.2%}. It {outcome} the best "
        f"trivial detector ({ledger.TITLES[floor].removeprefix('trivial: ')}, F1 {f1[floor]:.3f}){close}."
    )


def shortfall(decision: dict) -> str | None:
    """Return what to do where the validation is too small, or too new, for alpha; None where alpha is promised."""
    if decision["alpha_kept"]:
        return None
    return f"ALPHA = {decision['alpha']:.1%} is not promised: {' '.join(decision['notes'])} Go by the ranks."


def promise(decision: dict) -> str:
    """Return what false-alarm rate the validation sequences can promise, and how far one calibration may miss alpha."""
    low, high = decision["false_alarm_interval"]
    size = decision["validation_sequences"]
    return (
        f"{size:,} validation sequences can promise a false-alarm rate of {decision['smallest_alpha']:.2%} at best. At "
        f"alpha = {decision['alpha']:.2%} the rate is at most alpha on average over calibrations; that of this one "
        f"lies between {low:.2%} and {high:.2%} with 95% confidence, lower where ranks tie or counts excuse."
    )


def published(figures: pl.DataFrame, base: str, comparable: bool) -> pl.DataFrame:
    """Return the published figures of a data set: protocol, source, and whether ours may stand beside each."""
    mark = "only with the same protocol" if comparable else f"no, {base} is a sample"
    columns = ("method", "protocol", "precision", "recall", "f1", "source", "verified")
    return figures.select(columns).with_columns(comparable=pl.lit(mark))


def cost(found: dict) -> pl.DataFrame:
    """Return seconds and memory of a run."""
    sizes = {"test sequences a second": found["data"]["test_sequences"] / found["seconds"]["scoring"]}
    seconds = {f"seconds of {name}": value for name, value in found["seconds"].items()}
    return pairs(seconds | sizes | {"peak memory of this notebook, GB": found["peak_memory_gb"]})


def ledger_overview(own: pl.DataFrame, reference: pl.DataFrame) -> pl.DataFrame:
    """Return the default verdict of every method that ran on a data set, yours and the reference's, best F1 first."""
    tables = []
    for source, rows in (("yours", own), ("reference", reference)):
        table = ledger.summary(rows.filter("default" if len(rows) else pl.lit(True)))
        tables.append(table.with_columns(ledger=pl.lit(source)))
    table = pl.concat(tables).sort("f1", descending=True, nulls_last=True, maintain_order=True)
    return table.select(
        "ledger",
        method=pl.format("{}/{}", "method", "model"),
        rule=pl.col("rule").replace_strict(ledger.TITLES, return_dtype=pl.String),
        seeds="seeds",
        f1="f1",
        f1_lowest="f1_lowest",
        f1_highest="f1_highest",
        precision="precision",
        recall="recall",
    )
