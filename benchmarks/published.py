"""The published procedure, written plainly for comparison: training on every copy, a sweep over K, the test in batches.

Reis, Areias and Barbosa 2025, as in the notebooks they released, in our own words. Two things differ, so that verdicts
can be equal to ours: sequences are scored whole (theirs are cut at 128 tokens, and those of at most two targets are
skipped), and a prediction is one of the V + 1 choices, the end and the keys (theirs masks the unknown token alone).
Sequences come as token ids `begin, keys, end`, so that tokenizing is not in the times.
"""

import tempfile
import time
from collections.abc import Callable

import torch
from datasets import Dataset, disable_progress_bars
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PrinterCallback,
    TrainerCallback,
)
from trl import SFTConfig, SFTTrainer

from methods.next_key import NextKey
from methods.next_key.vocabulary import FIRST_CHOICE, PAD
from methods.parts.recipes import TrainingSettings

TEST_BATCH = 256
disable_progress_bars()  # SFTTrainer prepares each split in three passes, each with a bar of its own


def choice_logits(model: PreTrainedModel, ids: Tensor, mask: Tensor) -> Tensor:
    """Return logits in fp32 (rows, length, tokens); minus infinity for tokens that can never come next."""
    logits = model(input_ids=ids, attention_mask=mask).logits.float()
    logits[..., :FIRST_CHOICE] = -torch.inf
    return logits


@torch.no_grad()
def sweep_k(model: PreTrainedModel, encoded: list[list[int]], vocabulary_size: int) -> list[float]:
    """Return the share of sequences with a key outside the K likeliest choices, for every K from 1 to V."""
    model.eval()
    miss_rates = {k: [] for k in range(1, vocabulary_size + 1)}
    for ids in encoded:
        shown, targets = torch.tensor([ids[:-1]]), torch.tensor(ids[1:])
        likeliest = choice_logits(model, shown, torch.ones_like(shown))[0].topk(vocabulary_size, dim=-1).indices
        for k, rates in miss_rates.items():
            hits = 0
            for position in range(len(targets)):
                if targets[position].item() in likeliest[position, :k].tolist():
                    hits += 1
            rates.append(1 - hits / len(targets))
    return [sum(rate > 0 for rate in rates) / len(rates) for rates in miss_rates.values()]


@torch.no_grad()
def flag(model: PreTrainedModel, encoded: list[list[int]], k: int) -> list[bool]:
    """Return one verdict a sequence, true if any key is outside the K likeliest choices; batches in the order given."""
    model.eval()
    verdicts = []
    for start in range(0, len(encoded), TEST_BATCH):
        rows = [torch.tensor(ids) for ids in encoded[start : start + TEST_BATCH]]
        ids = pad_sequence(rows, batch_first=True, padding_value=PAD)
        logits = choice_logits(model, ids[:, :-1], (ids[:, :-1] != PAD).long())
        labels = ids[:, 1:]
        hits = (torch.topk(logits, k).indices == labels[..., None]).any(-1)
        verdicts += (~hits & (labels != PAD)).any(1).tolist()
    return verdicts


class Clock(TrainerCallback):
    """Keeps `seconds` and `validation_loss` of every epoch in `rows` and ends the training after `limit` seconds.

    The loss is the one that both sides are compared by; the time it takes is not counted.
    """

    def __init__(self, validation_loss: Callable[[], float], limit: float) -> None:
        self.validation_loss, self.limit, self.rows = validation_loss, limit, []

    def on_train_begin(self, args, state, control, **kwargs):
        self.started = time.perf_counter()

    def on_evaluate(self, args, state, control, **kwargs):
        now = time.perf_counter()
        seconds, loss = now - self.started, self.validation_loss()
        self.rows.append({"seconds": seconds, "validation_loss": loss})
        print(f"epoch {state.epoch:>4.0f}   as published   validation loss {loss:.4f}   {seconds:5.0f} s", flush=True)
        control.should_training_stop |= seconds > self.limit
        self.started += time.perf_counter() - now


def train(
    detector: NextKey, sequences: list[list[str]], validation: list[list[str]], limit: float
) -> list[dict[str, float]]:
    """Train a fresh `detector` by its settings with SFTTrainer, its collator and its loss, every copy a row.

    Returns `seconds` and our `validation_loss` of every epoch, at most `limit` seconds and the epoch they end in.
    """
    detector.prepare(sequences)
    vocabulary, clock = detector.vocabulary, Clock(lambda: detector.loss(validation), limit)
    rows = [Dataset.from_dict({"input_ids": list(map(vocabulary.encode, part))}) for part in (sequences, validation)]
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=detector.model,
            args=trainer_arguments(detector.settings, folder),
            train_dataset=rows[0],
            eval_dataset=rows[1],
            processing_class=vocabulary.tokenizer(),
            callbacks=[EarlyStoppingCallback(detector.settings.patience), clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return clock.rows


def trainer_arguments(settings: TrainingSettings, checkpoints: str) -> SFTConfig:
    """Return evaluation and a checkpoint each epoch, the best one kept; the rest from `settings`."""
    return SFTConfig(
        output_dir=checkpoints,
        num_train_epochs=settings.max_epochs,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=TEST_BATCH,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_share,
        max_length=settings.context,
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        save_total_limit=1,
        bf16=False,
        use_cpu=True,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        report_to="none",
        disable_tqdm=True,
        seed=0,
    )
