"""What a run carries to judge other logs, on other machines: parser/ of its folder, and how it is opened again.

parser/ is a data folder (contract 1) of what was learned: the sequences of training and validation, all templates, and
in its manifest how the log was read. With model/ and decision.json it is all that a verdict needs.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from core.data import Data, open_folder
from core.errors import BadInput
from core.files import data_hash, hash_folder, replace, told
from core.schemas import Config, read_checked
from evaluation import stored
from runs.folder import Run

PARSER = "parser"
LEARNED = ("train", "validation")


def carry(run: Run) -> None:
    """Write parser/ of the run, unless it is there and of these data."""
    manifest, place = run.data.manifest, run.folder / PARSER
    kept = place / "manifest.json"
    if kept.is_file() and json.loads(kept.read_text(encoding="utf-8")).get("learned_of") == manifest["data_hash"]:
        return
    with told(place), replace(place) as folder:
        folder.mkdir()
        sequences = run.data.sequences.filter(pl.col("split").is_in(LEARNED)).with_columns(
            lines=pl.lit(None, pl.List(pl.Int64)), event_labels=pl.lit(None, pl.List(pl.Int8))
        )
        sequences.write_parquet(folder / "sequences.parquet", compression="zstd")
        shutil.copyfile(run.data.folder / "templates.csv", folder / "templates.csv")
        about = manifest | {"learned_of": manifest["data_hash"], "data_hash": data_hash(folder)}
        (folder / "manifest.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Carried:
    """A trained run as other logs are judged by it; `learned` is its parser/."""

    folder: Path
    config: dict
    decision: dict
    learned: Data

    def judging(self, data: Data, folder: Path) -> Run:
        """Return the run that judges `data`, which keeps what it finds in `folder`."""
        return Run(folder, data, self.config, self.folder)


def open_carried(folder: Path) -> Carried:
    """Return a trained run by its folder, wherever it lies.

    Raise BadInput if it is none, if it lacks its model, its rules or its parser, or if these do not belong together.
    """
    again = f"run it again on its data, or copy the whole of {folder.as_posix()}."
    if not (folder / "config.json").is_file():
        raise BadInput(f"{folder.as_posix()} is no run folder; name one such as results/sample/next_key-tiny-llama-s0.")
    config = read_checked(folder / "config.json", Config, again)
    for name, what in (("model", "its model"), ("decision.json", "its rules"), (PARSER, "how its log was read")):
        if not (folder / name).exists():
            raise BadInput(f"{folder.as_posix()} lacks {name}, {what}; {again}")
    decision = stored.read_decision(folder / "decision.json", again)
    learned = open_folder(folder / PARSER, again)
    hashes = {
        "model": (decision["model_hash"], hash_folder(folder / "model")),
        PARSER: (decision["data_hash"], learned.manifest.get("learned_of")),
    }
    for name, (wanted, found) in hashes.items():
        if wanted != found:
            raise BadInput(
                f"{(folder / 'decision.json').as_posix()} was calibrated on {name} with hash {wanted}, but "
                f"{(folder / name).as_posix()} has {found}; {again}"
            )
    return Carried(folder, config, decision, learned)
