"""How a model is trained: every setting with its source. `RECIPES[name]`; a run keeps its own in config.json."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingSettings:
    """The defaults are for the tiny models: our choice, by validation loss on HDFS (results/LOG.md)."""

    context: int = 512  # tokens, LogGPT's longest window; longer sequences are learned in overlapping chunks
    batch_size: int = 32  # distinct sequences of one optimizer step, on all devices together
    heaviest: int = 4  # a sequence with a larger count is spread over several batches, its count in equal parts
    learning_rate: float = 2e-3
    warmup_share: float = 0.05
    max_epochs: int = 16
    patience: int = 3  # epochs without a better validation loss
    lora_rank: int | None = None  # None: the whole model is trained
    lora_alpha: int | None = None


RECIPES = {
    # Models made from a config: trained whole, since LoRA on the projections of a random base learns next to nothing.
    "tiny": TrainingSettings(),
    # Pretrained models. Rank, alpha and learning rate are the paper's; the rest is ours: weighted distinct sequences
    # in small batches take many steps where the paper's batch of 3,072 takes two an epoch. Not tuned on a GPU yet.
    "lora": TrainingSettings(heaviest=16, learning_rate=2e-4, lora_rank=32, lora_alpha=64),
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
