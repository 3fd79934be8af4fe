"""Work shared out over the processes of `torchrun` or `accelerate launch`; with one process, everything as it is."""

import os
from contextlib import AbstractContextManager
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

Found = TypeVar("Found")


def join() -> None:
    """Meet the other processes of the launcher, if there is one, each with a device of its own."""
    if "WORLD_SIZE" in os.environ:
        PartialState(cpu=not torch.cuda.is_available())


def leave() -> None:
    """Part from the other processes."""
    PartialState().destroy_process_group()


def agreed(value: Found) -> Found:
    """Return the first process's value in all of them, for what each would measure differently."""
    return broadcast_object_list([value])[0]


def first_process_first() -> AbstractContextManager:
    """Let the first process do what is inside and write its files; then the others do it and read them."""
    return PartialState().main_process_first()


def wait_for_all() -> None:
    """Return when every process has come here."""
    PartialState().wait_for_everyone()
