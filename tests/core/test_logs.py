"""Log files of every packing to the same numbered lines: none lost, none shifted, and nothing extracted."""

import bz2
import csv
import errno
import gzip
import io
import lzma
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import parse_logs
from core import logs
from core.errors import BadInput
from core.log_files import LogFiles
from core.logs import LogFile
from parsing.lines import blocks
from parsing.lines.tail import Tail
from parsing.sequences import folder
from parsing.sequences.store import EventStore

CONTENT = b"".join(b"%d first %d\n" % (number, number * 7919 % 10_007) for number in range(1, 5_001))
MEMBER = "BGL/BGL.log"


def pack_gz(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content))


def pack_zst(path: Path, content: bytes) -> None:
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        file.write(content)


def pack_tar(path: Path, content: bytes, name: str = MEMBER, others: tuple[str, ...] = ("README.md",)) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for member, data in (*((other, b"not a log\n") for other in others), (name, content)):
            entry = tarfile.TarInfo(member)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def pack_zip(path: Path, content: bytes, name: str = MEMBER, others: tuple[str, ...] = ("README.md",)) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for other in others:
            archive.writestr(other, b"not a log\n")
        archive.writestr(name, content)


PACKERS = {
    "a.log": Path.write_bytes,
    "a.log.gz": pack_gz,
    "a.log.bz2": lambda path, content: path.write_bytes(bz2.compress(content)),
    "a.log.xz": lambda path, content: path.write_bytes(lzma.compress(content)),
    "a.log.zst": pack_zst,
    "a.tar.gz": pack_tar,
    "a.tgz": pack_tar,
    "a.zip": pack_zip,
}
PACKED = [name for name in PACKERS if name != "a.log"]


def packed(folder: Path, name: str, content: bytes = CONTENT) -> Path:
    PACKERS[name](folder / name, content)
    return folder / name


def rows(source: LogFile, *limits: int) -> list[tuple[int, str]]:
    return [row for block in source.blocks(*limits) for row in block.select("line", "text").iter_rows()]


def rows_of(folder: Path, content: bytes) -> list[tuple[int, str]]:
    """The lines of a plain log with this content."""
    return rows(LogFile(packed(folder, "a.log", content)))


