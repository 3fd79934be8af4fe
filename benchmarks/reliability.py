"""Kills, two at once, fuzzed logs and damaged files: what is lost, what ends in a traceback, what is wrongly accepted.

    python -m benchmarks.reliability [--kills 100] [--pairs 20] [--logs 200] [--json FILE]

The log is simulated, the detector is DeepLog, which trains in seconds. After each kill the same command runs to its end
and must leave what a run without a kill leaves, byte for byte but for seconds and memory. Every field of every JSON is
damaged in four ways (benchmarks/damages.py).
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars as pl

from benchmarks import damages
from benchmarks.command import parser_of, run
from parsing.simulate import simulate

ROOT = Path(__file__).resolve().parent.parent
SESSIONS = 400
PARSE = [
    sys.executable, str(ROOT / "parse_logs.py"), "hdfs", "--log", "small.log", "--labels", "labels.csv",
    "--out", "data/small",
]  # fmt: skip
RUN = [
    sys.executable,
    "-c",
    "import sys\n"
    "from core.ending import said_in_a_sentence\n"
    "from methods.deeplog import DeepLog\n"
    "from runs import steps\n"
    "def work():\n"
    "    run = steps.complete(DeepLog, 'small', 0, 0.05, None)\n"
    "    steps.record(run, run.read_metrics(), run.read_decision())\n"
    "    return 0\n"
    "sys.exit(said_in_a_sentence(work, 'job'))\n",
]
RECORD = [
    sys.executable,
    "-c",
    "from pathlib import Path\n"
    "from evaluation import ledger\n"
    "import os\n"
    "for turn in range(25):\n"
    "    ledger.record(Path('results/runs.csv'), [{'data': f'{os.getpid()}-{turn}', 'rule': 'top_k'}])\n",
]
BREAKS = [
    b"\x00",
    b"\r",
    b"\n",
    b"\x1b]0;x\x07",
    b"\xff\xfe",
    b'"',
    b",",
    b"blk_",
    b" " * 300,
    "\u2028".encode(),
    b"\xed\xa0\x80",
]


def prepare(folder: Path) -> None:
    """Write the simulated log and its labels into `folder`."""
    simulated = simulate(seed=7, sessions=SESSIONS)
    (folder / "small.log").write_text("\n".join(simulated.lines) + "\n", encoding="utf-8")
    rows = [f"{block},{label}" for block, label in simulated.labels.items()]
    (folder / "labels.csv").write_text("\n".join(["BlockId,Label", *rows]) + "\n", encoding="utf-8")


def start(command: list[str], folder: Path) -> subprocess.Popen:
    """Start `command` in `folder`, in a group of its own that can be killed whole."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **pipes)


def left_by_parse(folder: Path) -> dict[str, bytes]:
    """Return the bytes of the data folder."""
    return {path.name: path.read_bytes() for path in sorted((folder / "data" / "small").iterdir())}


def left_by_run(folder: Path) -> dict[str, object]:
    """Return decision and metrics without seconds and memory, and the rows of the ledger without what they took."""
    run = folder / "results" / "small" / "deeplog-lstm-s0"
    metrics = json.loads((run / "metrics.json").read_text())
    rows = pl.read_csv(folder / "results" / "runs.csv", infer_schema=False).sort("rule")
    taken = [name for name in ("seconds", "peak_memory_gb", "date") if name in rows.columns]
    for name in ("seconds", "peak_memory_gb"):
        metrics.pop(name)
    decision = json.loads((run / "decision.json").read_text())
    decision.pop("model_hash", None)
    return {"decision": decision, "metrics": metrics, "rows": rows.drop(taken).rows()}


# ------------------------------------------------------------------------------------------------------------ kills


def kill_and_go_on(command: list[str], left: Callable, folder: Path, count: int, found: Counter) -> None:
    """Kill `command` `count` times at random moments, and let it end each time."""
    started = time.perf_counter()
    reference = _ended(command, left, folder, found)
    longest = time.perf_counter() - started
    chance = random.Random(0)
    for _ in range(count):
        _forget(folder, command)
        process = start(command, folder)
        time.sleep(chance.uniform(0, longest))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        found["kills"] += 1
        found["lost after a kill"] += _ended(command, left, folder, found) != reference


def _ended(command: list[str], left: Callable, folder: Path, found: Counter) -> object:
    process = start(command, folder)
    output, _ = process.communicate()
    _note(process.returncode, output, found, allowed=(0,))
    return left(folder) if process.returncode == 0 else None


