"""Events to the data folder: grouping, labels, split, mining, and the files of contract 1."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import BadInput
from parsing.datasets import Spec
from parsing.lines.blocks import RawLog
from parsing.sequences.cut import Cut, Pauses, find_cut, nothing_cut
from parsing.sequences.folder import ARROW_SCHEMA, CsvFile, sequences_file
from parsing.sequences.group import Batch, Grouping, Groups, batches, group, sort_by_time
from parsing.sequences.labels import SessionLabels
from parsing.sequences.split import (
    NAMES,
    TRAIN,
    VALIDATION,
    Split,
    SplitSettings,
    shared_events,
    shared_lines,
    split_sequences,
)
from parsing.sequences.store import NO_LABEL, EventStore
from parsing.templates.messages import check_matched, read_templates
from parsing.templates.miners import mine_others, miner_of

AT_ONCE = 10_000  # sequences that are copied at a time


@dataclass(frozen=True)
class Plan:
    """How to make sequences of a log: options of the command line, in one place."""

    grouping: Grouping
    split: SplitSettings
    seed: int = 0
    mine: str = "whole"
    templates: Path | None = None
    shortest: int = 1
    longest: int | None = None
    evolve: bool = False  # what matches none of `templates` gets templates of its own
    pauses: Pauses | None = None  # of the training of another log, which says what this one cuts off
    learned: Path | None = None  # sequences of that training, which stand before those of this log


@dataclass(frozen=True)
class Sequences:
    """What is written about sequences: events, labels, splits, what the log cut off, and the words behind the numbers.

    `keys` are by message number, `session_ids` by session code.
    """

    store: EventStore
    groups: Groups
    labels: np.ndarray
    splits: pl.Series
    cut: Cut
    keys: pa.Array
    session_ids: list[str]


def assemble(folder: Path, spec: Spec, raw: RawLog, plan: Plan) -> tuple[dict, dict, dict]:
    """Write sequences.parquet and templates.csv; return the split protocol, the counts and the pauses of the manifest.

    Windows have no pauses.
    """
    store = raw.store
    if not store.events:
        raise BadInput(
            f"{raw.source.path} holds no event after its rejected lines; look into it with: head {raw.source.path}"
        )
    if plan.grouping.kind == "seconds" and "time" not in store.names:
        raise BadInput(
            "Time windows need a time: name its fields with --time, or group by --window-lines or --session."
        )
    is_mixed = len(raw.source.paths) > 1 and "time" in store.names and spec.session_by not in ("file", "begin")
    order_counts = sort_by_time(store) if plan.grouping.kind == "seconds" or is_mixed else {}
    groups, dropped = drop_faults(group(store, plan.grouping), plan)
    values = sequence_labels(store, groups, raw)
    split = split_sequences(values, groups, plan.split, plan.seed)
    templates = find_templates(raw, groups, split.codes, spec, plan)
    keys = raw.messages.keys(templates)
    if plan.templates:
        check_matched(keys, plan.templates)
    words = pa.array(keys["key"].to_list(), pa.string())
    cut, pauses = nothing_cut(len(groups)), None
    if plan.grouping.kind == "session":
        cut, pauses = find_cut(store, groups, split.codes == TRAIN, keys["key"].to_numpy(), plan.pauses)
    write_sequences(folder, Sequences(store, groups, values, split.names, cut, words, raw.session_ids), plan.learned)
    write_templates(folder, keys)
    counts = count(groups, values, split, store.events) | {"templates": keys["key"].n_unique()} | order_counts | dropped
    if isinstance(raw.labels, SessionLabels) and (unused := len(raw.labels.known.keys() - {*raw.session_ids})):
        counts["labels_unused"] = unused
    if "session" in store.names:
        counts["lines_in_test_and_training"] = shared_lines(groups, split.codes, store.read("line"))
    protocol = split.protocol | {"mined": plan.templates.name if plan.templates else plan.mine}
    return protocol, counts, {"pauses": asdict(pauses)} if pauses else {}


def count(groups: Groups, values: np.ndarray, split: Split, events: int) -> dict[str, int]:
    """Return sizes for the manifest, and how many lines are both learned from and tested on."""
    return {
        "events": int((groups.stops - groups.starts).sum()),
        "sequences": len(groups),
        "anomalous": int((values == 1).sum()),
        **{name: int((split.codes == code).sum()) for code, name in enumerate(NAMES)},
        "lines_in_test_and_training": shared_events(groups, split.codes, events),
    }


def drop_faults(groups: Groups, plan: Plan) -> tuple[Groups, dict[str, int]]:
    """Return the groups without the windows that published code drops, and their number; by default none is dropped."""
    sizes = groups.stops - groups.starts
    short = sizes < plan.shortest
    long = sizes > plan.longest if plan.longest else np.zeros(len(sizes), bool)
    if not (short | long).any():
        return groups, {}
    kept = ~(short | long)
    counts = {"dropped_short_sequences": int(short.sum()), "dropped_long_sequences": int(long.sum())}
    counts["dropped_events"] = int(sizes[~kept].sum())
    return Groups(groups.starts[kept], groups.stops[kept]), counts


def sequence_labels(store: EventStore, groups: Groups, raw: RawLog) -> np.ndarray:
    """Return 1 (anomaly), 0 (normal) or NO_LABEL for each sequence; one of lines has that of its worst."""
    if isinstance(raw.labels, SessionLabels):
        ids = [raw.session_ids[code] for code in store.read("session")[groups.starts]]
        return raw.labels.of(ids, store.read("line")[groups.starts])
    if "label" not in store.names:
        return np.full(len(groups), NO_LABEL, np.int8)
    return worst_labels(store, groups)


def worst_labels(store: EventStore, groups: Groups) -> np.ndarray:
    """Return the label of the worst line of each sequence."""
    values = np.empty(len(groups), np.int8)
    for first, last, start, stop in batches(groups):
        lines, part = store.read("label", start, stop), slice(first, last)
        bounds = zip(groups.starts[part] - start, groups.stops[part] - start, strict=True)
        values[part] = [lines[begin:end].max() for begin, end in bounds]
    return values


def find_templates(raw: RawLog, groups: Groups, codes: np.ndarray, spec: Spec, plan: Plan) -> Sequence[str | None]:
    """Return the template of each distinct message, as `--mine` and `--templates` ask; None if it matches none."""
    messages, counts = list(raw.messages.numbers), raw.messages.counts.tolist()
    miner = miner_of(spec.miner, spec.drain)
    if plan.mine == "none":
        return messages
    if plan.templates:
        matched = miner.match(messages, read_templates(plan.templates))
        return mine_others(miner, messages, counts, matched) if plan.evolve else matched
    if plan.mine == "whole":
        return miner.mine(messages, counts)
    learned = np.zeros(len(messages), bool)
    chosen = np.flatnonzero((codes == TRAIN) | (codes == VALIDATION))
    for first, last, start, stop in batches(groups):
        numbers = raw.store.read("message", start, stop)
        for sequence in chosen[(chosen >= first) & (chosen < last)]:
            learned[numbers[groups.starts[sequence] - start : groups.stops[sequence] - start]] = True
    return miner.mine_some(messages, counts, learned)


def write_sequences(folder: Path, sequences: Sequences, learned: Path | None = None) -> None:
    """Write sequences.parquet, about half a million events at a time; first those of another file, `learned`."""
    with sequences_file(folder) as file:
        for known in pq.ParquetFile(learned).iter_batches(AT_ONCE) if learned else ():
            file.write_batch(known.cast(ARROW_SCHEMA))
        for batch in batches(sequences.groups):
            file.write_batch(_record(sequences, batch))


def _record(sequences: Sequences, batch: Batch) -> pa.RecordBatch:
    """Return the sequences of a batch as Arrow rows of contract 1."""
    part, store = slice(batch.first, batch.last), sequences.store
    inside, offsets = batch.events(sequences.groups)
    columns = {name: store.read(name, batch.start, batch.stop)[inside] for name in store.names}
    labels = sequences.labels[part]

    def lists(flat: pa.Array) -> pa.Array:
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat)

    event_labels = pa.nulls(len(labels), pa.list_(pa.int8()))
    if "label" in columns:
        event_labels = lists(pa.array(columns["label"], mask=columns["label"] == NO_LABEL))
    rows = [
        _sequence_ids(sequences.session_ids, columns, offsets, batch.first),
        lists(sequences.keys.take(pa.array(columns["message"]))),
        lists(pa.array(columns["line"])),
        event_labels,
        pa.array(labels, pa.int8(), mask=labels == NO_LABEL),
        pa.array(sequences.splits[part].to_list(), pa.string()),
        *_first_and_last(columns.get("time"), offsets),
        pa.array(sequences.cut.begun[part]),
        pa.array(sequences.cut.closed[part]),
    ]
    return pa.record_batch(rows, schema=ARROW_SCHEMA)


def _sequence_ids(session_ids: list[str], columns: dict[str, np.ndarray], offsets: np.ndarray, first: int) -> pa.Array:
    """Return the session ids, or `window <number>`: overlapping windows may hold the same lines, ids never repeat."""
    if "session" in columns:
        return pa.array([session_ids[code] for code in columns["session"][offsets[:-1]]], pa.string())
    return pa.array([f"window {number}" for number in range(first + 1, first + len(offsets))], pa.string())


def _first_and_last(times: np.ndarray | None, offsets: np.ndarray) -> tuple[pa.Array, pa.Array]:
    """Return the earliest and latest time of each sequence; null where events have none."""
    kind, begins = pa.timestamp("us"), offsets[:-1]
    if times is None:
        return pa.nulls(len(begins), kind), pa.nulls(len(begins), kind)
    return pa.array(np.minimum.reduceat(times, begins), kind), pa.array(np.maximum.reduceat(times, begins), kind)


def write_templates(folder: Path, keys: pl.DataFrame) -> None:
    """Write templates.csv (`key, template, count, first_line, example`) by first line; the example is a raw message."""
    table = (
        keys.sort("first_line")
        .group_by("key", "template", maintain_order=True)
        .agg(pl.col("count").sum(), pl.col("first_line").first(), pl.col("example").first())
    )
    CsvFile(folder / "templates.csv", tuple(table.columns)).append(table)
