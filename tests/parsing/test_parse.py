"""Log to data folder: every line accounted for, keys as Drain3 gives them, the same bytes for the same seed."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import parse_logs
from core import logs
from core.errors import BadInput
from core.logs import LogFile
from parsing.datasets import HDFS
from parsing.lines.blocks import read_block
from parsing.lines.headers import compile_header, split_fields
from parsing.sequences.split import SplitSettings, split_sequences
from parsing.templates.drain import DrainSettings, mine, new_drain
from parsing.templates.masks import distinct_messages, masked
from parsing.templates.messages import MessageTable, template_key

ROOT = Path(__file__).resolve().parents[2]
FILES = ("sequences.parquet", "templates.csv", "rejected.csv", "manifest.json")


def parse(*arguments) -> int:
    return parse_logs.main([str(argument) for argument in arguments])


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def test_the_same_seed_gives_the_same_bytes(sample, tmp_path):
    again = tmp_path / "sample"
    parse("sample", "--out", again)
    assert sorted(path.name for path in again.iterdir()) == sorted(path.name for path in sample.iterdir())
    for path in sample.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_another_seed_gives_another_log_and_split(sample, tmp_path):
    parse("sample", "--seed", 1, "--out", tmp_path / "sample")
    assert manifest_of(tmp_path / "sample")["data_hash"] != manifest_of(sample)["data_hash"]


def test_every_line_is_an_event_of_a_session_or_rejected(sample):
    counts = manifest_of(sample)["counts"]
    lines = pl.read_parquet(sample / "sequences.parquet")["lines"].explode()
    assert counts["rejected"] == 0
    assert set(lines) == set(range(1, counts["lines"] + 1))
    assert len(lines) == counts["events"] > counts["lines"]  # a few lines name several blocks


def test_simulated_data_says_so(sample):
    assert manifest_of(sample)["simulated"] is True
    assert "simulated" in manifest_of(sample)["title"]


def test_a_rejected_line_is_kept_with_its_number_text_and_reason(small_log, tmp_path):
    log, labels = small_log
    lines = log.read_text().split("\n")
    lines.insert(2, 'stack trace, "quoted", at java.io')
    lines.insert(4, "at java.io.File line 17 CAUSE: Caused by nothing")
    lines.insert(10, "081109 203530 147 INFO dfs.DataNode: no block is named here")
    bad = tmp_path / "bad.log"
    bad.write_text("\n".join(lines))
    assert parse("hdfs", "--log", bad, "--labels", labels, "--out", tmp_path / "d") == 0
    rejected = pl.read_csv(tmp_path / "d" / "rejected.csv")
    assert rejected.rows() == [
        (3, "header", 'stack trace, "quoted", at java.io'),
        (5, "time", "at java.io.File line 17 CAUSE: Caused by nothing"),
        (11, "no session id", "081109 203530 147 INFO dfs.DataNode: no block is named here"),
    ]
    counts = manifest_of(tmp_path / "d")["counts"]
    assert counts["lines"] == counts["lines_in_sequences"] + counts["rejected"]


def test_the_partition_equals_drain3_fed_line_by_line(sample):
    """Drain sees each distinct masked message once; that must not change which lines share a key."""
    header = compile_header(HDFS.header)
    content = pl.concat(split_fields(block, header, ())[0] for block in LogFile(sample / "simulated.log").blocks())
    drain = new_drain(HDFS.drain)
    messages = content.select(masked(pl.col("Content"), HDFS.masks))["Content"]
    clusters = [drain.add_log_message(message)[0] for message in messages]
    reference = pl.DataFrame({"line": content["line"], "key": [template_key(c.get_template()) for c in clusters]})
    sequences = pl.read_parquet(sample / "sequences.parquet")
    ours = sequences.select("lines", "keys").explode("lines", "keys").unique().sort("lines")
    assert ours["keys"].to_list() == reference["key"].to_list()


def test_templates_count_lines_and_name_the_first_one(sample):
    templates = pl.read_csv(sample / "templates.csv")
    events = pl.read_parquet(sample / "sequences.parquet").select("lines", "keys").explode("lines", "keys").unique()
    counted = events.group_by("keys").agg(pl.len(), pl.col("lines").min().alias("first")).sort("first")
    assert templates["key"].to_list() == counted["keys"].to_list()
    assert templates["count"].to_list() == counted["len"].to_list()
    assert templates["first_line"].to_list() == counted["first"].to_list()
    assert [template_key(template) for template in templates["template"]] == templates["key"].to_list()


def test_the_key_of_a_template_never_changes():  # printf "..." | sha256sum
    assert template_key("Verification succeeded for <*>") == "f1086421"


def test_reading_in_small_blocks_gives_the_whole(small_log, tmp_path, monkeypatch):
    log, labels = small_log
    parse("hdfs", "--log", log, "--labels", labels, "--out", tmp_path / "whole" / "d")
    monkeypatch.setattr(logs, "BLOCK_BYTES", 10_000)
    parse("hdfs", "--log", log, "--labels", labels, "--out", tmp_path / "blocks" / "d")
    for name in FILES:
        assert (tmp_path / "whole" / "d" / name).read_bytes() == (tmp_path / "blocks" / "d" / name).read_bytes()


def test_gzip_and_windows_line_ends_give_the_same_sequences(small_log, tmp_path):
    log, labels = small_log
    windows, packed = tmp_path / "windows.log", tmp_path / "packed.log.gz"
    windows.write_bytes(log.read_bytes().replace(b"\n", b"\r\n"))
    packed.write_bytes(gzip.compress(log.read_bytes()))
    for number, path in enumerate((log, windows, packed)):
        assert parse("hdfs", "--log", path, "--labels", labels, "--out", tmp_path / str(number)) == 0
    assert len({manifest_of(tmp_path / str(number))["data_hash"] for number in range(3)}) == 1


def test_a_line_with_bytes_that_are_not_utf8_stays_an_event_and_is_reported(small_log, tmp_path, capsys):
    log, labels = small_log
    lines = log.read_bytes().split(b"\n")
    lines[4] += b" \xff\xfe"
    broken = tmp_path / "broken.log"
    broken.write_bytes(b"\n".join(lines))
    assert parse("hdfs", "--log", broken, "--labels", labels, "--out", tmp_path / "d") == 0
    assert "line 5 is not UTF-8" in capsys.readouterr().out
    counts = manifest_of(tmp_path / "d")["counts"]
    assert (counts["undecodable"], counts["rejected"]) == (1, 0)


def test_masks_blank_blocks_addresses_and_numbers():
    line = "Received block blk_-16 of size 911 from /10.0.0.1:50010 at job_12_003/part-7. ipv4 x9"
    blanked = pl.DataFrame({"m": [line]}).select(masked(pl.col("m"), HDFS.masks)).item()
    assert blanked == "Received block <*> of size <*> from <*> at job_<*>_<*>/part-<*>. ipv4 x9"


@given(st.text(alphabet="a1 _-.+", max_size=12))
def test_the_number_mask_equals_the_published_one_with_look_around(text):
    """LogGPT's mask in Python syntax; Rust has no look-around, so ours consumes its neighbors and runs twice."""
    published = re.sub(r"(?<![A-Za-z0-9])[-+]?[0-9]+(?![A-Za-z0-9])", "<*>", text)
    ours = pl.DataFrame({"m": [text]}).select(masked(pl.col("m"), HDFS.masks[2:])).item()
    signs = re.compile(r"[-+]*<\*>")  # of several signs before a number one belongs to it; ours may leave it standing
    assert signs.sub("<*>", ours) == signs.sub("<*>", published)


