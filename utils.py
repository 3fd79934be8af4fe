"""What the notebooks share: the data folder, the run folder, and the parts of evaluation/ that show them to people.

Notebooks come in here and bring one detector from methods/. Importing this file does not import torch.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from matplotlib.figure import Figure

from core.data import Data, open_data
from core.environment import environment, peak_memory_gb, show_environment
from core.errors import BadInput
from core.files import hash_folder, is_first_process, read_json, write
from evaluation import compare, floors, ledger, ngrams, rules, unseen, verdicts
from evaluation.report import markdown, page, reasons
from evaluation.report.alarms import alarms
from evaluation.show import comparison_plots, notebook, plots, tables
from evaluation.show.notebook import show_sentence, show_table

__all__ = [
    "BadInput", "Data", "Run", "compare", "comparison_plots", "floors", "gallery", "open_data", "open_run", "plots",
    "published", "reasons", "rules", "show_environment", "show_gallery", "show_sentence", "show_table", "start_run",
    "tables", "verdicts",
]  # fmt: skip
LEDGER = Path("results") / "runs.csv"  # what this checkout ran; the reference is results/results.csv (make table)


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
        """Train `detector` (contract of methods/) on the data and keep its model, unless the run is trained already."""
        if self.is_trained:
            print(f"{self.folder.as_posix()} is trained already; remove that folder to train again.")
            return
        curve = detector.fit(self.data.keys("train"), self.data.keys("validation"), self.checkpoints)
        detector.save(self.model_folder)
        self.write_training(curve, detector.parameters)

    def write_training(self, training: pl.DataFrame, parameters: int) -> None:
        """Keep the loss of every epoch, which marks the training as complete; its checkpoints are removed."""
        about = {"peak_memory_gb": pl.lit(peak_memory_gb()), "parameters": pl.lit(parameters)}
        write(self.folder / "training.csv", training.with_columns(**about))
        if is_first_process():  # it has saved the model by now; another one may be ahead of it
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
        notebook.show_plot(figure, self.folder / "figures" / f"{name}.png", self.label)

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
        first = sequences.select(first_of_its_kind=pl.col("keys").list.join(" ").is_first_distinct())
        seen = floors.familiarity_of(self.data, split)
        if "has_unseen_key" not in scored.columns:
            scored = scored.with_columns(has_unseen_key=~seen["all_keys_seen"])
        about = [sequences.select("sequence_id", "label"), scored, seen, first]
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

    def calibrate(self, scores: pl.DataFrame, vocabulary_size: int, alpha: float) -> dict:
        """The rules at `alpha` on the validation scores and on those of unigram and bigram, for decision.json."""
        return verdicts.calibrate(scores, vocabulary_size, alpha, ngrams.scores_of(self.data, "validation"))

    def handle_drift(self, scores: pl.DataFrame, ask_once: bool) -> dict[str, pl.DataFrame]:
        """The test scores as they are when unseen keys are accepted: `ask_once`, once answered.

        The queue of questions is triage.csv of the run; where nobody has answered there, labels do.
        """
        test, known = self.data.split("test"), self.data.known_keys
        new_keys, handled = unseen.unseen_keys(test, known), {}
        if ask_once:
            path = self.folder / "triage.csv"
            queue = unseen.triage(test, new_keys, self.data.templates)
            queue = unseen.keep_answers(queue, unseen.read_answers(path)) if path.is_file() else queue
            write(path, queue)
            answers = unseen.answered(queue) or unseen.label_answers(test, new_keys)
            handled["ask_once"] = unseen.settle(test, scores, known, unseen.ask_once(new_keys, answers))
        return handled

    def blocks(self, scores: pl.DataFrame) -> pl.DataFrame:
        """Ten blocks of test time: sizes, anomalies, keys that came new, and how many sequences have an unseen one."""
        test = self.data.split("test")
        return unseen.describe_blocks(test, scores, unseen.unseen_keys(test, self.data.known_keys))

    def block_measures(self, judged: pl.DataFrame, decision: dict, handled: dict[str, pl.DataFrame]) -> pl.DataFrame:
        """Alarms, false alarms and F1 in each block, of the static rules and of those with unseen keys accepted."""
        flagged = [judged.select(f"flagged_{rule}" for rule in rules.RULES)]
        flagged += [unseen.flags(handled, decision)] if handled else []
        flags = pl.concat(flagged, how="horizontal")
        by_rule = {name.removeprefix("flagged_"): flags[name].to_numpy() for name in flags.columns}
        return unseen.measure_blocks(by_rule, judged["label"].to_numpy())

    def judge(
        self,
        scores: pl.DataFrame,
        decision: dict,
        prevalence: float | None = None,
        handled: dict[str, pl.DataFrame] | None = None,
    ) -> tuple[pl.DataFrame, dict]:
        """Verdicts of all rules on the test scores; writes test_scores.parquet and metrics.json, returns both."""
        judged, found = verdicts.judge(scores, decision, ngrams.scores_of(self.data, "test"), prevalence, handled or {})
        manifest = self.data.manifest
        found["data"] |= {name: manifest[name] for name in ("data_hash", "simulated")}
        found["data"]["lines_in_test_and_training"] = manifest["counts"]["lines_in_test_and_training"]
        if "ask_once" in (handled or {}):
            found["questions"] = len(unseen.unseen_keys(self.data.split("test"), self.data.known_keys))
        found["seconds"] = {"training": self.training["seconds"].max(), "scoring": scores["seconds"].sum()}
        found["peak_memory_gb"] = max(peak_memory_gb(), self.training["peak_memory_gb"].max())
        write(self.folder / "test_scores.parquet", judged, self.hashes)
        write(self.folder / "metrics.json", found)
        return judged, found

    def record(self, found: dict, decision: dict) -> pl.DataFrame:
        """Add the run to results/runs.csv; returns the ledger's rows of this data."""
        environment = read_json(self.folder / "environment.json", "run train.ipynb again.")
        about = self.data.ledger_columns() | {name: self.config[name] for name in ("method", "model", "seed")}
        about |= {"date": verdicts.today(), "status": "done", "seconds": sum(found["seconds"].values())}
        about |= {name: found["data"][name] for name in ("test_sequences", "test_anomalies")}
        about |= {"peak_memory_gb": found["peak_memory_gb"], "parameters": self.training["parameters"].max()}
        about |= {name: environment[name] for name in ("device", "commit")}
        rows = verdicts.ledger_rows(found, decision, about)
        return ledger.record(LEDGER, rows).filter(pl.col("data") == self.data.base)

    def write_report(self, judged: pl.DataFrame, shown: dict, expected: Callable) -> None:
        """Write alarms.csv and report.html of the run; `shown` is its gallery, `expected` as in `alarms.alarms`."""
        listed = alarms(judged, self.data.sequences, self.data.templates, expected)
        write(self.folder / "alarms.csv", listed)
        galleries = {case: [html for html, _ in sequences] for case, sequences in shown.items()}
        path = page.write_page(self.folder, galleries, self.data.templates)
        print(f"{path.as_posix()}: open it in any browser; alarms.csv lists {len(listed):,} flagged sequences")

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


