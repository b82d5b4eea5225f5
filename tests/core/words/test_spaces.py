"""Spaces and interfaces: what an interface's example inputs are."""

from ganrun.words.spaces import Interface, Space


def test_example_inputs_are_packed_as_a_discriminator_is_given_them():
    interface = Interface(
        Space("image", (3, 8, 8)),
        given=(Space("labels", (), 4), Space("latent", (5,)), Space("image", (1, 8, 8))),
        pack=2,
    )
    assert [tuple(x.shape) for x in interface.example(6)] == [(6, 6, 8, 8), (6, 2), (6, 10), (6, 2, 8, 8)]
