"""LogRobust: a bidirectional LSTM with attention over the vectors of log events, for logs whose words change.

Zhang et al., "Robust Log-Based Anomaly Detection on Unstable Log Data" (FSE 2019). Implemented: one vector an event, a
two-layer BiLSTM, attention over its steps, one class. Their vector is the sum of FastText's word vectors, rare words
counting more (TF-IDF); the offline encoder is that sum, rarity and all, with directions by hash in place of FastText's,
which need a download of gigabytes. A sentence encoder by name takes its place.

Different on purpose: the epoch is chosen on validation; sequences are read whole.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from methods.parts.classifiers import MessageClassifier


@dataclass(frozen=True)
class Settings:
    """Layers are the paper's; it gives no attention size. The rest is ours."""

    layers: int = 2
    width: int = 64  # of each direction; the paper 128
    learning_rate: float = 1e-3
    batch_size: int = 64
    max_epochs: int = 30
    patience: int = 8


class Network(nn.Module):
    """Event vectors (rows, L, d) through a BiLSTM, summed by attention, to a logit (rows,)."""

    def __init__(self, size: int, settings: Settings) -> None:
        super().__init__()
        self.lstm = nn.LSTM(size, settings.width, settings.layers, batch_first=True, bidirectional=True)
        self.attention = nn.Linear(2 * settings.width, 1)
        self.output = nn.Linear(2 * settings.width, 1)

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Return logits (rows,) of vectors (rows, L, d); `mask` (rows, L) is 1 where there is an event."""
        packed = pack_padded_sequence(vectors, mask.sum(1).long().cpu(), batch_first=True, enforce_sorted=False)
        steps, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)  # (rows, L, 2 width)
        importance = torch.tanh(self.attention(steps))[..., 0].masked_fill(mask == 0, -torch.inf)
        weights = torch.softmax(importance, dim=1)  # (rows, L)
        return self.output((steps * weights[..., None]).sum(1))[:, 0]


class LogRobust(MessageClassifier):
    """LogRobust's classifier. `fit`, then `score`; `save` and `load` give the same scores."""

    method, model, settings_type = "logrobust", "bilstm", Settings
    on_one_thread = True  # an LSTM

    def network_of(self, size: int) -> Network:
        """Return the untrained network for vectors of this size."""
        return Network(size, self.settings)
