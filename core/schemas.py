"""What the JSON files of a data folder, a run folder and a saved model hold: checked whenever one is read back.

What is named here must be there, of its type and in its range. More is allowed: another version may have written it.
"""

import json
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError

from core.asked import shown
from core.errors import BadInput

Content = TypeVar("Content")


def _base_name(name: str) -> str:
    """Refuse what leads out of its folder: these files come from anywhere, and a page shows what they name."""
    if name in ("", ".", "..") or set(name) & set("/\\\0"):
        raise ValueError("it must be the name of a file, without a path")
    return name


Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Name = Annotated[str, AfterValidator(_base_name)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Figure = FiniteFloat | None


class Schema(BaseModel):
    """The content of a file; fields that are not named may be there, too."""

    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())


# ------------------------------------------------------------------------------------------------- a data folder


class Source(Schema):
    """A file that a data folder was made from."""

    file: Name
    sha256: str


class LogPlace(Schema):
    """Where the log of a data folder lies on this machine; `member` names it in an archive of several files.

    `others` are the files that follow, where the log is in several.
    """

    path: str
    member: str | None = None
    others: list[str] = []


class Protocol(Schema):
    """The published or own way of splitting."""

    name: str


class SplitRule(Schema):
    """How a data folder was split."""

    rule: str
    seed: Count
    notes: list[str]
    protocol: Protocol | None = None
    of: Name | None = None
    of_hash: Hash | None = None


class Grouping(Schema):
    """What a sequence is."""

    kind: str


class Counts(Schema):
    """Where every line went."""

    lines_in_test_and_training: Count


class Manifest(Schema):
    """manifest.json of a data folder."""

    name: str
    title: str
    simulated: bool
    sources: list[Source]
    split: SplitRule
    counts: Counts
    grouping: Grouping | None = None
    data_hash: Hash


# -------------------------------------------------------------------------------------------------- a run folder


class Config(Schema):
    """config.json: what a run is, and every setting that changes a number."""

    data: Name
    data_hash: Hash
    method: Name
    model: str
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    settings: dict[str, str | int | float | bool | list | dict | None]


class RuleSettings(Schema):
    """One calibrated rule: `K`, or `threshold`, which is null where it flags nothing."""

    validation_false_alarm_rate: Share
    K: Annotated[int, Field(ge=1)] = 1
    K_over_V: FiniteFloat = 0.0
    threshold: Annotated[float, Field(ge=float("-inf"))] | None = None  # so that it is a number


class Decision(Schema):
    """decision.json: the calibrated rules; which of them needs what is checked by `runs.folder`."""

    data_hash: Hash
    model_hash: Hash
    alpha: Annotated[float, Field(gt=0, lt=1)]
    alpha_kept: bool
    notes: list[str]
    V: Annotated[int, Field(ge=1)]
    validation_sequences: Count
    smallest_alpha: Share
    false_alarm_interval: tuple[Share, Share]
    default_rule: str
    rules: dict[str, RuleSettings]
    ngrams: dict[str, dict[str, RuleSettings]]


class Environment(Schema):
    """environment.json: the machine and the versions."""

    python: str
    system: str
    device: str
    commit: str
    packages: dict[str, str]
    model: dict[str, str | bool] | None = None


class Measured(Schema):
    """The figures of one rule."""

    precision: Figure
    recall: Figure
    f1: Figure
    f1_low: Figure
    f1_high: Figure
    mcc: Figure
    mcc_low: Figure
    mcc_high: Figure
    precision_low: Figure
    precision_high: Figure
    recall_low: Figure
    recall_high: Figure
    false_alarm_rate: Figure
    auroc: Figure
    average_precision: Figure
    best_f1: Figure = None


class Verdicts(Schema):
    """The figures of every rule."""

    rules: dict[str, Measured]


class AtPrevalence(Verdicts):
    """The same with the normals weighted."""

    prevalence: Annotated[float, Field(gt=0, lt=1)]


class Part(Verdicts):
    """The same on a part of the test: every distinct sequence once, or the sequences that training did not have."""

    sequences: Count


class Tested(Schema):
    """What the test set is."""

    test_sequences: Count
    labeled_sequences: Count = 1  # an earlier version did not say it
    test_anomalies: Count
    simulated: bool
    normals_also_in_training: Share | None = None
    anomalies_also_in_training: Share | None = None
    training_anomalies: Count = 0
    normals_with_unseen_key: Share | None = None
    anomalies_with_unseen_key: Share | None = None


class Cost(Schema):
    """Seconds of a run."""

    training: FiniteFloat
    scoring: FiniteFloat


class Metrics(Verdicts):
    """metrics.json: what the test found."""

    default_rule: str
    at_prevalence: AtPrevalence | None
    distinct: Part
    new: Part
    data: Tested
    prevalence: Share
    seconds: Cost
    peak_memory_gb: FiniteFloat
    unseen: str = "alarm"  # what became of keys that training never saw
    encoder: str | None = None  # what read their words
    questions: Count = 0
    answers: str | None = None  # who gave them
    answered: Hash | None = None  # what people had answered by then


class Done(Schema):
    """done.json: what a run was asked when it came to its end."""

    prevalence: float | None
    unseen: str
    reader: dict[str, str] | None  # of the words of new templates
    answers: Hash  # of people about them
    data_hash: Hash
    model_hash: Hash


# ------------------------------------------------------------------------------------------------- a saved model


class SavedDetector(Schema):
    """detector.json beside weights.safetensors; a method may do without seed or settings."""

    method: str
    keys: Annotated[list[str], Field(min_length=1)]
    seed: Count = 0
    settings: dict = {}


class SavedPlan(Schema):
    """How a model ran where it was trained."""

    device: str
    dtype: str
    four_bit: bool
    why: str


class SavedNextKey(Schema):
    """next_key.json beside the weights of a language model."""

    model: str
    seed: Count
    whole: bool
    plan: SavedPlan
    checkpoint: str | None
    revision: str | None
    key_embeddings: str
    settings: dict


class SavedLogGPT(Schema):
    """loggpt.json beside the language model."""

    reinforcement: str | None
    labels: Count
    settings: dict


# ------------------------------------------------------------------------------------------------------- reading


def read_checked(path: Path, schema: type[BaseModel], remedy: str) -> dict:
    """Return the content of a JSON file that fits `schema`, whole; raise BadInput with `remedy` if it does not."""
    try:
        text = path.read_text(encoding="utf-8")
        check(text, schema, path, remedy)
        return json.loads(text)
    except FileNotFoundError as error:
        raise BadInput(f"{path.as_posix()} does not exist; {remedy}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path.as_posix()} is broken ({str(error) or type(error).__name__}); {remedy}") from error


def check(text: str, schema: type[Content], path: Path, remedy: str) -> Content:
    """Return JSON as an instance of `schema`, a model or a dataclass; raise BadInput naming the field at fault."""
    try:
        return TypeAdapter(schema).validate_json(text, strict=True)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        if fault["type"] == "json_invalid":
            raise BadInput(f"{path.as_posix()} is broken ({fault['msg']}); {remedy}") from error
        field = ".".join(map(str, fault["loc"])) or "the whole of it"
        what = "is missing" if fault["type"] == "missing" else f"is {shown(fault['input'])}: {fault['msg']}"
        raise BadInput(f"{path.as_posix()} does not fit: {field} {what}; {remedy}") from error
