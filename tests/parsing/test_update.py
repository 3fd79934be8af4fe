"""A simulated update of the software: what it changes, what it leaves, and that all of it is harmless."""

import polars as pl
import pytest

from core.data import open_folder
from parse_logs import main
from parsing.simulate import simulate
from parsing.update import ADDED, AT, REWORDED, updated

SESSIONS = 300


@pytest.fixture(scope="module")
def logs():
    """A log without the update and with it."""
    log = simulate(3, SESSIONS)
    return log, updated(log, 3)


def test_nothing_changes_before_the_update_and_no_label_by_it(logs):
    before, after = logs
    begin = int(AT * len(before.lines))
    assert after.lines[:begin] == before.lines[:begin]
    assert after.labels == before.labels and after.kinds == before.kinds


def test_afterwards_old_words_are_gone_and_each_new_line_stands_with_its_block(logs):
    before, after = logs
    begin = int(AT * len(before.lines))
    later = after.lines[begin:]
    for old, new in REWORDED:
        assert any(old in line for line in before.lines[begin:])
        assert not any(old in line for line in later) and any(new in line for line in later)
    new_lines = len(later) - (len(before.lines) - begin)
    assert new_lines > len(ADDED) and all("blk_" in line for line in later)


def test_the_same_seed_gives_the_same_lines(logs):
    before, after = logs
    assert updated(before, 3).lines == after.lines != updated(before, 4).lines


def test_the_data_folder_of_it_is_split_by_time_and_most_that_comes_new_is_harmless(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sample_update", "--protocol", "chronological"]) == 0
    data = open_folder(tmp_path / "data" / "sample_update")
    test, known = data.split("test"), data.known_keys
    assert data.is_chronological and data.manifest["simulated"]
    new = test.select("label", pl.col("keys").list.unique()).explode("keys").filter(~pl.col("keys").is_in(list(known)))
    counts = new.group_by("keys").agg(pl.len(), pl.col("label").mean())
    common = counts.filter(pl.col("len") > 100)
    assert len(common) >= 4 and common["label"].max() < 0.1  # of the update
    assert (counts.filter(pl.col("len") < 10)["label"] == 1).all()  # exceptions, which are anomalies
