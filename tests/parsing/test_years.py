"""Times without a year: after December comes the January of the next one, and training never sees it first."""

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import parse_logs
from core import logs
from parsing.lines.times import NO_YEAR
from parsing.lines.years import Years

FORMAT = "<Month> <Day> <Time> <Host> <Component>[<Pid>]: <Content>"


def numbered(texts: list[str], pieces: int = 1) -> list[datetime]:
    """Return the times of `texts` such as 'Dec 31 23:59' after Years has seen them in that many blocks."""
    times = [datetime.strptime(f"{NO_YEAR} {text}", "%Y %b %d %H:%M") for text in texts]
    series, years = pl.Series(times, dtype=pl.Datetime("us")).cast(pl.Int64), Years()
    size = -(-len(series) // pieces)
    blocks = [years.add(series.slice(start, size)) for start in range(0, len(series), size)]
    return pl.concat(blocks).cast(pl.Datetime("us")).to_list()


@pytest.mark.parametrize("pieces", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("texts", "years"),
    [
        (["Mar 1 00:00", "Apr 1 00:00", "Mar 1 00:00"], [0, 0, 0]),
        (["Dec 31 23:59", "Jan 1 00:00", "Jan 1 00:01"], [0, 1, 1]),
        (["Dec 31 23:59", "Jan 1 00:00", "Dec 31 23:59", "Jan 1 00:00", "Feb 1 00:00"], [0, 1, 0, 1, 1]),
        (["Jan 1 00:00", "Dec 31 23:59", "Jan 1 00:00"], [0, 0, 1]),
        (["Jan 3 00:00", "Dec 3 00:00", "Jan 3 00:00", "Dec 3 00:00", "Jan 3 00:00"], [0, 0, 1, 1, 2]),
        (["Feb 29 12:00"], [0]),
    ],
    ids=["back in time only", "turn", "late lines", "a late line first", "two quiet years", "leap day"],
)
def test_the_year_comes_from_the_order_of_the_lines(texts, years, pieces):
    assert [time.year - NO_YEAR for time in numbered(texts, pieces)] == years
    assert [f"{time:%b %-d %H:%M}" for time in numbered(texts, pieces)] == texts


@given(st.lists(st.integers(0, 20 * 86_400), min_size=1, max_size=40))
def test_a_log_in_order_over_several_years_stays_in_order(steps):
    moment, texts = datetime(2025, 11, 20), []
    for step in steps:
        moment += timedelta(seconds=step)
        texts.append(f"{moment:%b %d %H:%M}")
    found = numbered(texts, 3)
    assert found == sorted(found)
    assert found[-1].year - NO_YEAR == moment.year - 2025


@pytest.mark.parametrize("block_bytes", [2_000, 8 << 20])
def test_a_chronological_split_across_new_year_learns_from_december(tmp_path, monkeypatch, block_bytes):
    """It trained on January and tested on the December before."""
    monkeypatch.setattr(logs, "BLOCK_BYTES", block_bytes)
    moments = [datetime(2025, 12, 31, 22) + timedelta(seconds=15 * number) for number in range(960)]
    log = tmp_path / "syslog.log"
    log.write_text("".join(f"{moment:%b %d %H:%M:%S} box cron[9]: job {moment:%M} done\n" for moment in moments))
    words = ["--format", FORMAT, "--protocol", "chronological", "--window", "60s", "--out", str(tmp_path / "d")]
    assert parse_logs.main([str(log), *words]) == 0
    sequences = pl.read_parquet(tmp_path / "d" / "sequences.parquet")
    assert sequences["lines"].explode().to_list() == list(range(1, 961))
    assert sequences["start"].is_sorted()
    ranges = {name: rows["lines"].explode() for (name,), rows in sequences.group_by("split")}
    assert ranges["train"].max() < ranges["validation"].min() and ranges["validation"].max() < ranges["test"].min()
    assert sequences["start"][0] == datetime(NO_YEAR, 12, 31, 22)
    assert sequences["start"][-1] == datetime(NO_YEAR + 1, 1, 1, 1, 59)
