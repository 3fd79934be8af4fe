"""How a model is trained: every setting with its source. `RECIPES[name]`; a run keeps its own in config.json."""

from dataclasses import dataclass, fields, replace
from math import inf
from typing import get_type_hints

from core.asked import shown
from core.errors import BadInput


@dataclass(frozen=True)
class TrainingSettings:
    """The defaults are for the tiny models: our choice, by validation loss on HDFS (results/LOG.md)."""

    context: int = 512  # tokens, LogGPT's longest window; longer sequences are learned in overlapping chunks
    batch_size: int = 32  # distinct sequences of one optimizer step, on all devices together
    heaviest: int = 4  # a sequence with a larger count is spread over several batches, its count in equal parts
    learning_rate: float = 2e-3
    warmup_share: float = 0.05
    max_epochs: int = 16
    least_steps: int | None = None  # of an epoch: rows that make fewer are gone through several times in each
    patience: int = 3  # epochs without a better validation loss
    lora_rank: int | None = None  # None: the whole model is trained
    lora_alpha: int | None = None


RECIPES = {
    # Models made from a config: trained whole, since LoRA on the projections of a random base learns next to nothing.
    "tiny": TrainingSettings(),
    # Pretrained models. Rank, alpha and learning rate are the paper's; the rest is ours: weighted distinct sequences
    # in small batches take many steps where the paper's batch of 3,072 takes two an epoch. Not tuned on a GPU yet. A
    # small data set has too few steps for it: 12 an epoch on the sample, where SmolLM2-135M had come to 0.40 nats a key
    # after 13 epochs and tiny-llama ends at 0.29. So an epoch has 32 steps at least, and 16 epochs more than 500.
    "lora": TrainingSettings(heaviest=16, learning_rate=2e-4, least_steps=32, lora_rank=32, lora_alpha=64),
    # Reis, Areias and Barbosa 2025, as in the train.ipynb they released. Their LoRA is on all attention and MLP
    # projections, with embeddings and output layer frozen (KEY_EMBEDDINGS = "paper"). Ours all the same: the best epoch
    # is kept, distinct sequences are weighted, and a sequence beyond 128 tokens is chunked and not cut.
    "paper": TrainingSettings(
        context=128,  # max_seq_length
        batch_size=3072,  # per_device_train_batch_size; 1,028 in their first commit
        heaviest=1,  # every copy is a row
        learning_rate=2e-4,
        warmup_share=0.0,  # the Trainer's default, not stated
        max_epochs=200,  # 100 in their first commit
        patience=3,
        lora_rank=32,
        lora_alpha=64,
    ),
}

# What SET may give: from a value on, and below another; whole numbers without an entry from 1 on.
_RANGES: dict[str, tuple[float, float]] = {"context": (2, inf), "learning_rate": (1e-12, inf), "warmup_share": (0, 1)}
_MAY_BE_NONE = ("least_steps", "lora_rank")  # no least number; the whole model is trained


def changed(settings: TrainingSettings, asked: str | None) -> TrainingSettings:
    """Return `settings` with what SET asks for, such as `learning_rate=1e-3 max_epochs=8`; raise BadInput if it cannot.

    Where the whole model is trained there is nothing to say about LoRA.
    """
    names = [one.name for one in fields(settings) if settings.lora_rank or not one.name.startswith("lora_")]
    if not isinstance(asked, str | None):
        raise BadInput(f"SET = {shown(asked)} is no text; write it as in 'learning_rate=1e-3 max_epochs=8'.")
    given: dict = {}
    for part in (asked or "").split():
        name, equals, text = part.partition("=")
        if name not in names or not equals:
            raise BadInput(f"SET = {shown(part)} names no setting; write name=value, with one of {', '.join(names)}.")
        given[name] = _value(name, text)
    return replace(settings, **given)


def _value(name: str, text: str) -> int | float | None:
    """Return the value of a setting; raise BadInput if it is not of its type or out of its range."""
    kind = get_type_hints(TrainingSettings)[name]
    low, high = _RANGES.get(name, (1, inf))
    if text == "none" and name in _MAY_BE_NONE:
        return None
    try:
        value = float(text) if kind is float else int(text)
    except ValueError:
        value = None
    if value is None or not low <= value < high:
        what = "number" if kind is float else "whole number"
        most = f" and below {high:g}" if high < inf else ""
        raise BadInput(f"SET = {shown(f'{name}={text}')} cannot be; give {name} a {what} from {low:g} on{most}.")
    return value
