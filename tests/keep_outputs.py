"""Keep the outputs of an executed run in the notebooks that are committed: `make notebooks`.

Papermill's own cell and metadata and all times are left out, so that two runs differ where results differ.
"""

import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
OF_A_RUN = ("train", "get_k", "test")  # the others are in notebooks/


def cleaned(executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook as it is committed: source and outputs, the parameters tag, and nothing else."""
    cells = [cell for cell in executed.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    for number, cell in enumerate(cells):
        tags = [tag for tag in cell.metadata.get("tags", []) if tag == "parameters"]
        cell.metadata = {"tags": tags} if tags else {}
        cell.id = f"cell-{number:02d}"
    executed.cells = cells
    executed.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return executed


if __name__ == "__main__":
    for executed in map(Path, sys.argv[1:]):
        notebook = cleaned(nbformat.read(executed, as_version=4))
        nbformat.validate(notebook)
        nbformat.write(notebook, ROOT / ("" if executed.stem in OF_A_RUN else "notebooks") / executed.name)
