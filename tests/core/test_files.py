"""Files are whole or not there, and two processes at the same file lose nothing of each other."""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from core import files
from core.errors import BadInput
from core.files import hash_folder, lock, replace, sha256, write
from core.schemas import Done, read_checked

ROOT = Path(__file__).resolve().parents[2]


def in_processes(count: int, code: str, folder: Path) -> None:
    """Run `code` in so many processes at once, in `folder`."""
    command = [sys.executable, "-c", code]
    running = [subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}) for _ in range(count)]
    assert [one.wait(timeout=120) for one in running] == [0] * count


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "metrics.json"
    write(path, {"f1": 1})
    with pytest.raises(FileNotFoundError), replace(path) as place:
        place.write_text("half of it", encoding="utf-8") and (tmp_path / "no such file").read_text()
    assert json.loads(path.read_text()) == {"f1": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "model"
    for content in ("first", "second"):
        with replace(folder) as place:
            place.mkdir()
            (place / "weights").write_text(content)
    assert (folder / "weights").read_text() == "second"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_comes_back_if_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    """Between the two renames of a swap there is no folder: a fault there must not lose the old one."""
    folder, original = tmp_path / "model", Path.rename
    folder.mkdir()
    (folder / "weights").write_text("first")

    def fails_once(self, target):
        if self.suffix == ".new":
            raise PermissionError("held by another program")
        return original(self, target)

    monkeypatch.setattr(Path, "rename", fails_once)
    with pytest.raises(PermissionError), replace(folder) as place:
        place.mkdir()
    assert (folder / "weights").read_text() == "first"


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    path, host = tmp_path / "scores.parquet", files._HOST
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / f".scores.parquet.{host}-{dead.pid}-12345678.new.parquet"
    living = tmp_path / f".scores.parquet.{host}-{os.getppid()}-12345678.new.parquet"
    elsewhere = tmp_path / f".scores.parquet.another-machine-{dead.pid}-12345678.new.parquet"
    for place in (left, living, elsewhere):
        place.write_text("half of it")
    write(path, pl.DataFrame({"score": [1.0]}))
    assert sorted(tmp_path.iterdir()) == sorted([path, living, elsewhere])


def test_a_folder_that_was_killed_between_two_renames_is_found_again(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    old = tmp_path / f".model.{files._HOST}-{dead.pid}-12345678.old"
    old.mkdir()
    (old / "weights").write_text("the only copy")
    with pytest.raises(ZeroDivisionError), replace(tmp_path / "model"):
        raise ZeroDivisionError
    assert (tmp_path / "model" / "weights").read_text() == "the only copy"


def test_processes_at_one_file_never_see_half_of_it(tmp_path):
    """One temporary name for all let a second process rename the half-written file of the first."""
    code = (
        "import json; from pathlib import Path; from core.files import write\n"
        "for turn in range(40):\n"
        "    write(Path('decision.json'), {'rules': list(range(2_000))})\n"
        "    assert len(json.loads(Path('decision.json').read_text())['rules']) == 2_000\n"
    )
    in_processes(4, code, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["decision.json"]


def test_locked_processes_lose_no_row(tmp_path):
    code = (
        "from pathlib import Path; from core.files import lock\n"
        "path = Path('runs.csv')\n"
        "for turn in range(20):\n"
        "    with lock(path):\n"
        "        before = path.read_text() if path.exists() else ''\n"
        "        path.write_text(before + 'row\\n')\n"
    )
    in_processes(4, code, tmp_path)
    assert (tmp_path / "runs.csv").read_text().count("row") == 80


def test_a_lock_held_too_long_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LOCK_SECONDS", 0.1)
    code = (
        "from pathlib import Path; from core.files import lock\n"
        "with lock(Path('runs.csv')):\n"
        "    print('held', flush=True); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout.readline() == b"held\n"
    match = r"runs\.csv has been held by another process.*wait until it ends"
    with pytest.raises(BadInput, match=match), lock(tmp_path / "runs.csv"):
        pass
    holder.communicate(b"\n")
    with lock(tmp_path / "runs.csv"):
        pass


def test_only_the_first_process_of_a_launcher_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    write(tmp_path / "config.json", {})
    assert not list(tmp_path.iterdir())


def test_missing_and_broken_json_name_the_remedy(tmp_path):
    with pytest.raises(BadInput, match=r"decision\.json does not exist; run get_k"):
        read_checked(tmp_path / "decision.json", Done, "run get_k")
    (tmp_path / "decision.json").write_text('{"alpha": ')
    with pytest.raises(BadInput, match=r"decision\.json is broken .*; run get_k"):
        read_checked(tmp_path / "decision.json", Done, "run get_k")


def test_hashes_tell_contents_and_names_apart(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "weights").write_text("1")
    before = hash_folder(tmp_path / "a")
    assert sha256(tmp_path / "a" / "weights") == "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    (tmp_path / "a" / "weights").rename(tmp_path / "a" / "adapter")
    assert hash_folder(tmp_path / "a") != before
