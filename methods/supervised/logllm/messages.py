"""The distinct messages and their vectors: each is encoded once, or once a step where the encoder learns."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.keys import Sequences
from methods.parts.learning import DEVICE
from methods.parts.semantics import encode
from methods.supervised.logllm.batches import Messages
from methods.words.encoders import TextEncoder
from methods.words.sentence_encoders import ENCODED_AT_ONCE, encode_texts


class MessageVectors:
    """Texts by number, and a vector (d,) of each, of length sqrt(d); `published` leaves the pooler's as they are."""

    def __init__(self, texts: Sequence[str], published: bool) -> None:
        self.texts, self.published = list(texts), published
        self.numbers = {text: number for number, text in enumerate(self.texts)}
        self.table = torch.zeros(0)
        self.tokenizer: PreTrainedTokenizerBase | None = None
        self.model: PreTrainedModel | None = None  # only where it learns

    def number(self, sequences: Sequences) -> list[Messages]:
        """Return each sequence of known texts as numbers."""
        return [tuple(self.numbers[text] for text in texts) for texts in sequences]

    def fill(self, encoder: TextEncoder) -> None:
        """Encode every text by a frozen encoder."""
        self.table = frozen_vectors(encoder, self.texts, self.published).to(DEVICE)

    @torch.no_grad()
    def refill(self) -> None:
        """Encode every text by the encoder as it has learned so far."""
        parts = [self.texts[start : start + ENCODED_AT_ONCE] for start in range(0, len(self.texts), ENCODED_AT_ONCE)]
        self.table = torch.cat([self.learned_vectors(part) for part in parts])

    def learned_vectors(self, texts: list[str]) -> Tensor:
        """Return vectors (texts, d) by the encoder that learns, with their gradient."""
        assert self.tokenizer is not None and self.model is not None
        found = encode_texts(self.tokenizer, self.model, texts, self.published)
        return found if self.published else normalize(found, dim=1) * found.shape[1] ** 0.5

    def of(self, sequences: Sequence[Messages]) -> tuple[Tensor, list[Messages]]:
        """Return vectors and the sequences in their numbers; while the encoder learns, of these messages alone."""
        if self.model is None or not torch.is_grad_enabled() or not self.model.training:
            return self.table, list(sequences)
        shown = sorted({message for messages in sequences for message in messages})
        places = {message: place for place, message in enumerate(shown)}
        vectors = self.learned_vectors([self.texts[message] for message in shown])
        return vectors, [tuple(places[message] for message in messages) for messages in sequences]


def frozen_vectors(encoder: TextEncoder, texts: list[str], published: bool) -> Tensor:
    """Return vectors (texts, d), of length sqrt(d) unless `published`."""
    return torch.from_numpy(np.asarray(encoder(texts), np.float32) if published else encode(encoder, texts))


def nearest(vectors: Tensor, known: Tensor) -> Tensor:
    """Return the largest cosine (n,) of each of `vectors` (n, d) to those of `known` (M, d)."""
    return (normalize(vectors, dim=1) @ normalize(known, dim=1).T).max(1).values
