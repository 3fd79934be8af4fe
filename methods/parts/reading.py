"""Detectors whose network reads the history before an event and says which key comes next."""

from pathlib import Path

import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from core.keys import Sequences, distinct, make_windows, weigh
from core.progress import progress
from methods.parts.judging import judge_events, summarize
from methods.parts.learning import DEVICE, draw
from methods.parts.networks import NetworkDetector

READ_AT_ONCE = 4_096  # windows; bounds the memory for what a network makes of them


class WindowDetector(NetworkDetector):
    """A network from histories (rows, h) of key numbers to logits (rows, V + 1); column V is the end.

    Its settings also have `history` and `batch_size`.
    """

    on_one_thread = True  # LSTMs

    def _read(self, sequences: Sequences) -> Sequences:
        """Return the sequences as the network is to read them."""
        return sequences

    def fit(self, train_sequences: Sequences, validation: Sequences, checkpoints: Path) -> pl.DataFrame:
        """Learn the training split, keep the best epoch on `validation`; return a frame as `learning.learn` does.

        Losses are in nats an event. Distinct windows are weighted by how often they occur.
        """
        self._begin(train_sequences)
        histories, targets, weights = self._weighted(train_sequences)
        validated = self._weighted(validation)

        def summed_loss(shown: Tensor, true: Tensor, counts: Tensor) -> Tensor:
            return (cross_entropy(self.network(shown), true, reduction="none") * counts).sum()

        def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
            rows, counts = batch
            return summed_loss(histories[rows], targets[rows], counts) / len(rows)

        def validate() -> float:
            parts = zip(*(part.split(READ_AT_ONCE) for part in validated), strict=True)
            return float(sum(summed_loss(*part) for part in parts) / validated[2].sum())

        return self._learn(lambda: draw(weights, self.settings.batch_size), loss, validate, checkpoints)

    def _weighted(self, sequences: Sequences) -> tuple[Tensor, Tensor, Tensor]:
        """Return distinct histories (rows, h), their targets (rows,) and weights (rows,)."""
        different, counts = weigh(self._read(sequences))
        windows = make_windows(self.keys, different, self.settings.history)
        histories, targets, weights = (torch.from_numpy(part).to(DEVICE) for part in windows.weighted(counts))
        return histories, targets, weights.float()

    @torch.inference_mode()
    def score(self, sequences: Sequences) -> pl.DataFrame:
        """Score each sequence, one row in order; columns as in `judging.summarize`. Distinct windows are read once."""
        self.network.eval()
        different, rows = distinct(self._read(sequences))
        windows = make_windows(self.keys, different, self.settings.history)
        histories, of_event = windows.distinct()
        parts = torch.from_numpy(histories).split(READ_AT_ONCE)
        shown = progress(parts, len(parts), "scoring", "batches")
        logits = torch.cat([self.network(part.to(DEVICE)).cpu() for part in shown])  # (distinct windows, V + 1)
        log_probabilities = torch.log_softmax(logits, dim=-1)[torch.from_numpy(of_event)]  # (events, V + 1)
        unseen_rank = len(self.keys) + 2
        ranks, tails, logs = judge_events(log_probabilities, torch.from_numpy(windows.targets), unseen_rank)
        return summarize(ranks.numpy(), tails.numpy(), logs.numpy(), windows.ends, unseen_rank)[rows]
