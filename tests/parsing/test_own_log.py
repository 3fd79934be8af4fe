"""What `parse_logs.py check` prints about a log, and the YAML description of your own log."""

import gzip
import re
import time
from itertools import pairwise
from pathlib import Path

import pytest

from core.errors import BadInput
from core.logs import LogFile
from parsing.lines.headers import compile_header, split_fields
from parsing.options import job_of, read_options
from parsing.own_log import check, mismatch
from parsing.own_spec import load_own_spec
from parsing.templates.masks import Mask

FORMAT = "<Date> <Time> <Level> <Component>: <Content>"
GOOD = [f"2024-01-02 03:04:{second:02} INFO web: user {second} asks for req-{second % 2}" for second in range(10)]
BAD = ["at a.b.C(C.java:3)", "2024-01-02 03:04:05 INFO web up and running", ""]
NUMBERS = (Mask("number", "[0-9]+"),)


def write(folder: Path, *lines: str) -> Path:
    """A log of these lines."""
    path = folder / "my.log"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_good_log_is_shown_as_a_table_with_its_sessions_templates_and_next_command(tmp_path, capsys):
    path = write(tmp_path, *GOOD)
    assert check(path, FORMAT, "req-[0-9]+", NUMBERS) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[:2] == [
        "line  Date        Time      Level  Component  Content",
        "   1  2024-01-02  03:04:00  INFO   web        user 0 asks for req-0",
    ]
    assert "10 of the first 10 lines match" in printed
    assert "Sessions: 2, the first req-0, req-1; 0 lines name none" in printed
    assert "Templates: 1 as a first guess" in printed
    assert "      10  user <*> asks for req-<*>" in printed
    recipe = "%Y-%m-%d %H:%M:%S.%f of Date Time"
    assert f"python parse_logs.py {path} --format '{FORMAT}' --time '{recipe}' --session 'req-[0-9]+'" in printed


def test_lines_that_fail_are_shown_in_their_place_with_the_reason(tmp_path, capsys):
    assert check(write(tmp_path, GOOD[0], *BAD, GOOD[1]), FORMAT, None, ()) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[2:5] == [
        "   2  belongs to the event before: at a.b.C(C.java:3)",
        "   3  does not match, no ': ' after <Component>: 2024-01-02 03:04:05 INFO web up and running",
        "   4  does not match, line is empty: ",
    ]
    assert "2 of the first 5 lines match" in printed
    assert "; 1 are blank; 1 belong to the event before them (--continuation join)" in printed
    assert "The first that does not is line 3" in printed
    assert "Sessions" not in printed


def test_a_failing_line_beyond_the_shown_ones_is_named(tmp_path, capsys):
    check(write(tmp_path, *GOOD * 3, BAD[1]), FORMAT, None, ())
    printed = capsys.readouterr().out
    assert "\n  20  " in printed and "\n  21  " not in printed
    assert "30 of the first 31 lines match" in printed
    assert "The first that does not is line 31, no ': ' after <Component>" in printed


def test_only_the_first_ten_thousand_lines_count(tmp_path, capsys):
    path = tmp_path / "my.log.gz"
    path.write_bytes(gzip.compress(("\n".join(GOOD) + "\n").encode() * 1_200))
    check(path, FORMAT, None, NUMBERS)
    assert "10,000 of the first 10,000 lines match" in capsys.readouterr().out


def test_the_fifteen_most_frequent_templates_are_shown(tmp_path, capsys):
    words = [f"{'x' * length} " * length for length in range(1, 21)]
    lines = [f"2024-01-02 03:04:05 INFO web: {word}" for length, word in enumerate(words, 1) for _ in range(length)]
    check(write(tmp_path, *lines), FORMAT, None, ())
    counts = re.findall(r"^ +(\d+)  x", capsys.readouterr().out, re.MULTILINE)
    assert counts == [str(count) for count in range(20, 5, -1)]


def test_a_session_pattern_that_matches_nothing_is_said_so(tmp_path, capsys):
    check(write(tmp_path, *GOOD), FORMAT, "blk_[0-9]+", ())
    assert "'blk_[0-9]+' matches nothing" in capsys.readouterr().out


