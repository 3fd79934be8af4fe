"""What the notebooks share: the data folder, the run folder, and the parts of evaluation/ that show them to people.

Notebooks come in here and bring one detector from methods/. Importing this file does not import torch.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl
from matplotlib.figure import Figure

from environment import environment, peak_memory_gb, show_environment
from errors import BadInput
from evaluation import floors, ledger, plots, report, rules, show, tables, verdicts
from evaluation.show import show_sentence, show_table
from files import hash_folder, read_json, write

__all__ = [
    "BadInput", "Data", "Run", "open_data", "open_run", "plots", "report", "rules", "show_environment", "show_gallery",
    "show_sentence", "show_table", "start_run", "tables", "verdicts",
]  # fmt: skip
SPLITS = ("train", "validation", "test")
LEDGER = Path("results") / "results.csv"


# ---------------------------------------------------------------------------------------------- the data folder


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
        """The log line with this 1-based number if the log lies in the data folder, as the simulated one does."""
        return self._raw_lines[number - 1] if number and self._raw_lines else None

    def split(self, name: str) -> pl.DataFrame:
        """The sequences of train, validation or test."""
        return self.sequences.filter(pl.col("split") == name)

    def keys(self, split: str) -> list[list[str]]:
        """The key sequences of a split."""
        return self.split(split)["keys"].to_list()

    def card(self) -> pl.DataFrame:
        """One row a split: how many sequences, anomalous and distinct ones, events and keys, and how long they are."""
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

    def familiarity(self, split: str) -> pl.DataFrame:
        """What of each sequence of a split the training split had seen; columns of `floors.familiarity`."""
        return floors.familiarity(self.split("train")["keys"], self.split(split)["keys"])

    def events(self, sequence: dict) -> pl.DataFrame:
        """`line, key, event` of one row of `sequences`: the raw line if it is at hand, else the template."""
        lines = sequence["lines"] or [None] * len(sequence["keys"])
        texts = [self.raw_line(line) or self.templates[key] for line, key in zip(lines, sequence["keys"], strict=True)]
        return pl.DataFrame(
            {"line": lines, "key": sequence["keys"], "event": texts}, schema_overrides={"event": pl.String}
        )


def open_data(name: str) -> Data:
    """The data folder data/<name>; raises BadInput, with the command that makes it, if it is not there."""
    folder = Path("data") / name
    remedy = f"make it first with: python parse_logs.py {name}"
    if name != "sample":
        remedy = f"make it first with: python parse_logs.py hdfs --log FILE --labels FILE --out {folder.as_posix()}"
    return Data(name, folder, read_json(folder / "manifest.json", remedy))


# ----------------------------------------------------------------------------------------------- the run folder


@dataclass(frozen=True)
class Run:
    """A run folder (contract 2): one method and model with one seed on one data folder."""

    folder: Path
    data: Data
    config: dict

    @property
    def label(self) -> str:
        """Data, model and seed, for captions and the corners of figures."""
        return f"{self.data.label}, {self.config['model']}, seed {self.config['seed']}"

    @property
    def model_folder(self) -> Path:
        """Where the trained model is."""
        return self.folder / "model"

    @property
    def is_trained(self) -> bool:
        """Training is complete: its curve is written after the model."""
        return (self.folder / "training.csv").is_file() and self.model_folder.is_dir()

    @property
    def training(self) -> pl.DataFrame:
        """The loss of every epoch."""
        return pl.read_csv(self.folder / "training.csv")

    @property
    def checkpoints(self) -> Path:
        """Where an interrupted training goes on from."""
        return self.folder / "checkpoints"

    @property
    def hashes(self) -> dict[str, str]:
        """What scores depend on: the hash of the data and that of the trained model."""
        return {"data_hash": self.data.manifest["data_hash"], "model_hash": hash_folder(self.model_folder)}

    def fit(self, detector) -> None:
        """Train `detector` (contract 3) on the data and keep its model, unless the run is trained already."""
        if self.is_trained:
            print(f"{self.folder.as_posix()} is trained already; remove that folder to train again.")
            return
        curve = detector.fit(self.data.keys("train"), self.data.keys("validation"), self.checkpoints)
        detector.save(self.model_folder)
        self.write_training(curve)

    def write_training(self, training: pl.DataFrame) -> None:
        """Keep the loss of every epoch, which marks the training as complete; its checkpoints are removed."""
        peak = pl.lit(peak_memory_gb()).alias("peak_memory_gb")
        write(self.folder / "training.csv", training.with_columns(peak))
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def write_path(self, path: dict) -> pl.DataFrame:
        """Keep in environment.json which way the model runs on this machine, and why; returns the whole as a table."""
        file = self.folder / "environment.json"
        found = read_json(file, "run train.ipynb again.") | {"model": path}
        write(file, found)
        flat = {name: value for name, value in found.items() if not isinstance(value, dict)}
        rows = [*flat.items(), *((f"model: {name}", str(value)) for name, value in path.items())]
        return pl.DataFrame(rows, schema=["what", "value"], orient="row")

    def plot(self, figure: Figure, name: str) -> None:
        """Show a figure and keep it as figures/<name>.png, labeled with data, model and seed."""
        show.show_plot(figure, self.folder / "figures" / f"{name}.png", self.label)

    def scores(self, split: str, score: Callable[[list[list[str]]], pl.DataFrame]) -> pl.DataFrame:
        """`<split>_scores.parquet`: ids, labels, the scores, what training had seen.

        `score` is called unless the file is there and was made by this model of these data, by the hashes of both.
        """
        path, hashes = self.folder / f"{split}_scores.parquet", self.hashes
        if path.is_file() and hashes.items() <= pl.read_parquet_metadata(path).items():
            return pl.read_parquet(path)
        sequences = self.data.split(split)
        started = time.perf_counter()
        scored = score(sequences["keys"].to_list())
        seconds = pl.lit((time.perf_counter() - started) / max(1, len(scored))).alias("seconds")
        about = [sequences.select("sequence_id", "label"), scored, self.data.familiarity(split)]
        whole = pl.concat(about, how="horizontal").with_columns(seconds)
        write(path, whole, hashes)
        return whole

    def write_decision(self, decision: dict) -> None:
        """Keep the calibrated rules with the hash of the data they belong to."""
        write(self.folder / "decision.json", {"data_hash": self.data.manifest["data_hash"]} | decision)

    def read_decision(self) -> dict:
        """The calibrated rules; raises BadInput if there are none, or if they were calibrated on other data."""
        path = self.folder / "decision.json"
        decision = read_json(path, "run get_k.ipynb first.")
        wanted, found = self.data.manifest["data_hash"], decision.get("data_hash")
        if found != wanted:
            raise BadInput(
                f"{path.as_posix()} was calibrated on data with hash {found}, but data/{self.data.name} has {wanted}; "
                "run get_k.ipynb again."
            )
        return decision

    def judge(self, scores: pl.DataFrame, decision: dict) -> tuple[pl.DataFrame, dict]:
        """Verdicts of all rules on the test scores; writes test_scores.parquet and metrics.json, returns both."""
        judged, found = verdicts.judge(scores, decision)
        found["data"] |= {name: self.data.manifest[name] for name in ("data_hash", "simulated")}
        found["seconds"] = {"training": self.training["seconds"].max(), "scoring": scores["seconds"].sum()}
        found["peak_memory_gb"] = peak_memory_gb()
        write(self.folder / "test_scores.parquet", judged, self.hashes)
        write(self.folder / "metrics.json", found)
        return judged, found

    def record(self, found: dict, decision: dict) -> pl.DataFrame:
        """Add the run to results/results.csv; returns the ledger's rows of this data."""
        environment = read_json(self.folder / "environment.json", "run train.ipynb again.")
        rows = verdicts.ledger_rows(found, decision, self.config, environment)
        return ledger.record(LEDGER, rows).filter(pl.col("data_hash") == self.config["data_hash"])

    def table(self) -> pl.DataFrame:
        """What this run is, and where each value comes from."""
        manifest = self.data.manifest
        own = [
            ("data", self.data.label, f"data/{self.data.name}/manifest.json"),
            ("data hash", manifest["data_hash"], "sequences and templates"),
            ("split", f"seed {manifest['split']['seed']}", manifest["split"]["rule"]),
            ("model", self.config["model"], "MODEL"),
            ("seed", str(self.config["seed"]), "SEED"),
            ("run folder", self.folder.as_posix(), "data, method, model, seed"),
        ]
        settings = [(name, str(value), "the method's default") for name, value in self.config["settings"].items()]
        return pl.DataFrame(own + settings, schema=["setting", "value", "where from"], orient="row")


