"""What experiments change before a detector learns from labels."""

import numpy as np
import polars as pl
import pytest

from core.data import Data, open_folder
from core.errors import BadInput
from runs import changes


@pytest.fixture(scope="module")
def data(labeled) -> Data:
    return open_folder(labeled)


def anomalies(part) -> list[tuple[str, ...]]:
    return [tuple(keys) for keys, label in zip(part.sequences, part.labels, strict=True) if label == 1]


def test_few_anomalies_are_those_asked_for_and_each_count_holds_the_smaller_ones(data):
    """Curves over unrelated draws would bend by chance; and no normal may be lost on the way."""
    whole = changes.nothing(data, 0)
    had = {count: changes.few_anomalies(data, 3, count) for count in (1, 5, 20)}
    for count, parts in had.items():
        assert sum(int((part.labels == 1).sum()) for part in (parts.train, parts.validation)) == count
        assert (parts.train.labels == 0).sum() == (whole.train.labels == 0).sum()
        assert parts.test is not None
        assert len(anomalies(parts.train)) >= 1
    small, large = anomalies(had[5].train), anomalies(had[20].train)
    assert all(small.count(one) <= large.count(one) for one in small)


def test_more_anomalies_than_there_are_is_all_of_them(data):
    parts, whole = changes.few_anomalies(data, 0, 10_000), changes.nothing(data, 0)
    assert sorted(anomalies(parts.train)) == sorted(anomalies(whole.train))


def test_labels_are_turned_round_in_training_and_validation_and_never_in_the_test(data):
    whole, parts = changes.nothing(data, 0), changes.flipped_labels(data, 1, 0.1)
    turned = np.mean(parts.train.labels != whole.train.labels)
    assert 0.06 < turned < 0.14
    assert (parts.validation.labels != whole.validation.labels).any()
    assert (parts.test.labels == whole.test.labels).all()
    assert parts.train.sequences == whole.train.sequences


def test_in_time_the_test_begins_after_all_that_was_learned(data):
    parts = changes.in_time(data, 0)
    rows = data.sequences.drop_nulls("label").sort("start", maintain_order=True)
    sizes = [len(part.labels) for part in (parts.train, parts.validation, parts.test)]
    assert sum(sizes) == len(rows)
    assert parts.test.sequences == rows["keys"].to_list()[-sizes[2] :]


def test_without_times_no_split_in_time(data):
    timeless = Data(data.name, data.folder, data.manifest)
    timeless.__dict__["sequences"] = data.sequences.with_columns(start=pl.lit(None))
    with pytest.raises(BadInput, match="has no times"):
        changes.in_time(timeless, 0)


def test_edits_touch_common_events_of_the_test_alone(data):
    """A rare event that went with the edit would take its label with it."""
    whole, parts = changes.nothing(data, 0), changes.unstable(data, 5, 0.3)
    common = changes.common_events(whole.train)
    changed = [a != b for a, b in zip(whole.test.sequences, parts.test.sequences, strict=True)]
    assert 0.15 < np.mean(changed) < 0.4
    for before, after in zip(whole.test.sequences, parts.test.sequences, strict=True):
        assert [key for key in before if key not in common] == [key for key in after if key not in common]
        assert after
    assert parts.train.sequences == whole.train.sequences
    assert parts.validation.sequences == whole.validation.sequences


def test_the_same_seed_gives_the_same_parts_and_another_one_others(data):
    first, again, other = (changes.unstable(data, seed, 0.3).test.sequences for seed in (1, 1, 2))
    assert first == again != other
