"""One run as a task: what is wanted, the work in a process of its own, and how it ended."""

import contextlib
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from core.data import open_data
from core.ending import INTERRUPTED
from core.errors import EXIT_CODE, BadInput
from core.files import disk_fault
from evaluation import verdicts
from evaluation.unseen import ALARM
from runs import steps
from runs.folder import hold, open_run, run_folder
from runs.handling import Reader

STOPPED = "stopped"  # by a person: such a run has not failed, it goes on
STOPPING = (INTERRUPTED, -signal.SIGINT, -signal.SIGTERM)  # the exit codes of one


@dataclass(frozen=True)
class Wanted:
    """One run: how its detector is made, on a folder that is split by its seed, and what its verdicts are to say."""

    make: steps.Make
    method: str
    model: str
    folder: str
    seed: int
    settings: dict  # what the detector describes; a run folder with others is refused
    alpha: float
    prevalence: float | None = None
    unseen: str = ALARM
    reader: Reader | None = None

    @property
    def title(self) -> str:
        """Return what the line says that tells how it went."""
        return f"{self.method}/{self.model} on {self.folder}, seed {self.seed}"

    @property
    def results(self) -> Path:
        """Return its run folder."""
        return run_folder(self.folder, self.model, self.seed, self.method)

    @property
    def log(self) -> Path:
        """Return where what it prints goes."""
        return self.results.with_name(f"{self.results.name}.log")


class Ended(NamedTuple):
    """How a run ended, the rows that the ledger gets, none of one that was stopped, and how long it took."""

    status: str
    rows: list[dict]
    seconds: float


def shared_out(cores: int) -> tuple[int, int]:
    """Return how many runs at a time do the work of so many cores, and threads of each: small ones gain little."""
    at_once = min(cores, 4)
    return at_once, max(1, cores // at_once)


def work(run: Wanted, patience: float = 0) -> int:
    """Take every step of a run in this process, what it prints in its log; return the exit code.

    Its folder may be held by another process for `patience` seconds.
    """
    with (
        run.log.open("w", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        try:
            with hold(run.results, patience):
                steps.complete(run.make, run.folder, run.seed, run.alpha, run.prevalence, run.unseen, run.reader)
        except BadInput as error:
            print(error)
            return EXIT_CODE
        except KeyboardInterrupt:
            print("interrupted; the same command goes on where it stopped")
            return INTERRUPTED
        except Exception as error:
            traceback.print_exc()
            if (fault := disk_fault(error)) is not None:
                print(fault)
            return 1
    return 0


def work_and_exit(run: Wanted) -> None:
    """Do the work of a process that is there for one run."""
    sys.exit(work(run))


def ended(run: Wanted, code: int | None, seconds: float) -> Ended:
    """Return how a run ended that left this exit code, negative where a signal killed it."""
    if code in STOPPING:
        return Ended(STOPPED, [], seconds)
    status = "done" if code == 0 else f"failed: {reason(run.log, code)}"[:200]
    return Ended(status, ledger_rows(run, status), seconds)


def ledger_rows(run: Wanted, status: str) -> list[dict]:
    """Return the rows of a run's verdicts, or the one of its failure."""
    if status == "done":
        opened = open_run(run.folder, run.model, run.seed, run.method)
        return steps.ledger_rows(opened, opened.read_metrics(), opened.read_decision())
    about = open_data(run.folder).ledger_columns() | {"method": run.method, "model": run.model, "seed": run.seed}
    return [about | {"date": verdicts.today(), "status": status}]


def reason(log: Path, code: int | None) -> str:
    """Return the last line that a failed run printed; of one that was killed, as for its memory, it says nothing."""
    if code is not None and code < 0:
        return f"killed by signal {-code}; all that it printed is in {log.as_posix()}"
    lines = log.read_text(encoding="utf-8").strip().splitlines() if log.is_file() else []
    return lines[-1] if lines else f"exit code {code}"
