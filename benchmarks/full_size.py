"""HDFS at its published size, from the raw log to verdicts: seconds and memory of each step on this machine.

    python -m benchmarks.full_size --log HDFS.log.gz [--labels anomaly_label.csv] [--lines 11175629] [--json FILE]

HDFS v1 as published has 11,175,629 lines of 575,061 sessions. The log here is a real HDFS log repeated with fresh block
ids until it has as many lines, so it has the size, and not the variety, of the whole: it is for time and memory. Each
step is a process of its own, as `make run` would have it, so that each has its own peak of memory.
Labels are those beside the log (anomaly_label.csv) or of --labels; without any, every session counts as normal.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl

from benchmarks.command import parser_of, run
from benchmarks.parsing import repeat_log

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED_LINES = 11_175_629
MEASURED = """
import json, sys, time
from functools import partial
from core.environment import peak_memory_gb
started = time.perf_counter()
{step}
print("FIGURES " + json.dumps({{"seconds": time.perf_counter() - started, "peak_memory_gb": peak_memory_gb()}}))
"""
OPENED = """
from methods.next_key import NextKey
from runs import steps
from runs.folder import open_run, start_run
"""
STEPS = {
    "parse": "import parse_logs\nassert parse_logs.main(sys.argv[1:]) == 0",
    "train": OPENED
    + """
data = steps.open_data("full")
detector = NextKey("tiny-llama", 0, templates=data.templates)
steps.fit(start_run("full", "tiny-llama", 0, detector.describe()), detector)
""",
    "judge": OPENED
    + """
run = open_run("full", "tiny-llama", 0)
detector = NextKey.load(run.model_folder, run.data.keys("train"))
decision = steps.calibrate(run, steps.score(run, "validation", detector.score), 0.01)
steps.judge(run, steps.score(run, "test", detector.score), decision)
""",
}


def measure(step: str, folder: Path, *arguments: str) -> dict[str, float]:
    """Return `seconds` and `peak_memory_gb` of one step in a process of its own, working in `folder`."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-c", MEASURED.format(step=STEPS[step]), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    figures = [line for line in done.stdout.splitlines() if line.startswith("FIGURES ")]
    if not figures:
        sys.exit(done.stdout + done.stderr)
    return json.loads(figures[0][8:])


def repeat_labels(labels: Path | None, repeated: Path) -> None:
    """Give each repeated block the label of the block it was made from: fresh ids begin with two to four digits."""
    if labels is None:
        return
    anomalous = set(pl.read_csv(labels).filter(pl.col("Label") == "Anomaly")["BlockId"])
    number = pl.col("BlockId").str.extract(r"blk_(-?\d+)", 1)
    frame = pl.read_csv(repeated).with_columns(sign=number.str.starts_with("-"), digits=number.str.strip_prefix("-"))
    originals = [
        pl.format(
            "blk_{}{}", pl.when("sign").then(pl.lit("-")).otherwise(pl.lit("")), pl.col("digits").str.slice(count)
        )
        for count in (2, 3)
    ]
    marked = pl.any_horizontal(name.is_in(sorted(anomalous)) for name in originals)
    frame.select("BlockId", Label=pl.when(marked).then(pl.lit("Anomaly")).otherwise(pl.lit("Normal"))).write_csv(
        repeated
    )


def whole_job(log: Path, labels: Path | None, lines: int) -> dict[str, float]:
    """Return the figures of every step, and their sum."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        big, repeated = repeat_log(log, folder, lines)
        repeat_labels(labels, repeated)
        out = ("--out", "data/full")
        found = {"parse": measure("parse", folder, "hdfs", "--log", str(big), "--labels", str(repeated), *out)}
        big.unlink()
        found |= {step: measure(step, folder) for step in ("train", "judge")}
        manifest = json.loads((folder / "data" / "full" / "manifest.json").read_text())
        metrics = json.loads(next(folder.glob("results/full/*/metrics.json")).read_text())
    default = metrics["rules"][metrics["default_rule"]]
    figures = {"lines": manifest["counts"]["lines"], "sessions": manifest["counts"]["sequences"]}
    for step, values in found.items():
        figures |= {f"{name}_{step}": value for name, value in values.items()}
    figures["seconds"] = sum(values["seconds"] for values in found.values())
    figures["peak_memory_gb"] = max(values["peak_memory_gb"] for values in found.values())
    return figures | {"f1": default["f1"], "false_alarm_rate": default["false_alarm_rate"]}


def measure_all(options: argparse.Namespace) -> dict[str, float]:
    """Return the figures of the whole job on the log that was given."""
    beside = options.log.with_name("anomaly_label.csv")
    return whole_job(options.log, options.labels or (beside if beside.is_file() else None), options.lines)


if __name__ == "__main__":
    parser = parser_of(__doc__)
    parser.add_argument("--log", type=Path, required=True, help="a real HDFS log, plain or .gz, to be repeated")
    parser.add_argument("--labels", type=Path, help="CSV with BlockId,Label (default: anomaly_label.csv beside it)")
    parser.add_argument("--lines", type=int, default=PUBLISHED_LINES)
    run(parser.parse_args(), measure_all)
