"""The checks of data sets."""

import pytest
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


def of_classes(order):
    """A data set whose items are numbered class after class, read in this order."""

    class Sorted(InMemory):
        """Wrong, unless it is shuffled."""

        def __init__(self, files, split):
            label = torch.arange(400) // 200
            x = torch.rand(400, 2, generator=torch.Generator().manual_seed(len(split)))
            spaces = {"x": Space("points", (2,)), "label": Space("labels", (), 2)}
            super().__init__({"x": x, "label": label}, spaces, ["a", "b"])
            self.order = order

    return plugin_of("dataset", Sorted)


@pytest.mark.parametrize(("order", "wrong"), [("shuffled", set()), ("sequential", {"first_samples_are_a_fair_draw"})])
def test_data_in_the_order_of_their_classes_fail_if_they_are_read_in_it(order, wrong):
    found = failing(of_classes(order))
    assert {name for name in found if "first" in name} == {f"check_{name}" for name in wrong}


def test_images_that_grow_brighter_fail_if_they_are_read_in_their_order():
    class Brighter(InMemory):
        """Wrong."""

        order = "sequential"

        def __init__(self, files, split):
            x = (torch.arange(200) + len(split)).to(torch.uint8).view(200, 1, 1, 1).repeat(1, 1, 4, 4)
            super().__init__({"x": x}, {"x": Space("image", (1, 4, 4))}, [])

    assert "check_first_samples_are_a_fair_draw" in failing(plugin_of("dataset", Brighter))
