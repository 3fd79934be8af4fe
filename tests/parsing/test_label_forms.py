"""Labels in the forms that people keep them: 0 and 1, other names, ids alone, lines, times; each was refused once."""

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import parse_logs
from core.logs import LogFile
from parsing.sequences.labels import IntervalLabels, read_labels

JOBS = 30
ANOMALOUS = {3, 17}  # jobs
BEGUN = datetime(2026, 3, 2, 8)


def moment(line: int) -> datetime:
    return BEGUN + timedelta(seconds=line - 1)


@pytest.fixture
def log(tmp_path) -> Path:
    """A log of 30 jobs of four lines each, a line a second; a first field says 1 of the second line of bad jobs."""
    said, lines = ("picked", "started", "finished", "acknowledged"), []
    for job in range(JOBS):
        for step, word in enumerate(said):
            bad = int(job in ANOMALOUS and step == 1)
            lines.append(f"{bad} {moment(len(lines) + 1):%Y-%m-%d %H:%M:%S} INFO q: {word} job-{job}")
    path = tmp_path / "jobs.log"
    path.write_text("\n".join(lines) + "\n")
    return path


def parsed(log: Path, *wanted: str) -> pl.DataFrame:
    """The sequences of the log by windows of four lines or by job, whatever is wanted."""
    form = "<Label> <Date> <Time> <Level> <Component>: <Content>"
    out = log.parent / "data" / "jobs"
    arguments = [str(log), "--format", form, "--time", "%Y-%m-%d %H:%M:%S of Date Time", "--out", str(out), *wanted]
    assert parse_logs.main(arguments) == 0
    return pl.read_parquet(out / "sequences.parquet")


def bad(sequences: pl.DataFrame) -> set[int]:
    return {(lines[0] - 1) // 4 for lines in sequences.filter(pl.col("label") == 1)["lines"]}


SESSIONS = {
    "zero_one": "BlockId,Label\n" + "".join(f"job-{job},{int(job in ANOMALOUS)}\n" for job in range(JOBS)),
    "true_false": "session_id;is_anomaly\n" + "".join(f"job-{job};{job in ANOMALOUS}\n" for job in range(JOBS)),
    "floats": "Session\tLabel\n" + "".join(f"job-{job}\t{float(job in ANOMALOUS)}\n" for job in range(JOBS)),
    "own_name": "job,anomaly\n" + "".join(f"job-{job},{'yes' if job in ANOMALOUS else 'no'}\n" for job in range(JOBS)),
    "no_head": "".join(f"job-{job},{'Anomaly' if job in ANOMALOUS else 'Normal'}\n" for job in range(JOBS)),
    "ids_alone": "".join(f"job-{job}\n" for job in sorted(ANOMALOUS)),
    "ids_with_a_head": "id\n" + "".join(f"job-{job}\n" for job in sorted(ANOMALOUS)),
    "only_anomalies": "BlockId,Label,Kind\n" + "".join(f"job-{job},Anomaly,x\n" for job in ANOMALOUS),
    "anomalies_no_head": "job-3,Anomaly\njob-17,Anomaly\n",
    "other_words_no_head": "job-3,Anomaly\njob-17,attack\n",
}


@pytest.mark.parametrize("form", SESSIONS)
def test_labels_of_sessions_are_read_in_every_form(form, log):
    (log.parent / "labels.csv").write_text(SESSIONS[form])
    found = parsed(log, "--session", r"job-\d+", "--labels", str(log.parent / "labels.csv"))
    assert bad(found) == ANOMALOUS and found["label"].null_count() == 0


SECOND_LINES = [4 * job + 2 for job in sorted(ANOMALOUS)]
LINES = {
    "lines": "line\n" + "".join(f"{line}\n" for line in SECOND_LINES),
    "lines_with_labels": "LineId,Label\n" + "".join(f"{n},{int(n in SECOND_LINES)}\n" for n in range(1, 4 * JOBS + 1)),
    "times": "start,end\n" + "".join(f"{moment(line)},{moment(line)}\n" for line in SECOND_LINES),
    "times_as_iso": "from;to\n"
    + "".join(f"{moment(n).isoformat()};{moment(n + 1).isoformat()}\n" for n in SECOND_LINES),
    "times_with_labels": f"begin,end,label\n{BEGUN},{moment(5)},normal\n"
    + "".join(f"{moment(line)},{moment(line)},anomaly\n" for line in SECOND_LINES),
}


@pytest.mark.parametrize("form", LINES)
@pytest.mark.parametrize("wanted", [("--window-lines", "4"), ("--window", "4s"), ("--session", r"job-\d+")])
def test_labels_of_lines_and_times_make_windows_and_sessions_anomalous(form, wanted, log):
    (log.parent / "labels.csv").write_text(LINES[form])
    found = parsed(log, *wanted, "--labels", str(log.parent / "labels.csv"))
    assert bad(found) == ANOMALOUS and found["label"].null_count() == 0
    assert found["event_labels"].explode().sum() >= len(ANOMALOUS)


def test_a_label_in_the_header_that_is_0_is_normal(log):
    """Every window was an anomaly, since 0 is not -, and no normal sequence was left to learn from."""
    assert bad(parsed(log, "--label-field", "Label", "--window", "4s")) == ANOMALOUS


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 10)), min_size=1, max_size=8),
    st.integers(0, 60),
)
def test_a_time_is_anomalous_exactly_if_an_interval_holds_it(tmp_path_factory, intervals, second):
    path = tmp_path_factory.mktemp("intervals") / "labels.csv"
    rows = [f"{moment(start)},{moment(start + length)}" for start, length in intervals]
    path.write_text("\n".join(["start,end", *rows]) + "\n")
    labels = read_labels(LogFile(path))
    assert isinstance(labels, IntervalLabels)
    events = pl.DataFrame({"time": [moment(second)]}, schema={"time": pl.Datetime("us")})
    assert labels.of(events).item() == any(start <= second <= start + length for start, length in intervals)


