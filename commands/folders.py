"""The data folder that a command works on, made if it is not there."""

import argparse
from dataclasses import asdict
from pathlib import Path

import parse_logs
from core.data import open_data
from core.errors import BadInput
from core.files import sha256
from core.schemas import Manifest, read_checked
from parsing.datasets import SPECS
from parsing.options import job_of, read_options


def make_data(options: argparse.Namespace) -> None:
    """Call parse_logs.py unless the data folder is complete; raise BadInput where it cannot be made."""
    folder = Path("data") / options.data
    if (folder / "manifest.json").is_file():
        _refuse_other(folder, options)
        print(f"data: {folder.as_posix()} is there")
        return
    if options.data != "sample" and options.log is None and options.spec is None:
        raise BadInput(
            f"{folder.as_posix()} does not exist; add --log FILE for a log of your own (with make: LOG=FILE), or "
            "--spec hdfs --log FILE --labels FILE (SPEC=hdfs LOG=FILE LABELS=FILE; without the log it is downloaded), "
            "or make the folder with parse_logs.py"
        )
    parse(_wanted(options, folder), folder)


def _wanted(options: argparse.Namespace, folder: Path) -> list[str]:
    """Return what parse_logs.py is called with."""
    own = options.log is not None and not (options.spec or options.data in SPECS)
    wanted = [str(options.log) if own else options.spec or options.data, "--out", str(folder)]
    given = {"log": None if own else options.log, "labels": options.labels, "session": options.session}
    given |= {"window": options.window, "format": options.format or ("auto" if own else None)}
    for name, value in given.items():
        if value:
            wanted += [f"--{name}", str(value)]
    return wanted


def _refuse_other(folder: Path, options: argparse.Namespace) -> None:
    """Raise BadInput if a data folder was made of another log than the options name, or read in another way."""
    if not (options.log and options.log.is_file()):
        return
    manifest = read_checked(folder / "manifest.json", Manifest, f"remove {folder.as_posix()}, it is made again.")
    job = job_of(read_options(__doc__, _wanted(options, folder)))
    read, now = manifest.get("spec") or {}, asdict(job.spec) if job.spec else {}
    ways = {"format": ("header",), "session": ("session", "session_by")}
    differs = [name for name in ways if getattr(options, name) and any(read.get(w) != now.get(w) for w in ways[name])]
    differs += ["window"] if options.window and manifest.get("grouping") != asdict(job.plan.grouping) else []
    differs += ["log"] if manifest["sources"][0]["sha256"] != sha256(options.log) else []
    if differs:
        raise BadInput(
            f"{folder.as_posix()} was made with another --{differs[0]}; give another DATA, leave out --{differs[0]}, "
            "or remove the folder, which is then made again."
        )


def parse(arguments: list[str], folder: Path) -> None:
    """Call parse_logs.py; raise BadInput if it does not make `folder`."""
    if parse_logs.main(arguments):
        raise BadInput(f"{folder.as_posix()} could not be made, see above.")


def split_folder(data: str, seed: int) -> str:
    """Return the name of the data folder with the split of `seed`, made if it is not there.

    What has one split alone is used as it is.
    """
    opened = open_data(data)
    if opened.has_one_split or opened.manifest["split"]["seed"] == seed:
        return data
    name = f"{data}-split{seed}"
    path = Path("data") / name / "manifest.json"
    remedy = f"remove {path.parent.as_posix()}, it is made again."
    made_of = read_checked(path, Manifest, remedy)["split"] if path.is_file() else {}
    if made_of.get("of_hash") != opened.manifest["data_hash"]:
        again = ["--replace"] if made_of.get("of") == data else []  # split from what the folder held before
        parse([name, "--resplit", f"data/{data}", "--seed", str(seed), *again], path.parent)
    return name
