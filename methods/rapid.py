"""RAPID: how far a sequence is from the nearest normal ones, by the vectors of a frozen encoder; nothing is trained.

No et al., "Training-free retrieval-based log anomaly detection with pre-trained language model considering token-level
information" (Engineering Applications of Artificial Intelligence, 2024). Implemented: a sequence is the set of its
distinct messages; of the training normals the nearest few are a core set, by one vector of the whole sequence; the
score is the distance to the nearest of them, each part of the sequence matched with its best counterpart there. Not
implemented: word pieces as these parts. Here the parts are messages, so each distinct message is encoded once, and one
strange word is seen only as far as it turns the vector of its message.

Different on purpose: DSBA-Lab/RAPID (46b3174) takes the threshold of the best F1 on the test labels and judges single
lines of BGL and Thunderbird; here the threshold is calibrated on validation normals, and sequences are sequences.
"""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from core.data import Labeled
from core.keys import KeyNumbers, Sequences, distinct
from core.progress import progress
from methods.parts import disk
from methods.parts.choices import refuse_other_bases
from methods.parts.semantics import encode
from methods.words.encoders import encoder_identity, encoder_name, text_encoder

CORE_SHARE = 0.01  # of the distinct normals, as published
LEAST_CORE = 10  # ours: few distinct normals must not mean one or none


class RAPID:
    """Distance to the nearest normal sequences. `encoder` is a name or folder, None the offline one."""

    method = "rapid"
    reads, learns = "text", "normals"

    def __init__(
        self, encoder: str | None = None, seed: int = 0, *, templates: Mapping[str, str | None] | None = None
    ) -> None:
        """`seed` and `templates` are what every detector is offered; this one has no chance and gets texts."""
        self.encoder, self.seed, self.name = encoder, seed, encoder_name(encoder)

    def describe(self) -> dict:
        """Return the settings that a run keeps in its `config.json`."""
        return {"core_share": CORE_SHARE} | encoder_identity(self.encoder)

    @property
    def parameters(self) -> int:
        """Return how many numbers are kept: the vectors of the messages of training."""
        return self.vectors.size

    def fit(self, train_sequences: Sequences, validation: Sequences, checkpoints: Path) -> pl.DataFrame:
        """Encode the messages of training, each once; one row, `epoch` 0 and `seconds`."""
        started = time.perf_counter()
        self._keep(KeyNumbers.of(train_sequences), distinct([sorted(set(one)) for one in train_sequences])[0])
        return pl.DataFrame({"epoch": [0], "seconds": [time.perf_counter() - started]})

    def _keep(self, keys: KeyNumbers, normals: list[tuple[str, ...]]) -> None:
        self.keys = keys
        self._encoder = text_encoder(self.encoder, keys.keys)
        self.vectors = _unit(encode(self._encoder, keys.keys))
        self.normals = [keys.encode(one) for one in normals]
        self._means = _unit(np.array([self.vectors[one].mean(0) for one in self.normals]))

    def score(self, sequences: Sequences) -> pl.DataFrame:
        """Return `score`, 0 at a known sequence, one row a sequence, in order; a new message is read by its words."""
        different, rows = distinct([sorted(set(one)) for one in sequences])
        texts = sorted({text for one in different for text in one})
        numbers = {text: number for number, text in enumerate(texts)}
        vectors = _unit(encode(self._encoder, texts))
        cosines = vectors @ self.vectors.T  # (texts, training messages)
        shown = progress(different, len(different), "judging", "sequences")
        found = [self._distance([numbers[text] for text in one], vectors, cosines) for one in shown]
        return pl.DataFrame({"score": np.array(found)[rows], "has_unseen_key": False})

    def _distance(self, own: list[int], vectors: np.ndarray, cosines: np.ndarray) -> float:
        """Return the least, over the core set, of the mean distance of a message to its best counterpart."""
        nearness = self._means @ vectors[own].mean(0)
        size = min(len(self.normals), max(LEAST_CORE, round(CORE_SHARE * len(self.normals))))
        core = np.argpartition(-nearness, size - 1)[:size]
        return max(0.0, min(float(1 - cosines[np.ix_(own, self.normals[row])].max(1).mean()) for row in core))

    # ---------------------------------------------------------------------------------------------------------- disk

    def save(self, folder: Path) -> None:
        """Write the messages and which of them each distinct normal has, all or nothing."""
        bases = encoder_identity(self.encoder)
        about = {"method": self.method, "encoder": self.encoder, "seed": self.seed, "bases": bases}
        parts = {"keys": np.concatenate(self.normals), "ends": np.cumsum([*map(len, self.normals)])}
        disk.save(folder, about, self.keys, parts)

    @classmethod
    def load(cls, folder: Path, train: Sequences | Labeled | None = None) -> "RAPID":
        """Return a saved detector; raise BadInput as `disk.load` does, or if its encoder is another one here."""
        about, keys, arrays = disk.load(folder, cls.method, train)
        with disk.fitting(folder):
            detector = cls(about["encoder"], about["seed"])
            refuse_other_bases(folder, about["bases"], encoder_identity(about["encoder"]))
            names = np.array(keys.keys, dtype=object)[arrays["keys"]]
            detector._keep(keys, [tuple(one) for one in np.split(names, arrays["ends"][:-1])])
        return detector


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Return rows of length 1; zeros stay."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
