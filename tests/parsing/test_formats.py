"""The format and the time of logs that nobody described, each kind made here: what fields and messages hold."""

from datetime import datetime

import polars as pl
import pytest

from core.errors import BadInput
from parsing.lines.events import joined
from parsing.lines.headers import compile_header, split_fields
from parsing.lines.proposals import propose
from parsing.lines.times import timestamps

DAY = datetime(2026, 3, 2, 8)


def frame(lines: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"line": pl.int_range(1, len(lines) + 1, eager=True), "text": lines})


def read(lines: list[str]) -> tuple[str, list[str], list[datetime | None]]:
    """The proposed format of some lines, their messages and their times."""
    found = propose(frame(lines))
    assert found
    header = compile_header(found.format)
    fields, _ = split_fields(frame(lines), header, header.fields)
    times = timestamps(fields, found.time).to_list() if found.time else []
    return found.format, fields["Content"].to_list(), times


KINDS = {
    "klog": (
        ["I0302 08:00:00.000000       1 queue.go:3] picked job", "W0302 08:00:00.5    12 disk.go:33] slow"],
        "<Level><Date> <Time> <Pid> <Component>] <Content>",
        ["picked job", "slow"],
        datetime(1904, 3, 2, 8),
    ),
    "glog with its year": (
        ["I20260302 08:00:00.000000  1234 file.cc:12] picked", "E20260302 08:00:00.0  1235 other.cc:1] lost"],
        "<Level><Date> <Time> <Pid> <Component>] <Content>",
        ["picked", "lost"],
        DAY,
    ),
    "Kafka": (
        ["[2026-03-02 08:00:00,000] INFO picked job (kafka.server)", "[2026-03-02 08:00:01,000] WARN [Log a] x y"],
        "[<Time>] <Level> <Content>",
        ["picked job (kafka.server)", "[Log a] x y"],
        DAY,
    ),
    "time:LEVEL:text": (
        ["2026-03-02 08:00:00,000:INFO:job started", "2026-03-02 08:00:01,123:ERROR:job: failed"],
        "<Date> <Time>:<Level>:<Content>",
        ["job started", "job: failed"],
        DAY,
    ),
    "LEVEL:name:text": (
        ["INFO:root:job started", "WARNING:app.db:slow query: 3"],
        "<Level>:<Component>:<Content>",
        ["job started", "slow query: 3"],
        None,
    ),
    "Android": (
        ["03-02 08:00:00.000  1702  2395 D Window: print", "03-02 08:00:00.8  1702 12395 I Power(12): x: y"],
        "<Date> <Time> <Pid> <Tid> <Level> <Component>: <Content>",
        ["print", "x: y"],
        datetime(1904, 3, 2, 8),
    ),
    "Android, brief": (
        ["D/Zygote( 123): done", "I/ActivityManager(4567): start it"],
        "<Level>/<Component>(<Pid>): <Content>",
        ["done", "start it"],
        None,
    ),
    "HealthApp": (
        ["20260302-8:0:0:0|Step_LSC|30002312|onStand 3579", "20260302-22:15:29:606|Step_SP|30002312|a b 0"],
        "<Timestamp>|<Component>|<Pid>|<Content>",
        ["onStand 3579", "a b 0"],
        DAY,
    ),
    "Windows CBS": (
        ["2026-03-02 08:00:00, Info                  CBS    Loaded it", "2026-03-02 08:00:01, Error     CSI    0001@x"],
        "<Date> <Time>, <Level> <Component>    <Content>",
        ["Loaded it", "0001@x"],
        DAY,
    ),
    "HPC": (
        ["134681 node-246 unix.hw state 1772438400 1 Component changed", "134682 node-2 gige up 1772438401 1 it is"],
        "<Number> <Field> <Field2> <Field3> <Timestamp> <Pid> <Content>",
        ["Component changed", "it is"],
        DAY,
    ),
    "Proxifier": (
        ["[03.02 08:00:00] chrome.exe - a:80 open", "[03.02 08:00:00] x.exe *64 - b:80 close"],
        "[<Time>] <Content>",
        ["chrome.exe - a:80 open", "x.exe *64 - b:80 close"],
        datetime(1904, 3, 2, 8),
    ),
    "OpenStack": (
        [
            "nova.log.1.2017-05-16_13:53:08 2026-03-02 08:00:00.000 25 INFO nova.wsgi [req-1 - -] up",
            "nova.log.2 2026-03-02 08:00:00.008 25 INFO nova.compute [-] down",
        ],
        "<Source> <Date> <Time> <Pid> <Level> <Component> [<Thread>] <Content>",
        ["up", "down"],
        DAY,
    ),
    "access of several hosts": (
        [
            'a.com:80 10.0.0.1 - - [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 1',
            'b.com:80 10.0.0.2 - me [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 500 1',
        ],
        "<Source> <Host> <Field> <Field2> [<Time>] <Content>",
        ['"GET / HTTP/1.1" 200 1', '"GET / HTTP/1.1" 500 1'],
        DAY,
    ),
    "ingress": (
        ['10.0.0.1 - - [02/Mar/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "c" 12 [svc] [] 10.1.1.1:80 ab'],
        "<Host> <Ident> <User> [<Time>] <Content>",
        ['"GET / HTTP/1.1" 200 1 "-" "c" 12 [svc] [] 10.1.1.1:80 ab'],
        DAY,
    ),
    "days first": (
        ["02.03.2026 08:00:00 INFO q: picked job", "13.03.2026 08:00:00 WARN q: lost"],
        "<Date> <Time> <Level> <Component>: <Content>",
        ["picked job", "lost"],
        DAY,
    ),
    "days first with slashes": (
        ["02/03/2026 08:00:00 INFO q: picked job", "13/03/2026 08:00:00 WARN q: lost"],
        "<Date> <Time> <Level> <Component>: <Content>",
        ["picked job", "lost"],
        DAY,
    ),
    "AM and PM": (
        ["03/02/2026 8:00:00 AM INFO q: picked", "03/02/2026 12:05:00 PM INFO q: lost"],
        "<Date> <Time> <Half> <Level> <Component>: <Content>",
        ["picked", "lost"],
        DAY,
    ),
    "weekday": (
        ["Mon Mar  2 08:00:00 2026 INFO q: picked", "Tue Mar 10 08:00:01 2026 INFO q: lost"],
        "<Weekday> <Month> <Day> <Time> <Year> <Level> <Component>: <Content>",
        ["picked", "lost"],
        DAY,
    ),
    "as date prints it": (
        ["Mon Mar  2 08:00:00 UTC 2026 picked job", "Tue Mar  3 08:00:00 UTC 2026 lost it"],
        "<Weekday> <Month> <Day> <Time> <Zone> <Year> <Content>",
        ["picked job", "lost it"],
        DAY,
    ),
    "RFC 5424": (
        [
            "<34>1 2026-03-02T08:00:00.0Z host app 12 ID47 - picked job",
            "<35>1 2026-03-02T08:00:00Z host su - ID47 - x y",
        ],
        "<Priority> <Timestamp> <Host> <Component> <Pid> <MessageId> - <Content>",
        ["picked job", "x y"],
        DAY,
    ),
    "RFC 3164": (
        ["<34>Mar  2 08:00:00 box su: failed", "<3>Mar 12 22:14:15 box cron[1]: lost"],
        "<Priority><Month> <Day> <Time> <Host> <Component>: <Content>",
        ["failed", "lost"],
        datetime(1904, 3, 2, 8),
    ),
    "double colons": (
        [
            "Thread-1::DEBUG::2026-03-02 08:00:00,000::task::957::T::(decref) x",
            "Main::INFO::2026-03-02 08:00:00,1::v::70::s::(run) y z",
        ],
        "<Source>::<Level>::<Date> <Time>::<Component>::<Pid>::<Component2>::(<Thread>) <Content>",
        ["x", "y z"],
        DAY,
    ),
    "PostgreSQL": (
        [
            "2026-03-02 08:00:00.000 UTC [1234] LOG:  system is ready",
            "2026-03-02 08:00:00.1 UTC [99] ERROR:  no: table",
        ],
        "<Date> <Time> <Zone> [<Pid>] <Level>:  <Content>",
        ["system is ready", "no: table"],
        DAY,
    ),
    "Spring Boot": (
        [
            "2026-03-02T08:00:00.0+00:00  INFO 12 --- [main] c.e.Demo                 : Start",
            "2026-03-02T08:00:00.1+00:00 DEBUG 12 --- [exec 1] o.s.web.X  : Get it",
        ],
        "<Timestamp> <Level> <Pid> --- [<Thread>] <Component> : <Content>",
        ["Start", "Get it"],
        DAY,
    ),
    "Docker Compose": (
        ["web_1  | 2026-03-02T08:00:00Z INFO up", "db_1   | 2026-03-02T08:00:00Z WARN y z"],
        "<Source> | <Timestamp> <Level> <Content>",
        ["up", "y z"],
        DAY,
    ),
    "tabs": (
        ["2026-03-02 08:00:00\tINFO\tqueue\tpicked job", "2026-03-02 08:00:01\tWARN\tqueue a\tlost"],
        r"<Date> <Time>\t<Level>\t<Component>\t<Content>",
        ["picked job", "lost"],
        DAY,
    ),
    "colors": (
        [
            "\x1b[32m2026-03-02 08:00:00\x1b[0m INFO q: \x1b[1mpicked\x1b[0m",
            "2026-03-02 08:00:00 \x1b[31mERROR\x1b[0m q: lost",
        ],
        "<Date> <Time> <Level> <Component>: <Content>",
        ["picked", "lost"],
        DAY,
    ),
    "epoch in milliseconds": (
        ["1772438400000 INFO q: picked job", "1772438400500 INFO q: lost"],
        "<Timestamp> <Level> <Component>: <Content>",
        ["picked job", "lost"],
        DAY,
    ),
    "strace": (
        ['08:09:33.814936 execve("/bin/ls") = 0', "08:09:33.815 brk(0) = 0x1"],
        "<Time> <Content>",
        ['execve("/bin/ls") = 0', "brk(0) = 0x1"],
        None,
    ),
    "logfmt": (
        [
            'ts=2026-03-02T08:00:00Z level=info msg="picked \\"a\\" job" id=3',
            "ts=2026-03-02T08:00:01Z level=warn msg=lost id=4",
        ],
        "logfmt",
        ['picked "a" job', "lost"],
        DAY,
    ),
    "logfmt without a message": (
        ["time=2026-03-02T08:00:00Z method=GET status=200", "time=2026-03-02T08:00:00Z method=PUT status=500"],
        "logfmt Content=method,status",
        ["GET 200", "PUT 500"],
        DAY,
    ),
    "CSV": (
        ["Date,Level,Message", '2026-03-02 08:00:00,INFO,"picked, a ""job"""', "2026-03-02 08:00:01,WARN,lost"],
        "csv <Date>,<Level>,<Message> Content=Message",
        ['picked, a "job"', "lost"],
        DAY,
    ),
    "W3C": (
        [
            "#Software: IIS",
            "#Fields: date time cs-method sc(x) sc-status",
            "2026-03-02 08:00:00 GET a 200",
            "2026-03-02 08:00:01 GET b 500",
        ],
        "csv <date> <time> <cs_method> <sc_x> <sc_status> Content=cs_method,sc_x,sc_status",
        ["GET a 200", "GET b 500"],
        DAY,
    ),
    "Zeek": (
        [
            "#separator \\x09",
            "#fields\tts\tid.orig_h\tproto",
            "1772438400.0\t10.0.0.1\ttcp",
            "1772438401.1\t10.0.0.2\tudp",
        ],
        r"csv <ts>\t<id_orig_h>\t<proto> Content=id_orig_h,proto",
        ["10.0.0.1 tcp", "10.0.0.2 udp"],
        DAY,
    ),
    "journald": (
        ['{"__REALTIME_TIMESTAMP": "1772438400000000", "PRIORITY": "6", "MESSAGE": "started"}'],
        "json Content=MESSAGE Level=PRIORITY Timestamp=__REALTIME_TIMESTAMP",
        ["started"],
        DAY,
    ),
    "OpenTelemetry": (
        ['{"timeUnixNano": "1772438400000000000", "severityText": "INFO", "body": {"stringValue": "up"}}'],
        "json Content=body.stringValue Timestamp=timeUnixNano",
        ["up"],
        DAY,
    ),
    "Serilog": (
        ['{"@t": "2026-03-02T08:00:00Z", "@mt": "Hello {Name}", "Name": "x"}'],
        "json Content=@mt",
        ["Hello {Name}"],
        DAY,
    ),
    "tracing": (
        ['{"timestamp": "2026-03-02T08:00:00Z", "fields": {"message": "hi", "n": 1}, "target": "a::b"}'],
        "json Component=target Content=fields.message",
        ["hi"],
        DAY,
    ),
    "a router": (
        [
            "*Mar  2 08:00:00.000: %LINK-3-UPDOWN: Interface down",
            "*Mar 12 08:00:01.123: %SYS-5-CONFIG_I: Configured it",
        ],
        "*<Month> <Day> <Time>: <Component>: <Content>",
        ["Interface down", "Configured it"],
        datetime(1904, 3, 2, 8),
    ),
    "kernel": (
        ["[    0.000000] Linux version", "[   12.123456] usb 1-1: new"],
        "[<Thread>] <Content>",
        ["Linux version", "usb 1-1: new"],
        None,
    ),
    "MongoDB": (
        ['{"t": {"$date": "2026-03-02T08:00:00.000+00:00"}, "s": "I", "msg": "Connection accepted"}'],
        "json Timestamp=t.$date",
        ["Connection accepted"],
        DAY,
    ),
    "pino": (['{"level": 30, "time": 1772438400000, "msg": "hello"}'], "json", ["hello"], DAY),
    "a level with its number in brackets, and a few of its own": (
        [
            "[Mar  2 08:00:00] NOTICE[22] pbx.c: call began",
            "[Mar  2 08:00:01] WARNING[22][C-1] pbx.c: no route",
            "[Mar  2 08:00:02] VERBOSE[23][C-1] dial.c: it rings",
            "[Mar  2 08:00:02] ERROR[23] dial.c: it broke",
            "[Mar  2 08:00:03] DIGIT[22][C-1] channel.c: 5 began",
        ],
        "[<Time>] <Level>[<Thread>] <Component>: <Content>",
        ["call began", "no route", "it rings", "it broke", "5 began"],
        datetime(1904, 3, 2, 8),
    ),
    "levels with numbers": (
        ["2026-03-02 08:00:00 debug2 began it", "2026-03-02 08:00:01 info ended it"],
        "<Date> <Time> <Level> <Content>",
        ["began it", "ended it"],
        DAY,
    ),
    "a number in brackets without a colon": (
        [
            "2026-03-02T08:00:00.0Z info agent[4571] [Origin@68 sub=a op=7e] task began",
            "2026-03-02T08:00:01.1Z warning agent[456] [Origin@68 sub=b op=e3] task lost",
        ],
        "<Timestamp> <Level> <Component>[<Pid>] [<Thread>] <Content>",
        ["task began", "task lost"],
        DAY,
    ),
    "name:LEVEL:text behind a number": (
        [
            "2026-03-02T08:00:00.0+00:00 err box  [229]creds:ERROR:Could not read it",
            "2026-03-02T08:00:01.4+00:00 info box  [242]net:INFO:Address read",
        ],
        "<Timestamp> <Level> <Component> [<Pid>]<Component2>:<Level2>:<Content>",
        ["Could not read it", "Address read"],
        DAY,
    ),
    "date and clock without marks": (
        ["20260302.080000,672:DEBUG:job began", "20260302.080001,344:WARN:job lost"],
        "<Timestamp>:<Level>:<Content>",
        ["job began", "job lost"],
        DAY.replace(microsecond=672_000),
    ),
    "day of the year": (
        ["2026-061T08:00:00,5:DEBUG:job began", "2026-062T08:00:01,25:WARN:job lost"],
        "<Timestamp>:<Level>:<Content>",
        ["job began", "job lost"],
        DAY.replace(microsecond=500_000),
    ),
    "minutes and seconds": (
        ["LINK 29:47.191: server up", "LINK 30:04.735: peer: lost"],
        "<Source> <Time>: <Content>",
        ["server up", "peer: lost"],
        None,
    ),
    "containers that write objects": (
        [
            'web-1  | {"level": "info", "ts": 1772438400.0, "msg": "up"}',
            'db-1   | {"level": "warn", "ts": 1772438401.5, "msg": "slow | late"}',
        ],
        "<Source> | json",
        ["up", "slow | late"],
        DAY,
    ),
    "containers that write differently": (
        ["web-1  |  * it is up", "db-1   | 7:M 02 Mar 2026 08:00:00.1 # it is up", "db-1   | bye"],
        "<Source> | <Content>",
        [" * it is up", "7:M 02 Mar 2026 08:00:00.1 # it is up", "bye"],
        None,
    ),
    "containers of Kubernetes that write objects": (
        [
            '2026-03-02T08:00:00.000000000Z stdout F {"level": "info", "msg": "up"}',
            '2026-03-02T08:00:01.000000000Z stderr F {"level": "warn", "msg": "slow"}',
        ],
        "<Timestamp> <Stream> <Part> json",
        ["up", "slow"],
        DAY,
    ),
    "syslog of programs that write pairs": (
        [
            'Mar  2 08:00:00 box agent[7]: level=info msg="it is up" id=3',
            "Mar  2 08:00:01 box agent[7]: level=warn msg=slow id=4",
        ],
        "<Month> <Day> <Time> <Host> <Component>[<Pid>]: logfmt",
        ["it is up", "slow"],
        datetime(1904, 3, 2, 8),
    ),
    "objects in objects": (
        ['{"when": "2026-03-02T08:00:00Z", "data": {"lvl": "INFO", "msg": "picked"}}'],
        "json Content=data.msg Level=data.lvl Timestamp=when",
        ["picked"],
        DAY,
    ),
    "objects without a message": (
        [
            '{"begun": 1772438400000, "id": "a1", "request": {"method": "GET"}, "answer": {"status": 200}}',
            '{"begun": 1772438401000, "id": "a1", "request": {"method": "PUT"}, "answer": {"status": 500}}',
        ],
        "json Content=request.method,answer.status Timestamp=begun",
        ["GET 200", "PUT 500"],
        DAY,
    ),
    "objects whose times name their zone": (
        ['{"timestamp": "2026-03-02 08:00:00.5 UTC", "error_severity": "LOG", "message": "ready"}'],
        "json Level=error_severity",
        ["ready"],
        DAY.replace(microsecond=500_000),
    ),
    "W3C with several blanks": (
        [
            "#Software: IIS",
            "#Fields:   date-local time-local   cs-method cs-agent",
            '2026-03-02 08:00:00.5 GET "a b"',
            "2026-03-02 08:00:01.5 PUT -",
        ],
        "csv <date_local> <time_local> <cs_method> <cs_agent> Content=cs_method,cs_agent",
        ["GET a b", "PUT -"],
        DAY.replace(microsecond=500_000),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_time_is_found_wherever_it_stands_and_the_rest_is_fields_and_message(kind):
    lines, format, messages, first = KINDS[kind]
    found, contents, times = read(lines * 8 if not lines[0].startswith(("#", "Date,")) else lines)
    assert found == format
    assert contents[: len(messages)] == messages
    assert times[:1] == ([first] if first else [])


def test_traces_do_not_count_against_the_header_of_their_events():
    """A stack trace of more lines than events was enough for 'no known format'."""
    event = "2026-03-02 08:00:00 ERROR db: query failed"
    trace = ["java.sql.SQLException: timeout", *(f"\tat org.acme.Db.step{n}(Db.java:{n})" for n in range(14))]
    assert propose(frame([event, *trace] * 20)).format == "<Date> <Time> <Level> <Component>: <Content>"


@pytest.mark.parametrize("lines", [["it is up", "it is down"], ["", " "], ["12 34", "12 35"]])
def test_text_without_times_and_levels_is_no_log(lines):
    assert propose(frame(lines * 9)) is None


def test_objects_without_a_message_are_refused_with_their_keys():
    """'2,806 of 2,806 match', one empty template and no alarm was what such a log came to."""
    with pytest.raises(BadInput, match=r"No line has a message: its records hold a, b\.c; .*Content=a"):
        propose(frame(['{"a": 1, "b": {"c": "x"}}'] * 5))


def split(format: str, *lines: str) -> list[tuple]:
    header = compile_header(format)
    return split_fields(frame(list(lines)), header, header.fields)[0].drop("line").rows()


def test_json_keys_are_named_with_dots_and_joined_with_commas():
    rows = split(
        "json Content=http.method,http.status Trace=trace.id",
        '{"http": {"method": "GET", "status": 500}, "trace.id": "t"}',
    )
    assert rows == [("", "", "", "t", "GET 500")]


def test_records_of_several_lines_begin_with_the_time_that_stands_alone():
    """Of a package manager's history every line was rejected, since nothing follows the time in its line."""
    record = ["Start-Date: 2026-03-02  08:00:00", "Commandline: install it", "", "End-Date: 2026-03-02  08:00:09"]
    lines = frame(record * 8)
    found = propose(lines)
    assert found.format == "Start-Date: <Date> <Time><Content>"
    header = compile_header(found.format)
    events, further = joined(lines, header, found.time, *split_fields(lines, header, header.fields))
    assert events["Content"].to_list() == ["Commandline: install it End-Date: 2026-03-02  08:00:09"] * 8
    assert len(further) == 16
    assert timestamps(events, found.time).to_list() == [DAY] * 8


def test_traces_between_objects_do_not_count_against_these():
    lines = ['{"ts": "2026-03-02T08:00:00Z", "msg": "up"}'] * 6 + ["panic: lost", "\tat a.go:3", "\tat b.go:4"]
    assert propose(frame(lines)).format == "json"


def test_a_record_behind_a_header_has_the_fields_of_both():
    rows = split("<Source> | json Content=a,b", 'web | {"a": 1, "b": "x", "level": "info"}', "web | text", "text")
    assert rows == [("web", "", "info", "", "1 x")]


OBJECTS = [
    '{"msg": "a", "n": 1.50, "b": true}', '{"msg": {"a": [1]}, "n": 1e300}', ' {"msg": "blank before"}', '{"n": {}}',
    '{"msg": null, "n": -3}', "no object", '{"msg": "\\ud83d\\ude00"}', '{"msg": "first", "msg": "second"}', "[1]", "",
    '{"msg": "1", "n": {"x": "y"}}',
]  # fmt: skip


def test_a_block_of_objects_reads_as_each_of_its_lines_alone():
    """Blocks are decoded at once and bad ones in halves, followed logs line by line: it must not matter."""
    format = "json Content=msg N=n X=n.x"
    alone = [row for line in OBJECTS for row in split(format, line)]
    assert split(format, *OBJECTS) == alone
    assert split(format, *(OBJECTS[:1] * 50), *OBJECTS)[50:] == alone


@pytest.mark.parametrize(
    ("format", "problem"),
    [
        ("json Content", "says 'Content'"),
        ("csv", "names no columns"),
        ("csv <a>,<b>", "which columns are the message"),
        ("csv <a>,<b> Content=c", "the column 'c'"),
    ],
)
def test_a_format_of_records_that_cannot_be_used_is_refused(format, problem):
    with pytest.raises(BadInput, match=problem):
        compile_header(format)
