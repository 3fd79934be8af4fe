"""The mark of a run that has come to its end: `done.json`, removed before a verdict is changed and written last.

A process may be killed anywhere between. Without the mark, what the notebooks, the report and the ledger show may
belong to an earlier question, and the step that makes them is taken again.
"""

from core.errors import BadInput
from core.files import is_first_process, write
from core.schemas import Done, read_checked
from runs.folder import Run

NAME = "done.json"


def mark(run: Run, question: dict) -> None:
    """Say that everything in the run folder, and its rows in the ledger, answer this question."""
    write(run.folder / NAME, question | run.hashes)


def unmark(run: Run) -> None:
    """Say that the run folder is being changed."""
    if is_first_process():
        (run.folder / NAME).unlink(missing_ok=True)


def is_marked(run: Run, question: dict) -> bool:
    """Return whether the run folder answers this question, with this model on these data."""
    if not (run.folder / NAME).is_file():
        return False
    try:
        found = read_checked(run.folder / NAME, Done, "")
    except BadInput:  # whatever it is, it is no mark
        return False
    return found == question | run.hashes
