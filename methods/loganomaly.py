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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from core.data import Labeled
from core.errors import BadInput
from core.keys import Sequences
from methods.parts import disk
from methods.parts.reading import WindowDetector
from methods.parts.semantics import Encoder, WordVectors, cosines, encode

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
        """`vectors` (V, d), the meanings of the keys, stay as they are; without them each key learns its own."""
        super().__init__()
        self.keys = keys
        if vectors is None:
            self.vectors = nn.Embedding(keys + 2, settings.embedding, padding_idx=keys + 1)  # never seen: zeros
        else:
            begin = torch.ones(1, vectors.shape[1])
            rows = torch.cat([vectors, begin, torch.zeros_like(begin)])  # (V + 2, d), the last for keys never seen
            self.vectors = nn.Embedding.from_pretrained(rows)
        self.sequential = nn.LSTM(self.vectors.embedding_dim, settings.width, settings.layers, batch_first=True)
        self.quantitative = nn.LSTM(keys, settings.width, settings.layers, batch_first=True)
        self.output = nn.Linear(2 * settings.width, keys + 1)

    def forward(self, histories: Tensor) -> Tensor:
        """Return logits (rows, V + 1) of histories (rows, h)."""
        sequential = self.sequential(self.vectors(histories))[0][:, -1]  # (rows, width), as of the last key
        quantitative = self.quantitative(count_vectors(histories, self.keys))[0][:, -1]
        return self.output(torch.cat([sequential, quantitative], dim=-1))


def count_vectors(histories: Tensor, keys: int) -> Tensor:
    """Count each key in the window up to each step, (rows, h, V); the begin and keys never seen count nowhere."""
    return one_hot(histories, keys + 2)[..., :keys].cumsum(1).float()


class LogAnomaly(WindowDetector):
    """LogAnomaly. `fit`, then `score`; `save` and `load` give the same scores.

    A new key that `matches` a known one is read and judged as that one; any other is unseen. With a sentence encoder,
    which is no dependency of this project:
    `LogAnomaly(templates=templates, encoder=SentenceTransformer("all-MiniLM-L6-v2").encode)`.
    """

    method, name, settings_type = "loganomaly", "lstm", Settings
    network: Network

    def __init__(
        self,
        seed: int = 0,
        *,
        settings: Settings | None = None,
        templates: Mapping[str, str | None] | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        """`templates` of all keys, also of those that come later: more may be put into `templates` before scoring."""
        super().__init__(seed, settings=settings)
        self.encoder = encoder
        self.templates = {key: text for key, text in (templates or {}).items() if text}
        self.vectors = "learned" if not self.templates else "words" if encoder is None else "encoder"

    def describe(self) -> dict:
        """Return the settings that a run keeps in its `config.json`."""
        return super().describe() | {"vectors": self.vectors}

    def make_network(self) -> Network:
        """Return the untrained network; the vectors of known templates are in it."""
        vectors = None if self.vectors == "learned" else torch.from_numpy(self._encode(self._known_texts()))
        return Network(len(self.keys), self.settings, vectors)

    @property
    def _title(self) -> str:
        return f"{self.method} ({self.vectors})"

    # -------------------------------------------------------------------------------------------- what templates mean

    def _known_texts(self) -> list[str]:
        """Return the texts of the training keys, in order; a key that came without one is its own text."""
        return [self.templates.get(key, key) for key in self.keys.keys]

    def _encode(self, texts: list[str]) -> np.ndarray:
        return encode(self.encoder or WordVectors(self._known_texts(), self.settings.embedding), texts)

    def _known_vectors(self) -> np.ndarray:
        return self.network.vectors.weight[: len(self.keys)].detach().cpu().numpy()

    def matches(self, keys: Iterable[str]) -> dict[str, str]:
        """Return the known key that each new key is taken for, by its template; none for those that are like no other.

        Two templates are alike from a cosine of `settings.similarity` on.
        """
        new = sorted(key for key in set(keys).difference(self.keys.keys) if key in self.templates)
        if not new or self.vectors == "learned":
            return {}
        similarities = cosines(self._encode([self.templates[key] for key in new]), self._known_vectors())
        nearest = zip(new, similarities.argmax(1), similarities.max(1), strict=True)
        return {key: self.keys.keys[row] for key, row, cosine in nearest if cosine >= self.settings.similarity}

    def _read(self, sequences: Sequences) -> Sequences:
        matches = self.matches(key for sequence in sequences for key in sequence)
        return [[matches.get(key, key) for key in sequence] for sequence in sequences]

    # ---------------------------------------------------------------------------------------------------------- disk

    def _about(self) -> dict:
        return super()._about() | {"vectors": self.vectors, "templates": self.templates}

    @classmethod
    def load(
        cls, folder: Path, train: Sequences | Labeled | None = None, *, encoder: Encoder | None = None
    ) -> "LogAnomaly":
        """Return a saved detector; raise BadInput as `disk.load`, and if it was trained with another `encoder`."""
        about, keys, weights = disk.load(folder, cls.method, train)
        settings = disk.settings_of(about, Settings, Path(folder))
        with disk.fitting(folder):
            detector = cls(about["seed"], settings=settings, templates=about["templates"])
            detector.keys, detector.vectors = keys, about["vectors"]
            saved = None if detector.vectors == "learned" else torch.from_numpy(weights["vectors.weight"][: len(keys)])
            detector._restore(Network(len(keys), detector.settings, saved), weights)
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
