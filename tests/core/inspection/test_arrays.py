"""Facts of the arrays in a file."""

import numpy as np
import pytest

from ganrun.errors import DataError
from ganrun.inspection.arrays import array_facts


def test_arrays_of_an_archive_with_and_without_numbers(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(6).reshape(2, 3), names=np.array(["a", "b"]), one=np.float64(3))
    found = {one.name: one for one in array_facts(tmp_path / "a.npz")}
    assert (found["x"].shape, found["x"].low, found["x"].high) == ((2, 3), 0, 5)
    assert (found["names"].low, found["one"].high) == (None, 3)


def test_pickles_and_damaged_files_are_refused(tmp_path):
    np.save(tmp_path / "p.npy", np.array([{}], object))
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="pickled objects"):
        array_facts(tmp_path / "p.npy")
    with pytest.raises(DataError, match="cannot be read as numpy's"):
        array_facts(tmp_path / "bad.npz")
