"""Fixtures of plugins' tests."""

import pytest

from ganrun.words.spaces import DataFiles


@pytest.fixture
def files(tmp_path):
    """Where a data set finds files: in a folder of the test's own."""
    return DataFiles(tmp_path, tmp_path / "cache")
