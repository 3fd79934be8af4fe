"""CNN: convolutions of three heights over embedded log keys, the largest of each over a sequence, a class.

Lu, Wei, Li and Wang, "Detecting Anomaly in Big Data System Logs Using Convolutional Neural Network" (DASC 2018).
Implemented: a trained embedding of keys (their codebook, logkey2vec), filters over 3, 4 and 5 keys, the maximum over
the sequence, dropout. Not implemented: their comparison with a multilayer perceptron.

Different on purpose: sequences are read whole and not cut at 50 keys; the epoch is chosen on validation. A key that
training never saw is a row of zeros.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad

from core.keys import UNSEEN, Sequences
from methods.parts.classifiers import SequenceClassifier

HEIGHTS = (3, 4, 5)  # keys that a filter sees


@dataclass(frozen=True)
class Settings:
    """Embedding, filters and dropout are the paper's; the rest is ours."""

    embedding: int = 128
    filters: int = 128
    dropout: float = 0.5
    learning_rate: float = 1e-3
    batch_size: int = 64
    max_epochs: int = 15
    patience: int = 8


class Network(nn.Module):
    """Embedded keys (rows, L, embedding) through filters and their maximum to a logit (rows,)."""

    def __init__(self, keys: int, settings: Settings) -> None:
        super().__init__()
        self.embedding = nn.Embedding(keys + 1, settings.embedding, padding_idx=keys)  # the last: never seen
        self.filters = nn.ModuleList(nn.Conv1d(settings.embedding, settings.filters, height) for height in HEIGHTS)
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(len(HEIGHTS) * settings.filters, 1)

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Return logits (rows,) of vectors (rows, L, d); `mask` (rows, L) is 1 where there is a key."""
        lengths = mask.sum(1).long()
        found = []
        for height, layer in zip(HEIGHTS, self.filters, strict=True):
            outputs = leaky_relu(layer(pad(vectors.transpose(1, 2), (0, height - 1))))  # (rows, filters, L)
            # Else padding would be seen: only the windows that a sequence alone has, and of a short one the first.
            last = (lengths - height + 1).clamp(min=1)
            inside = torch.arange(outputs.shape[2], device=outputs.device) < last[:, None]
            found.append(outputs.masked_fill(~inside[:, None], -torch.inf).amax(2))
        return self.output(self.dropout(torch.cat(found, dim=1)))[:, 0]


class CNN(SequenceClassifier):
    """The CNN of log keys. `fit`, then `score`; `save` and `load` give the same scores."""

    method, name, reads, settings_type = "cnn", "keys", "keys", Settings
    network: Network

    def make_network(self) -> Network:
        """Return the untrained network for `keys` and `settings`."""
        return Network(len(self.keys), self.settings)

    def look_up(self, sequences: Sequences) -> tuple[list[np.ndarray], Tensor]:
        """Return key numbers, V for a key that training never saw, and the embedding (V + 1, d)."""
        encoded = map(self.keys.encode, sequences)
        return [np.where(own == UNSEEN, len(self.keys), own) for own in encoded], self.network.embedding.weight
