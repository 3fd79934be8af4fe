"""Labeled sequences that many tests of methods that learn from labels share."""

from dataclasses import replace

import numpy as np

from core.data import Data, Labeled
from methods.supervised.logllm import RECIPES, Settings

WORDS = {
    "open": "Opening block <*>",
    "read": "Reading block <*>",
    "write": "Writing block <*> of size <*>",
    "lost": "Connection lost while serving block <*>",
    "close": "Closing block <*>",
}


def toy(reads: str = "text") -> Labeled:
    """60 sequences: every fifth loses its connection, and is anomalous."""
    keys = [["open", *["read"] * (row % 4), *["lost"] * (row % 5 == 0), "write", "close"] for row in range(60)]
    shown = [[WORDS[key] for key in one] for one in keys] if reads == "text" else keys
    return Labeled(shown, np.array([row % 5 == 0 for row in range(60)], dtype=np.int8))


def part(data: Data, split: str, reads: str) -> Labeled:
    """A split as a detector gets it."""
    found = data.labeled(split)
    return found._replace(sequences=data.texts(found.sequences)) if reads == "text" else found


def quick(*steps: int, recipe: str = "house", **wanted) -> Settings:
    """Settings with so many steps a stage."""
    settings = RECIPES[recipe]
    stages = tuple(replace(stage, steps=count) for stage, count in zip(settings.stages, steps, strict=True))
    return replace(settings, stages=stages, **wanted)
