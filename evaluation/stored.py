"""decision.json and metrics.json read back: their types by core/schemas.py, and here what only this room knows of them.

A file that a person or another version has changed must not decide on anything: it is refused with the field at fault.
"""

from collections.abc import Iterator
from pathlib import Path

from core.asked import shown
from core.errors import BadInput
from core.schemas import Decision, Metrics, read_checked
from evaluation import floors, ledger, metrics, rules

FAMILIES = (
    {"rank", "tail_probability"},
    {"score"},
    {"log_odds"},
)  # a detector gives all of one, or more


def read_decision(path: Path, remedy: str) -> dict:
    """Return the calibrated rules; raise BadInput with `remedy` if the file is missing or does not fit."""
    decision = read_checked(path, Decision, remedy)
    _refuse(path, _decision_faults(decision), remedy)
    return decision


def read_metrics(path: Path, remedy: str) -> dict:
    """Return what the test found; raise BadInput with `remedy` if the file is missing or does not fit."""
    found = read_checked(path, Metrics, remedy)
    _refuse(path, _metrics_faults(found), remedy)
    return found


def _refuse(path: Path, faults: Iterator[str], remedy: str) -> None:
    for fault in faults:
        raise BadInput(f"{path.as_posix()} does not fit: {fault}; {remedy}")


def _decision_faults(decision: dict) -> Iterator[str]:
    yield from _default_faults(decision)
    if set(decision["ngrams"]) not in (set(floors.NGRAMS), set()):  # none: too many keys
        yield f"ngrams has {', '.join(map(shown, decision['ngrams']))}, not {', '.join(floors.NGRAMS)}"
    for own in (decision["rules"], *decision["ngrams"].values()):
        yield from _rule_faults(own)


def _rule_faults(own: dict[str, dict]) -> Iterator[str]:
    """Yield what is wrong with calibrated rules whose types are right."""
    for unknown in own.keys() - rules.BY_NAME.keys():
        yield f"it has a rule {shown(unknown)}, which nobody knows"
    for family in FAMILIES:
        names = {rule.name for rule in rules.RULES if rule.reads in family}
        if missing := own.keys() & names and names - own.keys():
            yield f"rules.{min(missing)} is missing"
    for name, values in own.items():
        reads = rules.BY_NAME[name].reads
        for needed in ("K", "K_over_V") if reads == "rank" else ("threshold",):
            if needed not in values:
                yield f"the rule {name} has no {needed}"
            if values[needed] is None and reads != "score":
                yield f"the rule {name} has {needed} null"
        if reads == "tail_probability" and not 0 <= values["threshold"] <= 1:
            yield f"the rule {name} has the threshold {values['threshold']:g}, which is no probability"


def _metrics_faults(found: dict) -> Iterator[str]:
    yield from _default_faults(found)
    nothing: dict = {"rules": {}}
    has_normals = found["data"]["test_sequences"] > found["data"]["test_anomalies"]
    for part in (found, found["distinct"], found["new"], found["at_prevalence"] or nothing):
        for name, measured in part["rules"].items():
            if name not in ledger.TITLES:
                yield f"it has a rule {shown(name)}, which nobody knows"
            if has_normals and measured["false_alarm_rate"] is None:
                yield f"{name} has no false_alarm_rate"
            for measure in metrics.MEASURES:
                ends = [measured.get(f"{measure}{end}") for end in ("", "_low", "_high")]
                if len({value is None for value in ends}) > 1:
                    yield f"{measure} of {name} has a value without its interval, or the other way round"


def _default_faults(found: dict) -> Iterator[str]:
    if found["default_rule"] not in found["rules"]:
        yield f"default_rule is {shown(found['default_rule'])}, which is none of its rules"
