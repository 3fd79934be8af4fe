"""Where a data folder goes: what other data stood there is not lost, two processes do not meet, links are kept."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import parse_logs
from core.errors import BadInput
from parsing.options import folder_name
from parsing.sequences import place
from parsing.sequences.place import replaced_folder

ROOT = Path(__file__).resolve().parents[2]
LINE = "2026-01-02 03:{minute:02d}:{second:02d} INFO web: {word} {second}\n"
OWN = ("--format", "<Date> <Time> <Level> <Component>: <Content>", "--window", "10s")


def write_log(path: Path, word: str, minutes: int = 5) -> Path:
    """A log of some minutes, a line a second."""
    lines = (LINE.format(minute=minute, second=second, word=word) for minute in range(minutes) for second in range(60))
    path.write_text("".join(lines))
    return path


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refusal(capsys, *arguments: object) -> str:
    """Return the sentence of a command that is refused."""
    capsys.readouterr()
    assert parse_logs.main([str(argument) for argument in arguments]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and "Traceback" not in printed
    return printed


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("hdfs", "hdfs"),
        ("logs/my.log", "my"),
        ("my.log.gz", "my"),
        ("MY.LOG", "MY"),
        ("logs.tar.gz", "logs"),
        ("app.log.2026-01", "app-2026-01"),
        ("app.2026-02.log", "app-2026-02"),
        ("app.log.1", "app-1"),
        ("mine-split1", "mine-split1"),
        ("a b\x1b[2J<i>.log", "a-b-2J-i"),
        ("größe.log", "größe"),
    ],
)
def test_the_data_folder_has_the_name_of_the_log_without_its_endings(name, folder):
    assert folder_name(name) == folder


@pytest.mark.parametrize("name", [".log", "..", "*.log", ""])
def test_a_log_that_gives_no_name_is_refused(name):
    with pytest.raises(BadInput, match="--out data/mine"):
        folder_name(name)


@pytest.mark.parametrize("names", [("app.log.2026-01", "app.log.2026-02"), ("app.2026-01.log", "app.2026-02.log")])
def test_the_logs_of_two_months_have_a_folder_each(here, names):
    for name in names:
        assert parse_logs.main([str(write_log(here / name, name)), *OWN]) == 0
    assert sorted(path.name for path in (here / "data").iterdir()) == ["app-2026-01", "app-2026-02"]


def test_data_of_another_log_are_not_replaced_unasked(here, capsys):
    """Both would be data/app: yesterday the second took the place of the first without a word."""
    (here / "old").mkdir()
    assert parse_logs.main([str(write_log(here / "app.log", "first")), *OWN]) == 0
    before = contents(here / "data" / "app")
    other = write_log(here / "old" / "app.log", "other", minutes=6)
    sentence = refusal(capsys, other, *OWN)
    assert f"app.log of {(here / 'app.log').stat().st_size:,} bytes" in sentence
    assert f"app.log of {other.stat().st_size:,} bytes" in sentence and "--out" in sentence
    assert contents(here / "data" / "app") == before
    assert parse_logs.main([str(other), *OWN, "--replace"]) == 0
    assert contents(here / "data" / "app") != before


def test_of_two_logs_of_one_name_and_size_the_content_tells(here, capsys):
    (here / "old").mkdir()
    assert parse_logs.main([str(write_log(here / "app.log", "first")), *OWN]) == 0
    before = contents(here / "data" / "app")
    sentence = refusal(capsys, write_log(here / "old" / "app.log", "other"), *OWN)
    assert sentence.count("SHA-256") == 2
    assert contents(here / "data" / "app") == before
    assert [path.name for path in (here / "data").iterdir()] == ["app"]


def test_the_same_log_with_other_options_replaces_its_folder(here):
    log = str(write_log(here / "app.log", "first"))
    assert parse_logs.main([log, *OWN]) == 0
    before = contents(here / "data" / "app")
    assert parse_logs.main([log, *OWN[:-1], "20s"]) == 0
    assert contents(here / "data" / "app") != before


def test_key_files_are_told_apart_as_logs_are(here, capsys):
    for name in ("a.txt", "b.txt"):
        (here / name).write_text("x y\n" * 20)
    assert parse_logs.main(["mine", "--keys", "a.txt"]) == 0
    assert "a.txt" in (sentence := refusal(capsys, "mine", "--keys", "b.txt")) and "b.txt" in sentence
    assert parse_logs.main(["mine", "--keys", "a.txt", "--train-normals", "8"]) == 0


def test_the_sample_replaces_a_sample_and_nothing_else(here, sample, capsys):
    log = write_log(here / "app.log", "first")
    assert parse_logs.main([str(log), *OWN, "--out", "data/sample"]) == 0
    assert "app.log" in (sentence := refusal(capsys, "sample")) and "simulated HDFS-like log" in sentence
    assert "simulated HDFS-like log" in refusal(capsys, log, *OWN, "--out", sample)
    manifest = json.loads((here / "data" / "sample" / "manifest.json").read_text())
    of_seed_0 = json.loads((sample / "manifest.json").read_text())
    place.refuse_other_sources(sample, of_seed_0 | {"sources": [{"file": "simulated.log", "sha256": "another seed"}]})
    with pytest.raises(BadInput):
        place.refuse_other_sources(sample, manifest)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"simulated": false, "spec": null, "sources": [3]}', '"x"'])
def test_a_folder_with_a_broken_manifest_is_not_replaced_unasked(here, capsys, text):
    log = write_log(here / "app.log", "first")
    (here / "data" / "app").mkdir(parents=True)
    (here / "data" / "app" / "manifest.json").write_text(text)
    assert "manifest.json is broken" in refusal(capsys, log, *OWN)
    assert (here / "data" / "app" / "manifest.json").read_text() == text
    assert parse_logs.main([str(log), *OWN, "--replace"]) == 0


def test_a_second_process_is_told_that_the_folder_is_being_made(here, capsys):
    """Eight at once ended in tracebacks, and sometimes without any folder."""
    log = write_log(here / "app.log", "first")
    assert parse_logs.main([str(log), *OWN]) == 0
    before = contents(here / "data" / "app")
    code = (
        "from pathlib import Path; from parsing.sequences.place import replaced_folder\n"
        "with replaced_folder(Path('data/app')): print('held', flush=True); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert holder.stdout.readline() == b"held\n"
    assert "data/app is held by another process" in refusal(capsys, log, *OWN)
    assert contents(here / "data" / "app") == before
    holder.kill()
    holder.communicate()
    assert parse_logs.main([str(log), *OWN]) == 0
    assert sorted(path.name for path in (here / "data").iterdir()) == ["app"]


@pytest.mark.slow
def test_processes_that_start_together_leave_one_whole_folder(here):
    log = write_log(here / "app.log", "first")
    command = [sys.executable, str(ROOT / "parse_logs.py"), str(log), *OWN]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(4)]
    said = [process.communicate()[1].decode() for process in running]
    assert {process.returncode for process in running} <= {0, 2} and not any("Traceback" in text for text in said)
    assert [path.name for path in (here / "data").iterdir()] == ["app"]
    assert (here / "data" / "app" / "manifest.json").is_file()


@pytest.mark.parametrize("made", [True, False], ids=["a folder", "nothing yet"])
def test_a_link_to_a_larger_disk_stays_and_its_target_is_replaced(here, made):
    log, disk = write_log(here / "app.log", "first"), here / "disk" / "app"
    (here / "data").mkdir()
    disk.mkdir(parents=True) if made else disk.parent.mkdir()
    (here / "data" / "app").symlink_to(disk)
    for _ in range(2):
        assert parse_logs.main([str(log), *OWN]) == 0
        assert (here / "data" / "app").is_symlink() and (disk / "manifest.json").is_file()
    assert [path.name for path in disk.parent.iterdir()] == ["app"]
    assert [path.name for path in (here / "data").iterdir()] == ["app"]
    assert json.loads((disk / "manifest.json").read_text())["name"] == "app"


def test_planted_names_are_neither_followed_nor_in_the_way(here):
    log, secret = write_log(here / "app.log", "first"), here / "secret"
    secret.write_text("mine")
    (here / "data").mkdir()
    for name in (".app.new", "app.new", ".app.x.new"):
        (here / "data" / name).symlink_to(secret)
    assert parse_logs.main([str(log), *OWN]) == 0
    assert secret.read_text() == "mine"


def test_a_planted_lock_is_a_sentence_and_its_target_stays(here, capsys):
    log, secret = write_log(here / "app.log", "first"), here / "secret"
    secret.write_text("mine")
    (here / "data").mkdir()
    (here / "data" / ".app.lock").symlink_to(secret)
    refusal(capsys, log, *OWN)
    assert secret.read_text() == "mine"


@pytest.mark.parametrize("out", [".", "..", "", "/"])
def test_the_folder_that_one_is_in_is_not_replaced(here, capsys, out):
    assert "name a folder" in refusal(capsys, "sample", "--out", out)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("out", ["file/x", "file/x/y", "circle", "x" * 300, "file"])
def test_a_place_where_no_folder_can_be_is_a_sentence(here, capsys, out):
    (here / "file").write_text("text")
    (here / "circle").symlink_to("circle")
    assert out in refusal(capsys, "sample", "--out", out)
    assert sorted(path.name for path in here.iterdir()) == ["circle", "file"]


def test_a_parent_that_may_not_be_written_to_is_a_sentence(here, capsys, monkeypatch):
    def forbidden(path, *_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "mkdir", forbidden)
    sentence = refusal(capsys, "sample", "--out", "data/x")
    assert "data" in sentence and "Permission denied" in sentence


def test_a_disk_that_is_full_before_anything_is_written_is_a_sentence(here, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(place, "lock", full)
    assert "disk is full" in refusal(capsys, "sample")


@pytest.mark.parametrize("seed", ["-1", str(2**32), "9" * 40])
def test_a_seed_that_no_library_takes_is_refused(here, capsys, seed):
    assert "from 0 to 4,294,967,295" in refusal(capsys, "sample", f"--seed={seed}")


def test_an_error_inside_leaves_the_folder_and_nothing_beside_it(here):
    write_log(here / "app.log", "first")
    assert parse_logs.main(["app.log", *OWN]) == 0
    before = contents(here / "data" / "app")
    with pytest.raises(ZeroDivisionError), replaced_folder(Path("data/app")):
        raise ZeroDivisionError
    assert contents(here / "data" / "app") == before
    assert [path.name for path in (here / "data").iterdir()] == ["app"]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("check",), ()])
def test_a_reader_that_goes_away_ends_it_quietly(here, arguments):
    """`check FILE | head -3` ended in a traceback."""
    log = write_log(here / "app.log", "first")
    words = [*arguments, str(log), *(OWN[:2] if arguments else OWN)]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "parse_logs.py"), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141
