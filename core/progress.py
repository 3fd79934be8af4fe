"""Progress of long work: a bar in a terminal, a line now and then where the output is a file or a notebook."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from core.files import is_first_process

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 10.0  # the first line comes only after as long: short work says nothing


def progress(items: Iterable[Item], total: int, title: str, unit: str = "it") -> Iterator[Item]:
    """Yield `items`, saying how many of `total` are done, in percent and with the time left.

    Of the processes of a launcher the first one speaks.
    """
    if not is_first_process():
        yield from items
        return
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=title, unit=unit, leave=False)
        return
    started = said = time.perf_counter()
    for done, item in enumerate(items):
        now = time.perf_counter()
        if now - said > SECONDS_BETWEEN_LINES and done:
            left = (now - started) / done * (total - done)
            print(f"  {title}: {done / total:.0%} of {total:,} {unit}, {_clock(left)} left", flush=True)
            said = now
        yield item


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02d}:{int(seconds) % 60:02d}"
