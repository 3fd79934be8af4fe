"""Networks that read a window and say what comes next: one way to train them and one to judge with them."""

from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from methods.parts.judging import judge, summarize
from methods.parts.learning import DEVICE, draw, learn
from methods.parts.windows import Windows

READ_AT_ONCE = 4_096  # windows; bounds the memory for what a network makes of them
WeightedWindows = tuple[np.ndarray, np.ndarray, np.ndarray]  # as `Windows.weighted` gives them


class LearningSettings(Protocol):
    """What `learn_windows` reads of a detector's settings."""

    learning_rate: float
    batch_size: int
    max_epochs: int
    patience: int


def learn_windows(
    network: nn.Module,
    train: WeightedWindows,
    validation: WeightedWindows,
    settings: LearningSettings,
    seed: int,
    checkpoints: Path,
    belongs_to: str,
) -> pl.DataFrame:
    """Train `network`, histories (rows, h) to logits (rows, V + 1), in place; losses in nats an event, by weights.

    The best epoch is kept; columns as in `learning.learn`.
    """
    histories, targets, weights = (torch.from_numpy(part).to(DEVICE) for part in train)
    validated = [torch.from_numpy(part).to(DEVICE) for part in validation]

    def summed_loss(shown: Tensor, true: Tensor, counts: Tensor) -> Tensor:
        return (cross_entropy(network(shown), true, reduction="none") * counts).sum()

    def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
        rows, counts = batch
        return summed_loss(histories[rows], targets[rows], counts) / len(rows)

    def validate() -> float:
        parts = zip(*(part.split(READ_AT_ONCE) for part in validated), strict=True)
        return float(sum(summed_loss(*part) for part in parts) / validated[2].sum())

    return learn(
        network,
        lambda: draw(weights, settings.batch_size),
        loss,
        validate,
        learning_rate=settings.learning_rate,
        max_epochs=settings.max_epochs,
        patience=settings.patience,
        seed=seed,
        checkpoints=checkpoints,
        belongs_to=belongs_to,
    )


@torch.inference_mode()
def judge_windows(network: nn.Module, windows: Windows, unseen_rank: int) -> pl.DataFrame:
    """One row a sequence of `windows`; columns as in `judging.summarize`. Each distinct history is read once."""
    network.eval()
    histories, of_event = windows.distinct()
    parts = torch.from_numpy(histories).split(READ_AT_ONCE)
    logits = torch.cat([network(part.to(DEVICE)).cpu() for part in parts])
    log_probabilities = torch.log_softmax(logits, dim=-1)[torch.from_numpy(of_event)]
    judged = judge(log_probabilities, torch.from_numpy(windows.targets), unseen_rank)
    return summarize(*(np.asarray(part) for part in judged), windows.ends, unseen_rank)
