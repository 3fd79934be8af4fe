"""Commands as a person types them, in the process of the test: starting Python and a kernel for each takes minutes.

What a process, a pipe or a kernel does is tested where it is the point: the whole job in tests/test_notebooks.py.
"""

import importlib
import shlex
from pathlib import Path

import papermill
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from papermill.iorw import load_notebook_node, write_ipynb
from papermill.parameterize import parameterize_notebook

from commands.notebooks import Kernels
from evaluation.show import notebook


def typed(command: str) -> int:
    """Run `python parse_logs.py ...` or `python -m commands.NAME ...`; return the exit code."""
    python, *words = shlex.split(command)
    assert python == "python"
    module = words.pop(0).removesuffix(".py")
    return importlib.import_module(words.pop(0) if module == "-m" else module).main(words)


def execute_here(path: Path, place: Path, parameters: dict, **_) -> None:
    """Run the cells of a notebook in this process, as papermill does in a kernel; their outputs are not kept."""
    node, names = parameterize_notebook(load_notebook_node(str(path)), parameters), {"__name__": "__main__"}
    for number, cell in enumerate(node.cells):
        if cell.cell_type == "code":
            source = TransformerManager().transform_cell(cell.source)
            exec(compile(source, f"{Path(path).name} cell {number}", "exec"), names)
    write_ipynb(node, str(place))


@pytest.fixture
def notebooks_here(monkeypatch) -> None:
    """Let commands execute notebooks by `execute_here`; tables and figures are not printed, as in a kernel."""
    monkeypatch.setattr(papermill, "execute_notebook", execute_here)
    monkeypatch.setattr(Kernels, "_begin", lambda _: None)
    monkeypatch.setattr(notebook, "display", lambda *_, **__: None)