@pytest.mark.parametrize("name", PACKERS)
def test_every_packing_gives_the_same_lines(tmp_path, name):
    source = LogFile(packed(tmp_path, name))
    assert rows(source) == list(enumerate(CONTENT.decode().splitlines(), start=1))
    assert (source.lines, source.undecodable) == (5_000, 0)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.sampled_from([b"a line", b"\r", b"\n", b"\r\n", b"\xff", "é\N{BYTE ORDER MARK}".encode(), b""])),
    numbers=st.lists(st.integers(0, 30)),
    size=st.sampled_from([3, 8 << 20]),
)
def test_picked_lines_are_those_of_reading_them_all(tmp_path, monkeypatch, parts, numbers, size):
    """The lines that stand beside a verdict were found by reading the whole log once more."""
    contents = [b"\xef\xbb\xbffirst\n" + b"".join(parts), b"last"]
    paths = [tmp_path / f"{place}.log" for place in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    monkeypatch.setattr(logs, "BLOCK_BYTES", size)
    for log in (LogFile(paths[0]), LogFiles(paths)):
        assert log.pick(numbers).rows() == [row for row in rows(log.anew()) if row[0] in numbers]


@pytest.mark.parametrize("name", PACKERS)
def test_tiny_blocks_give_the_whole(tmp_path, monkeypatch, name):
    path = packed(tmp_path, name, CONTENT[:3_000])
    whole = rows(LogFile(path))
    monkeypatch.setattr(logs, "BLOCK_BYTES", 7)
    assert rows(LogFile(path)) == whole


@pytest.mark.parametrize("pack", [pack_tar, pack_zip])
def test_only_the_wanted_member_of_an_archive_is_read(tmp_path, pack):
    path = tmp_path / ("a.tar.gz" if pack is pack_tar else "a.zip")
    pack(path, b"this one\n", "logs/wanted.log", others=("other.log", "not_wanted.log", "wanted.log/x.csv"))
    assert rows(LogFile(path, "wanted.log")) == [(1, "this one")]


@pytest.mark.parametrize("pack", [pack_tar, pack_zip])
@pytest.mark.parametrize("name", ["../../evil.log", "/tmp/evil_absolute.log"])
def test_a_member_that_names_a_path_outside_is_read_and_extracted_nowhere(tmp_path, monkeypatch, pack, name):
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    path = deep / ("a.tar.gz" if pack is pack_tar else "a.zip")
    pack(path, b"line\n", name)
    monkeypatch.chdir(deep)
    before = sorted(tmp_path.rglob("*"))
    assert rows(LogFile(path)) == [(1, "line")]
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/tmp/evil_absolute.log").exists()


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.SYMTYPE])
def test_a_folder_or_a_link_named_like_a_log_is_no_log(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo("x.log")
        entry.type, entry.linkname = kind, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(BadInput, match="holds no file ending in"):
        rows(LogFile(tmp_path / "a.tar.gz"))


@pytest.mark.parametrize("pack", [pack_tar, pack_zip])
@pytest.mark.parametrize(("member", "said"), [(None, "holds no file ending in"), ("BGL.log", "holds no file BGL.log")])
def test_an_archive_without_the_log_is_refused(tmp_path, pack, member, said):
    path = tmp_path / ("a.tar.gz" if pack is pack_tar else "a.zip")
    pack(path, b"text\n", "notes.txt")
    with pytest.raises(BadInput, match=said):
        rows(LogFile(path, member))


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("kept", [0.0, 0.002, 0.5, 0.95])
def test_a_truncated_file_is_refused_with_a_sentence(tmp_path, name, kept):
    path = packed(tmp_path, name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(BadInput, match=r"ends early|is not what its ending says|is empty") as refusal:
        rows(LogFile(path))
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["a.log.gz", "a.tar.gz", "a.zip"])
def test_changed_bytes_inside_a_packed_log_are_refused(tmp_path, name):
    """Read as a stream, tarfile compares no checksum: lines of a damaged archive went missing unsaid."""
    path = packed(tmp_path, name)
    damaged = bytearray(path.read_bytes())
    for place in range(len(damaged) // 2, len(damaged) // 2 + 40):
        damaged[place] ^= 0x55
    path.write_bytes(damaged)
    with pytest.raises(BadInput, match=r"is not what its ending says|ends early"):
        rows(LogFile(path))


@pytest.mark.parametrize("name", PACKED)
def test_plain_text_under_the_name_of_an_archive_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(CONTENT)
    with pytest.raises(BadInput, match=str(tmp_path / name)):
        rows(LogFile(tmp_path / name))


def test_a_zip_with_a_password_is_refused(tmp_path):
    path = packed(tmp_path, "a.zip", b"line\n")
    content = path.read_bytes()
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # set "encrypted" in both headers of the log
        place = content.rindex(signature) + flags
        content = content[:place] + b"\x01" + content[place + 1 :]
    path.write_bytes(content)
    with pytest.raises(BadInput, match="encrypted"):
        rows(LogFile(path))


@pytest.mark.parametrize("place", ["nowhere.log", "", "a.log/b.log"])
def test_a_path_that_is_no_file_is_refused(tmp_path, place):
    packed(tmp_path, "a.log")
    with pytest.raises(BadInput, match="does not exist or is a folder"):
        rows(LogFile(tmp_path / place))


@pytest.mark.parametrize("name", ["a.log", "a.log.gz", "a.log.zst", "a.tar.gz", "a.zip"])
def test_an_empty_log_is_refused(tmp_path, name):
    with pytest.raises(BadInput, match="is empty"):
        rows(LogFile(packed(tmp_path, name, b"")))


@pytest.mark.parametrize("block_bytes", [16, 100, 1 << 24])
@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [(1, 1, [1]), (3, 5, [3, 4, 5]), (9, None, [9, 10]), (10, 10, [10]), (8, 99, [8, 9, 10]), (11, 12, [])],
)
def test_a_range_of_lines_is_exactly_those_lines(tmp_path, monkeypatch, block_bytes, first, last, expected):
    monkeypatch.setattr(logs, "BLOCK_BYTES", block_bytes)
    content = "".join(f"line {number}\n" for number in range(1, 11)).encode()
    found = rows(LogFile(packed(tmp_path, "a.log", content)), first, last)
    assert found == [(number, f"line {number}") for number in expected]


@pytest.mark.parametrize("name", PACKERS)
def test_reading_stops_after_the_last_wanted_line(tmp_path, monkeypatch, name):
    """Of Thunderbird's 211 million lines the papers use 20: the others must not be read."""
    monkeypatch.setattr(logs, "BLOCK_BYTES", 1_000)
    source, decoded = LogFile(packed(tmp_path, name)), []
    monkeypatch.setattr(source, "_decode", lambda block: decoded.append(len(block)) or block)
    assert len(rows(source, 1, 10)) == 10
    assert len(decoded) == 1
    assert source.lines == 10


@pytest.mark.parametrize("name", PACKERS)
def test_the_share_that_was_read_only_grows(tmp_path, monkeypatch, name):
    monkeypatch.setattr(logs, "BLOCK_BYTES", 10_000)
    source, done = LogFile(packed(tmp_path, name)), []
    for _ in source.blocks():
        done.append(source.done)
    assert len(done) > 3 and done == sorted(done)
    assert done[0] > 0 and 0.9 < done[-1] <= 1


def test_the_share_of_a_range_is_that_of_its_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "BLOCK_BYTES", 1_000)
    source = LogFile(packed(tmp_path, "a.log"))
    done = [source.done for _ in source.blocks(1, 200)]
    assert done == sorted(done) and done[0] < 0.5 and done[-1] == 1


