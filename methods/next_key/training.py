"""Training with TRL's SFTTrainer on distinct sequences, each weighted by how often it occurs.

A weight gives the gradient of that many copies at the cost of one: of 4,000 normal HDFS sessions some 700 are
distinct.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from math import ceil, isfinite
from pathlib import Path
from typing import cast

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.nn.functional import nll_loss
from transformers import EarlyStoppingCallback, PreTrainedModel, PrinterCallback, TrainerControl
from trl import SFTConfig, SFTTrainer

from core.errors import BadInput
from methods.next_key import processes
from methods.next_key.batches import IGNORED, Chunk, chunk, pad
from methods.next_key.checkpoints import keep_plan, last_checkpoint
from methods.next_key.memory import Load
from methods.next_key.models.machine import Plan, to_full_precision
from methods.next_key.scoring import choice_log_probabilities, mean_validation_loss, shares_prefixes, sharing_pays
from methods.next_key.trees import pack_rows, packs
from methods.next_key.vocabulary import BEGIN, END, FIRST_CHOICE, Vocabulary
from methods.parts.recipes import TrainingSettings

PREDICTIONS = ("rows", "places", "targets", "weights")  # of a batch, beside what the model reads


def weighted_loss(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """Return summed negative log-likelihood in nats over the predictions of a batch, each counted by its weight.

    `logits` (rows, length, tokens); prediction i is made at `logits[rows[i], places[i]]` and should be `targets[i]`.
    """
    log_probabilities = choice_log_probabilities(logits[batch["rows"], batch["places"]])
    losses = nll_loss(log_probabilities, batch["targets"] - FIRST_CHOICE, reduction="none")
    return (losses * batch["weights"]).sum()


def weighted_rows(vocabulary: Vocabulary, sequences: Sequence[Sequence[str]], settings: TrainingSettings) -> list[dict]:
    """Return chunks of the distinct sequences; the weights of one sequence add up to its count.

    Rows of weight 0 fill the last step up, so that every process has a share of every step and none counts twice.
    """
    rows = []
    for number, (keys, count) in enumerate(Counter(map(tuple, sequences)).items()):
        parts = ceil(count / settings.heaviest)
        for piece in chunk(number, vocabulary.encode(keys), settings.context):
            rows += [asdict(piece) | {"weight": count / parts}] * parts
    missing = -len(rows) % settings.batch_size
    return rows + [asdict(Chunk(-1, [BEGIN, END], 0, 1, 0.0))] * missing


def repeated(rows: list[dict], settings: TrainingSettings) -> list[dict]:
    """Return the rows as often as an epoch of `least_steps` steps takes; validation and patience count such epochs."""
    return rows * max(1, ceil((settings.least_steps or 0) * settings.batch_size / len(rows)))


def collate(rows: list[dict]) -> dict[str, Tensor]:
    """Return what the model reads, padded, and its predictions as `weighted_loss` wants them."""
    chunks = [Chunk(**row) for row in rows]
    batch = pad(chunks)
    labels = batch.pop("labels")[:, 1:]
    row, place = torch.nonzero(labels != IGNORED, as_tuple=True)
    weights = torch.tensor([item.weight for item in chunks])
    return batch | {"rows": row, "places": place, "targets": labels[row, place], "weights": weights[row]}


def collate_trees(rows: list[dict]) -> dict[str, Tensor]:
    """Return the same predictions, shared beginnings read once; one that several chunks make has all their weights."""
    trees = list(packs([Chunk(**row) for row in rows]))
    columns = {
        "rows": [np.full(len(tree.predicted), row) for row, tree in enumerate(trees)],
        "places": [tree.places for tree in trees],
        "targets": [tree.targets for tree in trees],
        "weights": [tree.weights for tree in trees],
    }
    return pack_rows(trees) | {name: torch.from_numpy(np.concatenate(parts)) for name, parts in columns.items()}


def collator(model: PreTrainedModel, rows: list[dict], batch_size: int) -> Callable[[list[dict]], dict[str, Tensor]]:
    """Return `collate_trees` where rows share enough, tried on some at random, and the model follows trees."""
    some = np.random.default_rng(0).permutation(len(rows))[:batch_size]
    trees = list(packs([Chunk(**rows[number]) for number in some]))
    with torch.inference_mode():
        return collate_trees if sharing_pays(trees) and shares_prefixes(model, trees) else collate


class WeightedTrainer(SFTTrainer):
    """SFTTrainer whose loss counts each sequence by its weight and whose evaluation is the scoring code itself.

    The loss of a step is divided by the mean weighted size of a step, not by its own, so that the gradients of an
    epoch add up to that of all the copies, however the step is cut up into parts and spread over processes.
    """

    control: TrainerControl

    def __init__(
        self, *args, plan: Plan, mean_step_keys: float, validation_loss, started: float, tokens: int, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        self.plan = plan
        self.mean_step_keys, self.validation_loss = mean_step_keys, validation_loss
        self.started, self.epoch_started, self.tokens = started, time.perf_counter(), tokens
        self.model_accepts_loss_kwargs = False  # the Trainer divides by the parts of a step, as compute_loss expects
        # TRL casts what is trained on a 4-bit base to bf16, which some cards lack.
        to_full_precision(cast("nn.Module", self.model))

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Return the loss in nats a key; `evaluate` never asks for the outputs."""
        shown = {name: inputs[name] for name in inputs if name not in PREDICTIONS}
        with self.plan.attention():
            logits = model(**shown, use_cache=False).logits
        parts = self.current_gradient_accumulation_steps * self.accelerator.num_processes  # averaged over both
        return weighted_loss(logits, inputs) * parts / self.mean_step_keys

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval") -> dict[str, float]:
        """Return the validation loss by the function that scores the test; print one line an epoch."""
        trained = time.perf_counter() - self.epoch_started
        metrics = {"eval_loss": self.validation_loss(self.model), "tokens_per_second": self.tokens / trained}
        metrics["seconds"] = time.perf_counter() - self.started
        self.log(dict(metrics))
        training = next(row["loss"] for row in reversed(self.state.log_history) if "loss" in row)
        if self.is_world_process_zero():
            print(
                f"epoch {self.state.epoch:>4.0f}   training loss {training:.4f}   "
                f"validation loss {metrics['eval_loss']:.4f}   {metrics['seconds']:5.0f} s",
                flush=True,
            )
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self.epoch_started = time.perf_counter()
        return metrics


