"""A new log judged by a trained run, with or without labels: which sequence, which line, when, and why.

    python -m commands.judge results/sample/next_key-tiny-llama-s0 tomorrow.log
    python -m commands.judge RUN LOG... [--labels FILE] [--unseen words --encoder NAME] [--out DIR] [--fail-on-alarm]
    python -m commands.judge --before A.log --after B.log [--session REGEX | --window 60s]      what changed
    python -m commands.judge RUN growing.log --follow                   as it is written; - is standard input

The run folder is all that is needed; it may have been copied from another machine. Each log is read as the run read its
own, and gets a folder, RUN/judged/<name>/ without --out: alarms.csv and report.html rank its strangest sequences,
judged.json has the figures, the rest is a data folder. With --follow an alarm is a line of JSON as soon as it is known
(commands/follow.py). `make judge RUN=... LOG=...` calls it.
"""

import argparse
import json
import shutil
import sys
from hashlib import blake2b
from pathlib import Path

import polars as pl

from commands.detectors import kind_of
from commands.follow import follow
from commands.options import check, parser_of, said
from core import cells
from core.data import Data, open_folder
from core.errors import BadInput
from core.evolution import EVOLUTION
from core.files import sha256, write
from core.log_files import kept_input
from core.logs import LogFile
from core.schemas import Manifest, read_checked
from evaluation.report import judged_page
from evaluation.rules import RANK_RULES
from evaluation.show.text import as_text
from evaluation.triage import TRIAGE
from evaluation.unseen import ALARM
from methods.words.reader import TemplateReader
from parse_logs import ask_about_new
from parsing.datasets import Spec
from parsing.judged import described, read_judged, read_lines
from parsing.options import folder_name
from parsing.sequences.place import refuse_overlap, replaced_folder
from parsing.sequences.split import RULES
from runs import handling, judged, steps
from runs.carried import Carried, open_carried
from runs.folder import run_folder

PRINTED = 10  # sequences
ALARMED = 3  # exit code of --fail-on-alarm
STOPPED = "what was judged before is as it was, and the same command begins anew"
COLUMNS = ("rank", "is_alarm", "time", "line", "raw", "reason")


def main(arguments: list[str] | None = None) -> int:
    """Judge the logs; return the exit code."""
    options = read_options(arguments)
    return said(lambda: run(options), STOPPED)


def run(options: argparse.Namespace) -> int:
    """Judge each log, and print its strangest sequences; return 0, or `ALARMED` where that was asked for."""
    check(options)
    if options.before or options.after:
        options = compared(options)
    if options.run is None or not options.logs:
        raise BadInput("Name the folder of a trained run and a log, or two logs with --before FILE --after FILE.")
    carried = open_carried(options.run)
    refuse_unfit(carried, options)
    detector = load(carried)
    if options.follow:
        return ALARMED if follow(carried, detector, options) and options.fail_on_alarm else 0
    with kept_input(options.logs) as logs:
        alarms = sum(judge(carried, detector, log, options)["alarms"] for log in logs)
    return ALARMED if alarms and options.fail_on_alarm else 0


def refuse_unfit(carried: Carried, options: argparse.Namespace) -> None:
    """Raise BadInput for logs that would share a folder, and for new keys handled in a way that the run cannot."""
    names = [] if options.follow else [folder_name(log.name) for log in options.logs]
    if len({*names}) < len(names):
        raise BadInput("Two of the logs have one name, and would share a folder; judge them one by one, with --out.")
    if options.unseen not in (ALARM, "evolved") and carried.decision["default_rule"] not in RANK_RULES:
        raise BadInput(
            f"--unseen {options.unseen} takes new keys out of a sequence and asks for the rest, which a detector that "
            f"gives one score for the whole, as {carried.config['model']}, cannot say; leave out --unseen."
        )
    if options.unseen in handling.WORDS:
        TemplateReader(options.encoder).check()


def compared(options: argparse.Namespace) -> argparse.Namespace:
    """Train a run on the log before, unless it is there, and return the options that judge the log after by it."""
    from commands import run as commands_run  # papermill, which takes seconds to import and judges nothing

    if not (options.before and options.after) or options.run:
        raise BadInput("--before and --after name two logs, and the run is made of the first; give both and no RUN.")
    for log in (options.before, options.after):
        if not log.is_file():
            raise BadInput(f"{log} does not exist or is a folder; look with: ls {log.parent}")
    given = {"log": options.before, "format": options.format, "session": options.session, "window": options.window}
    told = repr([sha256(options.before), *map(given.get, ("format", "session", "window"))])
    data = f"{folder_name(options.before.name)}-{blake2b(told.encode(), digest_size=4).hexdigest()}"
    arguments = ["--data", data]
    for name, value in given.items():
        arguments += [f"--{name}", str(value)] if value else []
    if code := commands_run.main(arguments):
        raise BadInput(f"{options.before} could not be learned (exit code {code}), see above.")
    wanted = commands_run.read_options(arguments)
    folder = run_folder(data, wanted.model, wanted.seed)
    return argparse.Namespace(**vars(options) | {"run": folder, "logs": [options.after]})


