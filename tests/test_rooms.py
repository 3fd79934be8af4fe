"""The house has one direction: who may import whom."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "core": {"core"},
    "parsing": {"core", "parsing"},
    "methods": {"core", "methods"},
    "evaluation": {"core", "evaluation"},
    "runs": {"core", "evaluation", "runs"},
    "commands": {"core", "evaluation", "methods", "runs", "commands", "parsing", "parse_logs", "utils"},
}
ROOMS = {*MAY_IMPORT, "utils", "parse_logs", "benchmarks", "tests"}


def imported(path: Path) -> set[str]:
    """The rooms that a file imports, anywhere in it."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        rooms |= {name.partition(".")[0] for name in names}
    return rooms & ROOMS


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_import_downward_and_wings_never_each_other(room):
    for path in (ROOT / room).rglob("*.py"):
        assert imported(path) <= MAY_IMPORT[room], path.relative_to(ROOT).as_posix()


def test_two_python_files_at_the_door():
    assert {path.name for path in ROOT.glob("*.py")} == {"parse_logs.py", "utils.py"}
