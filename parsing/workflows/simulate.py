"""Simulated runs of scientific workflows, in the files that FlowBench has of them: job tables, graph, order of runs.

The sample that needs no data: two workflows, some of whose workers are slow in some runs. No figure of it says anything
about a real one.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.jobs import COUNTERS, FEATURES

JOBS = {  # how many of a type a run has, and how many seconds one usually takes
    "1000genome": {"individuals": (12, 900), "sifting": (3, 150), "mutation_overlap": (5, 240), "frequency": (4, 420)},
    "montage": {"mProject": (6, 200), "mDiffFit": (10, 40), "mBackground": (6, 90), "mAdd": (2, 500)},
    "predict_future_sales": {"merge_lag_PID1": (8, 60), "fit_model": (10, 700), "tune": (4, 350), "predict": (2, 120)},
}
AUXILIARY = {  # on the host that hands jobs out: nothing is staged, and nothing throttled
    "1000genome": ["create_dir_1000-genome_0_condorpool", "cleanup_1000-genome_0_condorpool"],
    "montage": ["create_dir_montage_0_condorpool", "cleanup_montage_0_condorpool"],
    "predict_future_sales": ["create_dir_predict-future-sales_0_condorpool"]
    + [f"cleanup_predict-future-sales_{number}_condorpool" for number in range(5)],
}
KINDS = ("None", "cpu_2", "hdd_5", "hdd_10")  # in blocks of run numbers, as they were made
TIMES = ("submit", "execute_start", "execute_end")
COLUMNS = ("", "anomaly_type", "type", *TIMES, "kickstart_hostname", *FEATURES, *COUNTERS)
HOST, WORKERS = "host-10-0-0-1.local", [f"worker{number % 2 + 1}-container-{number}" for number in range(8)]
FEWEST, MOST = 3, 8  # jobs of a worker in a run


@dataclass(frozen=True)
class Effect:
    """How many times as long a throttled worker takes, and how much run times vary without it (of their logarithm)."""

    slower: float = 1.7
    noise: float = 0.08


SAMPLE_RUNS = 60
SAMPLE_EFFECT = Effect(1.25, 0.2)  # one job says little, all of a worker's much, as in the real ones


def write_runs(
    folder: Path,
    workflow: str = "1000genome",
    runs: int = 20,
    seed: int = 0,
    like: str | None = None,
    effect: Effect = Effect(),
) -> Path:
    """Write `runs` runs of a workflow, beside those of others in `folder`; return `folder`.

    Jobs are those of the workflow `like`, by default its own. A quarter of the runs is normal; each of the others has
    one or two throttled workers of four to six.
    """
    like = like or workflow
    chance = np.random.default_rng([seed, list(JOBS).index(like)])
    own = [f"{name}_ID{number:07}" for name, (count, _) in JOBS[like].items() for number in range(1, count + 1)]
    auxiliary = [*AUXILIARY[like], *(f"stage_out_local_condorpool_2_{number}" for number in range(2))]
    order = json.loads(_read(folder / "run_order.json"))
    order[workflow] = (chance.permutation(runs) + 1).tolist()
    _write(folder / "run_order.json", json.dumps(order))
    first, *last = auxiliary
    graph = [first, *chance.permutation(own).tolist(), *last]
    follows = dict(zip(graph, [[name] for name in graph[1:]] + [[]], strict=True))
    _write(folder / "adjacency_list_dags" / f"{workflow}.json", json.dumps(follows))
    for number in range(1, runs + 1):
        kind = KINDS[(number - 1) * len(KINDS) // runs]
        rows = _run(like, own, auxiliary, kind, 1.6e9 + 1e5 * number, chance, effect)
        path = folder / workflow / f"{workflow}-run{number:04}.csv"
        _write(path, "")
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows(rows[place] for place in chance.permutation(len(rows)))
    return folder


def _run(
    like: str,
    own: list[str],
    auxiliary: list[str],
    kind: str,
    begin: float,
    chance: np.random.Generator,
    effect: Effect,
) -> list[dict]:
    """Return the rows of a run that begins at `begin`."""
    workers = chance.choice(WORKERS, chance.integers(4, 7), replace=False).tolist()
    throttled = set(workers[: chance.integers(1, 3)]) if kind != "None" else set()
    rows = [_auxiliary(name, begin + 2_000.0 * place, chance) for place, name in enumerate(auxiliary)]
    clocks = dict.fromkeys(workers, begin + 30.0)
    for name, worker in zip(own, _dealt(workers, len(own), chance), strict=True):
        alone = JOBS[like][name.rpartition("_")[0]][1] * chance.lognormal(0, effect.noise)  # seconds
        work = alone * chance.lognormal(0, effect.noise, 4)  # what it computes and reads, told apart from its seconds
        row = _job(name, worker, alone * (effect.slower if worker in throttled else 1.0), work, clocks[worker], chance)
        rows.append(row | {"anomaly_type": kind if worker in throttled else "None"})
        clocks[worker] = row["execute_end"] + 2.0
    return rows


def _dealt(workers: list[str], jobs: int, chance: np.random.Generator) -> list[str]:
    """Return the worker of each job: each gets a few, and chance deals the rest."""
    dealt = workers * FEWEST
    while len(dealt) < jobs:
        dealt.append(chance.choice([worker for worker in workers if dealt.count(worker) < MOST]))
    return chance.permutation(dealt).tolist()


def _auxiliary(name: str, start: float, chance: np.random.Generator) -> dict:
    runtime = float(chance.integers(4, 9))
    measured = {"wms_delay": 1.0, "queue_delay": float(chance.integers(0, 5)), "runtime": runtime}
    about = {"": name, "anomaly_type": "None", "type": "auxiliary", "kickstart_hostname": HOST}
    times = _times(start, runtime, measured["queue_delay"])
    return about | times | measured | {"post_script_delay": 5.0, "kickstart_executables_cpu_time": 0.2}


def _job(name: str, worker: str, seconds: float, work: np.ndarray, start: float, chance: np.random.Generator) -> dict:
    """Return the row of a job without its label."""
    runtime, queue = float(round(seconds)), float(chance.integers(5, 40))
    measured = dict.fromkeys(COUNTERS, 0.0) | {
        "wms_delay": float(chance.integers(1, 8)),
        "queue_delay": queue,
        "runtime": runtime,
        "post_script_delay": 5.0,
        "stage_in_delay": float(chance.integers(2, 9)),
        "stage_out_delay": float(chance.integers(0, 4)),
        "stage_in_bytes": float(round(work[0] * 1e6)),
        "stage_out_bytes": float(round(work[1] * 1e3)),
        "kickstart_executables_cpu_time": round(0.9 * work[2], 1),
        "kickstart_online_utime": round(0.85 * work[2], 1),
        "kickstart_online_bytes_read": float(round(work[3] * 1e6)),
        "kickstart_online_bytes_read_per_second": round(work[3] * 1e6 / runtime, 1),
    }
    return {"": name, "type": "compute", "kickstart_hostname": worker} | _times(start, runtime, queue) | measured


def _times(start: float, runtime: float, queued: float) -> dict:
    return dict(zip(TIMES, (start - queued, start, start + runtime), strict=True))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else "{}"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