def start_run(data: str, model: str, seed: int, settings: dict, method: str = "next_key") -> Run:
    """The run folder of these parameters, made if it is not there.

    Raises BadInput if it holds a run of another version of the data, or one with other settings.
    """
    opened, folder = open_data(data), run_folder(data, model, seed, method)
    config = {"data": data, "data_hash": opened.manifest["data_hash"], "method": method, "model": short_name(model)}
    config |= {"seed": seed, "settings": settings}
    if not (folder / "config.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / "environment.json", environment())
        write(folder / "config.json", config)
        return Run(folder, opened, config)
    run = Run(folder, opened, read_json(folder / "config.json", f"remove {folder.as_posix()} to start again."))
    _refuse_other(run, config)
    return run


def find_run(data: str, model: str, seed: int, method: str = "next_key") -> Run:
    """A run that was begun; raises BadInput if there is none, or if it belongs to another version of the data."""
    folder = run_folder(data, model, seed, method)
    run = Run(folder, open_data(data), read_json(folder / "config.json", "run train.ipynb first."))
    _refuse_other(run, {"data_hash": run.data.manifest["data_hash"]})
    return run


def open_run(data: str, model: str, seed: int, method: str = "next_key") -> Run:
    """A trained run; raises BadInput as `find_run`, and if it is not trained."""
    run = find_run(data, model, seed, method)
    if not run.is_trained:
        name = run.folder.as_posix()
        raise BadInput(f"{name} is not trained yet; run train.ipynb first, it goes on where it stopped.")
    return run


def run_folder(data: str, model: str, seed: int, method: str = "next_key") -> Path:
    """results/<data>/<method>-<model>-s<seed>."""
    return Path("results") / data / f"{method}-{short_name(model).replace('/', '--')}-s{seed}"


def short_name(model: str) -> str:
    """The name of a model in folders and tables: of a local checkpoint its folder alone, else as it is."""
    return Path(model).name if Path(model).is_dir() else model


def _refuse_other(run: Run, wanted: dict) -> None:
    for name, value in wanted.items():
        if run.config.get(name) != value:
            raise BadInput(
                f"{run.folder.as_posix()} is a run with {name.replace('_', ' ')} {run.config.get(name)}, not {value}: "
                "its model and scores do not belong here; remove or rename that folder, or choose another SEED."
            )


# ---------------------------------------------------------------------------------------------------- the reason


def show_gallery(run: Run, judged: pl.DataFrame, rule: str, next_keys: Callable[[list[str]], pl.DataFrame]) -> None:
    """Three false alarms, misses and hits of `rule`, every event shaded, with what `next_keys` expected instead."""
    sequences = run.data.sequences.select("sequence_id", "keys", "lines")
    for case, rows in report.pick(judged, rule).items():
        show.show_html(
            f"<b>{case}</b> of {rules.RULE_TITLES[rule]}, {run.label}: {len(rows)} shown", f"{case}: {len(rows)} shown"
        )
        rows = rows.join(sequences, on="sequence_id", maintain_order="left")
        for number, row in enumerate(rows.iter_rows(named=True)):
            end = {"line": None, "key": "<end>", "event": "end of the sequence"}
            events = [*run.data.events(row).to_dicts(), end]
            choices = next_keys(row["keys"][: row["worst_event"]]).head(3)
            expected = [f"{run.data.templates.get(key) or key} ({share:.0%})" for key, share in choices.iter_rows()]
            html, text = report.describe_sequence(row, events, expected, opened=number == 0)
            show.show_html(html, text)