@given(st.lists(st.text(alphabet="a1 .:", max_size=9), min_size=1, max_size=30))
def test_masking_what_is_still_distinct_equals_masking_every_line(contents):
    values, places = distinct_messages(pl.Series(contents), HDFS.masks)
    whole = pl.DataFrame({"m": contents}).select(masked(pl.col("m"), HDFS.masks))["m"].to_list()
    assert [values[int(place)] for place in places] == whole


def test_a_line_that_names_several_blocks_is_an_event_of_each():
    header = "081109 203530 1 INFO dfs.FSNamesystem: BLOCK* ask 10.0.0.1:50010 to delete "
    block = pl.DataFrame({"line": [1, 2], "text": [header + "blk_1", header + "blk_2 blk_-1 blk_2"]})
    block = read_block(block, HDFS, compile_header(HDFS.header))
    assert block.events.select("line", "id").rows() == [(1, "blk_1"), (2, "blk_2"), (2, "blk_-1")]
    assert block.refused.is_empty()


def test_two_messages_of_one_template_share_a_key():
    table, contents = MessageTable(), pl.Series(["open file <*> now", "close", "open file x now", "close"])
    numbers = table.number(*distinct_messages(contents, ()), contents)
    table.tally(pl.DataFrame({"line": [1, 2, 3, 4], "message": numbers}))
    assert numbers.tolist() == [0, 1, 2, 1]
    keys = table.keys(mine(list(table.numbers), DrainSettings()))
    assert keys["key"][0] == keys["key"][2] != keys["key"][1]
    assert keys["count"].to_list() == [1, 2, 1]
    assert keys["example"].to_list() == ["open file <*> now", "close", "open file x now"]


