"""A data folder (contract 1) as the notebooks read it; `parse_logs.py` writes it, and data/README.md describes it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from core.files import read_json

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Data:
    """A data folder (contract 1), opened; frames are read on first use."""

    name: str
    folder: Path
    manifest: dict

    @property
    def label(self) -> str:
        """The name for captions; simulated data says so wherever it shows."""
        return f"{self.name} (simulated)" if self.manifest["simulated"] else self.name

    @property
    def base(self) -> str:
        """The name of the data set: of a folder split anew, that of the folder it was made from."""
        return self.manifest["split"].get("of", self.name)

    @property
    def is_chronological(self) -> bool:
        """Whether the test comes after the training in time."""
        return self.manifest["split"]["rule"].startswith("by time")

    @property
    def is_windowed(self) -> bool:
        """Return whether sequences are windows cut from a log, not whole sessions."""
        return self.manifest.get("grouping", {}).get("kind", "session") != "session"

    @property
    def known_keys(self) -> set[str]:
        """The keys of the training split."""
        return set(self.split("train")["keys"].explode())

    def ledger_columns(self) -> dict:
        """Return what the ledger keeps of the data of a run."""
        split = self.manifest["split"]
        return {
            "data": self.base,
            "protocol": split.get("protocol", {}).get("name") or "random",
            "simulated": self.manifest["simulated"],
            "data_hash": self.manifest["data_hash"],
            "split_seed": split["seed"],
        }

    @cached_property
    def sequences(self) -> pl.DataFrame:
        """All sequences, columns of contract 1."""
        return pl.read_parquet(self.folder / "sequences.parquet")

    @cached_property
    def templates(self) -> dict[str, str | None]:
        """Template of each key; None where the keys came without templates."""
        return dict(
            pl.read_csv(self.folder / "templates.csv", infer_schema=False).select("key", "template").iter_rows()
        )

    @cached_property
    def _raw_lines(self) -> list[str]:
        log = self.folder / self.manifest["sources"][0]["file"]
        return log.read_text(encoding="utf-8").split("\n") if log.is_file() else []

    def raw_line(self, number: int | None) -> str | None:
        """Return the log line with this 1-based number if the log is in the data folder, as the simulated one is."""
        return self._raw_lines[number - 1] if number and self._raw_lines else None

    def split(self, name: str) -> pl.DataFrame:
        """Return the sequences of train, validation or test."""
        return self.sequences.filter(pl.col("split") == name)

    def keys(self, split: str) -> list[list[str]]:
        """Return the key sequences of a split."""
        return self.split(split)["keys"].to_list()

    def card(self) -> pl.DataFrame:
        """Return one row a split: sequences, anomalous and distinct ones, events, keys and lengths."""
        length = pl.col("keys").list.len()
        return pl.concat(
            self.split(name).select(
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
        texts = [self.raw_line(line) or self.templates[key] for line, key in zip(lines, sequence["keys"], strict=True)]
        return pl.DataFrame(
            {"line": lines, "key": sequence["keys"], "event": texts}, schema_overrides={"event": pl.String}
        )


def open_data(name: str) -> Data:
    """Return the data folder data/<name>; raise BadInput, with the command that makes it, if it is not there."""
    folder = Path("data") / name
    remedy = f"make it first with: python parse_logs.py {name}"
    if name != "sample":
        remedy = f"make it first with: python parse_logs.py hdfs --log FILE --labels FILE --out {folder.as_posix()}"
    return Data(name, folder, read_json(folder / "manifest.json", remedy))
