"""Which sequences are trained on, calibrated on and tested on."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from errors import BadInput
from parsing.specs import SplitSettings


@dataclass(frozen=True)
class Split:
    """The split of every sequence, in order, and what a person must know of how it came about."""

    names: pl.Series
    protocol: dict


def split_normals(labels: pl.Series, settings: SplitSettings, seed: int) -> Split:
    """The papers' split: normals shuffled, the first `train_normals` to train, the last fifth of those to validate.

    Everything else, and every anomaly, is test. With no more normals than asked for, half of them are taken, so that
    the test keeps normals too; the notes say so.
    """
    normals = np.flatnonzero(labels.to_numpy() == 0)
    notes = []
    wanted = settings.train_normals
    if len(normals) <= wanted:
        wanted = len(normals) // 2
        notes.append(
            f"{settings.train_normals:,} normal sequences were asked for, but there are {len(normals):,}: "
            f"half of them, {wanted:,}, are used to train and validate."
        )
    validation = round(wanted * settings.validation_share)
    if wanted - validation < 1 or validation < 1:
        raise BadInput(
            f"{len(normals):,} normal sequences leave {wanted - validation:,} to train on and {validation:,} to "
            f"validate on; give a longer log, or another size with --train-normals."
        )
    if not (labels == 1).any():
        notes.append("No sequence is labeled anomalous: the test can show false alarms and a ranking, but no F1.")
    names = np.full(len(labels), "test", dtype=object)
    chosen = np.random.default_rng(seed).permutation(normals)[:wanted]
    names[chosen[: wanted - validation]] = "train"
    names[chosen[wanted - validation :]] = "validation"
    protocol = {
        "rule": "normals shuffled: first ones train, the last of those validate; the rest and all anomalies test",
        "asked_normals": settings.train_normals,
        "used_normals": wanted,
        "validation_share": settings.validation_share,
        "notes": notes,
    }
    return Split(pl.Series("split", names, dtype=pl.String), protocol)
