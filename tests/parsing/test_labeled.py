"""Splits that keep labeled anomalies in training, logs without a parser, and words for keys made elsewhere."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import parse_logs
from core.data import open_folder
from core.errors import BadInput
from parsing.sequences.split import TEST, TRAIN, UNUSED, VALIDATION, SplitSettings, split_sequences
from parsing.templates.masks import MESSAGE_MASKS, masked

SUPERVISED = SplitSettings("labeled", None, train_share=0.9, validation_share=1 / 9)


def settings(**changes) -> SplitSettings:
    return SplitSettings(**{**vars(SUPERVISED), **changes})


def parse(*words) -> int:
    return parse_logs.main([*map(str, words)])


def refused(capsys, *words) -> str:
    capsys.readouterr()
    assert parse(*words) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


# ----------------------------------------------------------------------------------------------------------- splits


def test_a_hundred_sequences_are_split_80_10_10_with_their_labels():
    labels = np.array([1] * 20 + [0] * 80)
    codes = split_sequences(labels, None, SUPERVISED, seed=0).codes
    assert [int((codes == code).sum()) for code in (TRAIN, VALIDATION, TEST, UNUSED)] == [80, 10, 10, 0]
    assert (labels[codes == TRAIN] == 1).any()


def test_in_time_anomalies_stay_where_they_came():
    labels = np.array([0, 1] * 50)
    in_time = SplitSettings("labeled_in_time", None, train_share=0.8, validation_share=0.1)
    codes = split_sequences(labels, None, in_time, seed=0).codes
    assert codes.tolist() == [TRAIN] * 72 + [VALIDATION] * 8 + [TEST] * 20


LABELS = st.lists(st.sampled_from([0, 0, 0, 1, -1]), min_size=60, max_size=200).map(np.array)


@given(LABELS, st.integers(0, 99), st.integers(1, 20))
def test_parts_are_whole_nested_over_anomalies_and_never_touch_the_test(labels, seed, count):
    """Comparing few labels with many must not compare two tests, or two draws."""
    try:
        everything = split_sequences(labels, None, SUPERVISED, seed).codes
        some, more = (split_sequences(labels, None, settings(anomalies=n), seed).codes for n in (count, count + 3))
    except BadInput:
        return
    assert (everything[labels == -1] == UNUSED).all() and (everything[labels != -1] != UNUSED).all()
    learned = [set(np.flatnonzero((codes <= VALIDATION) & (labels == 1))) for codes in (some, more, everything)]
    assert learned[0] <= learned[1] <= learned[2] and len(learned[0]) == min(count, len(learned[2]))
    for codes in (some, more):
        assert ((codes == TEST) == (everything == TEST)).all()
        assert (codes[labels == 0] == everything[labels == 0]).all()


def test_one_label_is_for_training_and_validation_gets_its_share_of_many():
    labels = np.array([1] * 100 + [0] * 900)
    kept = {}
    for count in (1, 10, 50):
        codes = split_sequences(labels, None, settings(anomalies=count), seed=3).codes
        kept[count] = [int(((codes == code) & (labels == 1)).sum()) for code in (TRAIN, VALIDATION)]
    assert kept[1] == [1, 0] and all(sum(kept[count]) == count for count in kept) and kept[50][1] > 0


@pytest.mark.parametrize("labels", [[0] * 50, [1] * 50, [-1] * 50])
def test_labels_of_one_class_teach_nothing(labels):
    with pytest.raises(BadInput, match="normals alone"):
        split_sequences(np.array(labels), None, SUPERVISED, seed=0)


def test_what_learns_from_normals_sees_none_of_the_labeled_anomalies(small_log, tmp_path):
    """The same folder serves both kinds; an anomaly among the normals would be learned as normal."""
    log, labels = small_log
    assert parse("hdfs", "--log", log, "--labels", labels, "--protocol", "supervised", "--out", tmp_path / "d") == 0
    data = open_folder(tmp_path / "d")
    shown = data.labeled("train")
    normals = [keys for keys, label in zip(*shown, strict=True) if label == 0]
    assert shown.labels.sum() > 0 and data.keys("train") == normals and 1 not in data.split("validation")["label"]
    assert data.split("test").equals(data.whole("test"))
    assert data.known_keys == {key for keys in normals for key in keys}


def test_split_again_it_is_split_the_same_way(small_log, tmp_path):
    log, labels = small_log
    wanted = ("--protocol", "supervised", "--labels-share", "0.5")
    assert parse("hdfs", "--log", log, "--labels", labels, *wanted, "--out", tmp_path / "d") == 0
    assert parse("x", "--resplit", tmp_path / "d", "--seed", "0", "--out", tmp_path / "same") == 0
    assert parse("x", "--resplit", tmp_path / "d", "--seed", "1", "--out", tmp_path / "other") == 0
    first, same, other = (open_folder(tmp_path / name) for name in ("d", "same", "other"))
    assert first.sequences.equals(same.sequences) and not first.sequences.equals(other.sequences)
    assert other.manifest["split"]["rule"] == first.manifest["split"]["rule"]
    assert (
        0 < first.training_anomalies < (first.sequences["label"] == 1).sum() - (first.whole("test")["label"] == 1).sum()
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--anomalies", "3"], "add --protocol supervised"),
        (["--protocol", "supervised", "--anomalies", "0"], "give 1 or more"),
        (["--protocol", "supervised", "--labels-share", "1.5"], "no share"),
        (["--protocol", "supervised", "--anomalies", "3", "--labels-share", "0.5"], "give one of them"),
    ],
)
def test_how_many_labels_is_said_in_one_way_and_in_range(small_log, tmp_path, capsys, words, said):
    log, labels = small_log
    assert said in refused(capsys, "hdfs", "--log", log, "--labels", labels, *words, "--out", tmp_path / "d")
    assert not (tmp_path / "d").exists()


# ------------------------------------------------------------------------------------------------- without a parser


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Received block blk_-16 of size 91178 from /10.250.10.6", "Received block <*> of size <*> from <*>"),
        ("ready is True or false, trueness is kept", "ready is <*> or <*>, trueness is kept"),
        ("two of nine billion, nobody", "<*> of <*> <*>, nobody"),
        ("on Friday, Fri, Jun 3 and June 14", "on <*>, <*>, <*> and <*>"),
        ("10.0.0.1:80 saw 00:0a:95:9d:68:16", "<*> saw <*>"),
        ("open /var/log/messages by root@node-7x", "open <*> by <*>"),
        ("at deadbeef or cafebabe00", "at <*> or <*>"),
        ("iar 003a90fc dear......c", "iar <*> dear..c"),
        ("fatal error in system", "fatal error in system"),
    ],
)
def test_variable_parts_are_blanked_and_words_stay(message, expected):
    found = pl.select(pl.lit(message).alias("m")).select(masked(pl.col("m"), MESSAGE_MASKS)).item()
    assert found == expected


def test_without_a_parser_each_masked_message_is_a_key_with_its_words(small_log, tmp_path):
    log, labels = small_log
    assert parse("hdfs", "--log", log, "--labels", labels, "--mine", "none", "--out", tmp_path / "d") == 0
    data = open_folder(tmp_path / "d")
    assert data.manifest["split"]["mined"] == "none"
    assert None not in data.templates.values() and len(set(data.templates.values())) == len(data.templates)
    assert data.texts([data.keys("train")[0]])[0][0] in data.templates.values()


def test_without_a_parser_there_are_no_templates_to_match(small_log, tmp_path, capsys):
    wanted = ("hdfs", "--log", small_log[0], "--labels", small_log[1], "--mine", "none", "--templates", "x.csv")
    assert "leave out --templates" in refused(capsys, *wanted, "--out", tmp_path / "d")


# --------------------------------------------------------------------------------------- words of keys made elsewhere


@pytest.fixture
def keys(tmp_path):
    """Normal and abnormal key sequences, as somebody else's parser wrote them."""
    (tmp_path / "normal.txt").write_text("a b\n" * 40)
    (tmp_path / "abnormal.txt").write_text("a c\n" * 20)
    return tmp_path / "normal.txt", tmp_path / "abnormal.txt"