def _forget(folder: Path, command: list[str]) -> None:
    """Remove what `command` makes, so that the next one has all of it to do."""
    shutil.rmtree(folder / ("data" if command is PARSE else "results"), ignore_errors=True)


def _note(code: int, output: str, found: Counter, allowed: tuple[int, ...]) -> None:
    found["tracebacks"] += "Traceback" in output
    found["wrong exit codes"] += code not in allowed
    if "Traceback" in output or code not in allowed:
        print(f"exit code {code}: {output[-1_500:]}", flush=True)


# -------------------------------------------------------------------------------------------------- two at once


def two_at_once(folder: Path, count: int, found: Counter) -> None:
    """Start two processes at once on the same data folder, the same run folder and the same ledger, in turn."""
    jobs = [(PARSE, left_by_parse), (RUN, left_by_run), (RECORD, None)]
    for turn in range(count):
        command, left = jobs[turn % len(jobs)]
        _forget(folder, command)
        pair = [start(command, folder) for _ in range(2)]
        for process in pair:
            output, _ = process.communicate()
            _note(process.returncode, output, found, allowed=(0, 2))
        found["pairs"] += 1
        if left is None:
            rows = len(pl.read_csv(folder / "results" / "runs.csv", infer_schema=False))
            found["lost by two at once"] += rows != 50
        else:
            found["lost by two at once"] += not any(process.returncode == 0 for process in pair)
            left(folder)  # whole and readable


# ------------------------------------------------------------------------------------------------------ fuzzed logs


def fuzz(folder: Path, count: int, found: Counter) -> None:
    """Parse logs with bytes broken in many ways: every line is in a sequence or rejected, or one sentence says why."""
    chance, whole = random.Random(0), (folder / "small.log").read_bytes()
    code = (
        "import json, sys, parse_logs\n"
        "for name in sys.argv[1:]:\n"
        "    how = ['--format', '<Date> <Time> <Pid> <Level> <Component>: <Content>', '--session', 'blk_-?[0-9]+']\n"
        "    code = parse_logs.main([name, *how, '--out', 'data/fuzzed', '--replace'])\n"
        "    print('CODE', code, flush=True)\n"
        "    if code == 0:\n"
        "        print('COUNTS', json.dumps(json.load(open('data/fuzzed/manifest.json'))['counts']), flush=True)\n"
    )
    for number in range(count):
        path = folder / f"fuzzed{number}.log"
        path.write_bytes(_broken(whole, chance))
        process = start([sys.executable, "-c", code, path.name], folder)
        output, _ = process.communicate()
        codes = [int(line.split()[1]) for line in output.splitlines() if line.startswith("CODE ")]
        _note(codes[0] if codes else 1, output, found, allowed=(0, 2))
        found["fuzzed logs"] += 1
        for line in output.splitlines():
            if line.startswith("COUNTS "):
                counts = json.loads(line[7:])
                found["fuzzed logs accepted"] += 1
                lines = counts["lines_in_sequences"] + counts["rejected"]
                found["lines unaccounted for"] += abs(counts["lines"] - lines)
        path.unlink()


def _broken(whole: bytes, chance: random.Random) -> bytes:
    """Return a piece of the log with bytes inserted, overwritten and cut out."""
    begin = chance.randrange(len(whole) // 2)
    data = bytearray(whole[begin : begin + chance.randrange(2_000, 200_000)])
    for _ in range(chance.randrange(1, 40)):
        place = chance.randrange(len(data))
        kind = chance.randrange(3)
        if kind == 0:
            data[place:place] = chance.choice(BREAKS)
        elif kind == 1:
            data[place] = chance.randrange(256)
        else:
            del data[place : place + chance.randrange(200)]
    return bytes(data)


# ------------------------------------------------------------------------------------------------------------ command


def measure(options: argparse.Namespace) -> dict[str, int]:
    """Return the counts of everything that was tried and of everything that went wrong."""
    found: Counter = Counter(dict.fromkeys(("tracebacks", "wrong exit codes", "wrong acceptances"), 0))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder)
        kill_and_go_on(PARSE, left_by_parse, folder, options.kills // 2, found)
        kill_and_go_on(RUN, left_by_run, folder, options.kills - options.kills // 2, found)
        two_at_once(folder, options.pairs, found)
        _ended(PARSE, left_by_parse, folder, found)
        _ended(RUN, left_by_run, folder, found)
        found.update(damages.try_all(folder))
        fuzz(folder, options.logs, found)
    return dict(found)


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--logs", type=int, default=200)
    run(parser.parse_args(), measure)
