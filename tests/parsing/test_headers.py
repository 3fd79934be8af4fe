"""Header formats: what matches, what is refused, how times are read, and what is proposed for an unknown log."""

import re
from datetime import datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadInput
from parsing.lines.headers import compile_header, split_by_pattern, split_fields
from parsing.lines.proposals import propose
from parsing.lines.records import JSON
from parsing.lines.times import guess_time, names_year, recipe_fields, timestamps

HDFS = "<Date> <Time> <Pid> <Level> <Component>: <Content>"
BGL = "<Label> <Timestamp> <Date> <Node> <Time> <NodeRepeat> <Type> <Component> <Level> <Content>"
THUNDERBIRD = "<Label> <Timestamp> <Date> <User> <Month> <Day> <Time> <Location> <Content>"

HDFS_LINE = "090102 030405 67 WARN dfs.DataNode$Thread: Got blk_-12 from /1.2.3.4:50010: again"
BGL_LINE = "- 1100000001 2004.11.09 R1 2004-11-09-03.33.21.000250 R1 RAS KERNEL INFO 3 errors: fixed"
THUNDERBIRD_LINE = "ECC 1100000001 2004.11.09 an7 Nov 9 03:33:21 an7/an7 kernel: ecc[12]: bit 3"


def frame(*texts: str) -> pl.DataFrame:
    """Numbered lines as a log file gives them."""
    return pl.DataFrame({"line": range(1, len(texts) + 1), "text": texts}, schema={"line": pl.Int64, "text": pl.String})


def split(format: str, *texts: str) -> tuple[list[tuple], list[int]]:
    """The fields of the lines that match, and the numbers of the others."""
    header = compile_header(format)
    matched, rejected = split_fields(frame(*texts), header, header.fields)
    return matched.drop("line").rows(), rejected["line"].to_list()


@pytest.mark.parametrize(
    ("format", "line", "expected"),
    [
        (HDFS, HDFS_LINE, "090102|030405|67|WARN|dfs.DataNode$Thread|Got blk_-12 from /1.2.3.4:50010: again"),
        (BGL, BGL_LINE, "-|1100000001|2004.11.09|R1|2004-11-09-03.33.21.000250|R1|RAS|KERNEL|INFO|3 errors: fixed"),
        (THUNDERBIRD, THUNDERBIRD_LINE, "ECC|1100000001|2004.11.09|an7|Nov|9|03:33:21|an7/an7|kernel: ecc[12]: bit 3"),
    ],
)
def test_the_three_published_headers_split_a_line_into_their_fields(format, line, expected):
    assert split(format, line) == ([tuple(expected.split("|"))], [])


def test_only_the_wanted_fields_come_back_and_content_always():
    matched, _ = split_fields(frame(HDFS_LINE), compile_header(HDFS), ("Level", "Date"))
    assert matched.columns == ["line", "Level", "Date", "Content"]
    assert matched.dtypes == [pl.Int64, pl.String, pl.String, pl.String]


def test_a_wanted_field_that_the_format_does_not_have_is_refused():
    with pytest.raises(BadInput, match="no <Node>; name one of Date, Time, Pid"):
        split_fields(frame(HDFS_LINE), compile_header(HDFS), ("Node",))


def test_content_may_be_empty_but_the_literal_before_it_must_stand():
    assert split("<Component>: <Content>", "a: ", "a:", "a : b", ": b") == ([("a", "")], [2, 3, 4])


def test_rejected_lines_keep_their_numbers_and_texts():
    _, rejected = split_fields(frame("bad", HDFS_LINE, "worse"), compile_header(HDFS), ())
    assert rejected.rows() == [(1, "bad"), (3, "worse")]


def test_no_lines_give_no_fields():
    assert split(HDFS) == split("[<Time>] <Content>") == split(JSON) == ([], [])


def test_a_field_in_brackets_may_hold_blanks_and_is_the_shortest_match():
    assert split("[<Time>] [<Level>] <Content>", "[a b] [c] d] [e] f") == ([("a b", "c", "d] [e] f")], [])


def test_a_field_beside_a_blank_holds_none_even_before_another_separator():
    format = "<Host> <Component>[<Pid>]: <Content>"
    assert split(format, "h sshd[12]: x [y]: z", "h cron: no pid [3]: x") == ([("h", "sshd", "12", "x [y]: z")], [2])


def test_separators_other_than_blanks_split_too():
    assert split("<A>,<B>;<Content>", "1 2,3;4,5;6", "1;2,3") == ([("1 2", "3", "4,5;6")], [2])


