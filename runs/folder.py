"""A run folder (contract 2), results/<data>/<method>-<model>-s<seed>/: its paths, its hashes, and what it holds."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from core.data import Data, open_data
from core.environment import environment
from core.errors import BadInput
from core.files import hash_folder, read_json, write

RESULTS = Path("results")
REFERENCE = RESULTS / "results.csv"  # committed; `make table PROMOTE=...` alone changes it
LEDGER = RESULTS / "runs.csv"  # what was run in this checkout; git ignores it


@dataclass(frozen=True)
class Run:
    """One method and model with one seed on one data folder."""

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
    def checkpoints(self) -> Path:
        """Where an interrupted training goes on from."""
        return self.folder / "checkpoints"

    @property
    def is_trained(self) -> bool:
        """Whether training is complete: its curve is written after the model."""
        return (self.folder / "training.csv").is_file() and self.model_folder.is_dir()

    @property
    def training(self) -> pl.DataFrame:
        """The loss of every epoch."""
        return pl.read_csv(self.folder / "training.csv")

    @property
    def hashes(self) -> dict[str, str]:
        """What scores depend on: the hash of the data and that of the trained model."""
        return {"data_hash": self.data.manifest["data_hash"], "model_hash": hash_folder(self.model_folder)}

    def read_decision(self) -> dict:
        """Return the calibrated rules; raise BadInput if there are none, or if they belong to other data."""
        path = self.folder / "decision.json"
        decision = read_json(path, "run get_k.ipynb first.")
        wanted, found = self.data.manifest["data_hash"], decision.get("data_hash")
        if found != wanted:
            raise BadInput(
                f"{path.as_posix()} was calibrated on data with hash {found}, but data/{self.data.name} has {wanted}; "
                "run get_k.ipynb again."
            )
        return decision

    def read_environment(self) -> dict:
        """Return the machine and the versions that the run was begun with."""
        return read_json(self.folder / "environment.json", "run train.ipynb again.")

    def table(self) -> pl.DataFrame:
        """Return what this run is, and where each value comes from: `setting, value, where from`."""
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
    """Return the run folder of these parameters, made if it is not there.

    Raise BadInput if it holds a run of another version of the data, or one with other settings.
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
    """Return a run that was begun; raise BadInput if there is none, or if it belongs to another version of the data."""
    folder = run_folder(data, model, seed, method)
    run = Run(folder, open_data(data), read_json(folder / "config.json", "run train.ipynb first."))
    _refuse_other(run, {"data_hash": run.data.manifest["data_hash"]})
    return run


def open_run(data: str, model: str, seed: int, method: str = "next_key") -> Run:
    """Return a trained run; raise BadInput as `find_run`, and if it is not trained."""
    run = find_run(data, model, seed, method)
    if not run.is_trained:
        name = run.folder.as_posix()
        raise BadInput(f"{name} is not trained yet; run train.ipynb first, it goes on where it stopped.")
    return run


def run_folder(data: str, model: str, seed: int, method: str = "next_key") -> Path:
    """Return results/<data>/<method>-<model>-s<seed>."""
    return RESULTS / data / f"{method}-{short_name(model).replace('/', '--')}-s{seed}"


def short_name(model: str) -> str:
    """Return the name of a model in folders and tables: of a local checkpoint its folder alone, else as it is."""
    return Path(model).name if Path(model).is_dir() else model


def _refuse_other(run: Run, wanted: dict) -> None:
    for name, value in wanted.items():
        if run.config.get(name) != value:
            raise BadInput(
                f"{run.folder.as_posix()} is a run with {name.replace('_', ' ')} {run.config.get(name)}, not {value}: "
                "its model and scores do not belong here; remove or rename that folder, or choose another SEED."
            )