def test_auto_proposes_the_format_and_uses_it(tmp_path, capsys):
    check(write(tmp_path, *GOOD), "auto", None, ())
    printed = capsys.readouterr().out
    assert printed.startswith(f"Proposed: --format '{FORMAT}'\n")
    assert "10 of the first 10 lines match" in printed


def test_json_lines_are_shown_as_fields(tmp_path, capsys):
    check(write(tmp_path, '{"ts": 1100000001, "msg": "up"}', "up"), "json", None, ())
    printed = capsys.readouterr().out
    assert re.search(r"^ +1  1100000001 +up$", printed, re.MULTILINE)
    assert "   2  does not match, line is not JSON: Expecting value at character 1: up" in printed
    assert "--format json --time epoch:Timestamp" in printed


def test_control_characters_of_a_line_never_reach_the_terminal(tmp_path, capsys):
    check(write(tmp_path, f"{GOOD[0]}\x1b[31m\a", "\x1b[2J"), FORMAT, None, ())
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", capsys.readouterr().out)


def test_a_log_of_which_no_line_matches_names_the_first_one_and_the_next_command(tmp_path):
    path = write(tmp_path, *BAD)
    with pytest.raises(BadInput) as error:
        check(path, FORMAT, None, ())
    assert f"{path} line 1: line has 2 blank-separated parts" in str(error.value)
    assert "at a.b.C(C.java:3)" in str(error.value)
    assert f"python parse_logs.py check {path} --format auto" in str(error.value)


def test_auto_without_a_known_format_asks_for_one(tmp_path):
    with pytest.raises(BadInput, match=r"my\.log line 1: no known format .*--format '<Date> <Time> <Content>'"):
        check(write(tmp_path, "at a.b.C(C.java:3)", "web up and running"), "auto", None, ())


def test_missing_and_empty_logs_and_bad_options_are_refused(tmp_path):
    empty = tmp_path / "empty.log"
    empty.touch()
    with pytest.raises(BadInput, match="empty"):
        check(empty, FORMAT, None, ())
    with pytest.raises(BadInput, match="does not exist"):
        check(tmp_path / "none.log", FORMAT, None, ())
    with pytest.raises(BadInput, match="does not close it"):
        check(write(tmp_path, *GOOD), "<Date", None, ())
    with pytest.raises(BadInput, match="look-around"):
        check(write(tmp_path, *GOOD), FORMAT, "(?=req)", ())


@pytest.mark.parametrize(
    ("format", "line", "reason"),
    [
        (FORMAT, "a b c d: ", None),
        (FORMAT, "a b c d:", "line has 4 blank-separated parts, the format needs 5"),
        (FORMAT, " b c d: e", "no <Date>: it is empty or starts with a blank"),
        (FORMAT, "a b  d: e", "no ': ' after <Component>"),
        (FORMAT, "a\tb c d e: f", "no ' ' after <Date>"),
        (FORMAT, "a b c : e", "no ': ' after <Component>"),
        ("[<A>] (<B>) <Content>", "a", "line does not begin with '['"),
        ("[<A>] (<B>) <Content>", "[a] b", "no '] (' after <A>"),
        ("[<A>] (<B>) <Content>", "[a] (b)", "no ') ' after <B>"),
        ("[<A>] (<B>) <Content>", "[a b] (c d) ", None),
        ("json", "[1]", "line is JSON but not an object in {}"),
        ("json", "{", "line is not JSON: Expecting property name enclosed in double quotes at character 2"),
        ("json", "[" * 100_000, "line holds a number too long or a nesting too deep for JSON"),
        ("json", "{}", None),
    ],
)
def test_the_reason_is_where_the_line_stops_matching(format, line, reason, tmp_path):
    header = compile_header(format)
    block = next(LogFile(write(tmp_path, line)).blocks())
    assert mismatch(header, line) == reason
    assert len(split_fields(block, header, ())[1]) == (reason is not None)


WHOLE = """
format: '<Label> <Date> <Time> <Level> <Component>: <Content>'
time: '%Y-%m-%d %H:%M:%S of Date Time'
session: 'req-[0-9a-f]+'
window: 60s
step: 30s
masks:
  - {name: number, pattern: '[0-9]+'}
  - {name: user, pattern: 'user=(\\w+)', replacement: 'user=<*>'}
label: Label != -
drain: {depth: 4, similarity: 0.5, max_children: 100}
"""


