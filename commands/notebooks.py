"""Notebooks executed from the command line: what their cells print streams to the terminal, tables stay in them.

Papermill's own command line shows a person a traceback where a sentence will do.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import papermill
from papermill.exceptions import PapermillExecutionError

from core.errors import BadInput
from core.files import disk_fault, replace, told

ROOT = Path(__file__).resolve().parents[1]


def execute(name: str, output: Path, parameters: dict) -> None:
    """Run the notebook `name` in the current folder and keep it as `output` when it has come to its end."""
    with _made(output.parent), told(output), replace(output) as place:
        try:
            papermill.execute_notebook(
                ROOT / f"{name}.ipynb",
                place,
                parameters,
                kernel_name="python3",
                progress_bar=False,
                stdout_file=sys.stdout,
                extra_arguments=["--log-level=CRITICAL"],  # of the kernel: its sockets complain when they are closed
            )
        except PapermillExecutionError as error:
            if error.ename == "BadInput":
                raise BadInput(error.evalue) from None
            if error.ename == "KeyboardInterrupt":
                raise KeyboardInterrupt from None
            raise disk_fault(OSError(error.evalue), output.parent.as_posix()) or error from None


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder, and remove it where nothing came to be in it: a model that is refused has no run."""
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):  # that it is not empty
            folder.rmdir()


def prepare_environment() -> None:
    """Let the kernels import this repository, find no foreign kernel, and wait without spinning.

    Two spinning threads collapse many-fold beside any other busy process; passive waiting costs a little when alone.
    """
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    os.environ.pop("JUPYTER_PATH", None)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