def test_keys_get_their_words_and_what_lacks_them_is_said(keys, tmp_path, capsys):
    (tmp_path / "words.csv").write_text('key,template\na,"open, <*>"\nb,close <*>\n')
    assert parse("x", "--keys", *keys, "--templates", tmp_path / "words.csv", "--out", tmp_path / "d") == 0
    assert "no words for 1 of 3 keys, such as 'c', with 20 events" in capsys.readouterr().out
    data = open_folder(tmp_path / "d")
    assert data.templates == {"a": "open, <*>", "b": "close <*>", "c": None}
    assert data.texts([["a", "b"]]) == [["open, <*>", "close <*>"]] and data.manifest["words"]["file"] == "words.csv"
    with pytest.raises(BadInput, match="no words for 1 of its keys, such as 'c'"):
        data.texts([["a", "c"]])


def test_a_key_stream_gets_its_words(tmp_path):
    pl.DataFrame({"key": ["E1", "E2"] * 500, "label": [0] * 999 + [1]}).write_parquet(tmp_path / "s.parquet")
    (tmp_path / "words.csv").write_text("key,template\nE1,one\nE2,two\n")
    stream = ("--key-stream", tmp_path / "s.parquet", "--templates", tmp_path / "words.csv")
    assert parse("x", *stream, "--protocol", "logllm", "--out", tmp_path / "d") == 0
    assert open_folder(tmp_path / "d").templates == {"E1": "one", "E2": "two"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"key,text\na,b\n", "has no column template"),
        (b"key,template\na,b\na,c\n", "line 3: key 'a' has other words"),
        (b"key,template\nz,b\n", "words for none of 3 keys"),
        (b"key,template\na\n", "line 2 has 1 cells"),
        (b"\xff\xfe", "UTF-8"),
        (b"", "has no column key"),
    ],
)
def test_words_that_do_not_fit_are_one_sentence(keys, tmp_path, capsys, content, said):
    (tmp_path / "words.csv").write_bytes(content)
    words = ("x", "--keys", *keys, "--templates", tmp_path / "words.csv", "--out", tmp_path / "d")
    assert said in refused(capsys, *words) and not (tmp_path / "d").exists()
