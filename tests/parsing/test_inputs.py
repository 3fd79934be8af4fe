"""Several files, folders and standard input as one log; sessions by field, key, file and begin."""

import io
import json
import shutil
import sys
from pathlib import Path

import polars as pl
import pytest

import parse_logs
from core.data import open_folder
from core.errors import BadInput
from core.log_files import LogFiles, find_files
from core.logs import LogFile
from parsing.live import LiveReader
from parsing.options import job_of, read_options

FORMAT = "<Date> <Time> <Level> [<Trace>] <Component>: <Content>"


def line(hour: int, number: int, trace: str = "00000000") -> str:
    clock = f"2026-03-02 {hour:02d}:{number // 60:02d}:{number % 60:02d}"
    return f"{clock} INFO [{trace}] queue: {('picked', 'started', 'finished')[number % 3]} job {number}"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, hour: int, count: int = 60) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line(hour, number, f"{number // 3:08x}") + "\n" for number in range(count)))
    return path


def parse(*words: str) -> pl.DataFrame:
    """The sequences of a log that is parsed as the words say."""
    assert parse_logs.main([*words, "--out", "data/out"]) == 0
    return pl.read_parquet("data/out/sequences.parquet")


def test_files_and_folders_are_read_in_the_order_of_time(capsys):
    """Rotated logs are named backward, and a folder lists them by name."""
    write("logs/app.log", 10), write("logs/app.log.1", 9), write("logs/app.log.2", 8), write("other.log", 7)
    Path("logs/app.log.3").touch()
    sequences = parse("days", "--log", "logs", "other.log", "--format", FORMAT, "--window-lines", "30")
    assert [start.hour for start in sequences["start"]] == [7, 7, 8, 8, 9, 9, 10, 10]
    assert sequences["lines"].explode().to_list() == list(range(1, 241))
    manifest = open_folder(Path("data/out")).manifest
    assert [source["file"] for source in manifest["sources"]] == ["other.log", "app.log.2", "app.log.1", "app.log"]


def test_lines_of_overlapping_files_are_mixed_by_time():
    for name in ("a", "b"):
        rows = [line(8, number) for number in range(60) if number % 2 == (name == "b")]
        Path(f"{name}.log").write_text("\n".join(rows) + "\n")
    sequences = parse("both", "--log", "a.log", "b.log", "--format", FORMAT, "--window-lines", "10")
    assert sequences["lines"].to_list()[0] == [1, 31, 2, 32, 3, 33, 4, 34, 5, 35]


def test_the_line_of_an_alarm_is_found_in_whichever_file_it_stands():
    write("a.log", 8), write("b.log", 9)
    parse("both", "--log", "a.log", "b.log", "--format", FORMAT, "--window-lines", "10")
    texts = open_folder(Path("data/out")).raw_lines.at([1, 61])
    assert (texts[1], texts[61]) == (line(8, 0), line(9, 0))


def test_syslogs_without_a_year_begin_after_the_longest_time_without_a_file():
    for name, month in (("1", "Jan  1"), ("2", "Dec 30"), ("3", "Dec 31")):
        Path(f"log.{name}").write_text(f"{month} 08:00:00 box cron[9]: job started\n" * 5)
    options = read_options("", ["days", "--log", "log.1", "log.2", "log.3", "--format", "auto", "--window-lines", "5"])
    assert [path.name for path in job_of(options).options.logs] == ["log.2", "log.3", "log.1"]


def test_numbers_in_names_are_taken_by_their_size_and_hidden_files_left(place):
    for name in ("a.log.10", "a.log.9", ".hidden"):
        (place / name).write_text("x\n")
    assert [path.name for path in find_files([place])] == ["a.log.9", "a.log.10"]
    (place / "empty").mkdir()
    with pytest.raises(BadInput, match="holds no file"):
        find_files([place / "empty"])


@pytest.mark.parametrize("limits", [(1, None), (3, 5), (5, None), (7, 9)])
def test_lines_of_several_files_are_numbered_through(place, limits):
    (place / "a").write_text("1\n2\n3\n")
    (place / "b").write_bytes(b"4\n\xff5\n6\n7")
    log = LogFiles([place / "a", place / "b"])
    found = [row for block in log.blocks(*limits) for row in block.select("line", "file").rows()]
    first, last = limits
    assert found == [(n, "a" if n < 4 else "b") for n in range(first, min(last or 7, 7) + 1)]
    assert limits != (1, None) or (log.lines, log.undecodable, log.first_undecodable) == (7, 1, 5)


def test_standard_input_is_a_log_and_its_lines_are_kept(monkeypatch):
    text = "".join(line(8, number) + "\n" for number in range(60)).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    parse("piped", "--log", "-", "--format", "auto", "--window-lines", "10")
    assert Path("data/out/stdin.log").read_bytes() == text
    assert parse_logs.main(["piped", "--log", "-", "a.log", "--format", "auto"]) == 2