def test_characters_with_a_meaning_in_regular_expressions_are_literal():
    literal = r"(.*)+?|^$\[]{}#&~-"
    assert split(f"<A> {literal} <Content>", f"a {literal} c", "a x c") == ([("a", "c")], [2])


@pytest.mark.parametrize("format", [HDFS, BGL, THUNDERBIRD, "<Content>", "<A>|: <Content>"])
def test_formats_with_single_blanks_and_suffixes_go_the_fast_way(format):
    assert compile_header(format).by_blanks


@pytest.mark.parametrize("format", ["[<A>] <Content>", "<A>  <Content>", "<A>\t<Content>", "<A>,<Content>", JSON])
def test_other_formats_go_by_their_pattern(format):
    assert not compile_header(format).by_blanks


LETTERS = st.sampled_from(" \t:ab\r\n\x0b\x0c\x1c\x85\u00a0é\U0001f600")
TEXTS = st.text(LETTERS, max_size=12) | st.text(LETTERS, max_size=4).map(lambda end: f"a bé: c::{end}")
BY_BLANKS = ["<Content>", "<A> <Content>", "<A>: <Content>", "<A> <B>: <C>:: <Content>", "<A> <B>é: <Content>"]


@given(st.lists(TEXTS, max_size=20), st.sampled_from(BY_BLANKS))
def test_the_fast_way_gives_what_the_pattern_gives(texts, format):
    header, lines = compile_header(format), frame(*texts)
    fields, matches = split_by_pattern(lines["text"], header, header.fields)
    matched, rejected = split_fields(lines, header, header.fields)
    assert header.by_blanks
    assert matched.equals(lines.select("line").hstack(fields).filter(matches))
    assert rejected.equals(lines.filter(~matches))


@given(TEXTS, st.sampled_from([*BY_BLANKS, "[<A>] <Content>", "<A>,<B> <Content>"]))
def test_the_pattern_reads_the_same_in_python(text, format):
    header = compile_header(format)
    fields, matches = split_by_pattern(frame(text)["text"], header, header.fields)
    found = re.match(header.pattern, text)
    assert bool(found) == matches[0]
    assert not found or found.groups() == fields.row(0)


@pytest.mark.parametrize(
    ("format", "problem"),
    [
        ("", "does not end with <Content>"),
        ("<Date> <Time>", "does not end with <Content>"),
        ("<Content> <Date>", "does not end with <Content>"),
        ("<Date> <Content>]", "does not end with <Content>"),
        ("<Date> <Date> <Content>", "names <Date> more than once"),
        ("<Date><Time> <Content>", "has nothing between <Date> and <Time>"),
        ("<Date> <Time <Content>", "does not close it"),
        ("<Date> <Content> <", "does not close it"),
        ("<> <Content>", "names a field <>"),
        ("<Log Level> <Content>", "names a field <Log Level>"),
        ("<line> <Content>", "names a field <line>"),
    ],
)
def test_a_format_that_cannot_split_lines_is_refused_with_the_next_command(format, problem):
    with pytest.raises(BadInput, match=f"{re.escape(problem)}.*--format auto"):
        compile_header(format)


def test_json_lines_become_the_four_fields():
    rows, rejected = split(
        JSON,
        '{"time": "2024-01-02", "level": "INFO", "logger": "a.b", "msg": "hi"}',
        '{"ts": 1.5, "severity": 3, "message": {"a": [1]}, "log": "second"}',
        "[1]",
        "{",
        '{"message": null, "event": "only \\ud800 half"}',
        "",
        "{}",
    )
    assert rows == [
        ("2024-01-02", "INFO", "a.b", "hi"),
        ("1.5", "3", "", '{"a": [1]}'),
        ("", "", "", "only ? half"),
        ("", "", "", ""),
    ]
    assert rejected == [3, 4, 6]


def test_absurd_json_is_rejected_like_any_other_bad_line():
    assert split(JSON, "[" * 100_000, "9" * 5_000, '{"a": 1') == ([], [1, 2, 3])


def times(recipe: str, *values: str) -> list[datetime | None]:
    series = timestamps(pl.DataFrame({"T": values}), recipe)
    assert series.dtype == pl.Datetime("us")
    return series.to_list()


