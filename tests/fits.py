"""A detector that has learned a data folder, without a run folder."""

from core.data import Data
from runs import on_jobs, steps


def fitted(make: steps.Make, data: Data, seed: int = 0) -> steps.Detector:
    """The detector that `make` gives, trained on the labeled part of `data`."""
    detector = make(seed=seed, templates=data.templates)
    train, validation = (steps.learned(data, split, detector) for split in ("train", "validation"))
    return on_jobs.learned(detector, train, validation)
