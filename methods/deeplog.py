"""DeepLog: an LSTM reads the last ten log keys and says which comes next.

Du, Li, Zheng and Srikumar, "DeepLog: Anomaly Detection and Diagnosis from System Logs through Deep Learning" (CCS
2017). Implemented: the log-key model, one-hot keys through a stacked LSTM to a distribution over the next key, the rank
of the true one (their top g). Not implemented: the model of parameter values, because a key sequence has none, the
workflow construction, and the updates by feedback.

Different on purpose: a history that reaches back before the begin of a session is filled up, so its first events are
judged, too, and the end of a session is an event like any other (the public code fills short sessions up with a key
that never occurs, which flags each of them). Distinct windows are weighted by how often they occur.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from methods.parts import disk
from methods.parts.keys import KeyNumbers, Sequences, distinct, weigh
from methods.parts.learning import DEVICE
from methods.parts.reading import WeightedWindows, judge_windows, learn_windows
from methods.parts.windows import make_windows


@dataclass(frozen=True)
class Settings:
    """History, layers and width are the paper's (h = 10, L = 2, alpha = 64), as in wuyifan18/DeepLog (1e33b57)."""

    history: int = 10
    layers: int = 2
    width: int = 64
    learning_rate: float = 5e-3  # ours, by validation loss on HDFS; wuyifan18/DeepLog leaves Adam's 1e-3
    batch_size: int = 64  # ours: distinct windows; theirs is 2,048 with every copy a row
    max_epochs: int = 40  # ours; theirs 300, without validation
    patience: int = 8  # ours


class Network(nn.Module):
    """One-hot keys through an LSTM to logits over V + 1 choices, the keys and the end."""

    def __init__(self, keys: int, settings: Settings) -> None:
        super().__init__()
        self.inputs = keys + 1  # the keys and what stands before the begin; a key never seen is a row of zeros
        self.lstm = nn.LSTM(self.inputs, settings.width, settings.layers, batch_first=True)
        self.output = nn.Linear(settings.width, keys + 1)

    def forward(self, histories: Tensor) -> Tensor:
        """Logits (rows, V + 1) of histories (rows, h)."""
        inputs = one_hot(histories, self.inputs + 1)[..., :-1].float()
        return self.output(self.lstm(inputs)[0][:, -1])


class DeepLog:
    """DeepLog's log-key model. `fit`, then `score`; `save` and `load` give the same scores."""

    method, name = "deeplog", "lstm"

    def __init__(
        self, seed: int = 0, *, settings: Settings | None = None, templates: Mapping[str, str | None] | None = None
    ) -> None:
        """`templates` is what every detector is offered; this one reads keys alone."""
        self.seed, self.settings = seed, settings or Settings()

    def describe(self) -> dict:
        """The settings that a run keeps in its `config.json`."""
        return asdict(self.settings)

    @property
    def parameters(self) -> int:
        """How many weights are learned."""
        return sum(weights.numel() for weights in self.network.parameters())

    def fit(self, train_sequences: Sequences, validation: Sequences, checkpoints: Path) -> pl.DataFrame:
        """Learn the training split, the best epoch on `validation` kept; columns as in `learning.learn`."""
        torch.manual_seed(self.seed)
        self.keys = KeyNumbers.of(train_sequences)
        self.network = Network(len(self.keys), self.settings).to(DEVICE)
        return learn_windows(
            self.network,
            self._windows(train_sequences),
            self._windows(validation),
            self.settings,
            self.seed,
            checkpoints,
            belongs_to=f"{self.method} with {len(self.keys)} keys, {self.keys.keys[0]} to {self.keys.keys[-1]}",
        )

    def _windows(self, sequences: Sequences) -> WeightedWindows:
        different, counts = weigh(sequences)
        return make_windows(self.keys, different, self.settings.history).weighted(counts)

    def score(self, sequences: Sequences) -> pl.DataFrame:
        """One row a sequence, in order; columns as in `judging.summarize`. Each distinct window is read once."""
        different, rows = distinct(sequences)
        windows = make_windows(self.keys, different, self.settings.history)
        return judge_windows(self.network, windows, len(self.keys) + 2)[rows]

    def save(self, folder: Path) -> None:
        """Weights (safetensors), keys and settings; written beside `folder` and renamed."""
        about = {"method": self.method, "seed": self.seed, "settings": asdict(self.settings)}
        disk.save(folder, about, self.keys, self.network.state_dict())

    @classmethod
    def load(cls, folder: Path, train_sequences: Sequences | None = None) -> "DeepLog":
        """A saved detector; raises BadInput as `disk.load`."""
        about, keys, weights = disk.load(folder, cls.method, train_sequences)
        detector = cls(about["seed"], settings=Settings(**about["settings"]))
        detector.keys, detector.network = keys, Network(len(keys), detector.settings).to(DEVICE)
        detector.network.load_state_dict(weights)
        return detector
