"""Kernels of a run: the next one imports while a notebook runs, and none is left behind."""

from pathlib import Path

import pytest
from nbclient.exceptions import DeadKernelError

from commands import notebooks
from commands.notebooks import Kernels
from core.errors import BadInput


@pytest.fixture(autouse=True)
def import_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebooks, "IMPORTED", "--IPKernelApp.exec_lines=['ready = True']")


def test_the_next_kernel_is_begun_with_the_one_that_is_taken() -> None:
    with Kernels() as kernels:
        first = kernels.take(another=True)
        begun = kernels.begun
        assert first.has_kernel and begun.has_kernel and begun is not first
        assert kernels.take(another=False) is begun
        assert kernels.begun is None, "a kernel that no notebook takes was begun"


def test_where_importing_takes_memory_of_a_card_kernels_come_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebooks, "find_spec", lambda name: name)
    with Kernels() as kernels:
        assert kernels.take(another=True).has_kernel
        assert kernels.begun is None


def test_no_kernel_outlives_a_notebook_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def failing(*given: object, km: object, **others: object) -> None:
        raise BadInput("the first notebook failed")

    monkeypatch.setattr(notebooks.papermill, "execute_notebook", failing)
    kernels, begun = Kernels(), []
    kernels._begin = lambda: begun.append(Kernels._begin(kernels)) or begun[-1]
    with pytest.raises(BadInput), kernels:
        notebooks.execute("train", tmp_path / "run" / "train.ipynb", {}, kernels, another=True)
    assert [one.has_kernel for one in begun] == [False, False]


def test_a_kernel_that_died_while_it_waited_is_replaced() -> None:
    """Memory may have run out beside the notebook that trained."""
    with Kernels() as kernels:
        kernels.take(another=True)
        waiting = kernels.begun
        notebooks.run_sync(waiting.shutdown_kernel)(now=True)
        taken = kernels.take(another=False)
        assert taken is not waiting and taken.has_kernel


def test_a_kernel_that_dies_with_its_notebook_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def dying(*given: object, **others: object) -> None:
        raise DeadKernelError("Kernel died")

    monkeypatch.setattr(notebooks.papermill, "execute_notebook", dying)
    with pytest.raises(BadInput, match=r"The process of train\.ipynb was ended from outside, as it is where memory"):
        notebooks.execute("train", tmp_path / "train.ipynb", {})


def test_what_a_run_needs_is_imported_before_its_first_cell() -> None:
    """Were the line not run, nobody would notice but by the clock."""
    with Kernels() as kernels:
        client = notebooks.run_sync(_ready)(kernels.take(another=False))
        reply = notebooks.run_sync(_ask)(client, "assert ready")
        client.stop_channels()
    assert reply["content"]["status"] == "ok"


async def _ready(kernel):
    client = kernel.client()
    client.start_channels()
    await client.wait_for_ready(timeout=60)
    return client


async def _ask(client, code: str) -> dict:
    return await client.execute(code, reply=True, timeout=60)