def test_the_head_of_a_short_log_has_its_last_line_without_an_end(tmp_path):
    """`check` did not show it: it comes as a block of its own."""
    path = tmp_path / "short.log"
    path.write_bytes(b"one\ntwo\nthree")
    assert LogFile(path).head(10)["text"].to_list() == ["one", "two", "three"]


def test_the_head_of_a_log_is_its_first_lines_and_the_file_is_closed(tmp_path):
    source = LogFile(packed(tmp_path, "a.log.gz"))
    assert source.head(3)["text"].to_list() == CONTENT.decode().splitlines()[:3]
    source.path.unlink()


def test_progress_has_percent_and_time_left_where_the_size_is_known(monkeypatch, capsys):
    monkeypatch.setattr(blocks, "SECONDS_BETWEEN_REPORTS", 0.0)
    meter = blocks.Meter()
    meter.started -= 100
    meter.report(1_000, 0.25)
    meter.report(2_000, 0.0)
    meter.finish(3_000)
    known, unknown, last = capsys.readouterr().out.splitlines()
    assert known.split("lines/s")[1].split() == ["25%", "0:05:00", "left"]
    assert "2,000 lines read" in unknown and unknown.endswith("lines/s")
    assert "3,000 lines read" in last and last.endswith("lines/s")


def test_progress_is_printed_every_two_seconds_and_not_more(capsys):
    meter = blocks.Meter()
    meter.report(1_000, 0.25)
    assert capsys.readouterr().out == ""
    meter.reported -= 2.0
    meter.report(2_000, 0.5)
    meter.report(3_000, 0.75)
    assert capsys.readouterr().out.count("lines read") == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a\nb", ["a", "b"]),
        (b"a\nb\n", ["a", "b"]),
        (b"\n", [""]),
        (b"a\n\nb\n", ["a", "", "b"]),
        (b"\n\na\n\n", ["", "", "a", ""]),
        (b"a\r\n\r\nb\r\n", ["a", "", "b"]),
        (b"a\r\nb\n", ["a", "b"]),
        (b"50 %\r100 %\nb\n", ["50 %\r100 %", "b"]),
        (b"\ra\n\rb", ["\ra", "\rb"]),
        (b"a\x00b\n\x00\nc\n", ["a\x00b", "\x00", "c"]),
        (b"a\x0bb\x0cc\x1cd\xc2\x85e\xe2\x80\xa8f\ng\n", ["a\x0bb\x0cc\x1cd\x85e\u2028f", "g"]),
        (b'"a\nb",c\n', ['"a', 'b",c']),
        (b" \t a \n", [" \t a "]),
    ],
)
def test_lines_end_at_newlines_and_nowhere_else(tmp_path, content, expected):
    assert rows_of(tmp_path, content) == list(enumerate(expected, start=1))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    content=st.binary(min_size=1, max_size=60) | st.text("ab\n\r\x00é\ufffd", min_size=1).map(str.encode),
    size=st.integers(1, 9),
)
def test_any_bytes_give_a_line_per_newline_in_any_block_size(tmp_path, content, size):
    assume(not content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) and content.count(b"\r") < 10)
    path = packed(tmp_path, "a.log", content)
    expected = content.removesuffix(b"\n").split(b"\n")
    undecodable = [number for number, line in enumerate(expected, start=1) if not _is_utf8(line)]
    results = []
    for block_bytes in (1 << 24, size):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(logs, "BLOCK_BYTES", block_bytes)
            source = LogFile(path)
            results.append(rows(source))
        assert source.lines == len(expected)
        assert source.undecodable == len(undecodable)
        assert source.first_undecodable == (undecodable[0] if undecodable else None)
    assert results[0] == results[1]
    assert [number for number, _ in results[0]] == list(range(1, len(expected) + 1))
    for line, (_, text) in zip(expected, results[0], strict=True):
        assert text.rstrip("\r") == line.decode("utf-8", "replace").rstrip("\r")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_a_line_of_a_megabyte_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "BLOCK_BYTES", 100_000)
    found = rows_of(tmp_path, b"before\n" + b"x" * 1_000_000 + b"\nafter\n")
    assert [(line, len(text)) for line, text in found] == [(1, 6), (2, 1_000_000), (3, 5)]


