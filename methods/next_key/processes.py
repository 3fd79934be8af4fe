"""Work shared out over the processes of `torchrun` or `accelerate launch`; with one process, everything as it is."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from accelerate import PartialState


def join() -> None:
    """Meet the other processes of the launcher, if there is one, each with a device of its own."""
    if "WORLD_SIZE" not in os.environ:
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    PartialState(cpu=not torch.cuda.is_available())


def leave() -> None:
    """Part from the other processes."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def processes() -> tuple[int, int]:
    """The number of this process and how many there are."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


@contextmanager
def first_process_first() -> Iterator[None]:
    """The first process does what is inside and writes its files; then the others do it and read them."""
    first = processes()[0] == 0
    if not first:
        wait_for_all()
    yield
    if first:
        wait_for_all()


def own_share(size: int) -> range:
    """The numbers below `size` that this process works on; the shares of all processes make up the whole."""
    rank, count = processes()
    return range(rank, size, count)


def gather(parts: Sequence) -> list:
    """The results of all processes for their `own_share`, in the order of the whole, on every process."""
    count = processes()[1]
    if count == 1:
        return list(parts)
    shares: list = [None] * count
    dist.all_gather_object(shares, list(parts))
    whole = [None] * sum(map(len, shares))
    for number, share in enumerate(shares):
        whole[number::count] = share
    return whole


def wait_for_all() -> None:
    """Return when every process has come here."""
    if processes()[1] > 1:
        dist.barrier()
