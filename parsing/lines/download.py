"""Published files fetched to disk: resumed after a break, verified, and given their name only when complete.

A file that nobody published a checksum of, perhaps over http, is trusted on first use: its SHA-256 is printed and kept
beside it as NAME.sha256, and a file with another one is refused from then on.
"""

import hashlib
import json
import os
import re
import time
import urllib.request as web
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from core.errors import BadInput
from core.files import lock, write

TIMEOUT = 30.0  # seconds without a byte, after which a server counts as gone
PROGRESS_SECONDS = 2.0  # between two lines of progress
BLOCK_BYTES = 64 << 10  # what a break may cost: the block being read is lost, the ones before it stay
_NOT_A_LINK = getattr(os, "O_NOFOLLOW", 0)
VALIDATORS = ("ETag", "Last-Modified")  # headers by which a server tells that a file has changed


@dataclass(frozen=True)
class Download:
    """One published file. A `md5` of None means that no source gives one; `bytes` is the published size, if known."""

    url: str
    md5: str | None
    md5_source: str
    bytes: int | None = None


def fetch(download: Download, folder: Path) -> Path:
    """Return the path of the complete file in `folder`, named by the URL's last part; request nothing if it exists.

    What arrived before a break stays beside it as NAME.part (with NAME.part.json) and is resumed by the next call.
    Raise BadInput for an address that is not http(s), no network, a refusal, a break, a full disk, a wrong checksum, or
    another process that fetches the same file.
    """
    path = folder / _file_name(download.url)
    try:
        if path.is_file():
            _check_size(download, path)
            return path
        folder.mkdir(parents=True, exist_ok=True)
        with lock(path, seconds=0):
            _transfer(download, path)
            _verify(download, path)
            os.replace(_part(path), path)
            _note(path).unlink(missing_ok=True)
    except OSError as error:  # of the disk: those of the network have become BadInput already
        raise BadInput(
            f"{_part(path)} cannot be written ({error.strerror}); make room or fix the permissions, see: "
            f"df -h {folder}; ls -ld {folder}, and the same command goes on from there."
        ) from error
    return path


def _file_name(url: str) -> str:
    try:
        address = urlsplit(url)
        usable = address.scheme in ("http", "https") and address.hostname and address.port != 0
    except ValueError:  # an unclosed bracket, or a port that is no port
        usable = False
    name = address.path.rpartition("/")[2] if usable else ""
    if name in ("", ".", "..") or re.search("[^!-~]", url):  # HTTP carries neither spaces nor letters beyond ASCII
        raise BadInput(f"{url} is not the address of a file; give one like https://HOST/FOLDER/FILE.")
    return name


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.part.json")


def _digest_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _open_part(path: Path, mode: str) -> BinaryIO:
    """Open the part, whose name everybody knows, and follow no link that somebody put there."""
    return cast(BinaryIO, open(_part(path), mode, opener=lambda name, flags: os.open(name, flags | _NOT_A_LINK, 0o666)))


def _check_size(download: Download, path: Path) -> None:
    """Raise BadInput if a file at the final place, perhaps put there by hand, is not as long as published."""
    size = path.stat().st_size
    if download.bytes not in (None, size):
        raise BadInput(f"{path} has {size:,} of {download.bytes:,} bytes; after rm {path} the same command fetches it.")


def _transfer(download: Download, path: Path) -> None:
    """Fill the part up to the whole file, from where an earlier attempt ended if the remote file is still the same."""
    note = _read_note(path)
    offset = _resumable_bytes(download, path, note)
    with _ask(download, path, offset, note) as response:
        continues = response.status != 200 and _continues(response, download, offset, note)
        if continues and response.status == 416:
            return
        if continues or response.status == 200:
            _save(response, download, path, offset if continues else 0)
            return
    with _ask(download, path, 0, {}) as response:
        _save(response, download, path, 0)


