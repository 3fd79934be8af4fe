"""How papers group and split, through the command line: what is dropped is counted, what is shared is counted."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import parse_logs
from core.data import open_folder
from core.errors import BadInput
from parsing.sequences.group import Groups, by_lines
from parsing.sequences.split import TEST, TRAIN, UNUSED, VALIDATION, SplitSettings, shared_events, split_sequences
from parsing.templates.messages import UNMATCHED

BEGIN = 1_117_838_570


def parse(*arguments) -> int:
    return parse_logs.main([str(argument) for argument in arguments])


def event(second: float, message: str, label: str = "-") -> str:
    stamp = BEGIN + int(second)
    return f"{label} {stamp} 2005.06.03 R02-M1 2005-06-03-15.42.50.675872 R02-M1 RAS KERNEL INFO {message}"


def write_log(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def manifest_of(out: Path) -> dict:
    return json.loads((out / "manifest.json").read_text())


def sequences_of(out: Path) -> pl.DataFrame:
    return pl.read_parquet(out / "sequences.parquet")


def refused(capsys, *arguments) -> str:
    """The sentence of a refused command."""
    capsys.readouterr()
    assert parse(*arguments) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and "Traceback" not in printed
    return printed


@pytest.fixture(scope="module")
def bgl(tmp_path_factory) -> tuple[Path, set[int]]:
    """A BGL-like log of 1,000 lines, one every 5 s (12 a minute), and the numbers of its alert lines."""
    alerts = {500, *range(901, 905)}
    lines = [
        event(
            5 * number, f"message {'text' if number % 3 else 'core'} {number}", "KERNDTLB" if number in alerts else "-"
        )
        for number in range(1, 1_001)
    ]
    return write_log(tmp_path_factory.mktemp("bgl") / "BGL.log", lines), alerts


@pytest.fixture(scope="module")
def outs(bgl, tmp_path_factory) -> dict[str, Path]:
    """The data folder of each protocol."""
    root = tmp_path_factory.mktemp("protocols")
    for protocol in ("complete", "loggpt", "logllm", "chronological"):
        assert parse("bgl", "--log", bgl[0], "--protocol", protocol, "--out", root / protocol) == 0
    return {path.name: path for path in root.iterdir()}


# ---- the split


@given(
    labels=st.lists(st.sampled_from([0, 0, 0, 1, -1]), min_size=5, max_size=80),
    wanted=st.integers(2, 100),
    share=st.floats(0.1, 0.6),
    seed=st.integers(0, 3),
)
def test_random_training_takes_normals_only_and_everything_else_is_tested(labels, wanted, share, seed):
    labels = np.array(labels, np.int8)
    try:
        split = split_sequences(labels, None, SplitSettings("random", wanted, validation_share=share), seed)
    except BadInput:
        return
    normals = int((labels != 1).sum())
    used = wanted if wanted < normals else normals // 2
    codes = split.codes
    assert ((codes == TRAIN) | (codes == VALIDATION)).sum() == used == split.protocol["used_normals"]
    assert (codes == VALIDATION).sum() == round(used * share) > 0
    assert not (codes == UNUSED).any()
    assert (codes[labels == 1] == TEST).all()
    assert ((codes == TEST) & (labels != 1)).any()
    assert bool(split.protocol["notes"]) == (wanted >= normals or not (labels == 1).any())


def test_the_random_split_depends_on_the_seed_alone():
    labels = np.zeros(100, np.int8)
    first, again, other = (split_sequences(labels, None, SplitSettings("random", 50), seed).codes for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_the_chronological_split_by_hand():
    """Ten sequences, the first 60%: five normals, of which the last fifth validates; an anomaly there is unused."""
    labels = np.array([0, 0, 1, 0, 0, 0, 0, 1, 0, 0], np.int8)
    groups = by_lines(100, 10, 10)
    split = split_sequences(labels, groups, SplitSettings("chronological", None, train_share=0.6), seed=0)
    train, valid, test, unused = TRAIN, VALIDATION, TEST, UNUSED
    assert split.codes.tolist() == [train, train, unused, train, train, valid, test, test, test, test]
    assert split.names.to_list()[2:7] == ["unused", "train", "train", "validation", "test"]


def test_windows_that_share_a_line_across_the_border_are_unused():
    """Windows 0-4, 2-6, 4-8 ...: the first of validation and the first of the test begin inside the one before."""
    groups = by_lines(22, 4, 2)
    settings = SplitSettings("chronological", None, train_share=0.6, validation_share=0.5)
    split = split_sequences(np.zeros(10, np.int8), groups, settings, seed=0)
    assert split.codes.tolist() == [TRAIN] * 3 + [UNUSED] + [VALIDATION] * 2 + [UNUSED] + [TEST] * 3


def test_chronological_training_takes_the_first_normals_if_fewer_are_asked_for():
    groups = by_lines(100, 10, 10)
    split = split_sequences(np.zeros(10, np.int8), groups, SplitSettings("chronological", 4, 0.8, 0.25), seed=0)
    assert split.codes.tolist() == [TRAIN] * 3 + [VALIDATION] + [UNUSED] * 4 + [TEST] * 2


@st.composite
def overlapping_windows(draw) -> Groups:
    """Time windows hold any number of events: sorted starts and stops, none empty."""
    steps = draw(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=5, max_size=40))
    starts = np.cumsum([step for step, _ in steps])
    stops = np.maximum.accumulate(starts + 1 + np.array([size for _, size in steps]))
    return Groups(starts, stops)


@given(groups=overlapping_windows(), data=st.data(), share=st.floats(0.2, 0.9), validation=st.floats(0.1, 0.6))
def test_chronological_parts_follow_each_other_and_share_no_line(groups, data, share, validation):
    labels = np.array(data.draw(st.lists(st.sampled_from([0, 0, 0, 1]), min_size=len(groups), max_size=len(groups))))
    try:
        split = split_sequences(labels, groups, SplitSettings("chronological", None, share, validation), seed=0)
    except BadInput:
        assume(False)
    codes, cut = split.codes, int(len(groups) * share)
    events = int(groups.stops[-1])
    lines = {code: _lines(groups, codes == code) for code in (TRAIN, VALIDATION, TEST)}
    assert max(lines[TRAIN]) < min(lines[VALIDATION])
    assert not lines[TEST] or max(lines[VALIDATION]) < min(lines[TEST])
    assert shared_events(groups, codes, events) == 0
    assert set(codes[cut:]) <= {TEST, UNUSED} and not (codes[:cut] == TEST).any()
    assert not ((labels == 1) & ((codes == TRAIN) | (codes == VALIDATION))).any()
    learned_until = max(lines[VALIDATION])
    for place in range(len(groups)):  # unused has one of three reasons, and nothing else is unused
        if codes[place] == UNUSED and place >= cut:
            assert groups.starts[place] <= learned_until
        elif codes[place] == UNUSED:
            assert labels[place] == 1 or groups.starts[place] <= max(lines[TRAIN])


def _lines(groups: Groups, chosen: np.ndarray) -> set[int]:
    bounds = zip(groups.starts[chosen], groups.stops[chosen], strict=True)
    return {line for start, stop in bounds for line in range(start, stop)}


@pytest.mark.parametrize("kind", ["random", "chronological"])
def test_too_few_sequences_are_refused(kind):
    with pytest.raises(BadInput, match="2 normal sequences leave"):
        split_sequences(np.zeros(2, np.int8), by_lines(2, 1, 1), SplitSettings(kind, 5_000), seed=0)


def test_shared_lines_by_hand():
    """Events 2 and 3 are in the first two windows, 4 and 5 in the second and third."""
    groups = by_lines(8, 4, 2)
    assert shared_events(groups, np.array([TRAIN, TEST, UNUSED]), 8) == 2
    assert shared_events(groups, np.array([TRAIN, TEST, VALIDATION]), 8) == 4
    assert shared_events(groups, np.array([TRAIN, UNUSED, TEST]), 8) == 0
    assert shared_events(groups, np.array([TRAIN, VALIDATION, UNUSED]), 8) == 0
    assert shared_events(by_lines(8, 4, 4), np.array([TRAIN, TEST]), 8) == 0


@given(groups=overlapping_windows(), data=st.data())
def test_shared_lines_equal_brute_force(groups, data):
    codes = np.array(data.draw(st.lists(st.sampled_from(range(4)), min_size=len(groups), max_size=len(groups))))
    learned, tested = _lines(groups, (codes == TRAIN) | (codes == VALIDATION)), _lines(groups, codes == TEST)
    assert shared_events(groups, codes, int(groups.stops[-1])) == len(learned & tested)


# ---- protocols, end to end


@pytest.mark.parametrize("protocol", ["complete", "loggpt", "logllm", "chronological"])
def test_a_window_is_anomalous_if_one_of_its_lines_is(bgl, outs, protocol):
    sequences = sequences_of(outs[protocol])
    for row in sequences.iter_rows(named=True):
        assert row["event_labels"] == [int(line in bgl[1]) for line in row["lines"]]
        assert row["label"] == max(row["event_labels"])
        assert len(row["keys"]) == len(row["lines"])
    assert set(sequences["label"]) == {0, 1}
    counts = manifest_of(outs[protocol])["counts"]
    assert counts["anomalous_lines"] == len(bgl[1]) == 5
    assert counts["anomalous"] == sequences["label"].sum()


@pytest.mark.parametrize(("protocol", "size"), [("complete", 12), ("logllm", 100), ("chronological", 100)])
def test_without_overlap_every_line_is_in_exactly_one_window(outs, protocol, size):
    sequences = sequences_of(outs[protocol])
    assert sequences["lines"].explode().to_list() == list(range(1, 1_001))
    assert sequences["lines"].list.len().to_list()[:-1] == [size] * (len(sequences) - 1)
    counts = manifest_of(outs[protocol])["counts"]
    assert counts["lines"] == counts["lines_in_sequences"] == counts["events"] == 1_000
    assert counts["lines_in_test_and_training"] == counts["rejected"] == 0
    assert not any(name.startswith("dropped") for name in counts)


def test_loggpt_windows_overlap_by_half_and_the_lines_in_both_parts_are_counted(outs):
    sequences, counts = sequences_of(outs["loggpt"]), manifest_of(outs["loggpt"])["counts"]
    assert sequences["lines"].to_list()[:2] == [list(range(1, 13)), list(range(7, 19))]
    assert set(sequences["lines"].explode()) == set(range(1, 1_001)), "no line is lost"
    of = {name: set(sequences.filter(split=name)["lines"].explode()) for name in ("train", "validation", "test")}
    assert counts["lines_in_test_and_training"] == len(of["test"] & (of["train"] | of["validation"])) > 0
    assert manifest_of(outs["loggpt"])["grouping"] == {"kind": "seconds", "size": 60, "step": 30}


@pytest.mark.parametrize(("protocol", "last", "tested"), [("logllm", 800, 801), ("chronological", 500, 501)])
def test_chronological_protocols_learn_from_the_beginning(outs, protocol, last, tested):
    sequences = sequences_of(outs[protocol])
    known = sequences.filter(pl.col("split").is_in(["train", "validation"]))
    assert sequences.filter(split="test")["lines"].explode().min() == tested
    anomalous = sequences.filter(pl.col("lines").list.last() <= last, label=1)
    if protocol == "logllm":  # what learns from labels is shown them; what learns from normals is not
        data = open_folder(outs[protocol])
        assert 0 < known["label"].sum() == len(anomalous) == data.training_anomalies and len(known) == last // 100
        assert all(1 not in data.split(split)["label"] for split in ("train", "validation"))
        assert manifest_of(outs[protocol])["counts"]["unused"] == 0
    else:
        assert known["label"].sum() == 0 and set(anomalous["split"]) <= {"unused"}
        assert len(known) + len(anomalous) == last // 100
        assert manifest_of(outs[protocol])["counts"]["unused"] == len(anomalous) == 1
    train_end = sequences.filter(split="train")["lines"].explode().max()
    assert train_end < sequences.filter(split="validation")["lines"].explode().min()


def test_a_window_has_the_times_of_its_first_and_last_line(outs):
    row = sequences_of(outs["complete"]).row(0, named=True)
    assert row["sequence_id"] == "window 1"
    assert (str(row["start"]), str(row["end"])) == ("2005-06-03 22:42:55", "2005-06-03 22:43:50")


def test_the_manifest_names_the_protocol_and_its_source(outs):
    for name, out in outs.items():
        assert manifest_of(out)["split"]["protocol"]["name"] == name
        assert manifest_of(out)["split"]["protocol"]["source"]


@pytest.fixture(scope="module")
def bursts(tmp_path_factory) -> Path:
    """A minute of 513 lines, one of a single line, one of 512, and 30 of 2; between two there is an empty one."""
    sizes = [513, 1, 512] + [2] * 30
    lines = [event(120 * minute, f"tick {i}") for minute, size in enumerate(sizes) for i in range(size)]
    return write_log(tmp_path_factory.mktemp("bursts") / "BGL.log", lines)


def test_the_faults_of_a_paper_drop_windows_only_on_request_and_are_counted(bursts, tmp_path):
    """Every line is in [0, 60) and all but those of the first minute in the window that began 30 s before, too."""
    assert parse("bgl", "--log", bursts, "--protocol", "loggpt", "--out", tmp_path / "kept") == 0
    counts = manifest_of(tmp_path / "kept")["counts"]
    assert (counts["sequences"], counts["events"]) == (65, 513 + 2 * (1 + 512 + 60))
    assert not any(name.startswith("dropped") for name in counts)

    arguments = ("--protocol", "loggpt", "--paper-faults", "--out", tmp_path / "dropped")
    assert parse("bgl", "--log", bursts, *arguments) == 0
    counts = manifest_of(tmp_path / "dropped")["counts"]
    assert counts["dropped_long_sequences"] == 1
    assert counts["dropped_short_sequences"] == 2
    assert counts["dropped_events"] == 515
    assert (counts["sequences"], counts["events"]) == (62, 2 * (512 + 60))
    sizes = sequences_of(tmp_path / "dropped")["keys"].list.len()
    assert (sizes.min(), sizes.max()) == (2, 512)


def test_faults_that_drop_sessions_leave_the_others_their_labels(tmp_path):
    """The labels of all sessions were given to those that are left: one too many, and shifted."""
    log = "081109 203530 147 INFO dfs.DataNode: served block blk_{}"
    sizes = [2] * 20
    sizes[3] = 1
    lines = [log.format(number) for number, size in enumerate(sizes) for _ in range(size)]
    write_log(tmp_path / "h.log", lines)
    labels = [f"blk_{number},{'Anomaly' if number == 7 else 'Normal'}" for number in range(20)]
    (tmp_path / "labels.csv").write_text("\n".join(["BlockId,Label", *labels]))
    arguments = (
        "--log",
        tmp_path / "h.log",
        "--labels",
        tmp_path / "labels.csv",
        "--protocol",
        "loggpt",
        "--paper-faults",
    )
    assert parse("hdfs", *arguments, "--out", tmp_path / "d") == 0
    sequences = sequences_of(tmp_path / "d")
    assert len(sequences) == 19 == 20 - manifest_of(tmp_path / "d")["counts"]["dropped_short_sequences"]
    assert sequences.filter(label=1)["sequence_id"].to_list() == ["blk_7"]


# ---- options of grouping


@pytest.mark.parametrize(
    ("options", "first", "second"),
    [
        (("--window", "30s"), range(1, 7), range(7, 13)),
        (("--window", "1m", "--step", "20s"), range(1, 13), range(5, 17)),
        (("--window", "0.5m"), range(1, 7), range(7, 13)),
        (("--window", "60"), range(1, 13), range(13, 25)),
        (("--window-lines", "50"), range(1, 51), range(51, 101)),
        (("--window-lines", "50", "--step-lines", "10"), range(1, 51), range(11, 61)),
        (("--protocol", "chronological", "--window", "30s"), range(1, 7), range(7, 13)),
    ],
)
def test_windows_and_steps_are_options(bgl, tmp_path, options, first, second):
    assert parse("bgl", "--log", bgl[0], *options, "--out", tmp_path / "d") == 0
    assert sequences_of(tmp_path / "d")["lines"].to_list()[:2] == [list(first), list(second)]
    assert set(sequences_of(tmp_path / "d")["lines"].explode()) == set(range(1, 1_001))


@pytest.mark.parametrize(
    "options",
    [
        ("--window", "60s", "--step", "61s"),
        ("--window", "60s", "--step", "0s"),
        ("--window", "0s"),
        ("--window", "soon"),
        ("--window", "1.2.3s"),
        ("--window-lines", "0"),
        ("--window-lines", "-5"),
        ("--window-lines", "5", "--step-lines", "0"),
        ("--window-lines", "5", "--step-lines", "6"),
        ("--window-lines", "5", "--window", "60s"),
        ("--step", "10s"),
        ("--step-lines", "10"),
        ("--window-lines", "5", "--step", "10s"),
        ("--lines", "10-5"),
        ("--lines", "0-5"),
        ("--lines", "five"),
        ("--lines", "2000-3000"),
        ("--train-normals", "1"),
        ("--validation-share", "1"),
    ],
)
def test_options_that_make_no_sense_are_refused_and_not_ignored(bgl, tmp_path, capsys, options):
    refused(capsys, "bgl", "--log", bgl[0], *options, "--out", tmp_path / "d")
    assert not list(tmp_path.iterdir())


def test_sessions_and_windows_together_are_refused(small_log, tmp_path, capsys):
    """The labels of sessions were given to windows in the order of both."""
    log, labels = small_log
    arguments = ("hdfs", "--log", log, "--labels", labels, "--window", "60s", "--out", tmp_path / "d")
    assert "grouped by its sessions" in refused(capsys, *arguments)


def test_labels_for_a_log_without_sessions_are_refused(bgl, small_log, tmp_path, capsys):
    assert "sessions" in refused(capsys, "bgl", "--log", bgl[0], "--labels", small_log[1], "--out", tmp_path / "d")


@pytest.mark.parametrize(("lines", "first", "last"), [("101-700", 101, 700), ("401-", 401, 1_000), ("1-300", 1, 300)])
def test_a_range_of_lines_keeps_the_numbers_of_the_log(bgl, tmp_path, lines, first, last):
    assert parse("bgl", "--log", bgl[0], "--lines", lines, "--out", tmp_path / "d") == 0
    assert sequences_of(tmp_path / "d")["lines"].explode().to_list() == list(range(first, last + 1))
    assert manifest_of(tmp_path / "d")["counts"]["lines"] == last - first + 1
    templates = pl.read_csv(tmp_path / "d" / "templates.csv")
    assert templates["count"].sum() == last - first + 1
    assert templates["first_line"].min() == first


def test_lines_back_in_time_are_counted_and_sorted_into_their_window(bgl, tmp_path):
    lines = bgl[0].read_text().splitlines()
    lines[20], lines[500] = lines[500], lines[20]
    log = write_log(tmp_path / "b.log", lines)
    assert parse("bgl", "--log", log, "--out", tmp_path / "d") == 0
    assert manifest_of(tmp_path / "d")["counts"]["lines_back_in_time"] == 2
    second = sequences_of(tmp_path / "d")["lines"].to_list()[1]
    assert second == [*range(13, 21), 501, *range(22, 25)]


# ---- keys of lines that training has never seen


@pytest.fixture(scope="module")
def late(tmp_path_factory) -> Path:
    """600 lines; in the last fifth, the test of the protocol logllm, every second has a message of its own."""
    lines = [event(number, f"message text {number}") for number in range(600)]
    for number in range(500, 600, 2):
        lines[number] = event(number, f"machine check interrupt at rack {number} of nine", "KERNMC")
    return write_log(tmp_path_factory.mktemp("late") / "BGL.log", lines)


def keys_by_message(out: Path, log: Path) -> dict[str, set[str]]:
    """The keys of the lines, by the first word of their message."""
    lines, words = log.read_text().splitlines(), {}
    for row in sequences_of(out).iter_rows(named=True):
        for line, key in zip(row["lines"], row["keys"], strict=True):
            words.setdefault(lines[line - 1].split(" ")[9], set()).add(key)
    return words


def test_mining_the_training_lines_leaves_test_lines_of_a_new_template_unmatched(late, tmp_path):
    assert parse("bgl", "--log", late, "--protocol", "logllm", "--mine", "train", "--out", tmp_path / "d") == 0
    words = keys_by_message(tmp_path / "d", late)
    assert words["machine"] == {UNMATCHED}
    assert len(words["message"]) == 1 and UNMATCHED not in words["message"]
    learned = sequences_of(tmp_path / "d").filter(pl.col("split").is_in(["train", "validation"]))
    assert UNMATCHED not in set(learned["keys"].explode())
    templates = pl.read_csv(tmp_path / "d" / "templates.csv")
    assert templates.filter(key=UNMATCHED).select("template", "count", "first_line").rows() == [(None, 50, 501)]
    assert manifest_of(tmp_path / "d")["split"]["mined"] == "train"


def test_mining_the_whole_log_gives_every_line_a_key(late, tmp_path):
    assert parse("bgl", "--log", late, "--protocol", "logllm", "--out", tmp_path / "d") == 0
    words = keys_by_message(tmp_path / "d", late)
    assert len(words["machine"]) == len(words["message"]) == 1
    assert words["machine"] != words["message"] and UNMATCHED not in words["machine"] | words["message"]


def test_templates_of_an_earlier_run_give_the_same_keys_and_unmatched_to_new_messages(late, tmp_path):
    assert parse("bgl", "--log", late, "--lines", "1-500", "--out", tmp_path / "early") == 0
    templates = tmp_path / "early" / "templates.csv"
    assert parse("bgl", "--log", late, "--templates", templates, "--out", tmp_path / "d") == 0
    words = keys_by_message(tmp_path / "d", late)
    assert words == {"message": keys_by_message(tmp_path / "early", late)["message"], "machine": {UNMATCHED}}
    assert manifest_of(tmp_path / "d")["split"]["mined"] == "templates.csv"


def test_templates_that_match_a_part_say_how_many_lines_they_leave(late, tmp_path, capsys):
    assert parse("bgl", "--log", late, "--lines", "1-500", "--out", tmp_path / "early") == 0
    templates = tmp_path / "early" / "templates.csv"
    capsys.readouterr()
    assert parse("bgl", "--log", late, "--templates", templates, "--out", tmp_path / "d") == 0
    assert "50 of 600 lines match none of the templates" in capsys.readouterr().out
    assert parse("bgl", "--log", late, "--lines", "1-510", "--templates", templates, "--out", tmp_path / "e") == 0
    assert "match none" not in capsys.readouterr().out


def test_templates_of_another_log_are_refused(late, tmp_path, capsys):
    """Every line became `unmatched` without a word."""
    (tmp_path / "other.csv").write_text("key,template\nabcd1234,job <*> is done\n")
    arguments = ("bgl", "--log", late, "--templates", tmp_path / "other.csv", "--out", tmp_path / "d")
    assert "other.csv matches none of 600 lines" in refused(capsys, *arguments)
    assert not (tmp_path / "d").exists()


def test_lines_without_a_message_keep_their_key_in_a_later_run(tmp_path):
    """In templates.csv their template, the empty one, looks like that of unmatched lines."""
    log = write_log(tmp_path / "b.log", [event(number, f"text {number}" if number % 4 else "") for number in range(20)])
    arguments = ("bgl", "--log", log, "--window-lines", 2)
    assert parse(*arguments, "--out", tmp_path / "first") == 0
    assert parse(*arguments, "--templates", tmp_path / "first" / "templates.csv", "--out", tmp_path / "second") == 0
    assert sequences_of(tmp_path / "second").equals(sequences_of(tmp_path / "first"))
    assert UNMATCHED not in set(sequences_of(tmp_path / "second")["keys"].explode())


def test_all_templates_of_a_run_give_that_run_again(sample, tmp_path):
    arguments = ("sample", "--templates", sample / "templates.csv", "--out", tmp_path / "again")
    assert parse(*arguments) == 0
    assert sequences_of(tmp_path / "again").equals(sequences_of(sample))


@pytest.mark.parametrize("content", [None, "", "key,count\na,1\n", "key,template\na,\n", "\x00\xff"])
def test_templates_that_are_none_are_refused(bgl, tmp_path, capsys, content):
    path = tmp_path / "templates.csv"
    if content is not None:
        path.write_text(content, encoding="latin-1")
    arguments = ("bgl", "--log", bgl[0], "--templates", path, "--out", tmp_path / "d")
    assert "templates.csv" in refused(capsys, *arguments)


# ---- logs without labels, and keys that somebody else made


def test_a_log_without_labels_has_none(tmp_path):
    log = write_log(
        tmp_path / "own.log",
        [
            f"2024-02-29 23:59:{number:02d} INFO web: request req-{number % 20:x} took {number} ms"
            for number in range(60)
        ],
    )
    header = "<Date> <Time> <Level> <Component>: <Content>"
    assert parse(log, "--format", header, "--session", "req-[0-9a-f]+", "--out", tmp_path / "d") == 0
    sequences = sequences_of(tmp_path / "d")
    assert sequences["label"].null_count() == sequences["event_labels"].null_count() == len(sequences) == 20
    assert sequences["sequence_id"].to_list() == [f"req-{number:x}" for number in range(20)]
    assert sequences["lines"].to_list()[1] == [2, 22, 42]
    assert any("There are no labels" in note for note in manifest_of(tmp_path / "d")["split"]["notes"])


@pytest.fixture
def stream(tmp_path) -> pl.DataFrame:
    """100 lines of three keys; lines 61 and 62 are anomalous."""
    labels = [int(line in (61, 62)) for line in range(1, 101)]
    return pl.DataFrame({"key": [f"E{line % 3}" for line in range(1, 101)], "label": labels})


def test_a_stream_of_keys_is_cut_into_line_windows(stream, tmp_path):
    stream.write_parquet(tmp_path / "keys.parquet")
    arguments = ("mine", "--key-stream", tmp_path / "keys.parquet", "--window-lines", 10, "--out", tmp_path / "d")
    assert parse(*arguments) == 0
    sequences = sequences_of(tmp_path / "d")
    assert sequences["keys"].explode().to_list() == stream["key"].to_list()
    assert sequences["event_labels"].explode().to_list() == stream["label"].to_list()
    assert sequences["lines"].to_list()[6] == list(range(61, 71))
    assert sequences["label"].to_list() == [0] * 6 + [1] + [0] * 3
    assert sequences["start"].null_count() == 10
    counts = manifest_of(tmp_path / "d")["counts"]
    assert (counts["lines"], counts["sequences"], counts["anomalous_lines"], counts["templates"]) == (100, 10, 2, 3)
    assert dict(pl.read_csv(tmp_path / "d" / "templates.csv").select("key", "count").iter_rows()) == {
        "E0": 33, "E1": 34, "E2": 33
    }  # fmt: skip


def test_a_stream_under_the_chronological_protocol_shares_no_line(stream, tmp_path):
    stream.write_parquet(tmp_path / "keys.parquet")
    arguments = ("mine", "--key-stream", tmp_path / "keys.parquet", "--protocol", "chronological")
    windows = ("--window-lines", 10, "--step-lines", 5)
    assert parse(*arguments, *windows, "--out", tmp_path / "d") == 0
    counts = manifest_of(tmp_path / "d")["counts"]
    assert counts["sequences"] == 19 and counts["lines_in_test_and_training"] == 0
    sequences = sequences_of(tmp_path / "d")
    assert sequences.filter(split="train")["lines"].explode().max() < (
        sequences.filter(split="test")["lines"].explode().min()
    )


@pytest.mark.parametrize("labels", [None, [None] * 100])
def test_a_stream_without_labels_has_none(stream, tmp_path, labels):
    stream = stream.drop("label") if labels is None else stream.with_columns(label=pl.Series(labels, dtype=pl.Int64))
    stream.write_parquet(tmp_path / "keys.parquet")
    arguments = ("mine", "--key-stream", tmp_path / "keys.parquet", "--window-lines", 10, "--out", tmp_path / "d")
    assert parse(*arguments) == 0
    sequences = sequences_of(tmp_path / "d")
    assert sequences["label"].null_count() == 10
    assert set(sequences["event_labels"].explode()) == {None}, "-1 is how the store spells it, not the folder"


@pytest.mark.parametrize(
    "columns",
    [
        {"message": ["E1"] * 100},
        {"key": ["E1"] * 99 + [None]},
        {"key": []},
        {"key": ["E1"] * 100, "label": ["Anomaly"] * 100},
        {"key": ["E1"] * 100, "label": [7] * 100},
        {"key": [["E1"]] * 100},
    ],
)
def test_a_stream_with_other_columns_is_refused(tmp_path, capsys, columns):
    pl.DataFrame(columns).write_parquet(tmp_path / "keys.parquet")
    arguments = ("mine", "--key-stream", tmp_path / "keys.parquet", "--window-lines", 10, "--out", tmp_path / "d")
    assert "keys.parquet" in refused(capsys, *arguments)
    assert not (tmp_path / "d").exists()


ALTERNATING = [0, 1] * 5 + [0] * 90


@pytest.mark.parametrize(
    "labels",
    [
        ALTERNATING,
        [float(label) for label in ALTERNATING],
        [bool(label) for label in ALTERNATING],
        [str(label) for label in ALTERNATING],
        [f"{label}.0" for label in ALTERNATING],
    ],
)
def test_labels_of_lines_are_0_and_1_however_they_are_spelled(tmp_path, labels):
    path, none = tmp_path / "keys.parquet", [None] * 10
    pl.DataFrame({"key": ["E1"] * 110, "label": labels + none}).write_parquet(path)
    assert parse("mine", "--key-stream", path, "--window-lines", 10, "--out", tmp_path / "d") == 0
    assert sequences_of(tmp_path / "d")["event_labels"].explode().to_list() == ALTERNATING + none


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.99, "0.99"), (0.5, "0.5"), (2, "2"), (-1, "-1"), (float("nan"), "nan"), ("yes", "'yes'"), ([1], "[")],
)
def test_a_label_between_normal_and_anomalous_is_refused_with_its_row(tmp_path, capsys, value, said):
    """A label of 0.99 became 0: an anomaly to be learned from."""
    labels = [None] * 40 + [value] + [None] * 10
    pl.DataFrame({"key": ["E1"] * 51, "label": labels}).write_parquet(tmp_path / "keys.parquet")
    arguments = ("mine", "--key-stream", tmp_path / "keys.parquet", "--window-lines", 10, "--out", tmp_path / "d")
    assert f"keys.parquet row 41: the label is {said}" in refused(capsys, *arguments)


@pytest.mark.parametrize("content", [None, b"", b"key,label\nE1,0\n", b"PAR1 broken PAR1"])
def test_a_stream_that_is_no_parquet_is_refused(tmp_path, capsys, content):
    if content is not None:
        (tmp_path / "keys.parquet").write_bytes(content)
    arguments = ("mine", "--key-stream", tmp_path / "keys.parquet", "--window-lines", 10, "--out", tmp_path / "d")
    assert "keys.parquet" in refused(capsys, *arguments)


def test_a_stream_in_time_windows_is_refused(stream, tmp_path, capsys):
    stream.write_parquet(tmp_path / "keys.parquet")
    arguments = ("mine", "--key-stream", tmp_path / "keys.parquet", "--window", "60s", "--out", tmp_path / "d")
    assert "no times" in refused(capsys, *arguments)


def test_a_line_that_names_blocks_of_test_and_training_is_counted(tmp_path):
    """Such a line is an event of both; a leak report that looks at events alone would call it none."""
    log, labels = tmp_path / "chain.log", tmp_path / "labels.csv"
    header = "081109 203530 1 INFO dfs.FSNamesystem: BLOCK* ask 10.0.0.1:50010 to delete"
    log.write_text("".join(f"{header} blk_{number} blk_{number + 1}\n" for number in range(20)))
    labels.write_text("BlockId,Label\n" + "".join(f"blk_{number},Normal\n" for number in range(21)))
    out = tmp_path / "d"
    assert parse_logs.main(["hdfs", "--log", str(log), "--labels", str(labels), "--out", str(out)]) == 0
    splits = dict(pl.read_parquet(out / "sequences.parquet").select("sequence_id", "split").iter_rows())
    pairs = [{splits[f"blk_{number}"], splits[f"blk_{number + 1}"]} for number in range(20)]
    shared = sum("test" in pair and len(pair) == 2 for pair in pairs)
    assert shared > 0
    assert json.loads((out / "manifest.json").read_text())["counts"]["lines_in_test_and_training"] == shared


def test_ids_of_identical_windows_differ(tmp_path):
    """Under LogGPT's overlap a line alone in its minute is in two windows; a repeated id would multiply joins."""
    log = tmp_path / "bgl.log"
    row = "- {} 2005.06.03 R02-M1 2005-06-03-15.42.50.675872 R02-M1 RAS KERNEL INFO message\n"
    log.write_text("".join(row.format(1_117_838_570 + 100 * number) for number in range(20)))
    out = tmp_path / "d"
    assert parse_logs.main(["bgl", "--log", str(log), "--protocol", "loggpt", "--out", str(out)]) == 0
    ids = pl.read_parquet(out / "sequences.parquet")["sequence_id"]
    assert len(ids) > 20
    assert ids.n_unique() == len(ids)
