"""Parsing at full size beside Drain3 fed line by line, both from the raw file to the keys, one after the other.

    python -m benchmarks.parsing --log HDFS.log.gz [--lines 11200000] [--json FILE]     speed, memory, the partition
    python -m benchmarks.parsing --windows [--json FILE]                                memory, 2 to 20 million lines

The first makes a log of HDFS's published size by repeating a real HDFS log with fresh block ids. `ours` is
parse_logs.py as a person calls it, to sequences.parquet, in a process of its own. `drain3` splits the same header with
a regular expression, masks with the same patterns through `re`, and feeds Drain3 every line; it groups and writes
nothing. Masks are most of its time, so a figure of Drain3 says little without them: `drain3_by_masks` is its
TemplateMiner on the first lines, with no masks, with these, and with those of its example. The second needs no data: it
makes BGL-like lines.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import polars as pl
from drain3 import TemplateMiner
from drain3.masking import MaskingInstruction
from drain3.template_miner_config import TemplateMinerConfig

from benchmarks.command import parser_of, run
from benchmarks.templates import EXAMPLE_MASKS
from core.logs import LogFile
from parsing.datasets import HDFS
from parsing.lines.headers import compile_header
from parsing.templates.drain import new_drain
from parsing.templates.messages import template_key

SOME = 200_000  # lines
ROOT = Path(__file__).resolve().parent.parent
MEASURED = """
import json, resource, sys, time
import parse_logs
started = time.perf_counter()
code = parse_logs.main(sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
print("FIGURES " + json.dumps({"code": code, "seconds": time.perf_counter() - started, "peak_memory_gb": peak}))
"""


def repeat_log(log: Path, folder: Path, lines: int) -> tuple[Path, Path]:
    """Write a log of `lines` lines, `log` again and again with fresh block ids, and labels that call all normal."""
    text = b"".join(block["text"].str.join("\n").item().encode() + b"\n" for block in LogFile(log).blocks())
    big, labels, written, blocks = folder / "big.log", folder / "labels.csv", 0, set()
    with big.open("wb") as file:
        for copy in range(10, 10_000):
            part = text.replace(b"blk_", b"blk_%d" % copy).replace(b"blk_%d-" % copy, b"blk_-%d" % copy)
            count = part.count(b"\n")
            if written + count > lines:
                part = b"\n".join(part.split(b"\n")[: lines - written]) + b"\n"
            file.write(part)
            blocks.update(re.findall(rb"blk_-?[0-9]+", part))
            written += count
            if written >= lines:
                break
    labels.write_bytes(b"BlockId,Label\n" + b"".join(name + b",Normal\n" for name in sorted(blocks)))
    return big, labels


def ours(*arguments: str) -> dict:
    """Return parse_logs.py in a process of its own: `seconds`, `peak_memory_gb`."""
    done = subprocess.run([sys.executable, "-c", MEASURED, *arguments], cwd=ROOT, capture_output=True, text=True)
    figures = [line for line in done.stdout.splitlines() if line.startswith("FIGURES ")]
    if not figures:
        sys.exit(done.stdout + done.stderr)
    return json.loads(figures[0][8:])


def drain3_line_by_line(log: Path) -> tuple[list[str], float]:
    """Return the key of each line by its final template, and the seconds it took."""
    header = re.compile(compile_header(HDFS.header).pattern)
    # \\g<1> is Python's way to write the ${1} of Rust
    masks = [(re.compile(mask.pattern), re.sub(r"\$\{(\d)\}", r"\\g<\1>", mask.replacement)) for mask in HDFS.masks]
    drain, clusters, started = new_drain(HDFS.drain), [], time.perf_counter()
    with log.open(encoding="utf-8") as file:
        for line in file:
            message = header.match(line.rstrip("\n"))["Content"]
            for pattern, replacement in masks:
                message = pattern.sub(replacement, message)
            clusters.append(drain.add_log_message(message)[0])
    keys = {cluster.cluster_id: template_key(cluster.get_template()) for cluster in drain.clusters}
    return [keys[cluster.cluster_id] for cluster in clusters], time.perf_counter() - started


def drain3_by_masks(log: Path) -> dict[str, float]:
    """Return lines a second of Drain3's TemplateMiner on the first SOME lines, header included, by its masks."""
    header = re.compile(compile_header(HDFS.header).pattern)
    ways = {
        "none": [],
        "ours": [MaskingInstruction(mask.pattern, "*") for mask in HDFS.masks],
        "example": EXAMPLE_MASKS,
    }
    with log.open(encoding="utf-8") as file:
        lines = list(islice(file, SOME))
    found = {}
    for name, masks in ways.items():
        config = TemplateMinerConfig()
        config.masking_instructions, config.profiling_enabled = masks, False
        miner, started = TemplateMiner(config=config), time.perf_counter()
        for line in lines:
            miner.add_log_message(header.match(line.rstrip("\n"))["Content"])
        found[f"lines_per_second_drain3_masks_{name}"] = len(lines) / (time.perf_counter() - started)
    return found


def same_partition(folder: Path, reference: list[str]) -> bool:
    """Return whether the data folder gives every line the key that Drain3 gave it."""
    wanted = pl.Series(reference)
    frame = pl.scan_parquet(folder / "sequences.parquet").select("lines", "keys").explode("lines", "keys")
    found = frame.unique().collect().sort("lines")
    return len(found) == len(wanted) and bool((found["keys"] == wanted).all())


def compare(log: Path, lines: int) -> dict:
    """Return speed, memory and partition of both at `lines` lines."""
    with tempfile.TemporaryDirectory() as place:
        big, labels = repeat_log(log, Path(place), lines)
        out = Path(place) / "data"
        mine = ours("hdfs", "--log", str(big), "--labels", str(labels), "--out", str(out))
        reference, seconds = drain3_line_by_line(big)
        return {
            "lines": len(reference),
            "lines_per_second": len(reference) / mine["seconds"],
            "lines_per_second_drain3": len(reference) / seconds,
            "speedup_over_drain3": seconds / mine["seconds"],
            "peak_memory_gb": mine["peak_memory_gb"],
            "same_partition": same_partition(out, reference),
        } | drain3_by_masks(big)


def bgl_like(path: Path, lines: int) -> Path:
    """Return lines with a BGL header, four a second, of a few templates, every thousandth an alert."""
    number = pl.int_range(0, pl.len())
    with path.open("wb") as file:
        for start in range(0, lines, 1_000_000):
            rows = pl.select(line=pl.int_range(start, min(start + 1_000_000, lines))).lazy()
            alert = pl.when(number % 1_000 == 7).then(pl.lit("KERNDTLB")).otherwise(pl.lit("-"))
            kind = pl.col("line") % 7
            text = pl.format(
                "{} {} 2005.06.03 R{}-M1 2005-06-03-15.42.50.675872 R{}-M1 RAS KERNEL INFO {} core.{} at 0x{}",
                alert, 1_117_838_570 + pl.col("line") // 4, kind, kind, pl.lit("made"), "line", pl.col("line") * 77,
            )  # fmt: skip
            rows.select(text).collect().write_csv(file, include_header=False, quote_style="never")
    return path


def grow() -> dict:
    """Return peak memory of time windows over 2 and over 20 million BGL-like lines."""
    figures = {}
    with tempfile.TemporaryDirectory() as place:
        for millions in (2, 20):
            log = bgl_like(Path(place) / "bgl.log", millions * 1_000_000)
            found = ours("bgl", "--log", str(log), "--window", "60s", "--out", str(Path(place) / f"data{millions}"))
            figures[f"peak_memory_gb_{millions}_million"] = found["peak_memory_gb"]
            figures[f"lines_per_second_{millions}_million"] = millions * 1e6 / found["seconds"]
    figures["memory_growth"] = figures["peak_memory_gb_20_million"] / figures["peak_memory_gb_2_million"] - 1
    return figures


def measure(options: argparse.Namespace) -> dict:
    """Return the figures of one of the two questions."""
    return grow() if options.windows else compare(options.log, options.lines)


if __name__ == "__main__":
    parser = parser_of(__doc__)
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--log", type=Path, help="a real HDFS log, plain or .gz, to be repeated")
    asked.add_argument("--windows", action="store_true", help="memory of time windows instead")
    parser.add_argument("--lines", type=int, default=11_200_000)
    run(parser.parse_args(), measure)
