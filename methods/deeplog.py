"""DeepLog: an LSTM reads the last ten log keys and says which comes next.

Du, Li, Zheng and Srikumar, "DeepLog: Anomaly Detection and Diagnosis from System Logs through Deep Learning" (CCS
2017). Implemented: the log-key model, one-hot keys through a stacked LSTM to a distribution over the next key, the rank
of the true one (their top g). Not implemented: the model of parameter values, because a key sequence has none, the
workflow construction, and the updates by feedback.

Different on purpose: a history that reaches back before the begin of a session is filled up, so its first events are
judged, too, and the end of a session is an event like any other (the public code fills short sessions up with a key
that never occurs, which flags each of them). Distinct windows are weighted by how often they occur. Training and
scoring are those of every detector that reads such windows (`parts/reading.py`).
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import one_hot

from methods.parts.reading import WindowDetector


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
        """Return logits (rows, V + 1) of histories (rows, h)."""
        inputs = one_hot(histories, self.inputs + 1)[..., :-1].float()  # (rows, h, V + 1)
        return self.output(self.lstm(inputs)[0][:, -1])


class DeepLog(WindowDetector):
    """DeepLog's log-key model. `fit`, then `score`; `save` and `load` give the same scores."""

    method, name, settings_type = "deeplog", "lstm", Settings

    def make_network(self) -> Network:
        """Return the untrained network for `keys` and `settings`."""
        return Network(len(self.keys), self.settings)
