"""A small causal transformer over the jobs of a worker, which says after each of them whether the worker is throttled.

One position a job: the sum of the vectors of its type and of the bins that its numbers fall into, sixteen quantiles of
training each (of its own type, for what was measured of the job; of all jobs, for ratios to the jobs that had ended
in the run). So numbers are words, and the model is a language model's body trained on labels: a linear layer judges
every position, every position is learned, and nothing at a position depends on later jobs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from core.data import Labeled
from core.jobs import NUMBERS, OWN, SO_FAR
from core.keys import UNSEEN
from methods.parts.classifiers import in_batches
from methods.parts.jobs import Workers, lengths_of, stacked
from methods.parts.labels import check_both_classes, judged
from methods.parts.learning import DEVICE
from methods.parts.networks import NetworkDetector

POSITIONS_AT_ONCE = 16_384  # of a batch that is judged; bounds memory
LONGEST = 512  # jobs of a worker that positions are made for; what stands later has the last position


@dataclass(frozen=True)
class Settings:
    """Sizes and rates by validation loss on 1000 Genome and Montage (results/LOG.md)."""

    bins: int = 16
    width: int = 64
    layers: int = 2
    heads: int = 4
    dropout: float = 0.3
    learning_rate: float = 1e-3
    batch_size: int = 64
    max_epochs: int = 30
    patience: int = 6


class Network(nn.Module):
    """Types (rows, L) and numbers (rows, L, columns) to a logit (rows, L) after each job."""

    own_edges: Tensor  # (types + 1, OWN, bins - 1), the last type: of all jobs
    ratio_edges: Tensor  # (SO_FAR, bins - 1)
    starts: Tensor  # (columns,), of the words of each column

    def __init__(self, types: int, settings: Settings) -> None:
        super().__init__()
        bins, width = settings.bins, settings.width
        self.register_buffer("own_edges", torch.zeros(types + 1, len(OWN), bins - 1))
        self.register_buffer("ratio_edges", torch.zeros(len(SO_FAR), bins - 1))
        columns = len(OWN) + len(SO_FAR)
        self.register_buffer("starts", torch.arange(columns) * (bins + 1), persistent=False)  # one more: not measured
        self.words = nn.Embedding(columns * (bins + 1), width)
        self.types = nn.Embedding(types + 1, width)
        self.places = nn.Embedding(LONGEST, width)
        nn.init.normal_(self.words.weight, std=columns**-0.5)
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(settings.dropout)
        layer = nn.TransformerEncoderLayer(
            width, settings.heads, 4 * width, settings.dropout, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, settings.layers, enable_nested_tensor=False)
        self.output = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))

    def bins(self, types: Tensor, numbers: Tensor) -> Tensor:
        """Return the bin (jobs, columns) of each number, the last where it was not measured."""
        own = numbers[:, : len(OWN), None] > self.own_edges[types]  # (jobs, OWN, bins - 1)
        ratios = numbers[:, len(OWN) :, None] > self.ratio_edges
        found = torch.cat([own.sum(2), ratios.sum(2)], dim=1)
        return torch.where(numbers.isnan(), self.own_edges.shape[2] + 1, found)

    def forward(self, types: Tensor, bins: Tensor) -> Tensor:
        """Return logits (rows, L) of types (rows, L) and bins (rows, L, columns)."""
        length = types.shape[1]
        places = torch.arange(length, device=types.device).clamp(max=LONGEST - 1)
        shown = self.words(bins + self.starts).sum(2) + self.types(types) + self.places(places)  # (rows, L, width)
        later = torch.ones(length, length, dtype=torch.bool, device=types.device).triu(1)
        states = self.layers(self.dropout(self.norm(shown)), mask=later, is_causal=True)
        return self.output(states)[..., 0]


class JobTransformer(NetworkDetector):
    """The transformer as a detector of workers. `fit`, then `score`; `save` and `load` give the same scores."""

    method, name, reads, learns, settings_type = "workers", "transformer", "jobs", "labels", Settings
    network: Network

    def make_network(self) -> Network:
        """Return the untrained network for the types of `keys`."""
        return Network(len(self.keys), self.settings)

    def fit(self, train: Labeled, validation: Labeled, checkpoints: Path) -> pl.DataFrame:
        """Learn training, keep the epoch of lowest loss on validation; a frame as `learning.learn` gives.

        Losses are cross entropies, nats a job.
        """
        check_both_classes(train)
        workers, seen = cast("Workers", train.sequences), cast("Workers", validation.sequences)
        self._begin([list(worker) for worker in workers])
        self._set_edges(workers)
        rows, labels = self._rows(workers), torch.from_numpy(train.labels).float().to(DEVICE)
        checked, true = self._rows(seen), torch.from_numpy(validation.labels).float().to(DEVICE)

        def batches() -> Iterator[Tensor]:
            return iter(torch.randperm(len(rows)).split(self.settings.batch_size))

        def loss(batch: Tensor) -> Tensor:
            own = batch.tolist()
            return self._losses([rows[row] for row in own], labels[own]).mean()

        def validate() -> float:
            parts = in_batches([types for types, _ in checked], POSITIONS_AT_ONCE)
            return float(torch.cat([self._losses([checked[row] for row in part], true[part]) for part in parts]).mean())

        return self._learn(batches, loss, validate, checkpoints)

    def _set_edges(self, workers: Workers) -> None:
        """Cut the training numbers into bins of equal size."""
        types, numbers = self._codes(workers), self._numbers(workers)
        shares = np.arange(1, self.settings.bins) / self.settings.bins
        own = numbers[:, : len(OWN)]
        of_types = [_edges(own[types == code], shares) for code in range(len(self.keys))]
        self.network.own_edges.copy_(torch.from_numpy(np.stack([*of_types, _edges(own, shares)])))
        self.network.ratio_edges.copy_(torch.from_numpy(_edges(numbers[:, len(OWN) :], shares)))

    def _codes(self, workers: Workers) -> np.ndarray:
        """Return the number of each job's type, that of all types for one that training never saw, (jobs,)."""
        codes = np.concatenate([self.keys.encode(list(worker)) for worker in workers])
        return np.where(codes == UNSEEN, len(self.keys), codes)

    def _numbers(self, workers: Workers) -> np.ndarray:
        return stacked(workers)[:, [NUMBERS.index(name) for name in (*OWN, *SO_FAR)]]

    def _rows(self, workers: Workers) -> list[tuple[Tensor, Tensor]]:
        """Return types (jobs,) and bins (jobs, columns) of each worker."""
        types = torch.from_numpy(self._codes(workers)).to(DEVICE)
        numbers = torch.from_numpy(self._numbers(workers)).to(DEVICE)
        sizes = lengths_of(workers).tolist()
        bins = [self.network.bins(*part) for part in zip(types.split(4_096), numbers.split(4_096), strict=True)]
        return list(zip(types.split(sizes), torch.cat(bins).split(sizes), strict=True))

    def _logits(self, rows: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Return logits (rows, L), padded at the end, and where there is a job."""
        longest = max(len(types) for types, _ in rows)
        types = torch.stack([pad(own, (0, longest - len(own))) for own, _ in rows])
        bins = torch.stack([pad(own, (0, 0, 0, longest - len(own))) for _, own in rows])
        lengths = torch.tensor([len(own) for own, _ in rows], device=types.device)
        return self.network(types, bins), torch.arange(longest, device=types.device) < lengths[:, None]

    def _losses(self, rows: Sequence[tuple[Tensor, Tensor]], labels: Tensor) -> Tensor:
        """Return the loss of each job of these workers, flat."""
        logits, there = self._logits(rows)
        wanted = labels[:, None].expand_as(logits)
        return binary_cross_entropy_with_logits(logits, wanted, reduction="none")[there]

    @torch.no_grad()
    def score_prefixes(self, workers: Workers) -> list[np.ndarray]:
        """Return the log-odds (jobs,) of each worker after each of its jobs, in one pass."""
        self.network.eval()
        rows = self._rows(workers)
        found: list[np.ndarray] = [np.empty(0)] * len(rows)
        for part in in_batches([types for types, _ in rows], POSITIONS_AT_ONCE):
            logits, _ = self._logits([rows[row] for row in part])
            for row, own in zip(part, logits.cpu().numpy(), strict=True):
                found[row] = own[: len(rows[row][0])].astype(np.float64)
        return found

    def score(self, sequences: Workers) -> pl.DataFrame:
        """Return `score` and `log_odds` after the last job, one row a worker, in order."""
        return judged(np.array([own[-1] for own in self.score_prefixes(sequences)]), self.reads)


def _edges(numbers: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the quantiles (columns, shares) of numbers (rows, columns), infinite for a column without any."""
    edges = np.full((numbers.shape[1], len(shares)), np.inf, np.float32)
    for column, values in enumerate(numbers.T):
        known = values[~np.isnan(values)]
        if len(known):
            edges[column] = np.quantile(known, shares)
    return edges
