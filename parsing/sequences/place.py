"""Where a data folder goes: what stands there, who may replace it, and how it comes there whole or not at all."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import BadInput
from core.evolution import EVOLUTION, read_evolution
from core.files import disk_fault, lock, replace


def refuse_overlap(out: Path, sources: list[Path]) -> None:
    """Raise BadInput if replacing `out` would remove a source, or if `out` lies inside another data folder."""
    place = find_place(out)
    for source in sources:
        if place in source.resolve().parents:
            raise BadInput(f"{source} lies in {out}, which would be replaced; move it out, or choose another --out.")
    for parent in place.parents:
        if (parent / "manifest.json").is_file():
            raise BadInput(f"{out} lies inside the data folder {parent}; choose another place with --out.")


def find_place(out: Path) -> Path:
    """Return where `out` really is: a symbolic link, perhaps to a larger disk, stays, and its target is replaced.

    Raise BadInput for a link that leads nowhere, and for the folder that the command runs in.
    """
    try:
        place, here = out.resolve(), Path.cwd()
        files = [parent for parent in place.parents if parent.exists() and not parent.is_dir()]
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise BadInput(f"{out} leads nowhere ({error}); choose another place with --out.") from error
    if files:
        raise BadInput(f"{out} cannot be made, since {files[0]} is a file; choose another place with --out.")
    if place == here or place in here.parents:
        raise BadInput(f"--out {out} is where you are, and cannot be replaced; name a folder, such as --out data/mine.")
    return place


@contextmanager
def replaced_folder(out: Path) -> Iterator[Path]:
    """Yield a new folder that replaces `out` when the block ends well; on an error `out` stays as it was.

    Raise BadInput if something else than a data folder stands there, or if another process is making it.
    """
    place = find_place(out)
    if place.exists() and not (place / "manifest.json").is_file() and (not place.is_dir() or any(place.iterdir())):
        raise BadInput(f"{out} exists and is not a data folder; choose another place with --out.")
    try:
        with lock(place, seconds=0), replace(place) as new:
            new.mkdir()
            try:
                yield new
            except BadInput as error:  # the new folder is gone by the time that somebody reads of it
                raise BadInput(str(error).replace(new.as_posix(), out.as_posix())) from error
    except BrokenPipeError:  # of what is printed, and no matter of the folder
        raise
    except OSError as error:
        fault = disk_fault(error, out.as_posix()) or f"{out} cannot be made ({error})."
        raise BadInput(f"{fault} It is as it was; look with: ls -ld {place.parent}, or use another --out.") from error


def refuse_other_sources(out: Path, new: dict) -> None:
    """Raise BadInput if `out` is a data folder that was made of other sources than those of the manifest `new`.

    Of these `simulated`, `title`, `spec` and `sources` count, and of a source what is known: name, size, SHA-256.
    """
    try:
        old = _sources(json.loads((out / "manifest.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{out}/manifest.json is broken, so what the folder was made of is unknown; choose another place with "
            "--out, or add --replace to lose it."
        ) from error
    wanted = _sources(new)
    same = len(old) == len(wanted) and all(
        one.get(name) == value for one, other in zip(old, wanted, strict=True) for name, value in other.items()
    )
    if not same:
        raise BadInput(
            f"{out} was made of {_said(old)} and would be replaced by {_said(wanted)}; give the new data another "
            "place with --out, or add --replace to lose the old."
        )


def refuse_lost_answers(out: Path) -> None:
    """Raise BadInput if the evolution.csv of `out`, which would be replaced by none, has an answer of a person."""
    path = out / EVOLUTION
    if path.is_file() and read_evolution(path)["answer"].count():
        raise BadInput(
            f"{path} has answers, which would be lost; give the command --evolve, which keeps them, another place with "
            "--out, or --replace to lose them."
        )


def _sources(manifest: dict) -> list[dict]:
    """Return the sources that make a folder what it is: labels may change, and every seed of a simulation is one."""
    if manifest["simulated"]:
        return [{"file": str(manifest["title"])}]
    sources = manifest["sources"][: manifest.get("logs") or 1] if manifest.get("spec") else manifest["sources"]
    known = (("bytes", int), ("sha256", str))
    return [
        {"file": str(source["file"])} | {name: kind(source[name]) for name, kind in known if name in source}
        for source in sources
    ]


def _said(sources: list[dict]) -> str:
    return " and ".join(
        source["file"]
        + (f" of {source['bytes']:,} bytes" if "bytes" in source else "")
        + (f" (SHA-256 {source['sha256'][:8]}...)" if "sha256" in source else "")
        for source in sources
    )
