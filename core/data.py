"""A data folder (contract 1) as the notebooks read it; `parse_logs.py` writes it, and data/README.md describes it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from core.asked import check_data, shown
from core.errors import BadInput
from core.files import data_hash, read_parquet
from core.jobs import SCHEMA, Worker, numbers_of, workers_of
from core.keys import UNMATCHED
from core.raw_lines import RawLines, find_log
from core.schemas import Manifest, read_checked

SPLITS = ("train", "validation", "test")
LABELED_SAMPLE = "sample_supervised"  # the simulated log, split so that labels are learned from
UPDATED_SAMPLE = "sample_update"  # the simulated log with an update of the software, split by time
SAMPLE_OPTIONS = {
    LABELED_SAMPLE: ("sample", "--protocol", "supervised", "--out", f"data/{LABELED_SAMPLE}"),
    UPDATED_SAMPLE: (UPDATED_SAMPLE, "--protocol", "chronological"),
}
SEQUENCES: dict[str, pl.DataType | type[pl.DataType]] = {  # what is read of sequences.parquet
    "sequence_id": pl.String,
    "keys": pl.List(pl.String),
    "lines": pl.List(pl.Int64),
    "event_labels": pl.List(pl.Int8),
    "label": pl.Int8,
    "split": pl.String,
}


class Labeled(NamedTuple):
    """Sequences of keys or of texts, and which of them somebody labeled anomalous (1) or normal (0), int8."""

    sequences: list[list[str]]
    labels: np.ndarray


@dataclass(frozen=True)
class Data:
    """A data folder (contract 1), opened; frames are read on first use."""

    name: str
    folder: Path
    manifest: dict
    made_by: str | None = None  # what makes it again, if not parse_logs.py

    @property
    def remedy(self) -> str:
        """What to do if the folder is damaged."""
        return self.made_by or f"make it again with: {_command(self.folder)}"

    @property
    def label(self) -> str:
        """The name for captions; simulated data says so wherever it shows."""
        return f"{self.name} (simulated)" if self.manifest["simulated"] else self.name

    @property
    def base(self) -> str:
        """The name of the data set: of a folder split anew, that of the folder it was made from."""
        return self.manifest["split"].get("of") or self.name

    @property
    def is_chronological(self) -> bool:
        """Whether the test comes after the training in time."""
        return self.manifest["split"]["rule"].startswith("by time")

    @property
    def has_one_split(self) -> bool:
        """Whether there is no other split of it by another seed: it is by time, or a published one."""
        return self.is_chronological or self.manifest["split"].get("has_one_split", False)

    @property
    def has_jobs(self) -> bool:
        """Whether its sequences are jobs of workers, with a table of what was measured of each."""
        return (self.folder / "jobs.parquet").is_file()

    @property
    def is_windowed(self) -> bool:
        """Return whether sequences are windows cut from a log, not whole sessions."""
        return (self.manifest.get("grouping") or {"kind": "session"})["kind"] != "session"

    @property
    def known_keys(self) -> set[str]:
        """The keys of the training split."""
        return set(self.split("train")["keys"].explode())

    @property
    def training_anomalies(self) -> int:
        """How many labeled anomalies there are to train and to validate on."""
        return sum(int((self.whole(split, "label")["label"] == 1).sum()) for split in ("train", "validation"))

    def ledger_columns(self) -> dict:
        """Return what the ledger keeps of the data of a run."""
        split = self.manifest["split"]
        return {
            "data": self.base,
            "protocol": (split.get("protocol") or {"name": "random"})["name"],
            "simulated": self.manifest["simulated"],
            "data_hash": self.manifest["data_hash"],
            "split_seed": split["seed"],
        }

    @cached_property
    def sequences(self) -> pl.DataFrame:
        """All sequences, columns of contract 1."""
        found = read_parquet(self.folder / "sequences.parquet", SEQUENCES, self.remedy)
        missing = {name for name in ("begun", "closed") if name not in found.columns}  # made by an earlier version
        return found.with_columns(pl.lit(True).alias(name) for name in sorted(missing))

    @cached_property
    def templates(self) -> dict[str, str | None]:
        """Template of each key; None where the keys came without templates."""
        path = self.folder / "templates.csv"
        try:
            return dict(pl.read_csv(path, glob=False, infer_schema=False).select("key", "template").iter_rows())
        except (pl.exceptions.PolarsError, OSError, ValueError) as error:
            raise BadInput(
                f"{path.as_posix()} is no UTF-8 table with the columns key and template, separated by commas; "
                f"{self.remedy}"
            ) from error

    @cached_property
    def jobs(self) -> pl.DataFrame:
        """All jobs, columns of `core.jobs.SCHEMA`; raise BadInput if the folder holds none."""
        if not self.has_jobs:
            raise BadInput(
                f"data/{self.name} has no jobs.parquet, and this method reads what was measured of jobs; make a folder "
                "of them with: python parse_logs.py 1000genome --log FOLDER"
            )
        return read_parquet(self.folder / "jobs.parquet", SCHEMA, self.remedy)

    @cached_property
    def job_numbers(self) -> np.ndarray:
        """What was measured of each job, (jobs, numbers) with nan where nothing was, as `core.jobs.numbers_of`."""
        return numbers_of(self.jobs)

    def workers(self, lines: list[list[int]]) -> list[Worker]:
        """Return the jobs of sequences with these `lines`, which are rows of jobs.parquet from 1; each is made once."""
        asked = [tuple(rows) for rows in lines]
        if new := [rows for rows in dict.fromkeys(asked) if rows not in self._workers]:
            self._workers.update(zip(new, workers_of(self.jobs, self.job_numbers, new), strict=True))
        return [self._workers[rows] for rows in asked]

    @cached_property
    def _workers(self) -> dict[tuple[int, ...], Worker]:
        """Those that were asked for."""
        return {}

    @cached_property
    def raw_lines(self) -> RawLines:
        """The lines of the log, where it is at hand: in the data folder, as the simulated one, or where it was read."""
        return RawLines(find_log(self.folder, self.manifest["sources"]))

    def split(self, name: str, *columns: str) -> pl.DataFrame:
        """Return the sequences of a split; with `columns` these alone, which takes less memory.

        Of train and validation without those labeled anomalous, where the split keeps any: what is learned of normals,
        and what rules are calibrated on, is made of normals alone. `whole` gives all.
        """
        normal = pl.lit(name == "test") | pl.col("label").ne_missing(1)
        wanted = columns or self.sequences.columns
        return self.sequences.lazy().filter((pl.col("split") == name) & normal).select(wanted).collect()

    def whole(self, name: str, *columns: str) -> pl.DataFrame:
        """Return the sequences of a split with those labeled anomalous, which methods that learn from labels see."""
        wanted = columns or self.sequences.columns
        return self.sequences.lazy().filter(pl.col("split") == name).select(wanted).collect()

    def keys(self, split: str) -> list[list[str]]:
        """Return the key sequences of a split, of train and validation those of normals alone."""
        return self.split(split, "keys")["keys"].to_list()

    def labeled(self, split: str) -> Labeled:
        """Return the key sequences of a split that have a label, and their labels."""
        found = self.whole(split, "keys", "label").drop_nulls("label")
        return Labeled(found["keys"].to_list(), found["label"].to_numpy())

    def texts(self, sequences: list[list[str]]) -> list[list[str]]:
        """Return key sequences as sequences of words, each key by its template; raise BadInput for keys without."""
        words = {UNMATCHED: ""} | {key: text for key, text in self.templates.items() if text is not None}
        missing = sorted({key for keys in sequences for key in keys} - words.keys())
        if missing:
            raise BadInput(
                f"data/{self.name} has no words for {len(missing):,} of its keys, such as {shown(missing[0])}, and "
                "this method reads words; parse the raw log, or make the folder again with --templates FILE."
            )
        return [[words[key] for key in keys] for keys in sequences]

    def card(self) -> pl.DataFrame:
        """Return one row a split: sequences, anomalous and distinct ones, events, keys and lengths."""
        length = pl.col("keys").list.len()
        return pl.concat(
            self.whole(name).select(
                split=pl.lit(name),
                sequences=pl.len(),
                anomalous=(pl.col("label") == 1).sum(),
                distinct=pl.col("keys").list.join(" ").n_unique(),
                events=length.sum(),
                keys=pl.col("keys").explode().n_unique(),
                median_length=length.median().cast(pl.Int64),
                longest=length.max(),
            )
            for name in SPLITS
        )

    def events(self, sequence: dict) -> pl.DataFrame:
        """Return `line, key, event` of one row of `sequences`: the raw line if it is at hand, else the template."""
        lines = sequence["lines"] or [None] * len(sequence["keys"])
        pairs = zip(lines, sequence["keys"], strict=True)
        raw = self.raw_lines.at(lines)
        texts = [raw.get(line) or self.templates.get(key) for line, key in pairs]
        return pl.DataFrame(
            {"line": lines, "key": sequence["keys"], "event": texts}, schema_overrides={"event": pl.String}
        )


def open_data(name: str) -> Data:
    """Return the data folder data/<name>, checked.

    Raise BadInput, with the command that makes it, if it is not there, if its manifest does not fit, or if sequences or
    templates are not those that the manifest belongs to.
    """
    check_data(name)
    return open_folder(Path("data") / name)


def open_folder(folder: Path, made_by: str | None = None) -> Data:
    """Return a data folder anywhere; raise BadInput as `open_data` does, `made_by` says how it is made again."""
    first = made_by or f"make it first with: {_command(folder)}"
    found = Data(folder.name, folder, read_checked(folder / "manifest.json", Manifest, first), made_by)
    try:
        made = data_hash(folder)
    except OSError as error:
        raise BadInput(f"{folder.as_posix()} lacks {Path(str(error.filename)).name}; {found.remedy}") from error
    if made != found.manifest["data_hash"]:
        raise BadInput(
            f"{folder.as_posix()} was changed after it was made: its sequences, templates or jobs have the hash "
            f"{made}, its manifest says {found.manifest['data_hash']}; {found.remedy}"
        )
    return found


def _command(folder: Path) -> str:
    if folder.name == "sample":
        return "python parse_logs.py sample"
    if (folder / "jobs.parquet").is_file():
        name, is_published, _ = folder.name.partition("-")[0].partition("_published")
        protocol = " --protocol published" if is_published else ""
        return f"python parse_logs.py {name} --log FOLDER{protocol} --out {folder.as_posix()}"
    if folder.name in SAMPLE_OPTIONS:
        return f"python parse_logs.py {' '.join(SAMPLE_OPTIONS[folder.name])}"
    return f"python parse_logs.py hdfs --log FILE --labels FILE --out {folder.as_posix()} (other logs: data/README.md)"
