"""Files are fetched whole or not at all, from a server on this machine that can misbehave in every way named here."""

import errno
import hashlib
import io
import os
import socket
import threading
import zipfile
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl
import pytest

import parse_logs
from core.errors import BadInput
from core.files import lock
from parsing import datasets
from parsing.lines import download as module
from parsing.lines.download import Download, fetch

CONTENT = bytes(range(256)) * 1200  # 307,200 bytes: several blocks, so that a break falls between them
CHANGED = CONTENT[::-1]
CUT = 100_000


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@dataclass
class Remote:
    """What the server does, which a test may change between two calls, and what it was asked and has sent."""

    content: bytes = CONTENT
    etag: str | None = '"one"'
    last_modified: str | None = None
    ranges: bool = True
    if_range: bool = True
    length: bool = True
    content_range_in_416: bool = True
    total_in_206: bool = True
    wrong_start: bool = False  # answers every range with the file from byte 1
    cut: int | None = None  # bytes after which the connection breaks
    hang: str = ""  # "before" or "after" the headers and the first `cut` bytes
    status: int = 200
    location: str | None = None
    requests: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0
    address: str = ""
    stopped: threading.Event = field(default_factory=threading.Event)

    def download(self, name: str = "logs.tar.gz", **changes) -> Download:
        given = {"md5": md5(self.content), "md5_source": "the page of the data set"} | changes
        return Download(f"{self.address}/records/7/{name}", **given)

    def unverified(self, **changes) -> Download:
        return self.download(md5=None, md5_source="unverified: no published checksum found", **changes)


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_) -> None:
        """Quiet: pytest shows what matters."""

    def do_GET(self) -> None:
        remote: Remote = self.server.remote
        remote.requests.append(dict(self.headers))
        if remote.hang == "before":
            remote.stopped.wait(5)
            return
        if remote.location and not self.path.startswith("/moved"):
            self.answer(302, {"Location": remote.location, "Content-Length": "0"}, b"")
        elif remote.status != 200:
            self.answer(remote.status, {"Content-Length": "6"}, b"sorry\n")
        else:
            self.answer(*self.file(remote))

    def file(self, remote: Remote) -> tuple[int, dict, bytes]:
        validators = {"ETag": remote.etag, "Last-Modified": remote.last_modified}
        headers = {name: value for name, value in validators.items() if value}
        if_range, size = self.headers.get("If-Range"), len(remote.content)
        unchanged = not remote.if_range or if_range in (None, *headers.values())
        if not (remote.ranges and "Range" in self.headers and unchanged):
            return 200, headers | ({"Content-Length": str(size)} if remote.length else {}), remote.content
        first = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if first >= size:
            content_range = {"Content-Range": f"bytes */{size}"} if remote.content_range_in_416 else {}
            return 416, headers | content_range | {"Content-Length": "0"}, b""
        first = 1 if remote.wrong_start else first
        rest = remote.content[first:]
        content_range = {"Content-Range": f"bytes {first}-{size - 1}/{size if remote.total_in_206 else '*'}"}
        return 206, headers | content_range | {"Content-Length": str(len(rest))}, rest

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        remote: Remote = self.server.remote
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        remote.sent += len(body[: remote.cut])  # before it is: the client may be done before this thread goes on
        self.wfile.write(body[: remote.cut])
        if remote.hang == "after":
            self.wfile.flush()
            remote.stopped.wait(5)


