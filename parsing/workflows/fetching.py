"""Job tables of FlowBench, downloaded and unpacked to the layout that a folder of one's own has."""

import lzma
import zipfile
import zlib
from pathlib import Path

from core.errors import BadInput
from core.files import disk_fault, replace
from parsing.lines.download import fetch
from parsing.workflows.specs import WORKFLOWS, Workflow
from parsing.workflows.tables import RUN_NUMBER

MOST_BYTES = 1 << 30  # of one unpacked run; the largest known is half a megabyte


def fetch_workflow(workflow: Workflow, protocol: str, folder: Path) -> Path:
    """Return `folder` with the runs and the graph of a workflow, of all of them for the protocol `workflow`."""
    for one in WORKFLOWS.values() if protocol == "workflow" else (workflow,):
        fetch(one.graph, folder / "adjacency_list_dags")
        archive = fetch(one.table, folder)
        if not (folder / one.name).is_dir():
            with replace(folder / one.name) as place:
                place.mkdir()
                _unpack(archive, place)
    return folder


def _unpack(archive: Path, place: Path) -> None:
    """Write each run of an archive under its own name alone, wherever in the archive it is."""
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                name = Path(member.filename).name
                if RUN_NUMBER.search(name) and not name.startswith("."):
                    if member.file_size > MOST_BYTES:
                        raise BadInput(f"{archive} holds {name} of {member.file_size:,} bytes, which is no run.")
                    (place / name).write_bytes(opened.read(member))
            if not any(place.iterdir()):
                raise BadInput(f"{archive} holds no run of a workflow; after rm {archive} it is fetched again.")
    except OSError as error:
        raise disk_fault(error, place.as_posix()) or error from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise BadInput(f"{archive} cannot be unpacked ({error}); after rm {archive} it is fetched again.") from error
