"""The data folder that a command works on, made if it is not there."""

import argparse
from pathlib import Path

import parse_logs
from core.data import open_data
from core.errors import BadInput
from core.schemas import Manifest, read_checked


def make_data(options: argparse.Namespace) -> None:
    """Call parse_logs.py unless the data folder is complete; raise BadInput where it cannot be made."""
    folder = Path("data") / options.data
    if (folder / "manifest.json").is_file():
        print(f"data: {folder.as_posix()} is there")
        return
    if options.data != "sample" and options.log is None and options.spec is None:
        raise BadInput(
            f"{folder.as_posix()} does not exist; add --spec hdfs --log FILE --labels FILE (with make: SPEC=hdfs "
            "LOG=FILE LABELS=FILE; without the log it is downloaded), or make the folder with parse_logs.py"
        )
    wanted = [options.spec or options.data, "--out", str(folder)]
    for name in ("log", "labels"):
        if getattr(options, name):
            wanted += [f"--{name}", str(getattr(options, name))]
    parse(wanted, folder)


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