def _read_note(path: Path) -> dict[str, str | None]:
    """Return address and validators of the remote file that the part belongs to; empty if no note can be read."""
    try:
        return json.loads(_note(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}


def _resumable_bytes(download: Download, path: Path, note: dict) -> int:
    """Return the length of the part; 0 if no validator and no MD5 would show that two files were joined."""
    part = _part(path)
    same_file = note.get("url", download.url) == download.url and (download.md5 or _validator(note))
    return part.stat().st_size if same_file and part.is_file() else 0


def _validator(note: dict) -> str | None:
    """Return what If-Range may carry: a strong ETag, otherwise the date."""
    etag = note.get("ETag") or "W/"
    return note.get("Last-Modified") if etag.startswith("W/") else etag


def _ask(download: Download, path: Path, offset: int, note: dict) -> HTTPResponse:
    """Return the answer to a request for the bytes from `offset`: 200 or 206, or 416 if an offset was asked for."""
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    if offset and (validator := _validator(note)):
        headers["If-Range"] = validator
    try:
        response = _opener().open(web.Request(download.url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        response = cast(HTTPResponse, error)  # it is read like one
    except (OSError, HTTPException, ValueError) as error:  # ValueError: a host name that DNS cannot carry
        reason = error.reason if isinstance(error, URLError) else error
        raise _unavailable(download, path, "cannot be reached", reason) from error
    # Other answers without an error exist, such as an empty 202 while the server is still preparing the file.
    if response.status not in ((200, 206, 416) if offset else (200,)):
        response.close()
        raise _unavailable(download, path, f"was refused with HTTP status {response.status}", response.reason)
    return response


def _opener() -> web.OpenerDirector:
    """Return an opener of HTTP and HTTPS only: without handlers for file, ftp and data no redirect can lead there."""
    opener = web.OpenerDirector()
    connections = (web.ProxyHandler, web.HTTPHandler, web.HTTPSHandler, web.UnknownHandler)
    for handler in (*connections, web.HTTPRedirectHandler, web.HTTPDefaultErrorHandler, web.HTTPErrorProcessor):
        opener.add_handler(handler())
    return opener


def _unavailable(download: Download, path: Path, problem: str, reason: object) -> BadInput:
    clause = re.split(r"[\r\n]|\. ", str(reason))[0].rstrip(".")  # a server may give several lines and sentences
    return BadInput(
        f"{download.url} {problem} ({clause}); run the same command again later, or fetch the file by hand, put it "
        f"in the folder {path.parent.absolute()} as {path.name} and run the command then."
    )


def _content_range(response: HTTPResponse) -> tuple[int | None, int | None]:
    """Return first byte and total size that the header Content-Range gives, None where it does not."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", ""))
    if match is None:
        return None, None
    first, total = match.groups()
    return int(first) if first else None, None if total == "*" else int(total)


def _continues(response: HTTPResponse, download: Download, offset: int, note: dict) -> bool:
    """Return whether the answer is about the noted file and continues at `offset` (206) or says it ends there (416)."""
    for name in VALIDATORS:  # servers exist that honor Range but not If-Range
        if note.get(name) and response.headers.get(name, note[name]) != note[name]:
            return False
    first, total = _content_range(response)
    if response.status == 416:
        return offset == (download.bytes if total is None else total)
    return offset == first


def _save(response: HTTPResponse, download: Download, path: Path, offset: int) -> None:
    """Write the body after the first `offset` bytes of the part; raise BadInput if it ends early."""
    total = _content_range(response)[1] if offset else None
    if total is None:
        total = download.bytes if response.length is None else offset + response.length
    progress = _Progress(path.name, offset, total)
    with _open_part(path, "ab" if offset else "wb") as file:
        if not offset:  # after the truncation: a new note must never stand beside old bytes
            validators = {name: response.headers.get(name) for name in VALIDATORS}
            write(_note(path), {"url": download.url, **validators})
        whole = _receive(response, file, progress)
        file.flush()
        os.fsync(file.fileno())  # or a power cut after the rename could leave a hole under the final name
    progress.show()
    if not whole:
        of_total = "an unknown number of" if total is None else f"{total:,}"
        raise BadInput(
            f"{download.url} broke off at {progress.done:,} of {of_total} bytes, which are kept in {_part(path)}; "
            "run the same command again and it goes on from there."
        )


def _receive(response: HTTPResponse, file: BinaryIO, progress: "_Progress") -> bool:
    """Append the body to `file`; return whether it came to its end."""
    while True:
        try:
            block = response.read(BLOCK_BYTES)
        except (OSError, HTTPException):
            return False
        if not block:
            return progress.total is None or progress.done >= progress.total
        file.write(block)
        progress.add(len(block))


class _Progress:
    """Bytes of the file on disk, printed in MB (10^6 bytes); the rate is that of this attempt."""

    def __init__(self, name: str, done: int, total: int | None) -> None:
        self.name, self.done, self.total = name, done, total
        self._before = done
        self._started = self._shown = time.monotonic()

    def add(self, received: int) -> None:
        self.done += received
        if time.monotonic() - self._shown >= PROGRESS_SECONDS:
            self.show()

    def show(self) -> None:
        self._shown = time.monotonic()
        rate = (self.done - self._before) / max(self._shown - self._started, 1e-6) / 1e6
        total = "?" if self.total is None else f"{self.total / 1e6:,.1f}"
        print(f"{self.name}: {self.done / 1e6:,.1f} of {total} MB, {rate:,.1f} MB/s", flush=True)


def _verify(download: Download, path: Path) -> None:
    """Raise BadInput and remove the part if it is not the published file, or not the one that came the first time."""
    part, problem, digest_file = _part(path), "", _digest_file(path)
    size = part.stat().st_size
    if download.md5 is None and download.bytes not in (None, size):
        problem = f"gave {size:,} bytes where {download.bytes:,} are published"
    if download.md5 is not None and (digest := _digest(part, "md5")) != download.md5.lower():
        problem = f"gave a file with MD5 {digest} where {download.md5_source} gives {download.md5}"
    if download.md5 is None and not problem:
        sha256, known = _digest(part, "sha256"), _read_digest(digest_file)
        if known not in (None, sha256):
            problem = f"gave a file with SHA-256 {sha256} where {digest_file} keeps {known} of an earlier download"
    if problem:
        part.unlink()
        _note(path).unlink(missing_ok=True)
        raise _unavailable(download, path, problem, "it was removed")
    if download.md5 is None:
        write(digest_file, f"{sha256}  {path.name}\n")  # sha256sum -c reads it
        print(f"{path.name} is not verified, no MD5 is published; its SHA-256 is {sha256}, kept in {digest_file}")


def _read_digest(digest_file: Path) -> str | None:
    """Return the SHA-256 that an earlier download of the file had, if there was one."""
    return digest_file.read_text(encoding="utf-8").split(" ")[0] if digest_file.is_file() else None


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