@pytest.fixture
def remote(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.remote = Remote(address=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.remote
    server.remote.stopped.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def closed_address(monkeypatch) -> str:
    """An address where nobody listens."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def refusal(download: Download, folder: Path) -> str:
    """The text of the BadInput, checked to be one sentence on one line."""
    with pytest.raises(BadInput) as caught:
        fetch(download, folder)
    text = str(caught.value)
    assert "\n" not in text and "Traceback" not in text
    assert text.endswith(".") and ". " not in text.replace(download.url, "")
    return text


def broken_off(remote: Remote, download: Download, folder: Path) -> Path:
    """The part that stays when the connection breaks after CUT bytes; the server is whole again and counts anew."""
    remote.cut = CUT
    refusal(download, folder)
    part = folder / "logs.tar.gz.part"
    assert part.read_bytes() == remote.content[:CUT]
    remote.cut, remote.sent = None, 0
    remote.requests.clear()
    return part


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_fetched_file_equals_the_remote_one_and_is_alone_in_a_folder_made_for_it(remote, tmp_path):
    path = fetch(remote.download(), tmp_path / "new" / "raw")
    assert path == tmp_path / "new" / "raw" / "logs.tar.gz"
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["logs.tar.gz"]


def test_a_second_call_makes_no_request(remote, tmp_path):
    first = fetch(remote.download(), tmp_path)
    assert len(remote.requests) == 1
    assert fetch(remote.download(), tmp_path) == first
    assert len(remote.requests) == 1


def test_a_file_of_another_size_than_published_is_not_taken_for_whole(remote, tmp_path):
    (tmp_path / "logs.tar.gz").write_bytes(CONTENT[:CUT])
    text = refusal(remote.download(bytes=len(CONTENT)), tmp_path)
    assert "100,000" in text and "307,200" in text and f"rm {tmp_path}/logs.tar.gz" in text
    assert remote.requests == []


def test_the_query_is_not_in_the_file_name(remote, tmp_path):
    path = fetch(remote.download("logs.tar.gz?download=1"), tmp_path)
    assert path.name == "logs.tar.gz"
    assert names(tmp_path) == ["logs.tar.gz"]


@pytest.mark.parametrize(
    "validators",
    [
        {"etag": '"one"'},
        {"etag": 'W/"one"', "last_modified": "Tue, 01 Jul 2025 10:00:00 GMT"},
        {"etag": None},
    ],
    ids=["strong ETag", "weak ETag and date", "no validator, but an MD5"],
)
def test_a_resumed_download_asks_only_for_the_rest(remote, tmp_path, validators):
    for name, value in validators.items():
        setattr(remote, name, value)
    broken_off(remote, remote.download(), tmp_path)
    assert fetch(remote.download(), tmp_path).read_bytes() == CONTENT
    assert [request["Range"] for request in remote.requests] == [f"bytes={CUT}-"]
    assert remote.requests[0].get("If-Range") == (remote.last_modified or remote.etag)
    assert remote.sent == len(CONTENT) - CUT
    assert names(tmp_path) == ["logs.tar.gz"]


@pytest.mark.parametrize("total", [True, False], ids=["206 with the size", "206 without the size"])
def test_a_download_that_breaks_off_again_goes_on_from_the_second_break(remote, tmp_path, total):
    remote.total_in_206 = total
    part = broken_off(remote, remote.download(), tmp_path)
    remote.cut = CUT
    assert "broke off at 200,000 of 307,200 bytes" in refusal(remote.download(), tmp_path)
    assert part.read_bytes() == CONTENT[: 2 * CUT]
    remote.cut = None
    assert fetch(remote.download(), tmp_path).read_bytes() == CONTENT
    assert remote.requests[-1]["Range"] == "bytes=200000-"


def test_a_server_without_ranges_makes_it_start_over(remote, tmp_path):
    broken_off(remote, remote.download(), tmp_path)
    remote.ranges = False
    assert fetch(remote.download(), tmp_path).read_bytes() == CONTENT
    assert [request["Range"] for request in remote.requests] == [f"bytes={CUT}-"]
    assert remote.sent == len(CONTENT)


def test_a_server_that_sends_another_range_makes_it_start_over(remote, tmp_path):
    broken_off(remote, remote.download(), tmp_path)
    remote.wrong_start = True
    assert fetch(remote.download(), tmp_path).read_bytes() == CONTENT
    assert "Range" not in remote.requests[1]


@pytest.mark.parametrize("if_range", [True, False], ids=["If-Range honored", "If-Range ignored"])
@pytest.mark.parametrize("validator", ["etag", "last_modified"])
def test_a_changed_remote_file_makes_it_start_over(remote, tmp_path, validator, if_range):
    remote.etag, remote.if_range = None, if_range
    setattr(remote, validator, '"one"' if validator == "etag" else "Tue, 01 Jul 2025 10:00:00 GMT")
    broken_off(remote, remote.unverified(), tmp_path)
    remote.content = CHANGED
    setattr(remote, validator, '"two"' if validator == "etag" else "Wed, 02 Jul 2025 10:00:00 GMT")
    assert fetch(remote.unverified(), tmp_path).read_bytes() == CHANGED
    assert len(remote.requests) == (1 if if_range else 2)


def test_a_part_that_nothing_could_prove_to_be_of_the_same_file_is_not_continued(remote, tmp_path):
    remote.etag = None
    broken_off(remote, remote.unverified(), tmp_path)
    remote.content = CHANGED
    assert fetch(remote.unverified(), tmp_path).read_bytes() == CHANGED
    assert "Range" not in remote.requests[0]


def test_a_part_from_another_address_is_not_continued(remote, tmp_path):
    broken_off(remote, remote.download(), tmp_path)
    moved = Download(f"{remote.address}/records/8/logs.tar.gz", md5(CONTENT), "the page of the data set")
    assert fetch(moved, tmp_path).read_bytes() == CONTENT
    assert "Range" not in remote.requests[0]


@pytest.mark.parametrize("content_range", [True, False], ids=["416 with the size", "416 without the size"])
def test_a_part_of_the_full_size_is_complete(remote, tmp_path, content_range):
    remote.content_range_in_416 = content_range
    (tmp_path / "logs.tar.gz.part").write_bytes(CONTENT)
    assert fetch(remote.download(bytes=len(CONTENT)), tmp_path).read_bytes() == CONTENT
    assert remote.sent == 0 and len(remote.requests) == 1


def test_a_part_longer_than_the_remote_file_makes_it_start_over(remote, tmp_path):
    (tmp_path / "logs.tar.gz.part").write_bytes(CONTENT + b"more")
    assert fetch(remote.download(), tmp_path).read_bytes() == CONTENT
    assert len(remote.requests) == 2


def test_a_broken_connection_keeps_the_part_and_names_the_bytes(remote, tmp_path):
    remote.cut = CUT
    text = refusal(remote.download(), tmp_path)
    assert "broke off at 100,000 of 307,200 bytes" in text and "same command" in text
    assert str(tmp_path / "logs.tar.gz.part") in text
    assert names(tmp_path) == ["logs.tar.gz.part", "logs.tar.gz.part.json"]


def test_a_server_that_falls_silent_midway_counts_as_broken(remote, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    remote.cut, remote.hang = CUT, "after"
    assert "of 307,200 bytes" in refusal(remote.download(), tmp_path)
    kept = (tmp_path / "logs.tar.gz.part").read_bytes()
    assert CUT - module.BLOCK_BYTES <= len(kept) <= CUT and CONTENT.startswith(kept)


def test_a_wrong_md5_leaves_nothing_and_names_both_digests(remote, tmp_path):
    text = refusal(remote.download(md5="0" * 32), tmp_path)
    assert md5(CONTENT) in text and "0" * 32 in text and "the page of the data set" in text
    assert "run the same command again" in text
    assert names(tmp_path) == []


def test_an_md5_in_capitals_is_the_same_md5(remote, tmp_path):
    assert fetch(remote.download(md5=md5(CONTENT).upper()), tmp_path).is_file()


def test_a_file_without_a_published_md5_is_called_unverified_with_its_sha256(remote, tmp_path, capsys):
    fetch(remote.unverified(), tmp_path)
    lines = [line for line in capsys.readouterr().out.splitlines() if "not verified" in line]
    assert len(lines) == 1 and hashlib.sha256(CONTENT).hexdigest() in lines[0]


def test_a_file_that_nobody_can_verify_is_the_same_the_next_time_or_refused(remote, tmp_path):
    """Fetched over http, it could be another one on every machine, and nobody would see."""
    path, kept = fetch(remote.unverified(), tmp_path), tmp_path / "logs.tar.gz.sha256"
    assert kept.read_text() == f"{hashlib.sha256(CONTENT).hexdigest()}  logs.tar.gz\n"
    path.unlink()
    assert fetch(remote.unverified(), tmp_path).read_bytes() == CONTENT
    path.unlink()
    remote.content, remote.etag = CHANGED, '"two"'
    text = refusal(remote.unverified(), tmp_path)
    assert hashlib.sha256(CONTENT).hexdigest() in text and hashlib.sha256(CHANGED).hexdigest() in text
    assert names(tmp_path) == ["logs.tar.gz.sha256"]
    kept.unlink()
    assert fetch(remote.unverified(), tmp_path).read_bytes() == CHANGED


@pytest.mark.parametrize("name", ["logs.tar.gz.part", "logs.tar.gz.part.json", "logs.tar.gz.sha256", "logs.tar.gz"])
@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
def test_a_link_that_somebody_planted_is_not_written_through(remote, tmp_path, name, there):
    target, folder = tmp_path / "target", tmp_path / "raw"
    folder.mkdir()
    if there:
        target.write_text("mine")
    (folder / name).symlink_to(target)
    with suppress(BadInput):  # a link that replaces the file itself or its digest is refused, others are replaced
        fetch(remote.unverified(), folder)
    assert target.read_text() == "mine" if there else not target.exists()


def test_a_file_that_another_process_fetches_is_not_fetched_twice(remote, tmp_path):
    with lock(tmp_path / "logs.tar.gz", seconds=0):
        assert "logs.tar.gz is held by another process" in refusal(remote.download(), tmp_path)
    assert remote.requests == []
    assert fetch(remote.download(), tmp_path).read_bytes() == CONTENT


def test_a_file_with_a_right_md5_is_not_called_unverified(remote, tmp_path, capsys):
    fetch(remote.download(), tmp_path)
    assert "not verified" not in capsys.readouterr().out


def test_without_an_md5_the_published_size_is_checked(remote, tmp_path):
    text = refusal(remote.unverified(bytes=5), tmp_path)
    assert "307,200" in text and " 5 " in text
    assert names(tmp_path) == []


def test_no_server_gives_one_sentence_with_the_address_and_the_place_for_the_file(closed_address, tmp_path):
    download = Download(f"{closed_address}/a/logs.zip?x=1", None, "unverified: no published checksum found")
    text = refusal(download, tmp_path)
    assert download.url in text and str(tmp_path) in text and "as logs.zip" in text
    assert names(tmp_path) == []


def test_a_server_that_never_answers_is_given_up(remote, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    remote.hang = "before"
    text = refusal(remote.download(), tmp_path)
    assert "cannot be reached (timed out)" in text and remote.address in text and str(tmp_path) in text


@pytest.mark.parametrize("status", [202, 403, 404, 500])
def test_a_refusal_names_status_address_and_place_and_keeps_what_is_there(remote, tmp_path, status):
    part = broken_off(remote, remote.download(), tmp_path)
    remote.status = status
    text = refusal(remote.download(), tmp_path)
    assert str(status) in text and remote.download().url in text and str(tmp_path) in text
    assert part.read_bytes() == CONTENT[:CUT]
    assert not (tmp_path / "logs.tar.gz").exists()


def test_an_answer_without_the_file_is_not_taken_for_it(remote, tmp_path):
    remote.status = 202
    assert "202" in refusal(remote.unverified(), tmp_path)
    assert names(tmp_path) == []


def test_a_redirect_to_http_is_followed_with_its_range_and_keeps_the_name_of_the_first_address(remote, tmp_path):
    broken_off(remote, remote.download(), tmp_path)
    remote.location = f"{remote.address}/moved/blob-17"
    path = fetch(remote.download(), tmp_path)
    assert path.name == "logs.tar.gz" and path.read_bytes() == CONTENT
    assert remote.sent == len(CONTENT) - CUT


@pytest.mark.parametrize("scheme", ["file", "ftp", "data"])
def test_a_redirect_to_another_scheme_is_refused(remote, tmp_path, scheme):
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    host = remote.address.removeprefix("http:")
    remote.location = {"file": secret.as_uri(), "ftp": f"ftp:{host}/f", "data": "data:text/plain,x"}[scheme]
    text = refusal(remote.download(), tmp_path / "out")
    assert remote.address in text and ("not allowed" in text or f"unknown url type: {scheme}" in text)
    assert names(tmp_path / "out") == []
    assert len(remote.requests) == 1


def test_an_endless_redirect_is_one_sentence(remote, tmp_path):
    remote.location = remote.download().url
    assert "302" in refusal(remote.download(), tmp_path)


@pytest.mark.parametrize("url", ["file:///etc/hosts", "ftp://host/f", "logs.zip", "https:///f", "https://host/a/"])
def test_only_http_addresses_of_files_are_allowed(tmp_path, url):
    assert url in refusal(Download(url, None, "unverified: no published checksum found"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://h/..", "is not the address of a file"),
        ("http://[", "is not the address of a file"),
        ("http://127.0.0.1:99999/f", "is not the address of a file"),
        ("http://127.0.0.1/b c.zip", "is not the address of a file"),
        ("http://a..b/f", "cannot be reached"),
    ],
)
def test_an_address_that_http_cannot_carry_is_one_sentence(tmp_path, url, problem):
    assert f"{url} {problem}" in refusal(Download(url, None, "unverified: no published checksum found"), tmp_path)
    assert names(tmp_path) == []


class FullDisk:
    """A file that takes one block and then finds the disk full."""

    def __init__(self, file) -> None:
        self.file, self.writes = file, 0

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.file.close()

    def write(self, block: bytes) -> None:
        self.writes += 1
        if self.writes > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.file.write(block)


def test_a_full_disk_is_one_sentence_and_the_download_goes_on_when_there_is_room(remote, tmp_path, monkeypatch):
    open_part = module._open_part
    with monkeypatch.context() as full:
        full.setattr(module, "_open_part", lambda path, mode: FullDisk(open_part(path, mode)))
        text = refusal(remote.download(), tmp_path)
    assert "No space left on device" in text and str(tmp_path / "logs.tar.gz.part") in text and "df -h" in text
    assert (tmp_path / "logs.tar.gz.part").read_bytes() == CONTENT[: module.BLOCK_BYTES]
    assert fetch(remote.download(), tmp_path).read_bytes() == CONTENT
    assert remote.requests[-1]["Range"] == f"bytes={module.BLOCK_BYTES}-"


def test_a_folder_that_is_a_file_is_one_sentence(remote, tmp_path):
    (tmp_path / "raw").write_text("x", encoding="utf-8")
    assert str(tmp_path / "raw") in refusal(remote.download(), tmp_path / "raw")


def test_a_crash_before_the_rename_leaves_no_file_under_the_final_name(remote, tmp_path, monkeypatch):
    rename = os.replace

    def crash(source, target):
        if Path(target).name == "logs.tar.gz":
            raise KeyboardInterrupt
        rename(source, target)

    with monkeypatch.context() as crashing:
        crashing.setattr(module.os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            fetch(remote.download(), tmp_path)
    assert names(tmp_path) == ["logs.tar.gz.part", "logs.tar.gz.part.json"]
    remote.sent = 0
    assert fetch(remote.download(), tmp_path).read_bytes() == CONTENT
    assert remote.sent == 0


def test_an_unreadable_note_does_not_stop_a_download(remote, tmp_path):
    broken_off(remote, remote.download(), tmp_path)
    (tmp_path / "logs.tar.gz.part.json").write_text('{"url', encoding="utf-8")
    assert fetch(remote.download(), tmp_path).read_bytes() == CONTENT


def test_a_quick_download_prints_one_line_with_its_size(remote, tmp_path, capsys):
    fetch(remote.download(), tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and "0.3 of 0.3 MB" in lines[0] and lines[0].endswith("MB/s")


def test_a_long_download_prints_lines_in_between_and_a_question_mark_for_an_unknown_size(
    remote, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(module, "PROGRESS_SECONDS", 0.0)
    remote.length = False
    assert fetch(remote.download(), tmp_path).read_bytes() == CONTENT
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 2 and all("of ? MB" in line for line in lines)


def test_a_data_set_is_downloaded_parsed_and_split_by_its_name(remote, tmp_path, monkeypatch):
    """The door: `parse_logs.py bgl`, its archive read as it came, and the second call without a request."""
    row = "- {} 2005.06.03 R02-M1 2005-06-03-15.42.50.675872 R02-M1 RAS KERNEL INFO message {}\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("BGL.log", "".join(row.format(1_117_838_570 + 61 * number, number) for number in range(40)))
    remote.content = packed.getvalue()
    monkeypatch.setitem(datasets.SPECS, "bgl", replace(datasets.BGL, download=remote.download("BGL.zip")))
    monkeypatch.chdir(tmp_path)
    assert parse_logs.main(["bgl"]) == 0
    assert parse_logs.main(["bgl"]) == 0
    assert len(remote.requests) == 1
    assert len(pl.read_parquet(tmp_path / "data" / "bgl" / "sequences.parquet")) == 40
    assert names(tmp_path / "data" / "raw") == ["BGL.zip"]