def test_a_character_cut_by_the_end_of_a_block_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "BLOCK_BYTES", 2)
    source = LogFile(packed(tmp_path, "a.log", "aé€😀\né\n".encode()))
    assert rows(source) == [(1, "aé€😀"), (2, "é")]
    assert source.undecodable == 0


@pytest.mark.parametrize("block_bytes", [8, 1 << 24])
def test_lines_that_are_not_utf8_are_kept_and_counted_with_the_first_number(tmp_path, monkeypatch, block_bytes):
    """A line with a U+FFFD of its own is good UTF-8, also beside a bad one."""
    monkeypatch.setattr(logs, "BLOCK_BYTES", block_bytes)
    source = LogFile(packed(tmp_path, "a.log", b"good\n\xef\xbf\xbd own\nb\xe9d \xff\ngood\n\x80\n"))
    assert rows(source) == [(1, "good"), (2, "\ufffd own"), (3, "b\ufffdd \ufffd"), (4, "good"), (5, "\ufffd")]
    assert (source.undecodable, source.first_undecodable) == (2, 3)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.zip"])
@pytest.mark.parametrize("read", [LogFile.blocks, lambda source: [source.head(1)]], ids=["whole", "head"])
def test_an_archive_of_two_logs_is_refused_with_their_names_and_the_way_to_choose(tmp_path, name, read):
    """Of a tar the first log was read and the second dropped without a word."""
    pack = pack_zip if name == "a.zip" else pack_tar
    pack(tmp_path / name, b"line\n", "b b.log", others=("logs/a.log", "README.md"))
    with pytest.raises(BadInput, match=r"holds 2 logs \(logs/a\.log, b b\.log\).* logs/a\.log$"):
        list(read(LogFile(tmp_path / name)))
    assert rows(LogFile(tmp_path / name, "b b.log")) == [(1, "line")]


