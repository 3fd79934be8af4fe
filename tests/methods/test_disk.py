"""What a detector keeps comes back as it was."""

import numpy as np
import pytest

from core.errors import BadInput
from core.keys import KeyNumbers
from methods.parts import disk

KEPT = {
    "a number": np.array(1.5),
    "transposed": np.arange(6, dtype=np.int64).reshape(2, 3).T,
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 4), dtype=np.float32),
}


def test_arrays_come_back_with_their_shapes_and_types(tmp_path):
    """A single number came back as a list of one, and the trees that were kept with it could not be read."""
    disk.save(tmp_path / "model", {"method": "some", "model": "any"}, KeyNumbers(["a"]), KEPT)
    _, keys, found = disk.load(tmp_path / "model", "some", None)
    assert keys.keys == ["a"] and found.keys() == KEPT.keys()
    for name, array in KEPT.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)


def test_a_detector_of_another_method_is_refused(tmp_path):
    disk.save(tmp_path / "model", {"method": "some", "model": "any"}, KeyNumbers(["a"]), KEPT)
    with pytest.raises(BadInput, match="holds a detector of some, not of other"):
        disk.load(tmp_path / "model", "other", None)
