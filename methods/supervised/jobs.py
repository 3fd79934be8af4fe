"""Seven ways to judge a job by what was measured of it: the floors of every model of workflow jobs.

Each gives a job log-odds; a worker has the mean of its jobs. The first five see the nine numbers of the published
sentence and nothing else.

- `threshold`: one number above one value, the pair of highest F1 in training.
- `logistic`: logistic regression on each number's quantile, as a normal deviate.
- `neighbors`: the ten nearest jobs by quantiles.
- `boosting`: gradient boosting of histogram trees, after Ke et al. (NeurIPS 2017).
- `boosting-early`: the same, which has also learned jobs of which later numbers were not known yet, in the order of
  events (`core.jobs.STAGES`), so that it may be asked after any stage.
- `boosting-context`: boosting with what the sentence leaves out: the type of the job, counters of its process, rates,
  and each of these beside the median of its type in the run. Half of that is of other jobs: on a split of rows they
  are those of the test.
- `lookup`: no number at all: the label of another job of the same worker in the same run. It shows what a split of rows
  gives away, and knows nothing of a run that training did not have.
"""

from collections import defaultdict
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

from core.errors import BadInput
from core.jobs import FEATURES, IN_RUN, NUMBERS, OWN, STAGES
from core.keys import UNSEEN, KeyNumbers
from methods.parts.boosting import Boosting
from methods.parts.jobs import JobDetector, Templates, Workers, lengths_of, stacked
from methods.parts.labels import SUREST, to_log_odds

JOBS = ("threshold", "logistic", "neighbors", "boosting", "boosting-early", "boosting-context", "lookup")
NEIGHBORS = 10
THRESHOLDS = 200  # quantiles of a number that are tried
# By validation loss on both published splits (100 to 800 trees of 31, 63 or 127 leaves were tried); the rest is
# scikit-learn's default. Stopping early on a tenth of the training, its default for this size, is a little worse.
TREES: dict[str, Any] = {"max_iter": 300, "max_leaf_nodes": 63, "early_stopping": False}
MISSING = {"logistic": 0.0, "neighbors": -0.5}  # where a job without a number stands among the quantiles
CONTEXT = (*OWN, *IN_RUN)


class Jobs(JobDetector):
    """One of `JOBS`. `fit`, then `score`; `save` and `load` give the same scores."""

    method = "jobs"

    def __init__(self, model: str, seed: int = 0, *, templates: Templates | None = None) -> None:
        """`templates` is what every detector is offered; these read jobs alone."""
        if model not in JOBS:
            raise BadInput(f"There is no classifier of jobs {model!r}; take one of {', '.join(JOBS)}.")
        self.name, self.seed = model, seed

    @classmethod
    def make(cls, name: str, seed: int) -> "Jobs":
        """Return the untrained detector of a saved name."""
        return cls(name, seed)

    def describe(self) -> dict:
        """Return the settings that a run keeps in its `config.json`."""
        own = {"neighbors": {"neighbors": NEIGHBORS}, "threshold": {"thresholds": THRESHOLDS}}
        return TREES if self.name.startswith("boosting") else own.get(self.name, {})

    def _learn(self, workers: Workers, labels: np.ndarray) -> int:
        targets = np.repeat(labels, lengths_of(workers))
        if self.name == "lookup":
            return self._remember(workers, labels)
        numbers = self._numbers(workers)
        if self.name == "threshold":
            self._rule = best_threshold(numbers, targets)
            return 1
        if self.name == "boosting-early":
            numbers = np.concatenate([until(stage, numbers) for stage in STAGES])
            targets = np.tile(targets, len(STAGES))
        if self.name.startswith("boosting"):
            typed = self.name == "boosting-context"
            self.trees["jobs"] = Boosting(TREES, self.seed, typed=typed).fit(numbers, targets)
            return self.trees["jobs"].size
        self._model = self._classifier().fit(numbers, targets)
        return numbers.size if self.name == "neighbors" else self._model[-1].coef_.size + 1

    def _numbers(self, workers: Workers) -> np.ndarray:
        """Return what the model sees of each job, (jobs, columns)."""
        numbers = stacked(workers)
        if self.name != "boosting-context":
            return numbers[:, [NUMBERS.index(name) for name in FEATURES]]
        return with_types(self.types, workers, numbers[:, [NUMBERS.index(name) for name in CONTEXT]])

    def _classifier(self):
        if self.name == "logistic":
            return make_pipeline(
                _Quantiles("normal", MISSING["logistic"], self.seed), LogisticRegression(max_iter=1_000)
            )
        return make_pipeline(_Quantiles("uniform", MISSING["neighbors"], self.seed), KNeighborsClassifier(NEIGHBORS))

    def _remember(self, workers: Workers, labels: np.ndarray) -> int:
        seen: dict[tuple, list[int]] = defaultdict(list)
        for worker, label in zip(workers, labels.tolist(), strict=True):
            seen[worker.workflow, worker.run, worker.name].append(label)
        self._known = {name: SUREST if np.mean(found) > 0.5 else -SUREST for name, found in seen.items()}
        share = float(np.mean(np.repeat(labels, lengths_of(workers))))
        self._unknown = float(to_log_odds(np.array(share)))
        return len(self._known)

    def log_odds_of_jobs(self, workers: Workers) -> np.ndarray:
        """Return the log-odds (jobs,) of each job; of `threshold` how far above it the number is, by its scale."""
        if self.name == "lookup":
            found = [self._known.get((one.workflow, one.run, one.name), self._unknown) for one in workers]
            return np.repeat(found, lengths_of(workers))
        numbers = self._numbers(workers)
        if self.name == "threshold":
            return self._rule.above(numbers)
        if self.trees:
            return self.trees["jobs"].log_odds(numbers)
        return to_log_odds(self._model.predict_proba(numbers)[:, 1])

    def log_odds_after(self, stage: str, workers: Workers) -> np.ndarray:
        """Return the log-odds (jobs,) of each job as it was known after a stage; of `boosting-early` alone."""
        return self.trees["jobs"].log_odds(until(stage, self._numbers(workers)))