@pytest.mark.parametrize(
    ("text", "wanted", "said"),
    [
        ("id,what\njob-1,2\n", ("--session", r"job-\d+"), "line 1 is id,what; the first line must name"),
        ("id,label\njob-1,maybe\n", ("--session", r"job-\d+"), "labels.csv line 2: the label is 'maybe'"),
        ("job-1\njob-2\njob-1\n", ("--session", r"job-\d+"), "labels job-1 more than once"),
        ("task-1\n", ("--session", r"job-\d+"), "has no label for 30 of 30 blocks"),
        ("job-1\n", ("--window", "4s"), "names sessions, but jobs has none"),
        ("line\nfour\n", ("--window", "4s"), "labels.csv line 2: 'four' is no number of a line"),
        ("start,end\nnoon,later\n", ("--window", "4s"), "labels.csv line 2: 'noon' is no time such as"),
        ("start,end\n2026-03-02 09:00:00,2026-03-02 08:00:00\n", ("--window", "4s"), "ends before it starts"),
        ("start,end,label\n2026-03-02,2026-03-03,0\n", ("--window", "4s"), "names no anomalous interval"),
        ("\n\n", ("--window", "4s"), "holds no label"),
    ],
)
def test_labels_that_cannot_be_read_are_refused_with_their_line(text, wanted, said, log, capsys):
    (log.parent / "labels.csv").write_text(text)
    form = "<Label> <Date> <Time> <Level> <Component>: <Content>"
    arguments = [str(log), "--format", form, "--time", "%Y-%m-%d %H:%M:%S of Date Time", *wanted]
    code = parse_logs.main([*arguments, "--labels", str(log.parent / "labels.csv"), "--out", str(log.parent / "out")])
    error = capsys.readouterr().err
    assert code == 2 and said in error and "Traceback" not in error
    assert not (log.parent / "out").exists()


def test_times_as_labels_of_a_log_without_years_are_refused(tmp_path, capsys):
    log = tmp_path / "sys.log"
    log.write_text("".join(f"Mar  2 08:00:{second:02} host app: job {second}\n" for second in range(60)))
    (tmp_path / "labels.csv").write_text("start,end\n2026-03-02 08:00:00,2026-03-02 08:00:10\n")
    wanted = ["--format", "auto", "--window", "10s", "--labels", str(tmp_path / "labels.csv")]
    assert parse_logs.main([str(log), *wanted, "--out", str(tmp_path / "out")]) == 2
    assert "have no time with a year" in capsys.readouterr().err
