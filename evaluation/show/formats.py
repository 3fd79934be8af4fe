"""How a value is written for a person: one format a column, in notebooks, reports and the terminal alike."""

PERCENT = frozenset(
    {
        "alpha", "anomalies_also_in_training", "anomalies_with_unseen_key", "coverage", "false_alarm_rate",
        "normals_also_in_training", "normals_with_unseen_key", "prevalence", "rate_high", "rate_low", "share",
        "unseen_key_share", "validation_false_alarm_rate",
    }
)  # fmt: skip
PLAIN = frozenset({"seed", "split_seed"})  # numbers that are names: no separators
HEADS = {"false_alarm_rate": "false alarms", "validation_false_alarm_rate": "false alarms on validation"}
ABBREVIATIONS = {"f1": "F1", "mcc": "MCC", "auroc": "AUROC"}


def head(name: str) -> str:
    """Return the name of a column as the head of a table."""
    return HEADS.get(name) or " ".join(ABBREVIATIONS.get(word, word) for word in name.split("_"))


def readable(name: str, value) -> str:
    """Return `value` of the column or setting `name` as text: shares in percent, a dash for what is undefined."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in PERCENT:
        return f"{value:.2%}"
    if isinstance(value, int):
        return str(value) if name in PLAIN else f"{value:,}"
    if isinstance(value, float):
        return number(value)
    return str(value)


def number(value: float) -> str:
    """Return a number with as many digits as a person reads: 17,870 and 0.125 and 1.2e-05."""
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) >= 0.01 or value == 0 else f"{value:.2g}"
