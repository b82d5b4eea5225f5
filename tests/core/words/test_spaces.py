"""Spaces and interfaces: how images are halved, and what an interface's example inputs are."""

import pytest

from ganrun.words.spaces import Halvings, Interface, Refusal, Space, nearest_sizes


@pytest.mark.parametrize(
    ("side", "times", "base"),
    [
        ((8, 8), 1, (4, 4)),
        ((64, 64), 4, (4, 4)),
        ((28, 28), 2, (7, 7)),
        ((48, 48), 3, (6, 6)),
        ((96, 96), 4, (6, 6)),
        ((64, 96), 4, (4, 6)),
        ((32, 256), 3, (4, 32)),
        ((10, 12), 1, (5, 6)),
    ],
)
def test_an_image_is_halved_down_to_a_base_of_4_to_7_pixels(side, times, base):
    assert Space("image", (3, *side)).halvings("it") == Halvings(times, base)


@pytest.mark.parametrize(
    ("side", "near"),
    [
        ((50, 50), [(48, 48), (56, 56)]),
        ((30, 30), [(28, 28), (32, 32)]),
        ((4, 4), [(8, 8), (16, 16)]),
        ((63, 97), [(64, 96), (56, 96)]),
    ],
)
def test_other_sizes_are_refused_with_the_nearest_that_are_not(side, near):
    with pytest.raises(Refusal, match="it doubles a base of 4 to 7 pixels") as caught:
        Space("image", (1, *side)).halvings("it")
    assert caught.value.reason.instead == "resize the data to " + " or ".join(f"{h} x {w}" for h, w in near)
    assert nearest_sizes(side) == near
    for size in near:
        Space("image", (1, *size)).halvings("it")


def test_no_halving_at_all_may_do():
    assert Space("image", (1, 4, 7)).halvings("it", least=0) == Halvings(0, (4, 7))


def test_example_inputs_are_packed_as_a_discriminator_is_given_them():
    interface = Interface(
        Space("image", (3, 8, 8)),
        given=(Space("labels", (), 4), Space("latent", (5,)), Space("image", (1, 8, 8))),
        pack=2,
    )
    assert [tuple(x.shape) for x in interface.example(6)] == [(6, 6, 8, 8), (6, 2), (6, 10), (6, 2, 8, 8)]
