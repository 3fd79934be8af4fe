"""What a person can get wrong with files: one sentence, exit code 2, no traceback, and nothing lost."""

import gzip
import json

import pytest

import parse_logs
from commands import run

GOOD = "081109 203530 147 INFO dfs.DataNode: Receiving block blk_{} src: /10.0.0.1:1 dest: /10.0.0.2:2\n"


@pytest.fixture
def files(tmp_path):
    """A good log of 20 blocks, its labels, and a complete data folder made of them."""
    log, labels, out = tmp_path / "good.log", tmp_path / "labels.csv", tmp_path / "out"
    log.write_text("".join(GOOD.format(number) for number in range(20)))
    labels.write_text("BlockId,Label\n" + "".join(f"blk_{number},Normal\n" for number in range(20)))
    assert parse_logs.main(["hdfs", "--log", str(log), "--labels", str(labels), "--out", str(out)]) == 0
    return log, labels, out


def refused(files, capsys, *, log=None, labels=None) -> str:
    """Parse into the complete folder with one file replaced; returns the sentence, after the checks all cases share."""
    before = {path.name: path.read_bytes() for path in files[2].iterdir()}
    capsys.readouterr()
    wanted = ["hdfs", "--log", str(log or files[0]), "--labels", str(labels or files[1]), "--out", str(files[2])]
    assert parse_logs.main([*wanted, "--replace"]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "Traceback" not in printed
    assert {path.name: path.read_bytes() for path in files[2].iterdir()} == before, "the old folder was touched"
    assert not list(files[2].parent.glob(".out*")), "a half-written folder was left"
    return printed


def test_ctrl_c_ends_in_one_sentence_and_leaves_the_old_folder(files, capsys, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(parse_logs, "read_log", stopped)
    before = {path.name: path.read_bytes() for path in files[2].iterdir()}
    wanted = ["hdfs", "--log", str(files[0]), "--labels", str(files[1]), "--out", str(files[2])]
    assert parse_logs.main(wanted) == 130
    assert "the same command does it all" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in files[2].iterdir()} == before


def test_missing_log(files, capsys, tmp_path):
    assert "nowhere.log does not exist" in refused(files, capsys, log=tmp_path / "nowhere.log")


def test_folder_without_a_log(files, capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "holds no file" in refused(files, capsys, log=tmp_path / "empty")


def test_empty_log(files, capsys, tmp_path):
    (tmp_path / "empty.log").touch()
    assert "empty.log is empty" in refused(files, capsys, log=tmp_path / "empty.log")


def test_log_in_another_format_shows_the_first_bad_line_its_number_and_the_pattern(files, capsys, tmp_path):
    other = tmp_path / "other.log"
    other.write_text(GOOD.format(1) + "- 1117838570 2005.06.03 R02-M1 RAS: KERNEL INFO error\n" * 3)
    sentence = refused(files, capsys, log=other)
    assert "line 2 does not match (time)" in sentence
    assert "error" in sentence
    assert "<Date> <Time> <Pid> <Level> <Component>: <Content>" in sentence


def test_truncated_gzip_names_the_last_whole_line(files, capsys, tmp_path):
    whole = gzip.compress("".join(GOOD.format(number) for number in range(5_000)).encode())
    (tmp_path / "cut.log.gz").write_bytes(whole[: len(whole) // 2])
    sentence = refused(files, capsys, log=tmp_path / "cut.log.gz")
    assert "ends early" in sentence
    assert "gzip -t" in sentence


def test_plain_file_named_gz(files, capsys, tmp_path):
    (tmp_path / "plain.gz").write_text(GOOD.format(1))
    assert "is not what its ending says" in refused(files, capsys, log=tmp_path / "plain.gz")


def test_label_file_that_lacks_blocks_names_the_first_one(files, capsys, tmp_path):
    few = tmp_path / "few.csv"
    few.write_text("BlockId,Label\nblk_0,Normal\nblk_1,Anomaly\n")
    sentence = refused(files, capsys, labels=few)
    assert "no label for 18 of 20 blocks, the first blk_2 (line 3 of the log)" in sentence


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "bad.csv is empty"),
        (b"BlockId,Label\nblk_\xff,Normal\n", "line 2 is not UTF-8"),
        (b"id,what\n1,2\n", "the first line must name BlockId and Label"),
        (b"BlockId,Label\nblk_0,perhaps\n", "line 2: the label is 'perhaps'"),
        (b"BlockId,Label\nblk_0\n", "line 2: the label is None"),
        (b"BlockId,Label\nblk_0,Normal\nblk_0,Anomaly\n", "labels blk_0 more than once"),
    ],
)
def test_label_file_of_another_kind(files, capsys, tmp_path, content, expected):
    (tmp_path / "bad.csv").write_bytes(content)
    assert expected in refused(files, capsys, labels=tmp_path / "bad.csv")


def test_missing_label_file(files, capsys, tmp_path):
    assert "gone.csv does not exist" in refused(files, capsys, labels=tmp_path / "gone.csv")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["bgl2"], "There is no data set 'bgl2'"),
        (["hdfs", "--log", "x.log"], "hdfs also needs its labels"),
        (["mine", "--keys", "a", "b", "c"], "--keys takes one or two files"),
        (["mine", "--keys", "nowhere.txt"], "nowhere.txt does not exist"),
        (["sample", "--train-normals", "1"], "--train-normals of at least 2"),
        (["sample", "--validation-share", "1.5"], "--validation-share between 0 and 1"),
    ],
)
def test_options_that_cannot_be(options, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_logs.main(options) == 2
    assert expected in capsys.readouterr().err
    assert not list(tmp_path.rglob("manifest.json"))


def test_too_few_normals_to_split(capsys, tmp_path):
    (tmp_path / "normal.txt").write_text("a b\n" * 3)
    assert parse_logs.main(["x", "--keys", str(tmp_path / "normal.txt"), "--out", str(tmp_path / "x")]) == 2
    assert "3 normal sequences leave" in capsys.readouterr().err


def test_key_file_that_is_not_utf8_names_the_line(capsys, tmp_path):
    (tmp_path / "normal.txt").write_bytes(b"a b\n" * 30 + b"a \xff\n")
    assert parse_logs.main(["x", "--keys", str(tmp_path / "normal.txt"), "--out", str(tmp_path / "x")]) == 2
    assert "line 31 is not UTF-8" in capsys.readouterr().err


def test_a_folder_with_other_things_is_not_replaced(capsys, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert parse_logs.main(["sample", "--out", str(tmp_path)]) == 2
    assert "is not a data folder" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_log_without_anomalies_is_parsed_and_said_to_have_none(files, capsys):
    parse_logs.main(["hdfs", "--log", str(files[0]), "--labels", str(files[1]), "--out", str(files[2])])
    assert "No test sequence is labeled anomalous" in capsys.readouterr().out


def test_run_without_data_names_the_command_that_makes_it(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run.main(["--data", "hdfs_2pct"]) == 2
    assert "--log FILE --labels FILE" in capsys.readouterr().err


def test_a_log_inside_the_folder_to_be_replaced_is_not_lost(files, capsys):
    log, _, out = files
    inside = out / "kept.log"
    inside.write_bytes(log.read_bytes())
    assert "lies in" in refused(files, capsys, log=inside)


def test_a_data_folder_inside_another_is_refused(files, capsys):
    log, labels, out = files
    wanted = ["hdfs", "--log", str(log), "--labels", str(labels), "--out", str(out / "deeper")]
    assert parse_logs.main(wanted) == 2
    assert "lies inside the data folder" in capsys.readouterr().err
    assert not (out / "deeper").exists()


def test_a_session_pattern_that_matches_nothing_shows_the_first_line(files, capsys):
    log, _, out = files
    wanted = ["own", "--log", str(log), "--format", "<Date> <Time> <Content>", "--session", "req-[0-9]+"]
    assert parse_logs.main([*wanted, "--out", str(out)]) == 2
    sentence = capsys.readouterr().err
    assert "line 1 does not match (no session id)" in sentence
    assert "req-[0-9]+" in sentence


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda manifest: [
                manifest["split"].pop(name) for name in ("settings", "asked_normals", "validation_share")
            ],
            "how large its split is",
        ),
        (lambda manifest: manifest["split"]["settings"].update(validation_share="0.2"), "validation_share is '0.2'"),
        (
            lambda manifest: manifest["split"].pop("settings") and manifest["split"].update(validation_share="0.2"),
            "how large",
        ),
        (lambda manifest: manifest.pop("split"), "manifest.json"),
        (lambda manifest: manifest.update(data_hash="0" * 16), "was changed after it was made"),
    ],
)
def test_a_damaged_folder_is_not_split_again(files, capsys, tmp_path, change, said):
    path = files[2] / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    capsys.readouterr()
    assert parse_logs.main(["x", "--resplit", str(files[2]), "--out", str(tmp_path / "x")]) == 2
    printed = capsys.readouterr().err
    assert said in printed and printed.count("\n") == 1 and not (tmp_path / "x").exists()


def test_label_heads_that_command_a_terminal_are_shown_as_text(files, capsys, tmp_path):
    (tmp_path / "bad.csv").write_text("\x1b]0;owned\x07" + "h" * 10_000 + ",b\n1,2\n")
    sentence = refused(files, capsys, labels=tmp_path / "bad.csv")
    assert r"\x1b]0;owned\x07" in sentence and len(sentence) < 1_000 and sentence[:-1].isprintable()


def test_a_log_that_commands_a_terminal_is_shown_as_text(files, capsys, tmp_path):
    (tmp_path / "evil.log").write_text("\x1b[2J\x1b]8;;http://x\x07\u202eevil\x9b31m\n" * 3)
    assert refused(files, capsys, log=tmp_path / "evil.log")[:-1].isprintable()
