"""A file or folder that one process at a time makes, for as long as that takes."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.files import lock


@contextmanager
def held(place: Path) -> Iterator[None]:
    """Hold `place` for a whole job, and leave no lock file; raise BadInput at once if another process holds it."""
    with lock(place, seconds=0):
        try:
            yield
        finally:
            with suppress(OSError):  # filelock allows for a lock file that is removed while it is held
                place.with_name(f".{place.name}.lock").unlink()
