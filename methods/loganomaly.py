from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from errors import BadInput
from methods.parts import disk
from methods.parts.judging import judge, summarize
from methods.parts.keys import KeyNumbers, Sequences, distinct, weigh
from methods.parts.learning import DEVICE, draw, learn
from methods.parts.semantics import Encoder, WordVectors, unit_vectors
from methods.parts.windows import make_windows

READ_AT_ONCE = 4_096


@dataclass(frozen=True)
class Settings:
    history: int = 20
    layers: int = 2
    width: int = 64
    embedding: int = 50
    similarity: float = 0.8
    learning_rate: float = 5e-3
    batch_size: int = 64
    max_epochs: int = 40
    patience: int = 8
    cscale: float = 1.0
    vscale: float = 1.0
    filt: bool = False


class Network(nn.Module):
    def __init__(self, keys: int, vectors: nn.Embedding, settings: Settings) -> None:
        super().__init__()
        self.s = settings
        self.keys, self.vectors = keys, vectors
        self.sequential = nn.LSTM(vectors.embedding_dim, settings.width, settings.layers, batch_first=True)
        self.quantitative = nn.LSTM(keys, settings.width, settings.layers, batch_first=True)
        self.output = nn.Linear(2 * settings.width, keys + 1)

    def forward(self, histories: Tensor) -> Tensor:
        meaning = self.sequential(self.vectors(histories) * self.s.vscale)[0][:, -1]
        amount = self.quantitative(count_vectors(histories, self.keys) * self.s.cscale)[0][:, -1]
        return self.output(torch.cat([meaning, amount], dim=-1))


def count_vectors(histories: Tensor, keys: int) -> Tensor:
    return one_hot(histories, keys + 2)[..., :keys].cumsum(1).float()


class LogAnomaly:
    method, name = "loganomaly", "lstm"

    def __init__(self, seed=0, *, settings=None, templates=None, encoder: Encoder | None = None):
        self.seed, self.settings, self.encoder = seed, settings or Settings(), encoder
        self.templates = {key: text for key, text in (templates or {}).items() if text}

    @property
    def parameters(self) -> int:
        return sum(weights.numel() for weights in self.network.parameters() if weights.requires_grad)

    def fit(self, train_sequences, validation, checkpoints):
        torch.manual_seed(self.seed)
        self.keys = KeyNumbers.of(train_sequences)
        n = len(self.keys)
        if any(k in self.templates for k in self.keys.keys):
            texts = [self.templates.get(key) or key for key in self.keys.keys]
            enc = self.encoder or WordVectors(texts, self.settings.embedding)
            v = unit_vectors(enc, texts)
            begin = np.ones((1, v.shape[1]), dtype=np.float32) / v.shape[1] ** .5
            emb = nn.Embedding.from_pretrained(torch.from_numpy(np.concatenate([v, begin, begin * 0])))
        else:
            emb = nn.Embedding(n + 2, self.settings.embedding, padding_idx=n + 1)
        self.network = Network(n, emb, self.settings).to(DEVICE)
        histories, targets, weights = self._tensors(train_sequences)
        print("rows", len(histories))
        validated = self._tensors(validation)

        def loss(batch):
            rows, counts = batch
            return self._loss(histories[rows], targets[rows], counts) / len(rows)

        def validate():
            parts = zip(*(t.split(READ_AT_ONCE) for t in validated))
            return float(sum(self._loss(*p) for p in parts) / validated[2].sum())

        return learn(
            self.network, lambda: draw(weights, self.settings.batch_size), loss, validate,
            learning_rate=self.settings.learning_rate, max_epochs=self.settings.max_epochs, patience=self.settings.patience,
            seed=self.seed, checkpoints=checkpoints, belongs_to=f"{self.method} with {len(self.keys)} keys",
        )

    def _tensors(self, sequences):
        different, counts = weigh(sequences)
        windows = make_windows(self.keys, different, self.settings.history)
        return tuple(torch.from_numpy(part).to(DEVICE) for part in windows.weighted(counts))

    def _loss(self, histories, targets, weights):
        return (cross_entropy(self.network(histories), targets, reduction="none") * weights).sum()

    @torch.inference_mode()
    def score(self, sequences):
        self.network.eval()
        different, rows = distinct(sequences)
        windows = make_windows(self.keys, different, self.settings.history)
        histories, of_event = windows.distinct()
        print("distinct", len(histories), len(of_event))
        parts = torch.from_numpy(histories).split(READ_AT_ONCE)
        logits = torch.cat([self.network(part.to(DEVICE)).cpu() for part in parts])
        log_probabilities = torch.log_softmax(logits, dim=-1)
        unseen_rank = len(self.keys) + 2
        judged = judge(log_probabilities[torch.from_numpy(of_event)], torch.from_numpy(windows.targets), unseen_rank)
        return summarize(*(np.asarray(part) for part in judged), windows.ends, unseen_rank)[rows]
