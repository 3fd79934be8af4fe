"""How many cores a small network is trained on: one, since handing it out takes longer than computing it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread(wanted: bool = True) -> Iterator[None]:
    """Compute on one core within, if that is wanted.

    On two cores an LSTM of the rivals learns 3 times and `tiny-llama` 1.3 times as fast so: a thread that waits for its
    part without spinning takes longer to wake than the part (benchmarks/README.md).
    """
    before = torch.get_num_threads()
    if wanted:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