def described(folder: Path, text: str) -> dict:
    """The YAML description, read back."""
    path = folder / "my.yaml"
    path.write_text(text, encoding="utf-8")
    return load_own_spec(path)


def test_a_whole_description_is_read_as_it_stands(tmp_path):
    assert described(tmp_path, WHOLE) == {
        "format": "<Label> <Date> <Time> <Level> <Component>: <Content>",
        "time": "%Y-%m-%d %H:%M:%S of Date Time",
        "session": "req-[0-9a-f]+",
        "window": "60s",
        "step": "30s",
        "masks": [
            {"name": "number", "pattern": "[0-9]+"},
            {"name": "user", "pattern": r"user=(\w+)", "replacement": "user=<*>"},
        ],
        "label": "Label != -",
        "drain": {"depth": 4, "similarity": 0.5, "max_children": 100},
    }


def test_a_format_alone_is_enough(tmp_path):
    assert described(tmp_path, "format: json\n") == {"format": "json"}
    assert described(tmp_path, "format: json\nwindow_lines: 10\nstep_lines: 5")["step_lines"] == 5


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no keys"),
        ("- a", "holds no keys"),
        ("window: 60s", "has no format"),
        (
            "format: <A>: <Content>",
            "line 1 is not YAML (mapping values are not allowed here); put formats and patterns in",
        ),
        ('format: json\nsession: "a\\d"', "line 2 is not YAML"),
        ("format: !!python/object/apply:os.getcwd []", "line 1 is not YAML"),
        ("format: <A>", "line 1: format cannot be '<A>'; it must be a header"),
        ("format: json\ncolor: red", "line 2: color is no key of a log's description; known are format, time"),
        ("format: json\ntime: Timestamp", "line 2: time cannot be 'Timestamp'; it must be 'epoch:Field'"),
        (
            "format: json\ntime: epoch:Date",
            "line 2: time cannot be 'epoch:Date': the format has no <Date>, only Timestamp",
        ),
        ("format: json\nsession: '('", "line 2: session cannot be '('; it must be a regular expression"),
        ("format: json\nsession: 5", "line 2: session cannot be 5"),
        ("format: json\nwindow: 60", "line 2: window cannot be 60; it must be a length of time such as 60s"),
        ("format: json\nwindow: 0s", "line 2: window cannot be '0s'"),
        ("format: json\nwindow_lines: true", "line 2: window_lines cannot be True; it must be a whole number above 0"),
        ("format: json\nwindow_lines: -3", "line 2: window_lines cannot be -3"),
        ("format: json\nstep: 5s", "line 2: step is of use only with window"),
        ("format: json\nstep_lines: 5", "line 2: step_lines is of use only with window_lines"),
        ("format: json\nwindow: 5s\nwindow_lines: 5", "line 3: window_lines and window are two ways to cut a log"),
        ("format: json\nmasks: number", "line 2: masks cannot be 'number'; it must be a list of name, pattern"),
        ("format: json\nmasks:\n- {name: a}", "line 2: masks cannot be"),
        ("format: json\nmasks:\n- {name: a, pattern: '(?=b)'}", "line 2: masks cannot be"),
        ("format: json\nmasks:\n- {name: a, pattern: 5}", "line 2: masks cannot be"),
        ("format: json\nmasks:\n- {name: a, pattern: b, color: c}", "line 2: masks cannot be"),
        ("format: json\nlabel: Level", "line 2: label cannot be 'Level'; it must be such as 'Label != -'"),
        ("format: json\nlabel: Label != -", "line 2: label cannot be 'Label != -': the format has no <Label>"),
        ("format: json\ndrain: 4", "line 2: drain cannot be 4; it must be among depth (3 or more)"),
        ("format: json\ndrain: {depth: 2}", "line 2: drain cannot be {'depth': 2}"),
        ("format: json\ndrain: {similarity: 1.5}", "line 2: drain cannot be"),
        ("format: json\ndrain: {width: 4}", "line 2: drain cannot be"),
    ],
)
def test_a_description_of_no_use_is_refused_with_line_key_and_what_is_allowed(text, problem, tmp_path):
    with pytest.raises(BadInput) as error:
        described(tmp_path, text)
    assert str(error.value).startswith(str(tmp_path / "my.yaml"))
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("words", "log", "window"),
    [
        (["{folder}/my.yaml", "--log", "{folder}/a.log"], "a.log", "60s"),
        (["{folder}/my.yaml", "--log", "{folder}/a.log", "--window", "5m"], "a.log", "5m"),
        (["{folder}/a.log", "--format", "<Date> <Time> <Content>", "--window", "5m"], "a.log", "5m"),
    ],
)
def test_a_job_completes_the_options_and_leaves_those_it_got(tmp_path, words, log, window):
    (tmp_path / "a.log").write_text("2024-03-04 06:00:00 started\n")
    (tmp_path / "my.yaml").write_text("format: <Date> <Time> <Content>\nwindow: 60s\n")
    options = read_options("", [word.format(folder=tmp_path) for word in words])
    before = dict(vars(options))
    job = job_of(options)
    assert vars(options) == before
    assert (job.options.log, job.options.window) == (tmp_path / log, window)
    assert job.options.out == Path("data") / Path(words[0]).name.split(".")[0]


