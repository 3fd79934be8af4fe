"""Parsing beside Drain3 fed line by line with the same header, masks and settings, in one process, one after the other.

    python -m benchmarks.parsing --log HDFS.log.gz [--json FILE]

Prints whether both put the same lines together, and how much faster distinct masked messages are.
"""

import argparse
import json
import time
from pathlib import Path

import polars as pl

from parsing.mine import MessageTable, masked, new_drain
from parsing.read import LogFile, split_header
from parsing.specs import HDFS


def events(log: Path) -> pl.DataFrame:
    """`line, message (masked)` of every line that matches the header."""
    return pl.concat(
        split_header(block, HDFS.header, HDFS.time_format)[0].select(
            "line", message=masked(pl.col("content"), HDFS.masks)
        )
        for block in LogFile(log).blocks()
    )


def ours(log: Path) -> list[str]:
    """The template of each line, Drain3 seeing each distinct message once."""
    table, found = MessageTable(), events(log)
    numbers = table.number(found["message"]).to_frame("message")
    return numbers.join(table.keys(HDFS.drain), on="message", maintain_order="left")["template"].to_list()


def line_by_line(log: Path) -> list[str]:
    """The final template of each line, Drain3 seeing every line."""
    drain = new_drain(HDFS.drain)
    clusters = [drain.add_log_message(message)[0] for message in events(log)["message"].to_list()]
    final = {cluster.cluster_id: cluster.get_template() for cluster in drain.clusters}
    return [final[cluster.cluster_id] for cluster in clusters]


def timed(parse, log: Path) -> tuple[list[str], float]:
    """Its result and the seconds it took."""
    started = time.perf_counter()
    return parse(log), time.perf_counter() - started


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, required=True, help="an HDFS log, plain or .gz")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    (mine, seconds), (reference, slow) = timed(ours, options.log), timed(line_by_line, options.log)
    figures = {
        "lines": len(mine),
        "templates": len(set(mine)),
        "templates_line_by_line": len(set(reference)),
        "same_partition": mine == reference,
        "lines_per_second": len(mine) / seconds,
        "lines_per_second_line_by_line": len(mine) / slow,
        "mining_speedup": slow / seconds,
    }
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):<32}{str(value) if isinstance(value, bool) else f'{value:,.1f}':>16}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
