"""The measures of the templates benchmark, worked by hand, and which files of a folder it takes."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from benchmarks.templates import BEFORE_MASKS, before, drain3, grouped_alike, measure, ours, samples
from core.errors import BadInput
from parsing.datasets import HDFS


def test_measures_of_a_split_a_merged_and_a_right_group():
    """Six lines of five true groups: E1 is split, E2 and E3 are merged, E4 is right but in other words."""
    templates = ["a x=<*>", "a x=<*>", "b", "c", "d", "e"]
    truth = pl.DataFrame({"EventId": ["E1", "E1", "E2", "E3", "E4", "E5"], "EventTemplate": templates})
    found = ["a <*>", "a 1", "m", "m", "other", "e"]
    assert grouped_alike(truth["EventId"], pl.Series(found)).to_list() == [False] * 4 + [True] * 2
    figures = measure(truth, found)
    assert figures["ga"] == 2 / 6
    assert figures["fga"] == 2 * 2 / (5 + 5)  # two right groups, five found, five true
    assert figures["lenient_pa"] == 2 / 6  # the first line and e


def test_all_sides_give_each_line_a_template_and_the_old_masks_are_those_that_hdfs_keeps():
    contents = pl.Series([f"took {n} s from 10.0.0.{n}" for n in range(9)] + ["disk full"])
    for side in (ours, before, drain3):
        templates = side(contents)
        assert len(set(templates[:9])) == 1 and "<*>" in templates[0] and templates[9] == "disk full"
    assert [mask.pattern for mask in BEFORE_MASKS] == [mask.pattern for mask in HDFS.masks[1:]]


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_bytes(gzip.compress(text.encode()))


def test_a_corrected_truth_is_preferred_and_a_folder_without_samples_is_refused(tmp_path):
    with pytest.raises(BadInput, match="holds no NAME_2k"):
        samples(tmp_path)
    write(tmp_path, "A_2k.log.gz", "x\n")
    write(tmp_path, "A_2k.log_structured.csv.gz", "Content,EventId,EventTemplate\nx,E1,old\n")
    write(tmp_path, "A_2k.log_structured_corrected.csv.gz", "LineId,Content,EventId,EventTemplate\n1,,E1,new\n")
    write(tmp_path, "B_2k.log.gz", "without truth\n")
    found = samples(tmp_path)
    assert list(found) == ["A"] and found["A"].rows() == [("", "E1", "new")]
    write(tmp_path, "B_2k.log_structured.csv.gz", "Content\nx\n")
    with pytest.raises(BadInput, match=r"B_2k.log_structured.csv.gz has no columns"):
        samples(tmp_path)