def test_a_field_of_the_header_is_a_session():
    """--session searched the message alone, and the id of a header is not there."""
    write("a.log", 8)
    sequences = parse("a.log", "--format", FORMAT, "--session", "Trace")
    assert len(sequences) == 20 and sequences["sequence_id"][0] == "00000000"
    assert sequences["lines"].to_list()[1] == [4, 5, 6]


def test_an_id_that_stands_beside_the_message_is_found_by_its_pattern():
    write("a.log", 8)
    assert len(parse("a.log", "--format", FORMAT, "--session", "[0-9a-f]{8}")) == 20


def test_a_key_of_json_is_a_session(capsys):
    rows = [{"ts": 1772438400 + n, "msg": f"step {n % 3}", "trace": {"id": f"t{n // 3}"}} for n in range(60)]
    Path("a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"ts": 1772439999, "msg": "alone"}]))
    sequences = parse("a.jsonl", "--format", "json", "--session", "trace.id")
    assert len(sequences) == 20 and sequences["sequence_id"][0] == "t0"
    counts = open_folder(Path("data/out")).manifest["counts"]
    assert counts["lines_without_session"] == counts["rejected"] == 1


def test_lines_without_an_id_are_counted_and_no_reason_to_refuse(capsys):
    """Below half of the lines the whole log was refused."""
    rows = [line(8, number) + (f" for req-{number:x}" if number % 5 == 0 else "") for number in range(60)]
    Path("a.log").write_text("\n".join(rows) + "\n")
    assert len(parse("a.log", "--format", FORMAT, "--session", "req-[0-9a-f]+")) == 12
    assert open_folder(Path("data/out")).manifest["counts"]["lines_without_session"] == 48


def test_each_file_is_a_sequence():
    for number in range(12):
        write(f"builds/build-{number}.log", 8, 5 + number)
    sequences = parse("builds", "--log", "builds", "--format", FORMAT, "--session-per-file")
    assert len(sequences) == 12 and sorted(sequences["lines"].list.len()) == list(range(5, 17))
    assert set(sequences["sequence_id"]) == {f"build-{number}.log" for number in range(12)}


@pytest.mark.parametrize("block_lines", [1, 7, 1_000])
def test_a_message_that_begins_a_sequence_does_so_in_the_batch_and_in_a_followed_log(block_lines):
    write("a.log", 8)
    sequences = parse("a.log", "--format", FORMAT, "--session-begin", "^picked")
    assert sequences["lines"].list.len().to_list() == [3] * 20
    expected = {
        number: name for name, lines in sequences.select("sequence_id", "lines").iter_rows() for number in lines
    }
    reader = LiveReader(open_folder(Path("data/out")))
    parts = LogFile(Path("a.log")).head(100).iter_slices(block_lines)
    events = [event for part in parts for event in reader.read(part)] + list(reader.finish())
    assert {event.line: event.session for event in events} == expected


def test_two_ways_to_group_are_refused(capsys):
    write("a.log", 8)
    asked = ["a.log", "--format", FORMAT, "--session", "Trace", "--session-begin", "picked"]
    assert parse_logs.main(asked) == 2
    assert "give one of them" in capsys.readouterr().err


def test_a_log_of_another_day_does_not_replace_the_first(capsys):
    """app.log.2026-03-01 and app.log.2026-03-02 both went to data/app; the first was gone without a word."""
    shutil.copy(write("a.log", 8), "app.log.2026-03-01")
    shutil.copy(write("b.log", 9), "app.log.2026-03-02")
    for day in ("01", "02"):
        assert parse_logs.main([f"app.log.2026-03-{day}", "--format", FORMAT, "--window-lines", "10"]) == 0
    assert {path.name for path in Path("data").iterdir() if path.is_dir()} >= {"app-2026-03-01", "app-2026-03-02"}
    again = ["app", "--log", "a.log", "b.log", "--format", FORMAT, "--window-lines", "10", "--out", "data/app"]
    assert parse_logs.main(again) == 0
    assert parse_logs.main(["app", "--log", "a.log", *again[4:]]) == 2
    assert "would be replaced by" in capsys.readouterr().err


def test_the_ids_of_sessions_are_masked_by_themselves():
    """An id of letters alone is no mask's: every session had templates of its own."""
    names = ["alpha", "bravo", "carol", "delta", "earl", "fox", "golf", "hotel", "india", "jan", "kilo", "lima"]
    rows = [f"2026-03-02 08:00:{n:02d} INFO q: picked job-{name} up" for n, name in enumerate(names)]
    Path("a.log").write_text("\n".join(rows) + "\n")
    parse("a.log", "--format", "<Date> <Time> <Level> <Component>: <Content>", "--session", "job-[a-z]+")
    assert pl.read_csv("data/out/templates.csv")["template"].to_list() == ["picked <*> up"]
