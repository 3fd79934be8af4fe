"""More than one machine: the Ray cluster that is found or started here, and what is said where Ray is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from core.errors import BadInput

ENGINES = LOCAL, RAY = ("local", "ray")


def check_engine(engine: str) -> None:
    """Refuse an ENGINE that is not known, or that is not installed; raise BadInput."""
    if engine not in ENGINES:
        raise BadInput(f"ENGINE = {engine!r} is no place to work; give {' or '.join(ENGINES)}.")
    if engine == RAY and find_spec("ray") is None:
        raise BadInput("The engine ray needs Ray: pip install -r requirements/ray.txt, or leave the engine out.")


@contextmanager
def joined() -> Iterator[Any]:
    """Yield the module `ray`, part of the cluster that it finds or starts here; part again if it was not before.

    Raise BadInput if Ray is missing, or if the cluster that RAY_ADDRESS names cannot be reached.
    """
    check_engine(RAY)
    import ray

    begun = not ray.is_initialized()
    if begun:
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = (str(error).splitlines() or ["no reason given"])[0]
            raise BadInput(
                f"No Ray cluster can be joined ({reason}); see `ray status`, or leave the engine out."
            ) from error
    try:
        yield ray
    finally:
        if begun:
            ray.shutdown()