@given(
    normals=st.integers(4, 60),
    anomalies=st.integers(0, 10),
    wanted=st.integers(2, 70),
    share=st.floats(0.1, 0.6),
    seed=st.integers(0, 3),
)
def test_training_and_validation_hold_normals_only_and_nothing_is_lost(normals, anomalies, wanted, share, seed):
    labels = np.array([0] * normals + [1] * anomalies)
    settings = SplitSettings("random", train_normals=wanted, validation_share=share)
    try:
        split = split_sequences(labels, None, settings, seed)
    except BadInput:
        return
    names = split.names.to_numpy()
    used = wanted if wanted < normals else normals // 2
    assert (names == "train").sum() + (names == "validation").sum() == used == split.protocol["used_normals"]
    assert (names == "validation").sum() == round(used * share) > 0
    assert set(names[labels == 1]) <= {"test"}
    assert ((names == "test") & (labels == 0)).any()


def test_the_split_depends_on_the_seed_alone():
    labels, settings = np.zeros(100, int), SplitSettings(train_normals=50)
    first, again, other = (split_sequences(labels, None, settings, seed).names for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)


def test_fewer_normals_than_asked_are_halved_and_the_reader_is_told(small_log, tmp_path, capsys):
    log, labels = small_log
    assert parse("hdfs", "--log", log, "--labels", labels, "--out", tmp_path / "d") == 0
    assert "5,000 normal sequences were asked for, but there are 388: half of them, 194" in capsys.readouterr().out
    counts = manifest_of(tmp_path / "d")["counts"]
    assert (counts["train"], counts["validation"], counts["test"]) == (155, 39, 206)


def test_split_sizes_are_options(small_log, tmp_path):
    log, labels = small_log
    options = ("--train-normals", 100, "--validation-share", 0.3)
    assert parse("hdfs", "--log", log, "--labels", labels, "--out", tmp_path / "d", *options) == 0
    counts = manifest_of(tmp_path / "d")["counts"]
    assert (counts["train"], counts["validation"]) == (70, 30)


@pytest.mark.parametrize("packed", [False, True])
def test_ready_key_sequences_give_the_same_folder(tmp_path, packed):
    texts = {"normal": "E5 E5 E22\n" * 9 + "\n" + "E5  E11\n", "abnormal": "E5 E9\nE7\n"}
    files = []
    for name, text in texts.items():
        files.append(tmp_path / (f"{name}.txt.gz" if packed else f"{name}.txt"))
        files[-1].write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert parse("mine", "--keys", *files, "--out", tmp_path / "mine", "--train-normals", 5) == 0
    sequences = pl.read_parquet(tmp_path / "mine" / "sequences.parquet")
    assert sequences.columns == [
        "sequence_id", "keys", "lines", "event_labels", "label", "split", "start", "end", "begun", "closed"
    ]  # fmt: skip
    assert sequences.select("sequence_id", "keys", "label").rows()[-3:] == [
        ("normal:11", ["E5", "E11"], 0),
        ("abnormal:1", ["E5", "E9"], 1),
        ("abnormal:2", ["E7"], 1),
    ]
    assert sequences["lines"].null_count() == len(sequences) == 12
    assert pl.read_csv(tmp_path / "mine" / "rejected.csv").rows() == [(10, "no keys", None)]
    assert pl.read_csv(tmp_path / "mine" / "templates.csv")["count"].sum() == 32


def test_a_folder_is_replaced_as_a_whole(small_log, tmp_path):
    log, labels = small_log
    out = tmp_path / "d"
    parse("hdfs", "--log", log, "--labels", labels, "--out", out)
    (out / "stale.txt").write_text("from an earlier version")
    parse("hdfs", "--log", log, "--labels", labels, "--out", out)
    assert sorted(path.name for path in out.iterdir()) == sorted([*FILES, "log_place.json"])
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_what_a_killed_run_left_is_cleared_and_the_old_folder_comes_back(small_log, tmp_path):
    """A kill can come while the new folder is written, or between the renames that put it in its place."""
    log, labels = small_log
    out = tmp_path / "d"
    parse("hdfs", "--log", log, "--labels", labels, "--out", out)
    kept = (out / "sequences.parquet").read_bytes()
    killed = f"""
import os, sys
from pathlib import Path
from parsing.sequences.place import replaced_folder
if sys.argv[1] == "between":
    Path.rename = lambda path, target, rename=Path.rename: rename(path, target) and os._exit(9)
with replaced_folder(Path({str(out)!r})) as new:
    (new / "sequences.parquet").write_bytes(b"half")
    sys.argv[1] == "between" or os._exit(9)
"""
    for moment in ("inside", "between"):
        assert subprocess.run([sys.executable, "-c", killed, moment], cwd=ROOT).returncode == 9
    assert not out.exists() and len(list(tmp_path.iterdir())) == 3  # with the lock file
    assert parse("hdfs", "--log", tmp_path / "gone.log", "--labels", labels, "--out", out) == 2
    assert (out / "sequences.parquet").read_bytes() == kept
    assert [path.name for path in tmp_path.iterdir()] == ["d"]
