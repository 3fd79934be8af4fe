"""The numbers of a job as text, in five forms: what a language model is given in place of numbers.

- `published`: LLM_AD's sentence, values as Python prints them.
- `short`: short names, and values to three digits.
- `log`: short names, and 100 log10(1 + value) as a whole number.
- `bins`: short names, and a number from 0 to 99: its place among the hundredths of the training values, equal ones
  counted once.
- `bins of type`: the same among the training jobs of its type, which is named first.

Quantiles are those of training jobs. What was not measured is `nan` in the first and `none` in the others.
"""

from collections.abc import Callable

import numpy as np
import polars as pl

from core.errors import BadInput
from core.jobs import FEATURES, sentences

FORMS = ("published", "short", "log", "bins", "bins of type")
SHORT = {
    "wms_delay": "wms",
    "queue_delay": "queue",
    "runtime": "runtime",
    "post_script_delay": "post",
    "stage_in_delay": "in",
    "stage_out_delay": "out",
    "stage_in_bytes": "inbytes",
    "stage_out_bytes": "outbytes",
    "kickstart_executables_cpu_time": "cpu",
}
HUNDREDTHS = np.arange(1, 100) / 100


class JobTexts:
    """The texts of jobs in one form; quantiles are those of `train`, rows of jobs.parquet."""

    def __init__(self, form: str, train: pl.DataFrame) -> None:
        if form not in FORMS:
            raise BadInput(f"There is no text form {form!r}; choose one of {', '.join(FORMS)}.")
        self.form = form
        self._edges = {None: _edges(train)}
        if form == "bins of type":
            self._edges |= {name: _edges(own) for (name,), own in train.group_by("type", maintain_order=True)}

    def __call__(self, jobs: pl.DataFrame) -> list[str]:
        """Return the text of each job."""
        if self.form == "published":
            return sentences(jobs)
        if self.form == "bins of type":
            return self._by_type(jobs)
        shown: dict[str, Callable[[str], list[str]]] = {
            "short": lambda name: [_three_digits(value) for value in jobs[name].to_list()],
            "log": lambda name: _whole(100 * np.log10(1 + np.maximum(_values(jobs, name), 0.0))),
            "bins": lambda name: _whole(_places(_values(jobs, name), self._edges[None][name])),
        }
        return _sentences({name: shown[self.form](name) for name in FEATURES}, [""] * len(jobs))

    def _by_type(self, jobs: pl.DataFrame) -> list[str]:
        types = jobs["type"].to_list()
        columns = {}
        for name in FEATURES:
            values, found = _values(jobs, name), np.full(len(jobs), np.nan)
            for kind in dict.fromkeys(types):
                own = np.array([one == kind for one in types])
                found[own] = _places(values[own], self._edges.get(kind, self._edges[None])[name])
            columns[name] = _whole(found)
        return _sentences(columns, [f"{kind} " for kind in types])


def _sentences(columns: dict[str, list[str]], begins: list[str]) -> list[str]:
    rows = zip(*columns.values(), strict=True)
    names = [SHORT[name] for name in columns]
    return [
        begin + " ".join(f"{name} {value}" for name, value in zip(names, row, strict=True))
        for begin, row in zip(begins, rows, strict=True)
    ]


def _values(jobs: pl.DataFrame, name: str) -> np.ndarray:
    return jobs[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _edges(train: pl.DataFrame) -> dict[str, np.ndarray]:
    """Return the hundredths of the values of each number, none where no job has it."""
    found = {}
    for name in FEATURES:
        values = _values(train, name)
        known = values[~np.isnan(values)]
        found[name] = np.unique(np.quantile(known, HUNDREDTHS)) if len(known) else np.empty(0)
    return found


def _places(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return in which of the parts between the edges each value lies, of 100, nan where it is missing."""
    places = np.searchsorted(edges, values, side="left") * (99 / max(1, len(edges)))
    return np.where(np.isnan(values), np.nan, np.floor(places))


def _whole(values: np.ndarray) -> list[str]:
    return ["none" if np.isnan(value) else str(int(value)) for value in values]


def _three_digits(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}" if abs(value) < 1_000 else f"{float(f'{value:.3g}'):.0f}"