def test_an_unreadable_description_is_refused(tmp_path):
    with pytest.raises(BadInput, match="not a readable UTF-8 text file"):
        load_own_spec(tmp_path / "none.yaml")
    (tmp_path / "my.yaml").write_bytes(b"format: \xff")
    with pytest.raises(BadInput, match="not a readable UTF-8 text file"):
        load_own_spec(tmp_path / "my.yaml")


def test_a_description_of_300_bytes_cannot_become_a_text_of_gigabytes(tmp_path):
    names = "abcdefgh"
    lines = [f"  - &a [{','.join(['lol'] * 9)}]"]
    lines += [f"  - &{name} [{','.join([f'*{before}'] * 9)}]" for before, name in pairwise(names)]
    with pytest.raises(BadInput, match=r"line 3 is not YAML \(aliases such as \*name are not allowed\)") as error:
        described(tmp_path, "\n".join(["format:", *lines]))
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("text", ["format: json\n'{}': 1", "format: '{}'", "'{}': 1\nformat: json", "format: [[{}]]"])
def test_a_sentence_about_a_description_stays_short_and_commands_no_terminal(tmp_path, text):
    with pytest.raises(BadInput) as error:
        described(tmp_path, text.format("\u202e" + "x" * 100_000))
    assert len(str(error.value)) < 1_000 and str(error.value).isprintable()


@pytest.mark.parametrize("colons", [400, 20_000])
def test_why_a_line_does_not_match_is_found_in_linear_time(tmp_path, capsys, colons):
    """By backtracking a line of 400 colons took 6.5 seconds, one of 20,000 longer than anybody lives."""
    path = write(tmp_path, "a:b:c:d|e", ":" * colons)
    started = time.perf_counter()
    assert check(path, "<A>:<B>:<C>:<D>|<Content>", None, ()) == 0
    assert time.perf_counter() - started < 2
    assert "line 2, no '|' after <D>" in capsys.readouterr().out


def test_blank_lines_are_counted_and_do_not_stand_for_the_first_bad_one(tmp_path, capsys):
    """A blank line after every message was enough for 'no known format'."""
    path = write(tmp_path, "", *(text for line in GOOD * 3 for text in (line, "")), BAD[1], " ")
    assert check(path, "auto", None, ()) == 0
    printed = capsys.readouterr().out
    assert "30 of the first 63 lines match" in printed and "; 32 are blank" in printed
    assert "The first that does not is line 62" in printed
    with pytest.raises(BadInput, match="line 2: no known format"):
        check(write(tmp_path, "", "what is this"), "auto", None, ())
    with pytest.raises(BadInput, match="line 1: no known format"):
        check(write(tmp_path, "", ""), "auto", None, ())


def test_what_a_log_says_to_the_terminal_is_shown_as_text(tmp_path, capsys):
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
    path = write(tmp_path, f"a {evil} b: c {evil}", evil)
    assert check(path, "<A> <B> <C>: <Content>", None, ()) == 0
    printed = capsys.readouterr().out
    assert all(line.isprintable() for line in printed.splitlines())
    assert r"\x9b31m\u202e" in printed
    with pytest.raises(BadInput) as error:
        check(write(tmp_path, evil), "[<A>] <Content>", None, ())
    assert str(error.value).isprintable()
