"""Answers about reworded templates: nothing is mapped before a person has said so, and slips end in a sentence."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import evolution
from core.errors import BadInput

HEAD = ",".join(evolution.EVOLUTION_SCHEMA) + "\n"


def written(folder: Path, rows: str) -> Path:
    path = folder / evolution.EVOLUTION
    path.write_text(HEAD + rows, encoding="utf-8")
    return path


def test_only_what_is_answered_same_is_read_as_its_old_key(tmp_path):
    rows = "x,Reading,a,Read,.5,-1,true,3, SAME \ny,Shut,b,Close,.1,-2,false,1,New\nz,Other,a,Read,.2,-3,true,1,\n"
    table = evolution.read_evolution(written(tmp_path, rows))
    assert table.schema == evolution.EVOLUTION_SCHEMA
    assert table["answer"].to_list() == ["same", "new", None]
    assert table["old_vanished"].to_list() == [True, False, True]
    old = evolution.accepted(table)
    assert old == {"x": "a"}
    assert evolution.apply([["x", "y"], ["z", "a", "x"], []], old) == [["a", "y"], ["z", "a", "a"], []]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("x,Reading,a,Read,.5,-1,true,3,perhaps\n", "line 2: the answer 'perhaps' is neither same nor new"),
        ("x,Reading,a,Read,.5,-1,true,3,\nx,Reading,a,Read,.5,-1,true,3,\n", "line 3: key x stands in line 2, too"),
        ("y,Shut,b,Close,.5,-1,true,3,new\nx,Reading,,,,,,3,same\n", "line 3: the answer same needs a proposed_key"),
    ],
)
def test_an_unclear_answer_is_refused_with_file_and_line(tmp_path, rows, said):
    """A wrong word that counted as no answer would lose a person's work in silence."""
    with pytest.raises(BadInput) as raised:
        evolution.read_evolution(written(tmp_path, rows))
    assert said in str(raised.value) and "evolution.csv" in str(raised.value)


def test_a_formula_in_a_template_comes_back_as_it_was_and_is_none_to_a_spreadsheet(tmp_path):
    cells = ["=x", "=SUM(1)", "=a", "+1", 0.5, -1.0, True, 3, "same"]
    evolution.write_evolution(tmp_path, pl.DataFrame([cells], evolution.EVOLUTION_SCHEMA, orient="row"))
    assert ",=SUM" not in (tmp_path / evolution.EVOLUTION).read_text()
    assert evolution.read_evolution(tmp_path / evolution.EVOLUTION).row(0) == tuple(cells)


KEYS = st.lists(st.lists(st.sampled_from("abxy"), max_size=5), max_size=4)


@given(KEYS)
def test_without_answers_nothing_changes_and_lengths_never_do(sequences):
    assert evolution.apply(sequences, {}) == sequences
    assert [*map(len, evolution.apply(sequences, {"x": "a"}))] == [*map(len, sequences)]
