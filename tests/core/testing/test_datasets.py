"""The checks of data sets."""

import torch
from wrong_plugins import failing, plugin_of

from ganrun.data.reader import InMemory
from ganrun.words.spaces import Space


def test_a_data_set_whose_splits_are_one_fails():
    class Wrong(InMemory):
        """Wrong."""

        def __init__(self, files, split):
            super().__init__({"x": torch.arange(64.0).reshape(32, 2)}, {"x": Space("points", (2,))}, [])

    assert {"check_splits_differ", "check_refuses_other_splits", "check_fingerprint"} <= failing(
        plugin_of("dataset", Wrong)
    )
