"""A run folder (contract 2), results/<data>/<method>-<model>-s<seed>/: its paths, its hashes, and what it holds."""

import json
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from core.asked import check_model, check_seed, short_name
from core.data import Data, open_data
from core.environment import environment
from core.errors import BadInput
from core.files import hash_folder, is_first_process, lock, told, write
from core.schemas import Config, Environment, read_checked
from evaluation import stored

RESULTS = Path("results")
REFERENCE = RESULTS / "results.csv"  # committed; `make table PROMOTE=...` alone changes it
LEDGER = RESULTS / "runs.csv"  # what was run in this checkout; git ignores it
_NONE = "none"  # what a setting is called that a run does not have


@dataclass(frozen=True)
class Run:
    """One method and model with one seed on one data folder."""

    folder: Path
    data: Data
    config: dict
    trained: Path | None = None  # the folder of the run that judges these data, if it is another one

    @property
    def label(self) -> str:
        """Data, model and seed, for captions and the corners of figures."""
        return f"{self.data.label}, {self.config['model']}, seed {self.config['seed']}"

    @property
    def model_folder(self) -> Path:
        """Where the trained model is."""
        return (self.trained or self.folder) / "model"

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
        """The loss of every epoch; raise BadInput if it is damaged."""
        path = self.folder / "training.csv"
        try:
            found = pl.read_csv(path, glob=False)
            if None in found.select(pl.col("seconds", "peak_memory_gb", "parameters").cast(pl.Float64).max()).row(0):
                raise ValueError("a column without a number")
        except (pl.exceptions.PolarsError, OSError, ValueError) as error:
            raise BadInput(
                f"{path.as_posix()} is no table of epochs with seconds, peak_memory_gb and parameters; remove "
                f"{self.folder.as_posix()} and run train.ipynb again."
            ) from error
        return found

    @property
    def hashes(self) -> dict[str, str]:
        """What scores depend on: the hash of the data and that of the trained model."""
        return {"data_hash": self.data.manifest["data_hash"], "model_hash": hash_folder(self.model_folder)}

    def read_decision(self) -> dict:
        """Return the calibrated rules; raise BadInput if there are none, or if they belong to other data or weights."""
        path, again = self.folder / "decision.json", "run get_k.ipynb again, or remove that file and make run does."
        if not path.is_file():
            raise BadInput(f"{path.as_posix()} does not exist; run get_k.ipynb first.")
        decision = stored.read_decision(path, again)
        for name, wanted in self.hashes.items():
            if decision[name] != wanted:
                of = f"data/{self.data.name}" if name == "data_hash" else self.model_folder.as_posix()
                what = name.removesuffix("_hash")
                raise BadInput(
                    f"{path.as_posix()} was calibrated on {what} with hash {decision[name]}, but {of} has {wanted}; "
                    f"{again}"
                )
        return decision

    def read_metrics(self) -> dict:
        """Return what the test found; raise BadInput if there is nothing, or if it does not fit."""
        return stored.read_metrics(self.folder / "metrics.json", "run test.ipynb again.")

    def read_environment(self) -> dict:
        """Return the machine and the versions that the run was begun with."""
        return read_checked(self.folder / "environment.json", Environment, "run train.ipynb again.")

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

    Raise BadInput if one of them is out of range, or if the folder holds a run of other data or with other settings.
    """
    opened, folder = open_data(data), run_folder(data, model, seed, method)
    config = wanted_config(opened, model, seed, settings, method)
    if not (folder / "config.json").is_file():
        with told(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write(folder / "environment.json", environment())
        write(folder / "config.json", config)
        return Run(folder, opened, config)
    run = Run(folder, opened, _read_config(folder))
    refuse_other(folder, run.config, config)
    return run


def withdraw(run: Run) -> None:
    """Remove the folder of a run whose model was refused, where it holds no more than what the run was begun with.

    Else another model, or the same one mended, would be told that the folder is that of another run.
    """
    if is_first_process() and {path.name for path in run.folder.iterdir()} <= {"config.json", "environment.json"}:
        shutil.rmtree(run.folder)


def find_run(data: str, model: str, seed: int, method: str = "next_key") -> Run:
    """Return a run that was begun; raise BadInput if there is none, or if it belongs to another version of the data."""
    opened, folder = open_data(data), run_folder(data, model, seed, method)
    if not (folder / "config.json").is_file():
        raise BadInput(f"{(folder / 'config.json').as_posix()} does not exist; run train.ipynb first.")
    run = Run(folder, opened, _read_config(folder))
    about = wanted_config(opened, model, seed, {}, method)
    refuse_other(folder, run.config, {name: value for name, value in about.items() if name != "settings"})
    return run


def open_run(data: str, model: str, seed: int, method: str = "next_key") -> Run:
    """Return a trained run; raise BadInput as `find_run`, and if it is not trained."""
    run = find_run(data, model, seed, method)
    if not run.is_trained:
        name = run.folder.as_posix()
        raise BadInput(f"{name} is not trained yet; run train.ipynb first, it goes on where it stopped.")
    return run


def wanted_config(data: Data, model: str, seed: int, settings: dict, method: str = "next_key") -> dict:
    """Return what config.json of a run holds: all that changes a number."""
    config = {"data": data.name, "data_hash": data.manifest["data_hash"], "method": method, "model": short_name(model)}
    return config | {"seed": seed, "settings": json.loads(json.dumps(settings))}  # as it is when it is read back


def run_folder(data: str, model: str, seed: int, method: str = "next_key") -> Path:
    """Return results/<data>/<method>-<model>-s<seed>; raise BadInput if MODEL or SEED is out of range."""
    check_model(model)
    check_seed(seed)
    return RESULTS / data / f"{method}-{short_name(model).replace('/', '--')}-s{seed}"


def hold(folder: Path, seconds: float = 0) -> AbstractContextManager[None]:
    """Keep other commands out of a run folder; raise BadInput if one is in it for longer than `seconds`."""
    return lock(folder, seconds)


def refuse_other(folder: Path, found: dict, wanted: dict) -> None:
    """Raise BadInput, which names what differs, unless the config of a run has all that is wanted."""
    differing = [name for name in wanted if name != "settings" and found.get(name) != wanted[name]]
    pairs = [(name, found.get(name), wanted[name]) for name in differing]
    if (own := found.get("settings", {})) != (new := wanted.get("settings", own)):
        names = [name for name in {**own, **new} if own.get(name) != new.get(name)]  # a newer setting may be missing
        pairs += [(name, own.get(name, _NONE), new.get(name, _NONE)) for name in names]
    if pairs:
        told_apart = ", ".join(f"{name.replace('_', ' ')} {old}, not {new}" for name, old, new in pairs[:4])
        raise BadInput(
            f"{folder.as_posix()} is a run with {told_apart}: its model and scores do not belong here; remove or "
            "rename that folder, or choose another SEED."
        )


def _read_config(folder: Path) -> dict:
    return read_checked(folder / "config.json", Config, f"remove {folder.as_posix()} to start again.")
