"""What the words of templates that come new say, beside those of the templates that training had: fault_scores.parquet.

A reader of faults.py rates each new template, and the nearest known one is named with it. What stands near no known
template counts a little more than what does: `NOVELTY` times one minus their similarity is added. At 0.1 that cost
nothing on the levels of four other systems (Apache, Hadoop, OpenStack, HDFS; 0.25 did), and it parts what reads alike.

Which score is high is said without any label: each known template is rated as if it were new, beside all the others.
They came new once, as those of the test do, and turned out to be normal.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import polars as pl

from core.new_keys import FAULTS
from methods.parts.semantics import Encoder, split_words
from methods.words.encoders import text_encoder
from methods.words.faults import Anchors, FaultWords
from methods.words.matching import Similarity, by_encoder, tfidf

NOVELTY = 0.1  # what a template is worth that is like none of the known ones


class Faults(Protocol):
    """What rates texts: higher for more like a fault."""

    name: str

    def __call__(self, texts: Sequence[str], /) -> np.ndarray:
        """Return scores (n,)."""


def parts_of(encoder: str | None) -> tuple[Faults, Similarity]:
    """Return what rates texts, and what compares them: by an encoder of this name or folder, None for lists of words.

    Raise BadInput if it cannot be loaded.
    """
    if not encoder:
        return FaultWords(), tfidf
    remembered = Remembered(text_encoder(encoder, []))
    return Anchors(remembered, encoder), by_encoder(remembered)


class Remembered:
    """An encoder that encodes each distinct text once."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._vectors: dict[str, np.ndarray] = {}

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Return vectors (texts, d), those of the encoder."""
        if missing := [text for text in dict.fromkeys(texts) if text not in self._vectors]:
            self._vectors |= dict(zip(missing, self._encoder(missing), strict=True))
        return np.array([self._vectors[text] for text in texts])


def rate(reader: Faults, similarity: Similarity, known: Mapping[str, str], new: Mapping[str, str]) -> pl.DataFrame:
    """Return one row a template, columns of `FAULTS`: the known ones, each beside the others, then the new ones.

    `known` are templates by key that training has as normal, `new` those to be rated; one without any word is not.
    """
    new = {key: text for key, text in new.items() if any(word != "<*>" for word in split_words(text))}
    old = list(known.values())
    of_known = similarity(old, old) if len(old) > 1 else np.zeros((len(old), len(old)))
    np.fill_diagonal(of_known, -1.0)  # below every similarity: none is its own neighbor
    of_new = similarity(list(new.values()), old) if old and new else np.zeros((len(new), len(old)))
    parts = [(known, of_known, True), (new, of_new, False)]
    return pl.concat(_rated(reader, texts, alike, known, is_known) for texts, alike, is_known in parts)


def _rated(
    reader: Faults, texts: Mapping[str, str], alike: np.ndarray, known: Mapping[str, str], is_known: bool
) -> pl.DataFrame:
    """Return the rows of templates that are `alike` (n, known) to the known ones."""
    if not texts:
        return pl.DataFrame(schema=FAULTS)
    old, closest = list(known), np.clip(alike.max(1, initial=0.0), 0, 1)
    neighbors = [old[row.argmax()] if row.max(initial=-1.0) > -1 else None for row in alike]
    rows = {
        "key": list(texts),
        "template": list(texts.values()),
        "is_known": [is_known] * len(texts),
        "fault_score": reader(list(texts.values())) + NOVELTY * (1 - closest),
        "nearest_key": neighbors,
        "nearest_template": [known[key] if key else None for key in neighbors],
        "similarity": closest,
    }
    return pl.DataFrame(rows, schema=FAULTS)
