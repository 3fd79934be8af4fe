"""How fast a trained run judges another HDFS log, beside the parser alone: lines a second, whole processes.

    python -m benchmarks.judging --log HDFS.log.gz [--lines 2000000] [--method next_key] [--json FILE]

The log is a real one repeated with fresh block ids (benchmarks/parsing.py), so it has the size, and not the variety, of
the whole: it is for time and memory. A run learns of the log as it is; then the repeated one is parsed, judged as a
batch, and followed from standard input. What a process needs to start is part of each, and measured on 1,000 lines.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.command import parser_of, run
from benchmarks.parsing import repeat_log

ROOT = Path(__file__).resolve().parent.parent
FEW = 1_000
LEARN = """
import parse_logs, sys
from methods.classical import Classical
from methods.next_key import NextKey
from runs import steps
assert parse_logs.main(["hdfs", "--log", sys.argv[1], "--labels", sys.argv[2], "--out", "data/learned"]) == 0
make = {"next_key": NextKey, "classical": Classical}[sys.argv[3]]
model = {"next_key": "tiny-llama", "classical": "pca"}[sys.argv[3]]
run = steps.complete(lambda **own: make(model, own["seed"], templates=own["templates"]), "learned", 0, 0.01, None)
print(run.folder)
"""


def timed(folder: Path, *command: str, read: Path | None = None) -> tuple[float, str]:
    """Return the seconds of a process in `folder`, with `read` as its standard input, and what it printed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE"}
    started = time.perf_counter()
    with (read or Path(os.devnull)).open("rb") as file:
        done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, stdin=file, capture_output=True)
    if done.returncode:
        sys.exit(done.stdout.decode() + done.stderr.decode())
    return time.perf_counter() - started, done.stdout.decode()


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Return seconds and lines a second of parsing, judging and following the repeated log."""
    log, labels = options.log.resolve(), options.log.resolve().with_name("anomaly_label.csv")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        printed = timed(folder, "-c", LEARN, str(log), str(labels), options.method)[1]
        trained, judge = printed.splitlines()[-1], ("-m", "commands.judge")
        big, all_normal = repeat_log(log, folder, options.lines)
        few = folder / "few.log"
        with big.open("rb") as file:
            few.write_bytes(b"".join(file.readline() for _ in range(FEW)))
        parse = ("-m", "parse_logs", "hdfs", "--labels", str(all_normal), "--out")
        steps = {
            "parse": lambda log: timed(folder, *parse, f"data/{log.stem}", "--log", str(log)),
            "judge": lambda log: timed(folder, *judge, trained, str(log)),
            "follow": lambda log: timed(folder, *judge, trained, "-", "--follow", read=log),
        }
        figures: dict[str, float] = {"lines": options.lines}
        for name, step in steps.items():
            figures[f"seconds_{name}"], figures[f"seconds_{name}_{FEW}_lines"] = step(big)[0], step(few)[0]
            figures[f"lines_per_second_{name}"] = options.lines / figures[f"seconds_{name}"]
    return figures | {"judge_of_parse": figures["seconds_parse"] / figures["seconds_judge"]}


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--log", type=Path, required=True, help="a real HDFS log, anomaly_label.csv beside it")
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--method", choices=("next_key", "classical"), default="next_key")
    run(parser.parse_args(), measure)
