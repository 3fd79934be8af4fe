"""Two logs beside each other: what is new, gone, more or less frequent, and in another order."""

from math import log

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.difference import CHANGES, LEAST, changes

TEXTS = {"a": "started <*>", "b": "finished <*>", "c": "failed <*>", "d": "retried <*>"}


def of(*sequences: str) -> pl.Series:
    return pl.Series([list(keys) for keys in sequences], dtype=pl.List(pl.String))


def test_worked_by_hand():
    before, after = of(*["ab"] * 90, *["ac"] * 10), of(*["ab"] * 50, *["ac"] * 50, *["ad"] * 20)
    found = {row["template"]: row for row in changes(before, after, TEXTS).iter_rows(named=True)}
    assert found["retried <*>"]["kind"] == "new" and found["retried <*>"]["before"] == 0
    assert found["failed <*>"]["kind"] == "more frequent" and found["failed <*>"]["events"] == 50
    assert found["failed <*>"]["before"] == 0.05 and found["failed <*>"]["after"] == pytest.approx(50 / 240)
    assert found["finished <*>"]["kind"] == "less frequent" and "started <*>" not in found
    cells, totals = (10, 50), (200, 240)
    rest = [total - cell for total, cell in zip(totals, cells, strict=True)]
    expected = [sum(cells) * total / 440 for total in totals]
    left = [sum(rest) * total / 440 for total in totals]
    by_hand = 2 * sum(cell * log(cell / mean) for cell, mean in zip((*cells, *rest), (*expected, *left), strict=True))
    assert found["failed <*>"]["g_squared"] == pytest.approx(by_hand)


def test_a_vanished_template_and_another_order_are_found():
    found = changes(of(*["abc"] * 50), of(*["ba"] * 50), TEXTS)
    kinds = dict(found.select("template", "kind").iter_rows())
    assert kinds["failed <*>"] == "vanished" and kinds["finished <*>  ->  started <*>"] == "other order"
    assert "started <*>  ->  finished <*>" not in kinds


@given(st.lists(st.text("abcd", min_size=1, max_size=6), min_size=1, max_size=20))
def test_nothing_changed_beside_itself(sequences):
    found = changes(of(*sequences), of(*sequences), TEXTS)
    assert found.is_empty() and found.schema == pl.Schema(CHANGES)


def test_what_chance_explains_is_left_out():
    found = changes(of(*["ab"] * 100, "ac"), of(*["ab"] * 100, "ac", "ac"), TEXTS)
    assert found.is_empty() and LEAST > 10