def train(
    model: PreTrainedModel,
    vocabulary: Vocabulary,
    sequences: Sequence[Sequence[str]],
    validation: Sequence[Sequence[str]],
    settings: TrainingSettings,
    plan: Plan,
    load: Load,
    seed: int,
    checkpoints: Path,
) -> list[dict]:
    """Train `model` in place, the epoch of lowest validation loss kept; returns one row an epoch, 0 = untrained.

    Rows: `epoch, training_loss, validation_loss` (nats a key), `seconds` since the start and `tokens_per_second` of
    the epoch's training steps, padding not counted. An interrupted training goes on from the last whole epoch in
    `checkpoints`, to the same end as one that ran through; raises BadInput if they are those of another vocabulary, or
    if the loss of the kept epoch is no number.
    """
    rows = repeated(weighted_rows(vocabulary, sequences, settings), settings)
    keys = sum(row["weight"] * (len(row["ids"]) - row["first_target"]) for row in rows)
    last, spent = last_checkpoint(checkpoints)
    if last:
        _refuse_other_vocabulary(last, vocabulary)
        print(f"resuming an interrupted training from {last.name}", flush=True)

    def validation_loss(current: PreTrainedModel) -> float:
        with plan.arithmetic():
            return mean_validation_loss(current, vocabulary, validation, settings.context)

    with plan.arithmetic():
        collate_rows = collator(model, rows, settings.batch_size)
    untrained = {"epoch": 0, "training_loss": None, "validation_loss": validation_loss(model), "seconds": 0.0}
    _refuse_diverged(untrained["validation_loss"], "before training")
    trainer = WeightedTrainer(
        model=model,
        args=trainer_arguments(settings, plan, load, seed, checkpoints),
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(rows[:1]),  # never read: evaluate() scores `validation` itself
        processing_class=vocabulary.tokenizer(),
        data_collator=collate_rows,
        callbacks=[EarlyStoppingCallback(early_stopping_patience=settings.patience)],
        plan=plan,
        mean_step_keys=keys / (len(rows) / settings.batch_size),
        validation_loss=validation_loss,
        started=time.perf_counter() - spent,
        tokens=sum(len(row["ids"]) for row in rows),
    )
    trainer.remove_callback(PrinterCallback)
    keep_plan(checkpoints, plan)
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)  # else its autocast stays on for good
    _refuse_diverged(trainer.state.best_metric, "of every epoch")
    processes.wait_for_all()  # the best checkpoint is loaded everywhere, so that the first process may remove it
    return [untrained | {"tokens_per_second": None}, *history(trainer.state.log_history)]


def _refuse_diverged(loss: float | None, when: str) -> None:
    if loss is None or not isfinite(loss):
        raise BadInput(
            f"The validation loss {when} is no number: nor are the weights any more; train again with a smaller "
            "learning rate or another SEED, or look at the checkpoint that MODEL names."
        )


def _refuse_other_vocabulary(checkpoint: Path, vocabulary: Vocabulary) -> None:
    if Vocabulary.load(checkpoint).keys != vocabulary.keys:
        raise BadInput(
            f"{checkpoint.as_posix()} was trained on the keys of another data set; remove "
            f"{checkpoint.parent.as_posix()} to train from the start."
        )


def trainer_arguments(settings: TrainingSettings, plan: Plan, load: Load, seed: int, checkpoints: Path) -> SFTConfig:
    """Return the trainer's settings for this machine."""
    cuda = plan.device.startswith("cuda")
    arguments = SFTConfig(
        output_dir=str(checkpoints),
        num_train_epochs=settings.max_epochs,
        per_device_train_batch_size=load.micro_batch,
        gradient_accumulation_steps=load.accumulation,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_share,
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        save_total_limit=1,
        restore_callback_states_from_checkpoint=True,  # else a resumed training forgets its patience
        max_length=settings.context,
        loss_type="nll",
        bf16=plan.dtype == "bfloat16",
        fp16=plan.dtype == "float16",
        use_cpu=plan.device == "cpu",
        gradient_checkpointing=load.checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if load.checkpointing else None,
        dataloader_pin_memory=cuda,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        report_to="none",
        disable_tqdm=True,
        seed=seed,
        data_seed=seed,  # the order of the rows is then the same for every number of processes
        ddp_find_unused_parameters=False,
    )
    # Without a launcher one card trains, as the Trainer itself has it for models that are spread over cards: its data
    # parallelism in one process would double the step.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def history(log: list[dict]) -> list[dict]:
    """Return one row an epoch from the trainer's log, which survives an interruption with the checkpoint."""
    losses = {row["epoch"]: row["loss"] for row in log if "loss" in row}
    return [
        {
            "epoch": round(row["epoch"]),
            "training_loss": losses[row["epoch"]],
            "validation_loss": row["eval_loss"],
            "seconds": row["seconds"],
            "tokens_per_second": row["tokens_per_second"],
        }
        for row in log
        if "eval_loss" in row
    ]
