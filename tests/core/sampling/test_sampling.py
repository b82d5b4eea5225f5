"""The way between two latents."""

import math

import pytest
import torch

from ganrun.sampling.sampling import between


def test_the_way_between_normal_latents_is_an_arc():
    """From (1, 0) to (0, 1) half way lies (sqrt 1/2, sqrt 1/2): still of length 1."""
    ends = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    arc, line = (between(ends, 3, arc=arc) for arc in (True, False))
    assert torch.allclose(arc, torch.tensor([[1.0, 0.0], [math.sqrt(0.5), math.sqrt(0.5)], [0.0, 1.0]]), atol=1e-6)
    assert torch.allclose(line, torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]))


def test_equal_ends_and_labels_have_nothing_inbetween():
    same = torch.tensor([[3.0, 4.0], [3.0, 4.0]])
    assert torch.allclose(between(same, 4, arc=True), same[:1].expand(4, 2), atol=1e-4)
    assert between(torch.tensor([7, 9]), 3, arc=True).tolist() == [7, 7, 7]


def test_an_arc_between_latents_of_unequal_length_stays_between_their_lengths():
    """From (3, 0) to nearly (-1, 0): half a circle whose radius goes from 3 to 1, and at its middle is 2."""
    path = between(torch.tensor([[3.0, 0.0], [-1.0, 1e-4]]), 5, arc=True)
    assert path.norm(dim=1).tolist() == pytest.approx([3, 2.5, 2, 1.5, 1], rel=1e-3)
    assert torch.allclose(path[[0, -1]], torch.tensor([[3.0, 0.0], [-1.0, 1e-4]]), atol=1e-3)
