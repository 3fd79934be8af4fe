"""LogAnomaly: two LSTMs, one reads what the last log keys mean, one how many of each there were.

Meng et al., "LogAnomaly: Unsupervised Detection of Sequential and Quantitative Anomalies in Unstructured Logs" (IJCAI
2019). Implemented: a semantic vector for each template, an LSTM over the vectors of the last keys, a second one beside
it over their count vectors, one distribution over the next key from both, the rank of the true one, and the matching of
new templates to the nearest known one. Not implemented: template2Vec, word vectors trained with synonyms and antonyms,
which needs resources that are not at hand offline; templates are vectors of their hashed words (`parts/semantics.py`)
unless a sentence encoder is given.

Different on purpose: what is known of words comes from the templates of the training keys alone. Keys without templates
learn a vector of their own, and then nothing is matched. First events and the end of a session are judged, as in
`deeplog.py`, and distinct windows weighted by how often they occur. Published code (d0ng1ee/logdeep at 4c42beb,
HelenGuohx/logbert at e355d04) reads no template vectors, and one count vector as a series of V numbers; here the second
LSTM reads a count vector at each step, of the window up to that key.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from core.errors import BadInput
from methods.parts import disk
from methods.parts.keys import KeyNumbers, Sequences, distinct, weigh
from methods.parts.learning import DEVICE
from methods.parts.reading import WeightedWindows, judge_windows, learn_windows
from methods.parts.semantics import Encoder, WordVectors, cosines, encode
from methods.parts.windows import make_windows

SAME_ENCODER = 0.99  # cosine of a text's saved and new vector; less than 1 for another machine's rounding


@dataclass(frozen=True)
class Settings:
    """Layers and width as in d0ng1ee/logdeep, demo/loganomaly.py (4c42beb), and HelenGuohx/logbert (e355d04)."""

    history: int = 10  # logdeep; logbert reads 20, for little gain in validation loss at three times the time
    layers: int = 2
    width: int = 64
    embedding: int = 50  # numbers a key, without an encoder; logbert, HDFS/loganomaly.py
    similarity: float = 0.8  # ours: of 105 pairs of HDFS templates one is as alike; one more <*> leaves 0.98
    learning_rate: float = 5e-3  # ours, by validation loss on HDFS and BGL; 1e-3 in both
    batch_size: int = 64  # ours: distinct windows; logbert 128, logdeep 2,048, with every copy a row
    max_epochs: int = 30  # ours, so that BGL takes under three minutes on one core; logbert 200, logdeep 370
    patience: int = 8  # ours; logbert 10, logdeep none


class Network(nn.Module):
    """Two LSTMs over histories to logits over V + 1 choices, the keys and the end."""

    def __init__(self, keys: int, settings: Settings, vectors: Tensor | None = None) -> None:
        """`vectors` (V, d) say what the keys mean and stay as they are; without them each key learns its own."""
        super().__init__()
        self.keys = keys
        if vectors is None:
            self.vectors = nn.Embedding(keys + 2, settings.embedding, padding_idx=keys + 1)  # never seen: zeros
        else:
            begin = torch.ones(1, vectors.shape[1])
            self.vectors = nn.Embedding.from_pretrained(torch.cat([vectors, begin, torch.zeros_like(begin)]))
        self.sequential = nn.LSTM(self.vectors.embedding_dim, settings.width, settings.layers, batch_first=True)
        self.quantitative = nn.LSTM(keys, settings.width, settings.layers, batch_first=True)
        self.output = nn.Linear(2 * settings.width, keys + 1)

    def forward(self, histories: Tensor) -> Tensor:
        """Logits (rows, V + 1) of histories (rows, h)."""
        sequential = self.sequential(self.vectors(histories))[0][:, -1]
        quantitative = self.quantitative(count_vectors(histories, self.keys))[0][:, -1]
        return self.output(torch.cat([sequential, quantitative], dim=-1))


def count_vectors(histories: Tensor, keys: int) -> Tensor:
    """How often each key came in the window up to each step, (rows, h, V); what is no known key counts nowhere."""
    return one_hot(histories, keys + 2)[..., :keys].cumsum(1).float()


class LogAnomaly:
    """LogAnomaly. `fit`, then `score`; `save` and `load` give the same scores.

    With a sentence encoder, which is no dependency of this project:
    `LogAnomaly(templates=templates, encoder=SentenceTransformer("all-MiniLM-L6-v2").encode)`.
    """

    method, name = "loganomaly", "lstm"

    def __init__(
        self,
        seed: int = 0,
        *,
        settings: Settings | None = None,
        templates: Mapping[str, str | None] | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        """`templates` of all keys, also of those that come later: more may be put into `templates` before scoring."""
        self.seed, self.settings, self.encoder = seed, settings or Settings(), encoder
        self.templates = {key: text for key, text in (templates or {}).items() if text}
        self.vectors = "learned" if not self.templates else "words" if encoder is None else "encoder"

    def describe(self) -> dict:
        """The settings that a run keeps in its `config.json`."""
        return asdict(self.settings) | {"vectors": self.vectors}

    @property
    def parameters(self) -> int:
        """How many weights are learned."""
        return sum(weights.numel() for weights in self.network.parameters() if weights.requires_grad)

    def fit(self, train_sequences: Sequences, validation: Sequences, checkpoints: Path) -> pl.DataFrame:
        """Learn the training split, the best epoch on `validation` kept; columns as in `learning.learn`."""
        torch.manual_seed(self.seed)
        self.keys = KeyNumbers.of(train_sequences)
        vectors = None if self.vectors == "learned" else torch.from_numpy(self._encode(self._known_texts()))
        self.network = Network(len(self.keys), self.settings, vectors).to(DEVICE)
        return learn_windows(
            self.network,
            self._windows(train_sequences),
            self._windows(validation),
            self.settings,
            self.seed,
            checkpoints,
            belongs_to=f"{self.method} ({self.vectors}) with {len(self.keys)} keys, {self.keys.keys[0]} to "
            f"{self.keys.keys[-1]}",
        )

    def _known_texts(self) -> list[str]:
        """The texts of the training keys, in order; a key that came without one is its own text."""
        return [self.templates.get(key, key) for key in self.keys.keys]

    def _encode(self, texts: list[str]) -> np.ndarray:
        return encode(self.encoder or WordVectors(self._known_texts(), self.settings.embedding), texts)

    def _known_vectors(self) -> np.ndarray:
        return self.network.vectors.weight[: len(self.keys)].detach().cpu().numpy()

    def matches(self, keys: Iterable[str]) -> dict[str, str]:
        """The known key that each new key is taken for, by its template; without those that are like none."""
        new = sorted(key for key in set(keys).difference(self.keys.keys) if key in self.templates)
        if not new or self.vectors == "learned":
            return {}
        similarities = cosines(self._encode([self.templates[key] for key in new]), self._known_vectors())
        nearest = zip(new, similarities.argmax(1), similarities.max(1), strict=True)
        return {key: self.keys.keys[row] for key, row, cosine in nearest if cosine >= self.settings.similarity}

    def _matched(self, sequences: Sequences) -> list[list[str]]:
        matches = self.matches(key for sequence in sequences for key in sequence)
        return [[matches.get(key, key) for key in sequence] for sequence in sequences]

    def _windows(self, sequences: Sequences) -> WeightedWindows:
        different, counts = weigh(self._matched(sequences))
        return make_windows(self.keys, different, self.settings.history).weighted(counts)

    def score(self, sequences: Sequences) -> pl.DataFrame:
        """One row a sequence, in order; columns as in `judging.summarize`. Each distinct window is read once.

        A new key that `matches` a known one is read and judged as that one; any other is unseen.
        """
        different, rows = distinct(self._matched(sequences))
        windows = make_windows(self.keys, different, self.settings.history)
        return judge_windows(self.network, windows, len(self.keys) + 2)[rows]

    def save(self, folder: Path) -> None:
        """Weights and vectors (safetensors), keys, templates and settings; written beside `folder` and renamed."""
        about = {"method": self.method, "seed": self.seed, "settings": asdict(self.settings)}
        about |= {"vectors": self.vectors, "templates": self.templates}
        disk.save(folder, about, self.keys, self.network.state_dict())

    @classmethod
    def load(
        cls, folder: Path, train_sequences: Sequences | None = None, *, encoder: Encoder | None = None
    ) -> "LogAnomaly":
        """A saved detector; raises BadInput as `disk.load`, and if `encoder` is not the one it was trained with."""
        about, keys, weights = disk.load(folder, cls.method, train_sequences)
        detector = cls(about["seed"], settings=Settings(**about["settings"]), templates=about["templates"])
        detector.keys, detector.vectors = keys, about["vectors"]
        vectors = None if detector.vectors == "learned" else weights["vectors.weight"][: len(keys)]
        detector.network = Network(len(keys), detector.settings, vectors).to(DEVICE)
        detector.network.load_state_dict(weights)
        if detector.vectors == "encoder":
            detector.encoder = encoder
            detector._check_encoder(Path(folder))
        return detector

    def _check_encoder(self, folder: Path) -> None:
        """Refuse one that is missing or gives other vectors: it would match new templates to any key."""
        told = f"{folder.as_posix()} was trained with a sentence encoder; give it to `load` with encoder=..."
        if self.encoder is None:
            raise BadInput(f"{told}.")
        saved, now = self._known_vectors(), self._encode(self._known_texts())
        if saved.shape != now.shape or (cosines(now, saved).diagonal() < SAME_ENCODER)[saved.any(axis=1)].any():
            raise BadInput(f"{told}, and not another one, whose vectors differ.")