def published(data: Data) -> pl.DataFrame:
    """The published figures of the data set, or of the one `data` is a sample of, with what they were measured on."""
    of = markdown.SAMPLES.get(data.base, data.base)
    return tables.published(
        markdown.read_published().filter(pl.col("data") == of), data.base, data.base not in markdown.SAMPLES
    )


def gallery(run: Run, judged: pl.DataFrame, rule: str, expected: Callable) -> dict[str, list[tuple[str, str]]]:
    """False alarms, misses and hits of `rule`, each sequence as HTML and as a line, with what was expected instead."""
    if f"flagged_{rule}" not in judged.columns:
        raise BadInput(f"There is no rule {rule!r}; choose one of {', '.join(rules.RULE_TITLES)}.")
    sequences = run.data.sequences.select("sequence_id", "keys", "lines")
    found = {}
    for case, rows in reasons.pick(judged, rule).items():
        rows = rows.join(sequences, on="sequence_id", maintain_order="left").to_dicts()
        answers = expected([row["keys"][: row["worst_event"]] for row in rows]) if rows else []
        events = [run.data.events(row).to_dicts() for row in rows]
        found[case] = reasons.describe_sequences(rows, events, answers, run.data.templates)
    return found


def show_gallery(run: Run, shown: dict[str, list[tuple[str, str]]], rule: str) -> None:
    """Show a gallery in a notebook."""
    for case, sequences in shown.items():
        title = f"<b>{case}</b> of {rules.RULE_TITLES[rule]}, {run.label}: {len(sequences)} shown"
        notebook.show_html(title, f"{case}: {len(sequences)} shown")
        for html, text in sequences:
            notebook.show_html(html, text)
