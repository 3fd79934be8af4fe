"""NeuralLog: a transformer reads the vectors of the messages of a sequence; no parser, no keys.

Le and Zhang, "Log-based Anomaly Detection Without Log Parsing" (ASE 2021). Implemented: one vector a message, positions
as sines, one transformer encoder layer, the mean over the messages, a layer of 32 and a class. Not implemented: their
vector, the mean over the word pieces of BERT's base model with digits and punctuation removed; here it is that of any
encoder, the same as every other method of text gets.

Different on purpose: vectors come down to `width` first, since the published layer of 768 numbers with 12 heads trains
for minutes on a CPU and no better on the data at hand; a sequence is read whole and not cut at 75 messages; training is
not balanced by repeating anomalies, so that a logit above 0 says what the data says; the epoch is chosen on validation.
The last, partial batch of a test is judged: LogIntelligence/NeuralLog (793ba5a) drops it.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from methods.parts.classifiers import MessageClassifier


@dataclass(frozen=True)
class Settings:
    """One layer, dropout and the layer of 32 are theirs (LogIntelligence/NeuralLog, 793ba5a); the rest is ours."""

    width: int = 128  # theirs 768
    heads: int = 4  # theirs 12
    inner: int = 512  # theirs 2,048
    dropout: float = 0.1
    learning_rate: float = 3e-4  # by validation loss on HDFS; at 1e-3 it stays at twenty times that of 3e-4
    batch_size: int = 64
    max_epochs: int = 30
    patience: int = 8


class Network(nn.Module):
    """Message vectors (rows, L, d) through one transformer layer and their mean to a logit (rows,)."""

    def __init__(self, size: int, settings: Settings) -> None:
        super().__init__()
        self.input = nn.Linear(size, settings.width)
        self.layer = nn.TransformerEncoderLayer(
            settings.width, settings.heads, settings.inner, settings.dropout, batch_first=True
        )
        self.output = nn.Sequential(nn.Linear(settings.width, 32), nn.ReLU(), nn.Dropout(settings.dropout))
        self.classes = nn.Linear(32, 1)

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Return logits (rows,) of vectors (rows, L, d); `mask` (rows, L) is 1 where there is a message."""
        shown = self.input(vectors)
        shown = self.layer(shown + sinusoids(shown.shape[1], shown.shape[2]).to(shown), src_key_padding_mask=mask == 0)
        means = (shown * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return self.classes(self.output(means))[:, 0]


def sinusoids(length: int, width: int) -> Tensor:
    """Return positions (length, width) as sines and cosines (Vaswani et al. 2017)."""
    angles = torch.arange(length)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    return torch.stack([angles.sin(), angles.cos()], dim=2).reshape(length, width)


class NeuralLog(MessageClassifier):
    """NeuralLog's classifier. `fit`, then `score`; `save` and `load` give the same scores."""

    method, model, settings_type = "neurallog", "transformer", Settings

    def network_of(self, size: int) -> Network:
        """Return the untrained network for vectors of this size."""
        return Network(size, self.settings)
