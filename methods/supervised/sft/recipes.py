"""How a text classifier is trained: every setting with its source. `RECIPES[name]`; a run keeps its own."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Settings:
    """The defaults are those of `house` for a tiny model, by validation loss on 1000 Genome (results/LOG.md)."""

    learning_rate: float = 1e-3
    batch_size: int = 64
    max_epochs: int = 12
    patience: int = 3  # epochs without a better validation loss
    keep_last: bool = False  # the weights of the last epoch, whatever validation says
    lora_rank: int | None = None  # None: the whole model is trained; with LoRA its head is trained whole
    lora_alpha: int = 32
    lora_dropout: float = 0.1
    longest: int = 1_024  # tokens that a tiny model is made for


RECIPES = {
    "house": Settings(),
    # A pretrained model trained whole: rate and batch as published; the epoch of lowest validation loss is kept.
    "house, pretrained": Settings(learning_rate=5e-5, max_epochs=6, patience=2),
    # LoRA: rank, alpha and dropout as in LLM_AD's sft_lora.py, the rate that small models need (theirs is not stated).
    "house, LoRA": Settings(learning_rate=1e-3, max_epochs=6, patience=2, lora_rank=8),
    # LLM_AD: three epochs of batches of 64, 5e-5 falling linearly, seed 42, no look at validation. Theirs falls with
    # every step, this one with every epoch.
    "published": Settings(learning_rate=5e-5, max_epochs=3, keep_last=True),
}


def choose_settings(recipe: str, pretrained: bool, lora: bool) -> Settings:
    """Return the settings of a recipe, `house` or `published`, for this model."""
    if recipe == "published":
        return replace(RECIPES["published"], lora_rank=RECIPES["house, LoRA"].lora_rank if lora else None)
    return RECIPES[("house, LoRA" if lora else "house, pretrained") if pretrained else "house"]
