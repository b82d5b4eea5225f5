"""Sums and directions of latents. A linear generator shows what they do: there samples add up as their latents do."""

import pytest
import torch

import ganrun
from ganrun.errors import UserError
from ganrun.sampling.arithmetic import Concept, along, around, concepts, direction, mean, total


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    """A trained run whose generator is one linear layer on points."""
    network = {"mlp": {"widths": [], "norm": "none"}}
    recipe = {
        "variant": {"gan": {"latent": 4}},
        "dataset": {"ring": {"count": 64}},
        "generator": network,
        "discriminator": network,
        "without": ["progress", "samples", "metrics-log", "health"],
        "train": {"steps": 1, "batch_size": 4, "device": "cpu"},
    }
    return ganrun.load(ganrun.run(recipe, output=tmp_path_factory.mktemp("linear") / "run").folder)


def test_a_sum_is_read_as_signed_groups_of_numbers():
    assert concepts("3,7,9 - 1, 4 + 0") == [Concept(1, (3, 7, 9)), Concept(-1, (1, 4)), Concept(1, (0,))]
    assert concepts("-2+5") == [Concept(-1, (2,)), Concept(1, (5,))]
    assert direction("3,7 > 1,4") == [Concept(1, (1, 4)), Concept(-1, (3, 7))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is no number"),
        ("3 - x", "'x' is no number of a sample"),
        ("3,,4", "'' is no number"),
        ("1 - ", "'' is no number"),
        ("1.5", "'1.5' is no"),
    ]
    + [(large, "numbered from 0 to 999999") for large in ("1000000", "9" * 5000)],
)
def test_what_is_no_sum_is_told_so(text, message):
    with pytest.raises(UserError, match=message):
        concepts(text)


def test_the_largest_number_of_a_sample():
    assert concepts("999999") == [Concept(1, (999_999,))]


def test_a_direction_has_two_ends():
    with pytest.raises(UserError, match="expected two groups"):
        direction("1,2")
    with pytest.raises(UserError, match="expected two groups"):
        direction("1 > 2 > 3")


def test_means_and_sums_by_hand_and_labels_are_the_first_ones():
    latents = {"z": torch.tensor([[0.0, 2.0], [4.0, 6.0], [10.0, 10.0]]), "label": torch.tensor([7, 8, 9])}
    assert mean(latents, Concept(1, (0, 1)))["z"].tolist() == [[2.0, 4.0]]
    found = total(latents, concepts("0,1 - 2 + 1"))
    assert found["z"].tolist() == [[2 - 10 + 4, 4 - 10 + 6]]
    assert found["label"].tolist() == [7]


def test_around_begins_with_the_latent_itself_and_stays_near():
    found = around({"z": torch.zeros(1, 50), "label": torch.tensor([3])}, 4, 0.25)
    assert torch.equal(found["z"][0], torch.zeros(50))
    assert found["label"].tolist() == [3] * 4
    assert 0.2 < float(found["z"][1:].abs().max()) <= 0.25
    assert not torch.equal(found["z"][1], found["z"][2])


def test_along_goes_the_whole_way_from_each_latent():
    found = along({"z": torch.tensor([[0.0], [10.0]])}, {"z": torch.tensor([[4.0]])}, 3)
    assert found["z"].flatten().tolist() == [0, 2, 4, 10, 12, 14]


def test_the_samples_of_a_linear_generator_add_up(linear):
    """Of G(z) = W z + b: G(A - B + C) = G(A) - G(B) + G(C), as the coefficients sum to 1."""
    one = linear.sample(5)
    rows = linear.arithmetic("0,1 - 2 + 4", count=3)
    assert rows.shape == (3 + 1 + 3, 2), "three means, the sum, three near it"
    assert torch.allclose(rows[0], (one[0] + one[1]) / 2, atol=1e-5)
    assert torch.allclose(rows[2], one[4], atol=1e-5)
    assert torch.allclose(rows[3], rows[0] - rows[1] + rows[2], atol=1e-5)


def test_turning_moves_samples_by_the_way_between_two_groups(linear):
    one = linear.sample(4)
    rows = linear.turn("0 > 2,3", rows=2, points=5).view(2, 5, 2)
    way = (one[2] + one[3]) / 2 - one[0]
    assert torch.allclose(rows[:, 0], one[:2], atol=1e-5), "each row begins with a sample"
    assert torch.allclose(rows[:, -1] - rows[:, 0], way.expand(2, 2), atol=1e-5)
    assert torch.allclose(rows[1, 2], one[1] + way / 2, atol=1e-5)


def test_a_variant_without_labels_or_codes_says_so(linear):
    with pytest.raises(UserError, match="gan has no labels to ask for"):
        linear.each()
    with pytest.raises(UserError, match="gan has no codes to traverse"):
        linear.traverse()