def load(carried: Carried) -> steps.Detector:
    """Return the trained detector of a run; raise BadInput if it reads no log."""
    kind = kind_of(carried.config["method"])
    if kind.reads == "jobs":
        raise BadInput(f"{carried.folder.as_posix()} judges jobs of workflows, not logs; name the run of a log.")
    train = steps.learned(carried.learned, "train", kind)
    return kind.load(carried.folder / "model", train)


def judge(carried: Carried, detector: steps.Detector, log: Path, options: argparse.Namespace) -> dict:
    """Judge one log and write its folder, in place of an earlier one once all is known; return judged.json."""
    name = folder_name(log.name)
    out = options.out / name if options.out else carried.folder / "judged" / name
    refuse_training(out)
    if options.unseen == "evolved" and not (out / EVOLUTION).is_file():
        raise BadInput(f"{(out / EVOLUTION).as_posix()} does not exist; judge the log without --unseen evolved first.")
    refuse_overlap(out, [path for path in (log, options.labels) if path])
    out.parent.mkdir(parents=True, exist_ok=True)
    spec = described(carried.learned, "spec", Spec)
    reader = TemplateReader(options.encoder if options.unseen in handling.WORDS else None)
    with replaced_folder(out) as folder:
        read(carried, log, options.labels, out, folder)
        data = open_folder(folder)
        handling.check(data, options.unseen)
        found = judged.judge(
            carried, data, detector, options.unseen, reader, lambda numbers: read_lines(LogFile(log), spec, numbers)
        )
        shown = write_all(folder, log, carried, data, found)
    print("\n".join(shown))
    page = (out / "report.html").as_posix()
    print(f"{page}: open it in any browser; alarms.csv beside it lists {len(found.listed):,} sequences")
    return found.figures


def refuse_training(out: Path) -> None:
    """Raise BadInput if `out` is a data folder that a run learns from, which judging would replace."""
    path = out / "manifest.json"
    if path.is_file() and read_checked(path, Manifest, "name another --out.")["split"]["rule"] != RULES["judged"]:
        raise BadInput(f"{out.as_posix()} holds data that runs learn from; name another --out.")


def read(carried: Carried, log: Path, labels: Path | None, out: Path, folder: Path) -> None:
    """Read a log into `folder`, with what was answered in `out`, that of an earlier reading."""
    read_judged(folder, out.name, carried.learned, LogFile(log), LogFile(labels) if labels else None)
    if (out / TRIAGE).is_file():  # what a person has said of it holds
        shutil.copyfile(out / TRIAGE, folder / TRIAGE)
    sequences = pl.scan_parquet(folder / "sequences.parquet", glob=False).filter(pl.col("split") == "test")
    ask_about_new(folder, carried.learned, sequences, out / EVOLUTION)


def write_all(folder: Path, log: Path, carried: Carried, data: Data, found: judged.Judged) -> list[str]:
    """Write alarms.csv, report.html and, last, judged.json; return the head of the list and what was found."""
    said_of_it, simulated = judged.sentences(found.figures), data.manifest["simulated"]
    write(folder / "alarms.csv", cells.guard(found.listed))
    write(folder / "changes.csv", cells.guard(found.changes))
    name = f"{log.name} judged by {carried.config['model']} of {carried.config['data']}"
    judged_page.write_judged_page(folder, name, simulated, said_of_it, found.listed, found.new, found.changes)
    write(folder / "judged.json", json.loads(json.dumps(found.figures)))
    shown = (
        found.listed.head(PRINTED)
        .select(COLUMNS)
        .with_columns(pl.col("raw").str.head(120), pl.col("line").cast(pl.String))
    )
    return [f"\n{as_text(shown, f'{name}, the strangest first' + ' (simulated)' * simulated)}\n", *said_of_it]


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of(__doc__, "--unseen", "--encoder")
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN", help="folder of a trained run")
    parser.add_argument(
        "logs", type=Path, nargs="*", metavar="LOG", help="raw log, plain or packed; - is standard input"
    )
    parser.add_argument("--before", type=Path, metavar="LOG", help="in place of RUN: a run is made of this log")
    parser.add_argument("--after", type=Path, metavar="LOG", help="and this one is judged by it")
    parser.add_argument("--format", help="of --before: how its lines begin (default: auto)")
    parser.add_argument("--session", metavar="REGEX", help="of --before: the ids in messages that group lines")
    parser.add_argument("--window", metavar="60s", help="of --before: windows of time")
    parser.add_argument("--follow", action="store_true", help="go on while the log grows; an alarm is a line of JSON")
    parser.add_argument(
        "--labels", type=Path, help="labels by session (BlockId,Label), line (line,Label) or time (start,end)"
    )
    parser.add_argument("--out", type=Path, help="where each log gets a folder (default: RUN/judged)")
    parser.add_argument("--fail-on-alarm", action="store_true", help=f"exit code {ALARMED} if there is an alarm")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
