"""Many runs on a Ray cluster, each of them a task: ENGINE=ray of `make sweep` and `make compare`.

Optional: `pip install -r requirements/ray.txt`. All nodes must see the working folder, with data/ and results/, and
this repository under the same paths, as on a shared file system. A run writes into its folder wherever it is done; so,
if its node is lost, another one goes on from its checkpoints. Rows come back to the process that asked for the runs.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from tqdm import tqdm

from core.cluster import joined
from core.errors import BadInput
from core.files import told
from runs.folder import RESULTS
from runs.task import STOPPED, Ended, Wanted, ended, ledger_rows, shared_out, work

ROOT = Path(__file__).resolve().parents[1]
TRIES = 3  # of a run that is lost with its node or its process; one that ends with an error has failed at once
PATIENCE = 120  # seconds; for so long a file server may keep the lock of a node that is gone


@contextmanager
def begun() -> Iterator["Tasks"]:
    """Yield the cluster that is found or started here, ready for runs; raise BadInput if there is none."""
    with told(RESULTS):
        RESULTS.mkdir(exist_ok=True)
    with joined() as ray, NamedTemporaryFile(dir=RESULTS, prefix=".seen-by-all-nodes-") as shared:
        yield Tasks(ray, Path(shared.name).resolve())


class Tasks:
    """Tasks of the cluster that the module `ray` is joined to; their nodes must see the file `shared`."""

    def __init__(self, ray: Any, shared: Path) -> None:
        self._ray, self._shared, self._folder = ray, shared, Path.cwd()
        self._waiting: set = set()
        self._stopped, self._lock = False, threading.Lock()
        cores, cards = share(ray.nodes())
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        threads = {"OMP_NUM_THREADS": str(max(1, cores)), "OMP_WAIT_POLICY": "PASSIVE"}
        # a new process for each run, as here; lost ones are done again by `do`, which says so
        about = {"num_cpus": cores, "num_gpus": cards, "max_calls": 1, "max_retries": 0}
        self._task = ray.remote(**about, runtime_env={"env_vars": threads | {"PYTHONPATH": path}})(do_on_node)

    def do(self, run: Wanted) -> Ended:
        """Do a run on any node, and again, on another one, if that is lost.

        Raise BadInput if a node does not see the working folder, or lacks what a run imports.
        """
        errors, begun = self._ray.exceptions, time.perf_counter()
        for left in reversed(range(TRIES)):
            try:
                return self._wait_for(run)
            except errors.RayTaskError as error:  # raised by what ran there
                raise _refused(run, error.cause) from error
            except errors.RayError as error:
                if self._stopped:
                    break
                lost = type(error).__name__
                tqdm.write(f"{run.title}: lost with its process or node ({lost}){'; it is done again' if left else ''}")
        seconds = time.perf_counter() - begun
        if self._stopped:
            return Ended(STOPPED, [], seconds)
        status = f"failed: lost {TRIES} times with its process or node, as for its memory ({lost})"
        return Ended(status, ledger_rows(run, status), seconds)

    def _wait_for(self, run: Wanted) -> Ended:
        with self._lock:
            if self._stopped:
                raise self._ray.exceptions.TaskCancelledError
            task = self._task.remote(run, self._folder, self._shared)
            self._waiting.add(task)
        try:
            return self._ray.get(task)
        finally:
            self._waiting.discard(task)

    def stop(self) -> None:
        """Stop all runs, those that wait for a node, too; one that had begun goes on from its checkpoints."""
        with self._lock:
            self._stopped = True
            for task in list(self._waiting):
                self._ray.cancel(task, force=True)


def share(nodes: list[dict]) -> tuple[int, int]:
    """Return the cores and cards of a run, from what `ray.nodes` says; where there are cards, each is for one run.

    Cores are those of a run in `many.workers` on the smallest node, so that every node can take one.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    if cards := [found for found in alive if found.get("GPU")]:
        return min(int(found.get("CPU", 0) // found["GPU"]) for found in cards), 1
    return min((shared_out(int(found["CPU"]))[1] for found in alive if found.get("CPU", 0) >= 1), default=1), 0


def do_on_node(run: Wanted, folder: Path, shared: Path) -> Ended:
    """Do a run in this process of a node; raise BadInput if the node does not see the working folder."""
    if not shared.is_file():
        raise BadInput(
            f"The node {socket.gethostname()} does not see {folder.as_posix()}, or it has another folder there; start "
            "in one that all nodes share, or leave the engine out."
        )
    os.chdir(folder)
    begun = time.perf_counter()
    return ended(run, work(run, PATIENCE), time.perf_counter() - begun)


def _refused(run: Wanted, cause: Exception) -> BadInput:
    if isinstance(cause, BadInput):
        return cause
    reason = f"{type(cause).__name__}: {(str(cause).splitlines() or [''])[-1]}"
    return BadInput(
        f"A node could not do {run.title} ({reason}); all of them need this repository and its environment under the "
        "same paths."
    )