def until(stage: str, numbers: np.ndarray) -> np.ndarray:
    """Return the nine numbers (jobs, 9) of jobs with nan for those that are known after this stage alone."""
    stages = list(STAGES)
    later = {name for one in stages[stages.index(stage) + 1 :] for name in STAGES[one]}
    return np.where([name in later for name in FEATURES], np.nan, numbers)


def with_types(types: KeyNumbers, workers: Workers, numbers: np.ndarray) -> np.ndarray:
    """Return the numbers with the number of each job's type as a first column, nan for one that training never saw."""
    codes = np.concatenate([types.encode(list(worker)) for worker in workers]).astype(np.float64)
    return np.column_stack([np.where(codes == UNSEEN, np.nan, codes), numbers])


class _Rule:
    """One column above one value."""

    def __init__(self, column: int, value: float, scale: float) -> None:
        self.column, self.value, self.scale = column, value, scale

    def above(self, numbers: np.ndarray) -> np.ndarray:
        """Return how far above the value each row is, in scales; a row without the number is far below."""
        distance = (numbers[:, self.column].astype(np.float64) - self.value) / self.scale
        return np.clip(np.nan_to_num(distance, nan=-SUREST), -SUREST, SUREST)


def best_threshold(numbers: np.ndarray, labels: np.ndarray) -> _Rule:
    """Return the column and the value above which flagging has the highest F1."""
    best, anomalies = (-1.0, _Rule(0, 0.0, 1.0)), (labels == 1).sum()
    for column in range(numbers.shape[1]):
        own = numbers[:, column].astype(np.float64)
        known = own[~np.isnan(own)]
        if not len(known):
            continue
        values = np.unique(np.quantile(known, np.linspace(0, 1, THRESHOLDS)))
        spread = float(np.subtract(*np.quantile(known, [0.75, 0.25]))) or 1.0
        for value in values:
            flags = own > value
            f1 = 2 * (labels[flags] == 1).sum() / max(1, flags.sum() + anomalies)
            if f1 > best[0]:
                best = (f1, _Rule(column, float(value), spread))
    return best[1]


class _Quantiles(QuantileTransformer):
    """Quantiles of the training values; a missing number has a place of its own."""

    def __init__(self, shape: str = "uniform", missing: float = 0.0, seed: int = 0) -> None:
        super().__init__(output_distribution=shape, random_state=seed)
        self.shape, self.missing, self.seed = shape, missing, seed

    def fit(self, numbers: np.ndarray, labels: np.ndarray | None = None) -> "_Quantiles":
        """Learn the quantiles, of few jobs as many as there are."""
        self.n_quantiles = min(1_000, len(numbers))
        return super().fit(numbers)

    def transform(self, numbers: np.ndarray) -> np.ndarray:
        """Return the quantiles (rows, columns)."""
        return np.nan_to_num(super().transform(numbers), nan=self.missing)

    def fit_transform(self, numbers: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Fit, then return the quantiles."""
        return self.fit(numbers).transform(numbers)
