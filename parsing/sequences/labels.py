"""Labels from a file: of sessions by their ids, of lines by their numbers, or of intervals of time."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeGuard

import numpy as np
import polars as pl

from core.errors import BadInput, printable
from core.logs import LogFile
from parsing.datasets import Spec
from parsing.lines.times import names_year
from parsing.sequences.label_table import read_table
from parsing.sequences.store import NO_LABEL


@dataclass(frozen=True)
class SessionLabels:
    """Labels of sessions by id; `others` is that of sessions that are not named, None if there may be none."""

    path: Path
    known: dict[str, int]
    others: int | None

    def of(self, ids: list[str], first_lines: np.ndarray) -> np.ndarray:
        """Return 1 (anomaly) or 0 (normal) for each session id; raise BadInput for one without a label."""
        missing = [place for place, name in enumerate(ids) if name not in self.known]
        if missing and (self.others is None or len(missing) == len(ids)):
            raise BadInput(
                f"{self.path} has no label for {len(missing):,} of {len(ids):,} blocks, the first {ids[missing[0]]} "
                f"(line {first_lines[missing[0]]:,} of the log); use the label file of this log, or look with: "
                f"grep -- {ids[missing[0]]} {self.path}"
            )
        return np.array([self.known.get(name, self.others) for name in ids], np.int8)


@dataclass(frozen=True)
class LineLabels:
    """Labels of lines by number, sorted; `others` is that of lines that are not named."""

    path: Path
    lines: np.ndarray
    labels: np.ndarray
    others: int

    def of(self, events: pl.DataFrame) -> pl.Series:
        """Return the label of each event, int8, by its `line`."""
        lines = events["line"].to_numpy()
        places = np.minimum(np.searchsorted(self.lines, lines), len(self.lines) - 1)
        return pl.Series("label", np.where(self.lines[places] == lines, self.labels[places], self.others), pl.Int8)


@dataclass(frozen=True)
class IntervalLabels:
    """Intervals of time, microseconds, sorted and apart: what happens in one, its ends included, is an anomaly."""

    path: Path
    starts: np.ndarray
    ends: np.ndarray

    def of(self, events: pl.DataFrame) -> pl.Series:
        """Return the label of each event, int8, by its `time`."""
        times = events["time"].cast(pl.Int64).to_numpy()
        places = np.searchsorted(self.starts, times, side="right") - 1
        inside = (places >= 0) & (times <= self.ends[np.maximum(places, 0)])
        return pl.Series("label", inside.astype(np.int8))


Labels = SessionLabels | LineLabels | IntervalLabels


def of_lines(labels: Labels | None) -> TypeGuard[LineLabels | IntervalLabels]:
    """Return whether these labels are of lines, by number or by time."""
    return isinstance(labels, LineLabels | IntervalLabels)


def refuse_unfit(labels: Labels, spec: Spec) -> None:
    """Raise BadInput if a log of this kind has nothing that the labels name."""
    if isinstance(labels, SessionLabels) and not spec.session:
        raise BadInput(
            f"{labels.path} names sessions, but {spec.name} has none; give --session, label lines by their numbers "
            "(line and Label) or by time (start and end), or name the field of labels with --label-field."
        )
    if isinstance(labels, IntervalLabels) and not (spec.time and names_year(spec.time)):
        raise BadInput(
            f"{labels.path} names intervals of time, but the lines of {spec.name} have no time with a year; label them "
            "by their numbers, columns line and Label."
        )


def read_labels(source: LogFile) -> Labels:
    """Return the labels in a file, whatever it names: ids, lines, or intervals by start and end.

    Where all that it names are anomalies, what it does not name is normal. Raise BadInput for what cannot be read.
    """
    table = read_table(source)
    only_anomalies = bool((table["label"] == 1).all())
    if "id" in table.columns:
        twice = table.filter(pl.col("id").is_duplicated())
        if len(twice):
            raise BadInput(f"{source.path} labels {twice['id'][0]} more than once; keep one line per block.")
        return SessionLabels(source.path, dict(table.select("id", "label").iter_rows()), 0 if only_anomalies else None)
    if "line" in table.columns:
        return _line_labels(source, table, 0 if only_anomalies else NO_LABEL)
    return _interval_labels(source, table)


def _line_labels(source: LogFile, table: pl.DataFrame, others: int) -> LineLabels:
    """Return the labels of lines; of a line that is named twice the worse one."""
    read = table.with_columns(number=pl.col("line").str.strip_chars().cast(pl.Int64, strict=False))
    wrong = read.filter((pl.col("number") < 1).fill_null(True))
    if len(wrong):
        at, text = wrong.select("at", "line").row(0)
        raise BadInput(f"{source.path} line {at:,}: {printable(repr(text), 100)} is no number of a line, 1 or more.")
    worst = read.group_by("number").agg(pl.col("label").max()).sort("number")
    return LineLabels(source.path, worst["number"].to_numpy(), worst["label"].to_numpy(), others)


def _interval_labels(source: LogFile, table: pl.DataFrame) -> IntervalLabels:
    """Return the anomalous intervals, those that touch as one."""
    apart: list[list[int]] = []
    anomalous = table.filter(pl.col("label") == 1).select("at", "start", "end")
    bounds = [(_moment(source, at, start), _moment(source, at, end), at) for at, start, end in anomalous.iter_rows()]
    for start, end, at in sorted(bounds):
        if end < start:
            raise BadInput(f"{source.path} line {at:,}: the interval ends before it starts; exchange start and end.")
        if apart and start <= apart[-1][1]:
            apart[-1][1] = max(apart[-1][1], end)
        else:
            apart.append([start, end])
    if not apart:
        raise BadInput(f"{source.path} names no anomalous interval; leave out the labels to judge without any.")
    return IntervalLabels(source.path, *np.array(apart, np.int64).T)


def _moment(source: LogFile, at: int, text: str | None) -> int:
    """Return a time in microseconds since 1970, as times of lines are: UTC if it names a zone, else as written."""
    try:
        read = datetime.fromisoformat((text or "").strip())
    except ValueError as error:
        raise BadInput(
            f"{source.path} line {at:,}: {printable(repr(text), 100)} is no time such as 2026-03-02 08:30:00."
        ) from error
    return round((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * 1e6)
