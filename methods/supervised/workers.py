"""A worker judged by all of its jobs: boosting of jobs, summed up for each worker, and boosting of that.

The label is the worker's: it was throttled, or not, for the whole of a run. So log-odds of single jobs, and how each
number of a job stands beside the median of its type in the run, are summed up for each worker (mean, least, most), and
a second model learns workers from these. The log-odds that it learns from are those of models that had not seen the
run (stacking, Wolpert 1992; folds of whole runs), as in use they are of runs that nobody labeled.

Both have also learned workers of which only the first jobs were known, so that either may be asked after any job.

- `boosting`: jobs stand beside all jobs of the run, those to come as well: for a run that has ended.
- `boosting-early`: jobs stand beside those that had ended by then: for a run that is going on.
"""

import numpy as np
from sklearn.model_selection import GroupKFold

from core.errors import BadInput
from core.jobs import IN_RUN, NUMBERS, OWN, SO_FAR
from methods.parts.boosting import Boosting
from methods.parts.jobs import JobDetector, Templates, Workers, lengths_of, stacked
from methods.supervised.jobs import TREES, with_types

WORKERS = ("boosting", "boosting-early")
FOLDS = 5
MODELS = 5  # of workers, each with other random columns; their log-odds are averaged
OF_WORKERS = {
    "max_iter": 300,
    "learning_rate": 0.03,
    "min_samples_leaf": 40,  # workers
    "max_features": 0.3,  # share of the columns that a split of a tree chooses among
    "early_stopping": False,
}
PREFIXES = (1, 2, 3, 5)  # jobs after which each worker is learned, beside all of them


class WorkerBoosting(JobDetector):
    """One of `WORKERS`. `fit`, then `score`; `save` and `load` give the same scores."""

    method = "workers"

    def __init__(self, model: str, seed: int = 0, *, templates: Templates | None = None) -> None:
        """`templates` is what every detector is offered; these read jobs alone."""
        if model not in WORKERS:
            raise BadInput(f"There is no detector of workers {model!r}; take one of {', '.join(WORKERS)}.")
        self.name, self.seed = model, seed
        seen = (*OWN, *(SO_FAR if model == "boosting-early" else IN_RUN))
        self._seen = [NUMBERS.index(name) for name in seen]

    @classmethod
    def make(cls, name: str, seed: int) -> "WorkerBoosting":
        """Return the untrained detector of a saved name."""
        return cls(name, seed)

    def describe(self) -> dict:
        """Return the settings that a run keeps in its `config.json`."""
        return {"jobs": TREES, "workers": OF_WORKERS, "folds": FOLDS, "models": MODELS, "prefixes": list(PREFIXES)}

    def _learn(self, workers: Workers, labels: np.ndarray) -> int:
        lengths = lengths_of(workers)
        numbers, targets = self._numbers(workers), np.repeat(labels, lengths)
        log_odds = np.empty(len(targets))
        for rest, held_out in _folds(workers, lengths):
            log_odds[held_out] = self._of_jobs().fit(numbers[rest], targets[rest]).log_odds(numbers[held_out])
        self.trees["jobs"] = self._of_jobs().fit(numbers, targets)
        known = [self._summaries(workers, log_odds)]
        known += [self._summaries(*_first(workers, log_odds, jobs)) for jobs in PREFIXES]
        rows, answers = np.concatenate(known), np.tile(labels, len(known))
        for number in range(MODELS):
            model = Boosting(OF_WORKERS, self.seed * MODELS + number).fit(rows, answers)
            self.trees[f"workers{number}"] = model
        return sum(model.size for model in self.trees.values())

    def _of_jobs(self) -> Boosting:
        return Boosting(TREES, self.seed, typed=True)

    def _numbers(self, workers: Workers) -> np.ndarray:
        return with_types(self.types, workers, stacked(workers)[:, self._seen])

    def log_odds_of_jobs(self, workers: Workers) -> np.ndarray:
        """Return the log-odds (jobs,) of each job by itself, those of a worker together."""
        return self.trees["jobs"].log_odds(self._numbers(workers))

    def _log_odds(self, workers: Workers) -> np.ndarray:
        rows = self._summaries(workers, self.log_odds_of_jobs(workers))
        return np.mean([model.log_odds(rows) for name, model in self.trees.items() if name != "jobs"], axis=0)

    def _summaries(self, workers: Workers, log_odds: np.ndarray) -> np.ndarray:
        """Return what is learned of each worker, (workers, columns).

        Of the log-odds of its jobs sum, least, most and mean; how many jobs it ran, and of each type; of each number,
        by itself and beside its median, mean, least and most, nan where no job has it.
        """
        lengths = lengths_of(workers)
        starts = np.cumsum(lengths) - lengths
        numbers = stacked(workers)[:, self._seen].astype(np.float64)  # (jobs, columns)
        known = ~np.isnan(numbers)
        counts = np.add.reduceat(known, starts, dtype=np.int64)
        sums = np.add.reduceat(np.where(known, numbers, 0.0), starts)
        of_jobs = [np.add.reduceat(log_odds, starts), np.minimum.reduceat(log_odds, starts)]
        of_jobs += [np.maximum.reduceat(log_odds, starts), of_jobs[0] / lengths, lengths]
        return np.column_stack(
            [
                *of_jobs,
                self.types.counts([list(worker) for worker in workers]),
                np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0),
                np.fmin.reduceat(numbers, starts),
                np.fmax.reduceat(numbers, starts),
            ]
        )


def _folds(workers: Workers, lengths: np.ndarray):
    """Yield rows of jobs to learn from and to hold out, whole runs together; one fold holds nothing out of few runs."""
    names = {run: number for number, run in enumerate(dict.fromkeys((one.workflow, one.run) for one in workers))}
    runs = np.repeat([names[one.workflow, one.run] for one in workers], lengths)
    if len(names) < 2:
        raise BadInput("Workers are learned from several runs, and training holds one alone; give more runs.")
    yield from GroupKFold(min(FOLDS, len(names))).split(runs, groups=runs)


def _first(workers: Workers, log_odds: np.ndarray, jobs: int) -> tuple[Workers, np.ndarray]:
    """Return the workers as known after their first `jobs` jobs, and the log-odds of these."""
    lengths = lengths_of(workers)
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return [worker.head(jobs) for worker in workers], log_odds[place < jobs]
