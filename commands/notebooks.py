"""Notebooks executed from the command line: what their cells print streams to the terminal, tables stay in them.

Papermill's own command line shows a person a traceback where a sentence will do.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import papermill
from jupyter_client import AsyncKernelManager
from jupyter_core.utils import run_sync
from papermill.exceptions import PapermillExecutionError

from core.errors import BadInput
from core.files import disk_fault, replace, told

ROOT = Path(__file__).resolve().parents[1]
QUIET = "--log-level=CRITICAL"  # of a kernel: its sockets complain when they are closed
IMPORTED = "--IPKernelApp.exec_lines=['import methods.next_key, utils']"  # what the notebooks of a run begin with
logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what it says comes again as an exception


class Kernels(ExitStack):
    """The kernels of a run's notebooks: each is begun, and imports, while the notebook before still runs.

    Half of the time of a small log is that torch and Transformers are imported three times.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begun: AsyncKernelManager | None = None
        self.one_at_a_time = find_spec("unsloth") is not None  # it takes memory of the card when it is imported

    def take(self, another: bool) -> AsyncKernelManager:
        """Return a kernel for the next notebook; begin that of `another` one after it."""
        taken = self.begun if self.begun and run_sync(self.begun.is_alive)() else self._begin()
        self.begun = self._begin() if another and not self.one_at_a_time else None
        return taken

    def _begin(self) -> AsyncKernelManager:
        kernel = AsyncKernelManager(kernel_name="python3")
        run_sync(kernel.start_kernel)(extra_arguments=[QUIET, IMPORTED])
        self.callback(_end, kernel)
        return kernel


def _end(kernel: AsyncKernelManager) -> None:
    if kernel.has_kernel:
        run_sync(kernel.shutdown_kernel)(now=True)


def execute(name: str, output: Path, parameters: dict, kernels: Kernels | None = None, another: bool = False) -> None:
    """Run the notebook `name` in the current folder and keep it as `output` when it has come to its end.

    In one of `kernels`, which then begin that of `another` notebook, or in a kernel of its own.
    """
    with ExitStack() as after, _made(output.parent), told(output), replace(output) as place:
        kernel = kernels.take(another) if kernels is not None else None
        if kernel is not None:
            after.callback(_end, kernel)
        try:
            papermill.execute_notebook(
                ROOT / f"{name}.ipynb",
                place,
                parameters,
                kernel_name="python3",
                progress_bar=False,
                stdout_file=sys.stdout,
                extra_arguments=[QUIET],
                km=kernel,
            )
        except RuntimeError as error:
            if "Kernel died" not in str(error):
                raise
            raise BadInput(
                f"The process of {name}.ipynb was ended from outside, as it is where memory runs out; close other "
                "programs, or try on a larger machine. The same command goes on where it was."
            ) from error
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
