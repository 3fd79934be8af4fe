"""Detectors that learn from labels whose one network reads a whole sequence and says of which class it is."""

from collections.abc import Iterator, Sequence, Sized
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from core.data import Labeled
from core.keys import Sequences, distinct
from core.progress import progress
from methods.parts import disk
from methods.parts.choices import refuse_other_bases
from methods.parts.labels import check_both_classes, judged, weigh_labeled
from methods.parts.learning import DEVICE, draw
from methods.parts.networks import NetworkDetector
from methods.parts.semantics import encode
from methods.words.encoders import encoder_identity, encoder_name, text_encoder

POSITIONS_AT_ONCE = 16_384  # of a batch that is judged, with padding; bounds memory


class SequenceClassifier(NetworkDetector):
    """A network from vectors (rows, L, d) and a mask (rows, L), 1 where there is an event, to logits (rows,).

    Its settings also have `batch_size`. A subclass gives `look_up`. Distinct pairs of sequence and label are weighted
    by how often they occur, and each distinct sequence is judged once.
    """

    learns = "labels"

    def look_up(self, sequences: Sequences) -> tuple[list[np.ndarray], Tensor]:
        """Return the sequences as numbers, and the vectors (numbers, d) that they stand for."""
        raise NotImplementedError

    def fit(self, train: Labeled, validation: Labeled, checkpoints: Path) -> pl.DataFrame:
        """Learn training, keep the epoch of lowest loss on validation labels; a frame as `learning.learn` gives.

        Losses are cross entropies, nats a sequence.
        """
        check_both_classes(train)
        self._begin(train.sequences)
        sequences, labels, weights = weigh_labeled(train)
        numbers, targets = self.look_up(sequences)[0], torch.from_numpy(labels).float().to(DEVICE)
        counts = torch.from_numpy(weights).float().to(DEVICE)
        seen, *expected = weigh_labeled(validation)
        true, seen_counts = (torch.from_numpy(part).float().to(DEVICE) for part in expected)

        def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
            rows, drawn = batch
            logits = self._logits([numbers[row] for row in rows.tolist()], self.look_up([])[1])
            each = binary_cross_entropy_with_logits(logits, targets[rows], reduction="none")
            return (each * drawn).sum() / len(rows)

        def validate() -> float:
            signed = torch.from_numpy(self._judge(seen)).to(DEVICE) * (1 - 2 * true)
            return float((softplus(signed) * seen_counts).sum() / seen_counts.sum())

        return self._learn(lambda: draw(counts, self.settings.batch_size), loss, validate, checkpoints)

    def _logits(self, numbers: Sequence[np.ndarray], table: Tensor) -> Tensor:
        longest = max(map(len, numbers))
        padded = torch.from_numpy(np.stack([np.pad(own, (0, longest - len(own))) for own in numbers])).to(table.device)
        lengths = torch.tensor([*map(len, numbers)], device=table.device)
        mask = (torch.arange(longest, device=table.device) < lengths[:, None]).to(table.dtype)  # (rows, L)
        return self.network(table[padded] * mask[..., None], mask)

    @torch.no_grad()
    def _judge(self, sequences: Sequences) -> np.ndarray:
        numbers, table = self.look_up(sequences)
        found = np.empty(len(numbers), np.float64)
        batches = list(in_batches(numbers, POSITIONS_AT_ONCE))
        for rows in progress(batches, len(batches), "judging", "batches"):
            found[rows] = self._logits([numbers[row] for row in rows], table).cpu().numpy()
        return found

    def score(self, sequences: Sequences) -> pl.DataFrame:
        """Return `score` and `log_odds`, the network's logit, one row a sequence, in order."""
        self.network.eval()
        different, rows = distinct(sequences)
        return judged(self._judge(different)[rows], self.reads)


class MessageClassifier(SequenceClassifier):
    """One that reads the vectors of messages, by an encoder of any name, None for the offline one."""

    reads = "text"
    model: str  # the network's kind, in the name before the encoder's

    def __init__(self, encoder: str | None = None, seed: int = 0, **others: Any) -> None:
        """`others` are those of NetworkDetector."""
        super().__init__(seed, **others)
        self.encoder, self.name = encoder, f"{self.model}-{encoder_name(encoder)}"
        self._vectors: dict[str, np.ndarray] = {}

    def describe(self) -> dict:
        """Return the settings and which encoder reads the messages."""
        return asdict(self.settings) | encoder_identity(self.encoder)

    @property
    def _title(self) -> str:
        return f"{self.method}/{self.name}"

    def make_network(self) -> nn.Module:
        """Encode the messages of training, each once; return the network for vectors of that size."""
        self._encoder = text_encoder(self.encoder, self.keys.keys)
        self._vectors = dict(zip(self.keys.keys, encode(self._encoder, self.keys.keys), strict=True))
        self._known = torch.from_numpy(np.stack([self._vectors[text] for text in self.keys.keys])).to(DEVICE)
        return self.network_of(self._known.shape[1])

    def network_of(self, size: int) -> nn.Module:
        """Return the untrained network for vectors of this size."""
        raise NotImplementedError

    def look_up(self, sequences: Sequences) -> tuple[list[np.ndarray], Tensor]:
        """Return numbers of the training's messages, and of new ones above those; each is encoded once."""
        new = sorted({text for one in sequences for text in one} - set(self.keys.keys))
        lacking = [text for text in new if text not in self._vectors]
        if lacking:
            self._vectors |= dict(zip(lacking, encode(self._encoder, lacking), strict=True))
        if not new:
            return [self.keys.encode(one) for one in sequences], self._known
        numbers = {text: number for number, text in enumerate([*self.keys.keys, *new])}
        added = torch.from_numpy(np.stack([self._vectors[text] for text in new])).to(DEVICE)
        return [np.array([numbers[text] for text in one]) for one in sequences], torch.cat([self._known, added])

    def _about(self) -> dict:
        return super()._about() | {"encoder": self.encoder, "bases": encoder_identity(self.encoder)}

    @classmethod
    def load(cls, folder: Path, train: Sequences | Labeled | None = None) -> Self:
        """Return a saved detector; raise BadInput as `disk.load` does, or if its encoder is another one here."""
        about, keys, weights = disk.load(folder, cls.method, train)
        settings: Any = disk.settings_of(about, cls.settings_type, Path(folder))
        with disk.fitting(folder):
            detector = cls(about["encoder"], about["seed"], settings=settings)
            refuse_other_bases(folder, about["bases"], encoder_identity(about["encoder"]))
            detector.keys = keys
            detector._restore(detector.make_network(), weights)
        return detector


def in_batches(sequences: Sequence[Sized], budget: int, beside: int = 0) -> Iterator[np.ndarray]:
    """Yield row numbers of sequences of like length, at most `budget` positions, each with `beside` more of its own."""
    order = np.argsort([*map(len, sequences)], kind="stable")
    batch: list[int] = []
    for row in order:
        if batch and (len(sequences[row]) + beside) * (len(batch) + 1) > budget:
            yield np.array(batch)
            batch = []
        batch.append(int(row))
    if batch:
        yield np.array(batch)