@pytest.mark.parametrize(
    ("recipe", "text", "expected"),
    [
        ("%y%m%d %H%M%S of T", "090102 030405", datetime(2009, 1, 2, 3, 4, 5)),
        ("%Y-%m-%d-%H.%M.%S.%f of T", "2004-11-09-03.33.21.000250", datetime(2004, 11, 9, 3, 33, 21, 250)),
        ("%Y-%m-%dT%H:%M:%S.%f of T", "2024-01-02T03:04:05", datetime(2024, 1, 2, 3, 4, 5)),
        ("%Y-%m-%d %H:%M:%S,%f of T", "2024-01-02 03:04:05,12", datetime(2024, 1, 2, 3, 4, 5, 120_000)),
        ("%Y-%m-%dT%H:%M:%S%z of T", "2024-01-02T03:04:05Z", datetime(2024, 1, 2, 3, 4, 5)),
        ("%Y-%m-%dT%H:%M:%S.%f%z of T", "2024-01-02T03:04:05.5+02:00", datetime(2024, 1, 2, 1, 4, 5, 500_000)),
        ("%d/%b/%Y:%H:%M:%S %z of T", "02/Jan/2024:03:04:05 -0130", datetime(2024, 1, 2, 4, 34, 5)),
        ("%b %d %H:%M:%S of T", "Nov 9 03:33:21", datetime(1904, 11, 9, 3, 33, 21)),
        ("%Y-%m-%d of T", "2024-01-02", datetime(2024, 1, 2)),
        ("epoch:T", "1100000001.25", datetime(2004, 11, 9, 11, 33, 21, 250_000)),
        ("epoch:T", "-0.5", datetime(1969, 12, 31, 23, 59, 59, 500_000)),
        ("epoch:T", "1100000001250", datetime(2004, 11, 9, 11, 33, 21, 250_000)),
        ("epoch:T", "1100000001250001", datetime(2004, 11, 9, 11, 33, 21, 250_001)),
        ("epoch:T", "1772438400123456789", datetime(2026, 3, 2, 8, 0, 0, 123_457)),
    ],
)
def test_a_recipe_reads_its_times(recipe, text, expected):
    assert times(recipe, text) == [expected]


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        ("%y%m%d %H%M%S of T", "091302 030405"),
        ("%Y-%m-%d %H:%M:%S of T", "2024-01-02 03:04:05.5"),
        ("epoch:T", "nan"),
        ("epoch:T", "inf"),
        ("epoch:T", "1" + "0" * 22),
        ("epoch:T", "9" * 400),
        ("epoch:T", "soon"),
    ],
)
def test_what_a_recipe_cannot_read_is_null(recipe, text):
    assert times(recipe, text, "", None) == [None, None, None]


def test_several_fields_are_joined_by_a_blank():
    fields = pl.DataFrame({"Time": ["03:33:21"], "Month": ["Nov"], "Day": ["9"], "Year": ["2004"]})
    recipe = "%b %d %H:%M:%S %Y of Month Day Time Year"
    assert recipe_fields(recipe) == ("Month", "Day", "Time", "Year")
    assert timestamps(fields, recipe).to_list() == [datetime(2004, 11, 9, 3, 33, 21)]


@pytest.mark.parametrize(
    "recipe",
    ["", "T", "epoch:", "%Y-%m-%d of ", "never of T", "%H:%M:%S of T", "%Y %H of T", "%d %Q of T", "%F %S%f of T"],
)
def test_a_recipe_that_cannot_give_a_day_is_refused(recipe):
    with pytest.raises(BadInput, match="epoch:Field"):
        recipe_fields(recipe)


@pytest.mark.parametrize("recipe", ["epoch:Other", "%Y-%m-%d of T Other"])
def test_a_recipe_of_a_field_that_is_not_there_is_refused(recipe):
    with pytest.raises(BadInput, match="not among T"):
        times(recipe, "1")


