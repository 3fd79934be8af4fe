"""Many runs for one table: every model on every data set with every seed, one after the other, in a process of its own.

    python -m commands.sweep --data hdfs_keys --models tiny-llama --seeds 0 1 2 3 4 --prevalence 0.0293

`make sweep DATA="..." MODELS="..." SEEDS="..."` calls it. A seed is that of the weights and of the split: seed 1 of
`hdfs_keys` runs on `data/hdfs_keys-split1`, the same sequences split anew (a split by time has no seed, and is used as
it is). Finished runs are passed over; a run that fails stays in the ledger as failed until it succeeds, and the next
one begins.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import parse_logs
from core.errors import EXIT_CODE, BadInput
from evaluation import ledger, verdicts
from utils import LEDGER, open_data, short_name

HERE = Path(__file__).resolve().parents[1]
ALPHA = 0.01  # that of get_k.ipynb


@dataclass(frozen=True)
class Wanted:
    """One run of the sweep, on a folder that is split by its seed."""

    data: str
    folder: str
    model: str
    seed: int


def main(arguments: list[str] | None = None) -> int:
    """Do what is missing; returns 0 if all runs are done, 1 if some failed, 2 if one cannot even begin."""
    options = read_options(arguments)
    try:
        wanted = [
            Wanted(data, split_folder(data, seed), model, seed)
            for data in options.data
            for model in options.models
            for seed in options.seeds
        ]
    except BadInput as error:
        print(f"sweep.py: {error}", file=sys.stderr)
        return EXIT_CODE
    failed = 0
    for number, run in enumerate(wanted, start=1):
        title = f"[{number}/{len(wanted)}] {run.folder}, {run.model}, seed {run.seed}"
        if is_done(run, options.prevalence, options.drift):
            print(f"{title}: done already", flush=True)
        else:
            failed += not do(run, options, title)
    print(f"{len(wanted) - failed} of {len(wanted)} runs are done; their rows are in results/runs.csv")
    return min(failed, 1)


def split_folder(data: str, seed: int) -> str:
    """The name of the data folder with the split of `seed`, made if it is not there."""
    opened = open_data(data)
    if opened.is_chronological or opened.manifest["split"]["seed"] == seed:
        return data
    name = f"{data}-split{seed}"
    path = Path("data") / name / "manifest.json"
    made_of = json.loads(path.read_text(encoding="utf-8"))["split"] if path.is_file() else {}
    if made_of.get("of_hash") != opened.manifest["data_hash"]:
        code = parse_logs.main([name, "--resplit", f"data/{data}", "--seed", str(seed)])
        if code:
            raise BadInput(f"data/{name} could not be made, see above.")
    return name


def is_done(run: Wanted, prevalence: float | None, drift: bool) -> bool:
    """Whether the ledger has this run, at the prevalence and with the drift handling that are asked for."""
    data = open_data(run.folder)
    about = (data.manifest["data_hash"], "next_key", short_name(run.model), run.seed, prevalence, ALPHA)
    rules = ledger.finished(ledger.read(LEDGER), *about)
    return len(rules) > 0 and (not drift or not data.is_chronological or rules.str.ends_with("_ask_once").any())


def do(run: Wanted, options: argparse.Namespace, title: str) -> bool:
    """One run in a process of its own; whether it succeeded. What it prints goes to sweep.log of its folder."""
    command = [
        sys.executable,
        "-m",
        "commands.run",
        "--data",
        run.folder,
        "--model",
        run.model,
        "--seed",
        str(run.seed),
    ]
    command += ["--prevalence", str(options.prevalence)] if options.prevalence is not None else []
    command += ["--drift"] if options.drift else []
    log = Path("results") / run.folder / f"sweep-{short_name(run.model).replace('/', '--')}-s{run.seed}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with log.open("w", encoding="utf-8") as file:
        code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT).returncode
    print(f"{title}: {'done' if code == 0 else 'FAILED'} in {time.perf_counter() - started:.0f} s", flush=True)
    if code:
        reason = (log.read_text(encoding="utf-8").strip().splitlines() or ["no output"])[-1]
        print(f"    {reason}   (all of it: {log.as_posix()})", flush=True)
        about = open_data(run.folder).ledger_columns() | {"method": "next_key", "model": short_name(run.model)}
        about |= {"seed": run.seed, "date": verdicts.today(), "status": f"failed: {reason[:200]}"}
        ledger.record(LEDGER, [about])
    return code == 0


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["sample"], help="folders of data/ (default: sample)")
    parser.add_argument("--models", nargs="+", default=["tiny-llama"], help="MODEL of each run (default: tiny-llama)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="seeds of weights and split (default: 0)")
    parser.add_argument("--prevalence", type=float, help="share of anomalies to weigh the normals to, as well")
    parser.add_argument("--drift", action="store_true", help="ask once, where the split is by time")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
