"""The queue of questions: what it says of each key, in which order, and answers that survive the next run."""

from pathlib import Path

import polars as pl
import pytest

from core.errors import BadInput
from evaluation import triage, unseen
from tests.evaluation.test_unseen import KNOWN, SCHEMA, sequences


def queue(windows: list[str], templates: dict[str, str | None] | None = None) -> pl.DataFrame:
    found = sequences(windows)
    return triage.triage(found, unseen.unseen_keys(found, KNOWN), templates or {})


def test_the_queue_names_template_first_line_and_count():
    open_questions = queue(["ab", "ayx", "xx"], {"x": "disk <*>, full", "y": None})
    assert open_questions.rows() == [
        ("y", "y", "window 2", 4, 1, None, None, None, None),
        ("x", "disk <*>, full", "window 2", 5, 2, None, None, None, None),
    ]
    unlined = sequences(["x"]).with_columns(lines=pl.lit(None, SCHEMA["lines"]))
    assert triage.triage(unlined, unseen.unseen_keys(unlined, KNOWN), {})["first_line"].to_list() == [None]


def written(path: Path, text: str) -> Path:
    file = path / "triage.csv"
    file.write_text(text, encoding="utf-8")
    return file


HEAD = "key,template,first_sequence,first_line,count,answer\n"


def test_an_untouched_queue_is_read_back_as_it_was(tmp_path):
    untouched = queue(["ayx"], {"x": 'said "no", twice'})
    untouched.write_csv(tmp_path / "triage.csv")
    assert triage.read_answers(tmp_path / "triage.csv").equals(untouched)
    assert triage.answered(untouched) == {}


def test_answers_are_read_in_any_case_and_gaps_are_no_answers(tmp_path):
    """Spreadsheets add a mark at the beginning, rewrite numbers and end lines in their own way."""
    rows = ["x,disk,window 2,5,2, Benign ", 'y,"a, b",window 2,"1,204",1,ALERT', "00123456,c,window 3,7,1,", ""]
    found = triage.read_answers(written(tmp_path, "\ufeff" + "\r\n".join([HEAD.strip(), *rows])))
    assert triage.answered(found) == {"x": "benign", "y": "alert"}
    assert found["key"].to_list() == ["x", "y", "00123456"]


def test_answers_survive_a_fresh_queue_and_so_do_those_to_keys_it_no_longer_asks():
    old = queue(["wx", "yz"]).with_columns(answer=pl.Series(["alert", "benign", None, None]))
    kept = triage.keep_answers(queue(["a", "yx", "x"]), old)
    assert kept.select("key", "first_line", "count", "answer").rows() == [
        ("y", 2, 1, None),
        ("x", 3, 2, "benign"),
        ("w", 1, 1, "alert"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "x,disk,window 2,5,2,benign\ny,full,window 2,6,1,yes\n", "line 3: the answer 'yes' is neither benign"),
        ("key,template,count\nx,disk,3\n", "line 1 has no column first_sequence"),
        (HEAD.replace(",", ";") + "x;disk;window 2;5;2;benign\n", "line 1 has no column key, separated by commas"),
        ("", "line 1 has no column key"),
        (HEAD + "x,disk,w,5,2,benign\nx,disk,w,5,2,alert\n", "line 3: key x stands in line 2, too"),
    ],
)
def test_a_queue_that_cannot_be_used_says_where_and_what_to_do(tmp_path, text, said):
    with pytest.raises(BadInput) as raised:
        triage.read_answers(written(tmp_path, text))
    assert said in str(raised.value) and "triage.csv" in str(raised.value)
    assert "run test.ipynb" in str(raised.value)


def test_a_queue_in_another_encoding_or_not_there_is_refused_without_a_traceback(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        triage.read_answers(tmp_path / "triage.csv")
    (tmp_path / "triage.csv").write_bytes((HEAD + "x,Grüße,w,5,2,benign\n").encode("latin-1"))
    with pytest.raises(BadInput, match="cannot be read as UTF-8"):
        triage.read_answers(tmp_path / "triage.csv")
