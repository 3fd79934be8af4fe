"""The options of parse_logs.py by their groups, as --help shows them."""

from pathlib import Path
from typing import Any

from parsing.datasets import PROTOCOLS
from parsing.lines.events import POLICIES
from parsing.workflows import specs as workflows

OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "where from": {
        "--log": {
            "type": Path,
            "nargs": "+",
            "metavar": "FILE",
            "help": "raw log: plain, .gz, .bz2, .xz, .zst, .tar.gz or .zip; files and folders, read in the order of "
            "time; - for standard input; of a workflow the folder of its runs; downloaded if not given",
        },
        "--labels": {"type": Path, "help": "labels by session (BlockId,Label), line (line,Label) or time (start,end)"},
        "--keys": {"type": Path, "nargs": "+", "metavar": "FILE", "help": "NORMAL [ABNORMAL] sequences, one a line"},
        "--key-stream": {"type": Path, "metavar": "FILE", "help": "parquet of consecutive lines: key, label"},
        "--resplit": {"type": Path, "metavar": "FOLDER", "help": "sequences of a data folder, split again by --seed"},
        "--engine": {"choices": ["polars", "ray"], "default": "polars", "help": "ray: a plain log on a cluster"},
        "--lines": {"metavar": "A-B", "help": "use only these lines of the log"},
    },
    "your own log": {
        "--format": {"help": "header as Loghub writes it: '<Date> <Time> <Level> <Component>: <Content>'; or auto"},
        "--time": {"metavar": "RECIPE", "help": "'epoch:Field' or '%%Y-%%m-%%d %%H:%%M:%%S of Date Time'"},
        "--session": {"metavar": "REGEX|FIELD", "help": "ids that group lines, or the field or key that has them"},
        "--session-begin": {"metavar": "REGEX", "help": "what the first message of each sequence says"},
        "--session-per-file": {"action": "store_true", "help": "each file of --log is one sequence"},
        "--continuation": {
            "choices": POLICIES,
            "help": "lines without a header: join the event before, or reject them (default: as the log looks)",
        },
        "--label-field": {"metavar": "FIELD", "help": "header field that is -, 0, false or normal for a normal line"},
    },
    "sequences": {
        "--protocol": {
            "choices": [*PROTOCOLS, *workflows.PROTOCOLS],
            "help": "grouping and split of a paper; runs, published and workflow are for workflow jobs",
        },
        "--window": {"metavar": "60s", "help": "time windows"},
        "--step": {"metavar": "30s", "help": "a time window every so often (default: the window)"},
        "--window-lines": {"type": int, "metavar": "N", "help": "windows of N lines"},
        "--step-lines": {"type": int, "metavar": "N", "help": "one every N lines (default: the window)"},
        "--paper-faults": {"action": "store_true", "help": "drop the windows that the protocol's code drops"},
        "--train-normals": {"type": int, "help": "normal sequences to train and validate on"},
        "--validation-share": {"type": float, "help": "share of those to validate on (default: 0.2)"},
        "--anomalies": {"type": int, "metavar": "N", "help": "labeled anomalies to learn from (supervised, logllm)"},
        "--labels-share": {"type": float, "metavar": "S", "help": "the same as a share of those outside the test"},
        "--seed": {"type": int, "default": 0, "help": "of the split, and of the simulated log (default: 0)"},
    },
    "templates": {
        "--mine": {
            "choices": ["whole", "train", "none"],
            "default": "whole",
            "help": "on all lines, on training lines, or none: each distinct masked message is a key",
        },
        "--templates": {
            "type": Path,
            "metavar": "FILE",
            "help": "templates.csv of an earlier run, instead of mining; with keys their words, a csv key,template",
        },
        "--evolve": {
            "action": "store_true",
            "help": "with --templates of a data folder: what matches none gets templates of its own, and evolution.csv "
            "asks which old one each may be",
        },
    },
    "where to": {
        "--out": {"type": Path, "help": "data folder to write (default: data/<name>)"},
        "--replace": {"action": "store_true", "help": "replace a data folder that was made of other sources"},
    },
}  # fmt: skip
