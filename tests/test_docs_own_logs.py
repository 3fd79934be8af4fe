"""docs/own-logs.md, executed: ten shapes of logs, made here, from the file to the odd line in the alarms."""

import bz2
import json
import re
import shlex
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import parse_logs
from commands import judge
from methods.classical import Classical
from runs import steps
from tests.test_docs_code import blocks
from tests.typed import typed

BEGIN = datetime(2025, 12, 31, 20)
STEPS = ("picked job", "started job", "finished job", "acknowledged job")
ODD = "disk failure under job"


def events(count: int, is_odd: bool) -> list[tuple[datetime, str, int]]:
    """Time, message and job of some events; the odd ones are new to whoever saw the others."""
    rows = [(BEGIN + timedelta(seconds=12 * n), STEPS[n % 4], n // 4) for n in range(count)]
    return [(at, ODD if is_odd and n == count // 2 else text, job) for n, (at, text, job) in enumerate(rows)]


VERBS = dict(zip((*STEPS, ODD), ("GET", "POST", "PUT", "DELETE", "PATCH"), strict=True))  # paths are masked


def access(at: datetime, text: str, job: int) -> str:
    host = f"shop.example:443 10.0.0.{job % 9} - - [{at:%d/%b/%Y:%H:%M:%S} +0000]"
    return f'{host} "{VERBS[text]} /{text.replace(" ", "/")} HTTP/1.1" 200 {job} "-" "curl/8"'


def api(at: datetime, text: str, job: int) -> str:
    return json.dumps({"event": {"text": text, "at": at.timestamp() * 1e3}, "trace": {"id": f"t{job}"}})


LINES: dict[str, Callable[[datetime, str, int], str]] = {
    "app": lambda at, text, job: (
        f"{at:%F %T},000 ERROR q: {text} {job}\njava.io.IOException: gone\n\tat a.B.c(B.java:{job})"
    ),
    "api": api,
    "kubelet": lambda at, text, job: f"I{at:%m%d %T}.000000       1 queue.go:3] {text} {job}",
    "server": lambda at, text, job: f"[{at:%F %T},000] INFO {text} {job} (kafka.server)",
    "access": access,
    "worker": lambda at, text, job: f'ts={at:%FT%T}Z level=info msg="{text}" job={job}',
    "audit": lambda at, text, job: f"{at:%F %T};u{job};{text}",
    "iis": lambda at, text, job: f"{at:%F %T} 10.0.0.1 {VERBS[text]} /{text.replace(' ', '/')} 200",
    "box": lambda at, text, job: f"{at:%b %e %T} box queue[9]: {text} {job}",
    "builds": lambda at, text, job: f"{at:%F %T} INFO build: {text} {job}",
}
HEADS = {"audit": "time;user;message\n", "iis": "#Fields: date time s-ip cs-method cs-uri-stem sc-status\n"}


def log_of(name: str, count: int, is_odd: bool) -> bytes:
    rows = [LINES[name](*event) for event in events(count, is_odd)]
    text = HEADS.get(name, "") + "\n".join(rows) + "\n"
    return text.encode("utf-16") if name == "iis" else text.encode()


def write_logs(name: str, place: str) -> None:
    """Write what the command of a shape reads, and the log of another day, `new.log`."""
    if name == "box":  # of the second file the times are January's
        whole = log_of(name, 3_000, False).splitlines(keepends=True)
        Path("syslogs").mkdir()
        Path("syslogs/syslog").write_bytes(b"".join(whole[1_500:]))
        Path("syslogs/syslog.1.bz2").write_bytes(bz2.compress(b"".join(whole[:1_500])))
    elif name == "builds":
        Path("builds").mkdir()
        for number in range(60):
            Path(f"builds/build-{number}.log").write_bytes(log_of(name, 40, False))
    else:
        Path(place).write_bytes(log_of(name, 1_200, False))
    Path("new.log").write_bytes(log_of(name, 40 if name == "builds" else 400, True))


COMMANDS = [code.strip() for code in blocks("own-logs.md", "")]
PARSES = [command for command in COMMANDS if re.match(r"python parse_logs\.py (?!check)", command)]


def test_the_page_has_ten_shapes():
    assert len(PARSES) == len(LINES) == 10


@pytest.mark.slow
@pytest.mark.parametrize("command", PARSES, ids=list(LINES))
def test_each_shape_goes_from_file_to_alarms(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)[2:]
    name = Path(words[0]).name.split(".")[0]
    write_logs(name, words[0])
    assert parse_logs.main(words) == 0, capsys.readouterr().err
    templates = pl.read_csv(f"data/{name}/templates.csv")["template"].to_list()
    assert 4 <= len(templates) <= 8 and not any(ODD in template for template in templates)
    rejected = pl.read_csv(f"data/{name}/rejected.csv")
    assert set(rejected["reason"]) <= {"note on the log"}
    run = steps.complete(lambda seed, templates: Classical("ngram", seed), name, 0, 0.05, None)
    assert judge.main([str(run.folder), "new.log", "--out", "judged"]) == 0
    listed = pl.read_csv("judged/new/alarms.csv").filter("is_alarm")
    assert any(ODD.replace(" ", "/") in raw or ODD in raw for raw in listed["raw"]), listed


def test_box_begins_in_december(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_logs("box", "")
    (command,) = (one for one in PARSES if "syslogs" in one)
    assert parse_logs.main(shlex.split(command)[2:]) == 0
    starts = pl.read_parquet("data/box/sequences.parquet")["start"]
    assert starts.is_sorted() and (starts[0].month, starts[-1].month) == (12, 1)


@pytest.mark.slow
def test_the_first_commands_of_the_page_check_train_and_judge(notebooks_here, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("app.log").write_bytes(log_of("app", 1_200, False))
    Path("app2.log").write_bytes(log_of("app", 400, True))
    check, then, parse = COMMANDS[0], COMMANDS[1], PARSES[0]
    for command in (check, parse, *then.splitlines()):
        capsys.readouterr()
        assert typed(command) == 0, command
    assert ODD in capsys.readouterr().out