def test_the_names_in_an_archive_cannot_command_a_terminal(tmp_path):
    pack_zip(tmp_path / "a.zip", b"line\n", "\x1b]0;owned\x07.log", others=("b" * 5_000 + ".log",))
    with pytest.raises(BadInput, match="holds 2 logs") as refusal:
        rows(LogFile(tmp_path / "a.zip"))
    assert str(refusal.value).isprintable() and len(str(refusal.value)) <= 2_000


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_a_damaged_zip_of_any_method_is_refused_with_a_sentence(tmp_path, method, share):
    """LZMA raises an error of its own, which was a traceback."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.log", CONTENT)
    damaged = bytearray(path.read_bytes())
    start = int(len(damaged) * share)
    damaged[start : start + 40] = bytes(letter ^ 0x55 for letter in damaged[start : start + 40])
    path.write_bytes(damaged)
    with pytest.raises(BadInput, match=r"ends early|is not what its ending says"):
        rows(LogFile(path))


def test_a_zip_that_points_outside_itself_is_refused_with_a_sentence(tmp_path):
    path = packed(tmp_path, "a.zip")
    content = bytearray(path.read_bytes())
    content[-6:-2] = (int.from_bytes(content[-6:-2], "little") + 10_000).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"ends early|is not what its ending says"):
        rows(LogFile(path))


@pytest.mark.parametrize("block_bytes", [1, 1_000, 1 << 20, 8 << 20])
def test_a_mark_of_utf8_at_the_begin_is_no_part_of_the_first_line(tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr(logs, "BLOCK_BYTES", block_bytes)
    assert rows_of(tmp_path, b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n") == [(1, "one"), (2, "\ufefftwo")]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["a.log", "a.log.gz"])
def test_utf16_without_its_mark_is_refused_with_the_way_to_convert_it(tmp_path, encoding, name):
    path = packed(tmp_path, name, "2026-01-02 03:04:05 INFO web: up\r\n".encode(encoding) * 10)
    with pytest.raises(BadInput, match="is UTF-16 without its mark; convert the log with: iconv -f UTF-16LE"):
        rows(LogFile(path))


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
@pytest.mark.parametrize("block_bytes", [1, 7, 1 << 24])
@pytest.mark.parametrize("name", PACKERS)
def test_utf16_is_read_by_its_mark(tmp_path, monkeypatch, mark, block_bytes, name):
    """Windows writes it; a line of NUL letters told nobody so."""
    monkeypatch.setattr(logs, "BLOCK_BYTES", block_bytes)
    lines = ["2026-01-02 03:04:05 INFO web: é up", "", "日 😀"]
    kind = "utf-16-le" if mark == b"\xff\xfe" else "utf-16-be"
    source = LogFile(packed(tmp_path, name, mark + "\r\n".join(lines).encode(kind)))
    assert rows(source) == list(enumerate(lines, start=1))
    assert source.undecodable == 0


def test_a_followed_log_of_utf16_is_read_as_the_batch_reads_it(tmp_path):
    path = packed(tmp_path, "a.log", b"\xff\xfe" + "é up\ndown\n".encode("utf-16-le"))
    followed = [text for block in Tail(path, stop_at_end=True).blocks() for text in block["text"]]
    assert followed == ["é up", "down"]


def test_lines_that_end_with_a_carriage_return_alone_are_refused_with_the_way_to_convert_them(tmp_path):
    """200 lines of such a file became one."""
    path = packed(tmp_path, "a.log", b"one line\r" * 200)
    with pytest.raises(BadInput, match="carriage return alone; convert the log with: tr ") as refusal:
        rows(LogFile(path))
    assert r"tr '\r' '\n' < " in str(refusal.value)


@pytest.mark.parametrize("letter", ["x", "é", "日", "😀"])
@pytest.mark.parametrize("block_bytes", [10_007, 1 << 20, 8 << 20])
def test_of_a_line_of_any_length_only_the_begin_is_read(tmp_path, monkeypatch, letter, block_bytes):
    monkeypatch.setattr(logs, "BLOCK_BYTES", block_bytes)
    long = letter * (3_000_000 // len(letter.encode()))
    source = LogFile(packed(tmp_path, "a.log", f"first\n{long}\nlast\n{long}".encode()))
    frame = pl.concat(list(source.blocks()))
    assert frame["line"].to_list() == [1, 2, 3, 4] and source.undecodable == 0
    assert frame.select(logs.IS_TOO_LONG)["text"].to_list() == [False, True, False, True]
    assert frame["text"][0::2].to_list() == ["first", "last"]
    assert all(long.startswith(text) for text in frame["text"][1::2])


def test_memory_does_not_grow_with_a_line():
    """A line of 100 MB in a small .gz took 1.8 GB."""
    chunks = (b"x" * logs.BLOCK_BYTES for _ in range(40))  # one line of 336 MB
    blocks = list(logs.whole_lines(chunks))
    assert [len(block) for block in blocks] == [logs.LINE_BYTES + logs.LONGEST_LETTER + 1]
    tracemalloc.start()
    read = sum(len(block) for block in logs.whole_lines(b"y" * logs.BLOCK_BYTES for _ in range(40)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read == len(blocks[0]) and peak < 4 * logs.BLOCK_BYTES


# ---- through parse_logs.py

EVENT = "081109 203530 147 INFO dfs.DataNode: Receiving block blk_{} src: /10.0.0.1:1\n"


@pytest.fixture
def hdfs(tmp_path) -> list[str]:
    """The command for a log of 30 blocks with its complete data folder."""
    log, labels, out = tmp_path / "good.log", tmp_path / "labels.csv", tmp_path / "out"
    log.write_text("".join(EVENT.format(number) for number in range(30)))
    labels.write_text("BlockId,Label\n" + "".join(f"blk_{number},Normal\n" for number in range(30)))
    command = ["hdfs", "--log", str(log), "--labels", str(labels), "--out", str(out)]
    assert parse_logs.main(command) == 0
    return command


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def full_device(*_, **__):
    with open("/dev/full", "wb", buffering=0) as device:
        device.write(b"x")


@pytest.mark.parametrize(
    ("owner", "name", "failure"),
    [
        (EventStore, "append", full_disk),
        (folder.CsvFile, "_write", full_disk),
        (folder.pq.ParquetWriter, "write_batch", full_disk),
        (parse_logs, "write_manifest", full_device),
    ],
)
def test_a_full_disk_is_one_sentence_and_the_old_folder_stays(hdfs, capsys, monkeypatch, owner, name, failure):
    out = Path(hdfs[-1])
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    around = sorted(path.name for path in out.parent.iterdir())
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failure)
        assert parse_logs.main(hdfs) == 2
    printed = capsys.readouterr().err
    assert "disk is full" in printed and printed.count("\n") == 1
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert sorted(path.name for path in out.parent.iterdir()) == around, "a half-written folder was left"


def test_a_disk_that_fills_up_while_events_are_stored_is_one_sentence(hdfs, capsys, monkeypatch):
    """ndarray.tofile hides the reason: a real full disk ended in a traceback or, for few events, in nothing at all."""

    def made_on_a_full_disk(self, place, names):
        self.folder, self.names, self.events = place, names, 0
        place.mkdir()
        for name in names:
            (place / name).symlink_to("/dev/full")

    capsys.readouterr()
    monkeypatch.setattr(EventStore, "__init__", made_on_a_full_disk)
    assert parse_logs.main(hdfs) == 2
    assert "disk is full" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.log.gz", "a.log.zst", "a.tar.gz", "a.zip"])
def test_a_truncated_log_leaves_the_old_folder(hdfs, tmp_path, capsys, name):
    content = b"".join(EVENT.format(number * 7919 % 10_007).encode() for number in range(5_000))
    broken = packed(tmp_path, name, content)
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    before = {path.name: path.read_bytes() for path in Path(hdfs[-1]).iterdir()}
    capsys.readouterr()
    assert parse_logs.main([*hdfs[:2], str(broken), *hdfs[3:], "--replace"]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and "Traceback" not in printed and name in printed
    assert {path.name: path.read_bytes() for path in Path(hdfs[-1]).iterdir()} == before
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("name", ["a.log.gz", "a.log.zst", "a.tar.gz", "a.zip"])
def test_a_packed_log_gives_the_same_data(hdfs, tmp_path, name):
    log = packed(tmp_path, name, Path(hdfs[2]).read_bytes())
    assert parse_logs.main([*hdfs[:2], str(log), *hdfs[3:-1], str(tmp_path / "again")]) == 0
    for file in ("sequences.parquet", "templates.csv"):
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "out" / file).read_bytes()


@pytest.mark.parametrize("block_bytes", [60, 200, 1 << 24])
def test_odd_lines_are_rejected_with_their_number_and_the_others_keep_theirs(hdfs, tmp_path, monkeypatch, block_bytes):
    """Blocks of a single line: some hold no event at all, others no rejected line."""
    lines = EVENT.encode().replace(b"{}", b"%d")
    odd = [b"", b"\x00\x00", b"50 %\r100 %", b"y" * 1_000_000, b"\xff\xfe", b'"quoted", text']
    pieces, expected = [], {}
    for number in range(30):
        pieces.append(lines % number)
        if number < len(odd):
            pieces.append(odd[number] + b"\n")
            expected[len(pieces)] = odd[number].decode("utf-8", "replace")
    (tmp_path / "odd.log").write_bytes(b"".join(pieces).removesuffix(b"\n"))
    monkeypatch.setattr(logs, "BLOCK_BYTES", block_bytes)
    assert parse_logs.main([*hdfs[:2], str(tmp_path / "odd.log"), *hdfs[3:], "--replace"]) == 0
    rejected = pl.read_csv(tmp_path / "out" / "rejected.csv").fill_null("")
    assert dict(rejected.select("line", "text").iter_rows()) == expected
    sequences = pl.read_parquet(tmp_path / "out" / "sequences.parquet")
    assert dict(sequences.select("sequence_id", pl.col("lines").list.first()).iter_rows()) == {
        f"blk_{number}": number + 1 + min(number, len(odd)) for number in range(30)
    }


def test_a_line_too_long_is_rejected_with_its_begin_and_the_others_keep_their_numbers(hdfs, tmp_path):
    lines = EVENT.encode().replace(b"{}", b"%d")
    content = lines % 0 + b"z" * 20_000_000 + b"\n" + b"".join(lines % number for number in range(1, 30))
    log = packed(tmp_path, "a.log.gz", content)
    assert parse_logs.main([*hdfs[:2], str(log), *hdfs[3:], "--replace"]) == 0
    assert pl.read_csv(tmp_path / "out" / "rejected.csv").rows() == [(2, "line too long", "z" * 1_000)]
    lines = pl.read_parquet(tmp_path / "out" / "sequences.parquet")["lines"].explode()
    assert sorted(lines) == [1, *range(3, 32)]


def test_every_line_may_be_too_long_and_that_is_a_sentence(hdfs, tmp_path, capsys):
    log = packed(tmp_path, "a.log", (b"z" * 2_000_000 + b"\n") * 3)
    assert parse_logs.main([*hdfs[:2], str(log), *hdfs[3:], "--replace"]) == 2
    assert "line 1 does not match (line too long)" in (printed := capsys.readouterr().err) and len(printed) < 2_000


def test_key_and_label_lines_that_are_too_long_are_not_cut_silently(hdfs, tmp_path, capsys):
    (tmp_path / "keys.txt").write_text("a b\n" * 20 + "a " * 1_000_000 + "\na b\n")
    assert parse_logs.main(["mine", "--keys", str(tmp_path / "keys.txt"), "--out", str(tmp_path / "mine")]) == 0
    rejected = pl.read_csv(tmp_path / "mine" / "rejected.csv")
    assert rejected.select("line", "reason").rows() == [(21, "line too long")]
    assert len(pl.read_parquet(tmp_path / "mine" / "sequences.parquet")) == 21
    (tmp_path / "long.csv").write_text("BlockId,Label\nblk_1,Normal" + "l" * 2_000_000 + "\n")
    assert parse_logs.main([*hdfs[:4], str(tmp_path / "long.csv"), *hdfs[5:]]) == 2
    assert "long.csv line 2 has more than a megabyte" in capsys.readouterr().err


def test_rejected_lines_come_back_from_every_reader_of_csv(hdfs, tmp_path):
    """A lone carriage return was not quoted, and Python's csv read another row there."""
    odd = ["50 %\r100 %", "\ra", 'a "quoted" word', "a, b", "tab\tand\x0b", "=1+1", "\x1c\x85\u2028", "'"]
    content = "".join(EVENT.format(number) + (odd[number] + "\n" if number < len(odd) else "") for number in range(30))
    (tmp_path / "odd.log").write_text(content, newline="")
    assert parse_logs.main([*hdfs[:2], str(tmp_path / "odd.log"), *hdfs[3:], "--replace"]) == 0
    path = tmp_path / "out" / "rejected.csv"
    with path.open(newline="", encoding="utf-8") as file:
        read = list(csv.reader(file))
    assert [row[2] for row in read] == ["text", *odd] and {len(row) for row in read} == {3}
    assert pl.read_csv(path)["text"].to_list() == odd
    assert path.read_bytes().startswith(b"line,reason,text\n")


def test_blank_lines_are_rejected_as_such_and_say_nothing_against_the_format(hdfs, tmp_path):
    content = "".join(EVENT.format(number) + "\n \t\n\n" for number in range(30))
    (tmp_path / "blank.log").write_text(content)
    assert parse_logs.main([*hdfs[:2], str(tmp_path / "blank.log"), *hdfs[3:], "--replace"]) == 0
    assert pl.read_csv(tmp_path / "out" / "rejected.csv")["reason"].value_counts().rows() == [("blank line", 90)]
