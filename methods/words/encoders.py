"""A vector for the words of a template: by a sentence encoder of any name, or by an offline default without torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from core.asked import short_name
from core.files import hash_files
from methods.parts.choices import CHECKPOINT_FILES, is_folder
from methods.parts.semantics import WordVectors

OFFLINE = "word-hash"  # the name of the encoder that needs no download
OFFLINE_SIZE = 384  # as wide as the smallest sentence encoders in use


class TextEncoder(Protocol):
    """What methods ask of an encoder; `encode` of parts/semantics.py brings its vectors to one length."""

    name: str
    identity: dict[str, str]  # what a run keeps of it: its name and, of a local folder, the hash of its files

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Return vectors (texts, d) of any length."""


def text_encoder(encoder: str | None, training_texts: Sequence[str]) -> TextEncoder:
    """Return the encoder of this name or folder, None for the offline one, which counts words in `training_texts`.

    Raise BadInput if it cannot be loaded.
    """
    if not encoder:
        return OfflineEncoder(training_texts)
    from methods.words.sentence_encoders import SentenceEncoder  # torch, which takes seconds

    return SentenceEncoder(encoder)


def encoder_name(encoder: str | None) -> str:
    """Return what names of methods call an encoder."""
    return short_name(encoder).rpartition("/")[2] if encoder else OFFLINE


class OfflineEncoder:
    """Directions by a hash of each word, rare words counting more; see parts/semantics.py."""

    name = OFFLINE

    def __init__(self, training_texts: Sequence[str]) -> None:
        self.identity = encoder_identity(None)
        self._vectors = WordVectors(sorted(set(training_texts)), OFFLINE_SIZE)

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Return vectors (texts, d)."""
        return self._vectors(texts)


def encoder_identity(checkpoint: str | None) -> dict[str, str]:
    """Return the name of an encoder and, of a local folder, the hash of its files."""
    about = {"encoder": short_name(checkpoint) if checkpoint else OFFLINE}
    if checkpoint and is_folder(checkpoint):
        files = [path for path in Path(checkpoint).iterdir() if path.suffix in CHECKPOINT_FILES]
        about["encoder_hash"] = hash_files(Path(checkpoint), files)
    return about
