"""One line of a log that is being written, as parsing/live.py reads it and runs/growing.py groups it."""

from typing import NamedTuple


class Event(NamedTuple):
    """One line of a log: where it stands, its key, when (microseconds, or its number without times), its session."""

    line: int
    clock: int
    session: str | None
    key: str
    raw: str
