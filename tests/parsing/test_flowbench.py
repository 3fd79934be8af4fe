"""The published files of the real workflows, where FLOWBENCH names a folder with their runs and run_order.json."""

import hashlib
import os
from pathlib import Path

import pytest

import parse_logs
from parsing.workflows.specs import PARTS, WORKFLOWS

FOLDER = Path(os.environ.get("FLOWBENCH", "no such folder"))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_four_files_are_the_published_ones_byte_for_byte(name, tmp_path, capsys):
    if not (FOLDER / name).is_dir():
        pytest.skip(f"set FLOWBENCH to a folder with {name}/")
    command = [name, "--log", str(FOLDER), "--protocol", "published", "--out", str(tmp_path / name)]
    assert parse_logs.main(command) == 0
    found = {part: (tmp_path / name / f"{part}.csv").read_bytes() for part in PARTS}
    assert {part: hashlib.md5(content).hexdigest() for part, content in found.items()} == WORKFLOWS[name].md5
    assert "byte for byte" in capsys.readouterr().out
