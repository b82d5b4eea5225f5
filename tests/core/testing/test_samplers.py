"""The checks of samplers."""

import torch
from wrong_plugins import failing, plugin_of


def test_a_sampler_that_is_not_keyed_or_not_split_by_rows_fails():
    class Wrong:
        """Wrong."""

        def sample(self, draws, purpose, n, space):
            torch.manual_seed(draws.part)
            return torch.randn(n, *space.shape)

    found = failing(plugin_of("sampler", Wrong))
    assert {
        "check_depends_on_the_key_alone",
        "check_processes_share_one_draw",
        "check_a_purpose_used_twice_differs",
    } <= found


def test_a_sampler_whose_labels_are_not_split_by_rows_fails():
    class Wrong:
        """Wrong."""

        def sample(self, draws, purpose, n, space):
            return draws.normal(purpose, n, *space.shape)

        def labels(self, draws, purpose, n, space):
            return torch.randint(space.classes, (n, *space.shape), generator=draws.generator(purpose))

    assert failing(plugin_of("sampler", Wrong)) == {"check_labels"}