@pytest.mark.parametrize(
    ("format", "line", "recipe"),
    [
        (HDFS, HDFS_LINE, "%y%m%d %H%M%S of Date Time"),
        (BGL, BGL_LINE, "%Y-%m-%d-%H.%M.%S.%f of Time"),
        (THUNDERBIRD, THUNDERBIRD_LINE, "epoch:Timestamp"),
        ("<T> <Content>", "2024-01-02T03:04:05Z x", "%Y-%m-%dT%H:%M:%S.%f%z of T"),
        ("<T> <Content>", "2024-01-02T03:04:05,123 x", "%Y-%m-%dT%H:%M:%S,%f of T"),
        ("[<T>] <Content>", "[2024-01-02 03:04:05.1] x", "%Y-%m-%d %H:%M:%S.%f of T"),
        ("<L> <D> <T> <Content>", "I 2024-01-02 03:04:05,1 x", "%Y-%m-%d %H:%M:%S,%f of D T"),
        ("<D> <T> <Content>", "17/06/09 20:10:40 x", "%y/%m/%d %H:%M:%S.%f of D T"),
        ("<H> [<T>] <Content>", "h [10/Oct/2000:13:55:36 +0000] x", "%d/%b/%Y:%H:%M:%S %z of T"),
        ("<H> <T> <Z> <Content>", "h [10/Oct/2000:13:55:36 +0000] x", "[%d/%b/%Y:%H:%M:%S %z] of T Z"),
        ("<M> <D> <T> <Content>", "Oct 11 22:14:15 x", "%b %d %H:%M:%S of M D T"),
        ("<T> <Content>", "1100000001.5 x", "epoch:T"),
        ("<T> <Content>", "1100000001500 x", "epoch:T"),
        (JSON, '{"ts": 1100000001, "msg": "x"}', "epoch:Timestamp"),
        ("<A> <B> <Content>", "12 34 2024-01-02 03:04:05", None),
    ],
)
def test_the_time_of_common_headers_is_guessed(format, line, recipe):
    header = compile_header(format)
    fields, _ = split_fields(frame(line, line), header, header.fields)
    assert guess_time(header, fields) == recipe
    assert recipe is None or timestamps(fields, recipe).null_count() == 0
    assert guess_time(header, fields.clear()) is None


@pytest.mark.parametrize(
    ("lines", "format"),
    [
        ([HDFS_LINE], HDFS),
        ([BGL_LINE], BGL),
        ([THUNDERBIRD_LINE], THUNDERBIRD),
        (["Oct 11 22:14:15 a b[1]: c", "Oct 11 22:14:15 a b: c"], "<Month> <Day> <Time> <Host> <Component>: <Content>"),
        (["Oct 11 22:14:15 host su[12]: no"], "<Month> <Day> <Time> <Host> <Component>[<Pid>]: <Content>"),
        (["Oct  1 22:14:15 host kernel: up"], "<Month> <Day> <Time> <Host> <Component>: <Content>"),
        (["2024-01-02 03:04:05,123 INFO a.b.C: up"], "<Date> <Time> <Level> <Component>: <Content>"),
        (["2024-01-02 03:04:05,123 INFO  a.b.C: up"], "<Date> <Time> <Level> <Component>: <Content>"),
        (["2024-01-02 03:04:05 [io 1] WARN a.b.C - up"], "<Date> <Time> [<Thread>] <Level> <Component> - <Content>"),
        (["2024-01-02 03:04:05,1 - a.b - INFO - up"], "<Date> <Time> - <Component> - <Level> - <Content>"),
        (["2024-01-02T03:04:05Z INFO web: up"], "<Timestamp> <Level> <Component>: <Content>"),
        (["2024-01-02T03:04:05+02:00 it is up"], "<Timestamp> <Content>"),
        (['1.2.3.4 - me [10/Oct/2000:13:55:36 -0700] "GET /"'], "<Host> <Ident> <User> [<Time>] <Content>"),
        (["[Sun Dec 04 04:47:44 2005] [notice] up"], "[<Time>] [<Level>] <Content>"),
        (["[Sun Dec 04 04:47:44.123456 2005] [core:error] down"], "[<Time>] [<Component>:<Level>] <Content>"),
        (['{"msg": "up"}'], JSON),
        (["it is up", "it is down"], None),
        ([""], None),
        ([], None),
    ],
)
@pytest.mark.slow
def test_a_format_is_proposed_for_common_logs(lines, format):
    found = propose(pl.DataFrame({"line": range(1, len(lines) + 1), "text": pl.Series(lines, dtype=pl.String)}))
    assert (found and found.format) == format


def test_which_recipes_name_their_year():
    assert names_year("epoch:T") and names_year("%Y-%m-%d of T") and names_year("%y%m%d %H%M%S of D T")
    assert not names_year("%b %d %H:%M:%S of M D T")


def test_padded_days_and_levels_read_like_others():
    """A syslog of which every line before the tenth of a month is lost is the price of taking blanks by the letter."""
    header = compile_header("<Month> <Day> <Time> <Host> <Component>: <Content>")
    texts = ["Oct  1 22:14:15 a b: c", "Oct 11 22:14:15 a b:  c", "Oct 11 22:14:15 a  : c"]
    lines = pl.DataFrame({"line": [1, 2, 3], "text": texts})
    matched, rejected = split_fields(lines, header, ("Day",))
    assert matched.rows() == [(1, "1", "c"), (2, "11", " c")]
    assert rejected["line"].to_list() == [3]
