"""Which jobs train, validate and test: whole runs, by the kind of their anomaly, or a whole workflow."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from core.errors import BadInput
from core.jobs import RUN
from parsing.workflows.specs import KINDS

TEST_SHARE = 0.2  # of the runs
VALIDATION_SHARE = 0.1  # of those that are left
TRAIN, VALIDATION, TEST = "train", "validation", "test"


def split_runs(jobs: pl.DataFrame, seed: int, tested: str | None = None) -> pl.Series:
    """Return the split of each job: of every kind of run the same share, drawn by `seed`.

    With `tested` all runs of that workflow test, and those of the others train and validate. Kinds of anomalies lie in
    blocks of run numbers, and so in time, so a split by either would test kinds that training never saw.
    """
    kinds = jobs.group_by(*RUN, maintain_order=True).agg(
        kind=pl.col("kind").filter(pl.col("label") == 1).first().fill_null(KINDS[0])
    )
    shown = kinds.filter(pl.col("workflow") != tested) if tested else kinds
    chance = np.random.default_rng(seed)
    chosen = dict(_drawn(shown.sort(*RUN), chance, 0.0 if tested else TEST_SHARE))
    parts = [chosen.get(run, TEST) for run in jobs.select(RUN).iter_rows()]
    split = pl.Series("split", parts, dtype=pl.String)
    _refuse_empty(jobs, split)
    return split


def _drawn(runs: pl.DataFrame, chance: np.random.Generator, tested: float) -> Iterator[tuple[tuple[str, int], str]]:
    """Yield (workflow, run) and its part; of two runs of a kind one trains and one tests, of one it trains."""
    for (_, _), group in runs.group_by("workflow", "kind", maintain_order=True):
        order = chance.permutation(len(group))
        test = max(int(tested > 0 and len(order) > 1), round(tested * len(order)))
        validation = max(int(len(order) - test > 1), round(VALIDATION_SHARE * (len(order) - test)))
        pairs = group.select(RUN).rows()
        for place, row in enumerate(order):
            yield pairs[row], TEST if place < test else VALIDATION if place < test + validation else TRAIN


def _refuse_empty(jobs: pl.DataFrame, split: pl.Series) -> None:
    for part in (TRAIN, VALIDATION, TEST):
        if not ((split == part) & (jobs["label"] == 0)).any():
            raise BadInput(
                f"Of {jobs.select(RUN).n_unique()} runs none leaves a normal worker for the {part} split; give "
                "more runs of the workflow."
            )
