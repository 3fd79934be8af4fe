"""The lines of the log that a data folder was made from, for as long as that log is at hand and unchanged."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from core.errors import BadInput
from core.files import sha256
from core.log_files import LogFiles
from core.logs import LogFile
from core.schemas import LogPlace, read_checked

PLACE = "log_place.json"  # beside the manifest, which is the same wherever a log lies


def keep_place(folder: Path, log: LogFile) -> None:
    """Write into a data folder where its log lies on this machine, unless it lies in the folder itself."""
    if log.path.is_file() and folder.resolve() not in log.path.resolve().parents:
        place: dict[str, str | list[str] | None] = {"path": log.path.resolve().as_posix(), "member": log.member}
        if len(log.paths) > 1:
            place["others"] = [path.resolve().as_posix() for path in log.paths[1:]]
        (folder / PLACE).write_text(json.dumps(place, indent=2) + "\n", encoding="utf-8")


def find_log(folder: Path, sources: list[dict]) -> LogFile | None:
    """Return the log, the first of the `sources` of a manifest; None if it is gone or is another by its hash.

    The hash keeps a folder that somebody else made from showing any file of this machine.
    """
    for source in sources[:1]:
        logs: list[LogFile] = [LogFile(folder / source["file"])]
        if (folder / PLACE).is_file():
            place = read_checked(folder / PLACE, LogPlace, f"remove it: without {PLACE} templates stand for lines.")
            paths = [Path(place["path"]), *map(Path, place.get("others", []))]
            logs.append(LogFiles(paths) if len(paths) > 1 else LogFile(paths[0], place["member"]))
        for log in logs:
            hashes = [one["sha256"] for one in sources[: len(log.paths)]]
            if len(hashes) == len(log.paths) and all(map(_is, log.paths, hashes)):
                return log
    return None


def _is(path: Path, wanted: str) -> bool:
    """Return whether a file with this hash lies there; what may not be read does not."""
    try:
        return path.is_file() and not path.is_symlink() and sha256(path) == wanted
    except OSError:
        return False


class RawLines:
    """Lines of one log by their numbers, each read once."""

    def __init__(self, log: LogFile | None) -> None:
        """Read from `log`; without one no line is at hand."""
        self._log = log
        self._read: dict[int, str] = {}

    def at(self, numbers: Iterable[int | None]) -> Mapping[int, str]:
        """Return the text of those of these lines, counted from 1, that are at hand."""
        missing = {number for number in numbers if number} - self._read.keys()
        if self._log and missing:
            try:
                self._read |= dict(self._log.anew().pick(missing).iter_rows())
            except BadInput:  # it was changed while it was read; templates stand for its lines
                self._log = None
        return self._read
