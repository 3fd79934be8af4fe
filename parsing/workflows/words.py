"""A log key for a job: its type, and how long it ran for one of its type; and the words of it."""

from dataclasses import dataclass

import polars as pl

CLASSES = ("shortest", "short", "usual", "long", "longest")  # fifths of the training runtimes of a type


@dataclass(frozen=True)
class RuntimeClasses:
    """Where the fifths of the training runtimes end, in seconds, by type; `of_all` is for types training never saw."""

    ends: dict[str, list[float]]
    of_all: list[float]

    @classmethod
    def of(cls, train: pl.DataFrame) -> "RuntimeClasses":
        """Return those of training jobs."""
        groups = train.group_by("type", maintain_order=True).agg("runtime")
        return cls({name: _fifths(values) for name, values in groups.iter_rows()}, _fifths(train["runtime"].to_list()))

    def keys(self, jobs: pl.DataFrame) -> pl.Series:
        """Return the key of each job, such as mDiffFit.long."""
        pairs = zip(jobs["type"].to_list(), jobs["runtime"].to_list(), strict=True)
        return pl.Series([f"{name}.{CLASSES[self._place(name, runtime)]}" for name, runtime in pairs], dtype=pl.String)

    def template(self, key: str) -> str:
        """Return the words of a key."""
        name, _, found = key.rpartition(".")
        ends, place = self.ends.get(name, self.of_all), CLASSES.index(found)
        bounds = {0: f"up to {ends[0]:,.0f} s", len(ends): f"over {ends[-1]:,.0f} s"}
        about = bounds.get(place) or f"{ends[place - 1]:,.0f} to {ends[place]:,.0f} s"
        return f"{name}, {found} runtime, {about}"

    def _place(self, name: str, runtime: float | None) -> int:
        return sum((runtime or 0.0) > end for end in self.ends.get(name, self.of_all))


def _fifths(values: list[float | None]) -> list[float]:
    known = pl.Series([value for value in values if value is not None] or [0.0])
    return [float(known.quantile(number / len(CLASSES), "linear") or 0.0) for number in range(1, len(CLASSES))]
