"""Norm-swap: axes of the new layers, scale and shift, groups, and what it allows or refuses."""

import pytest
import torch
from torch import nn

from ganrun.training.build import RefusedError
from ganrun.words.game import DiscriminatorOutput
from ganrun.words.spaces import Reason
from ganrun_plugins.tricks.norm_swap import ScaleAndShift, group_count

BATCH = {"mlp": {"widths": [16, 16], "norm": "batch"}}
IMAGES = {
    "variant": {"dcgan": {"latent": 4}},
    "dataset": {"digits": {"size": 16}},
    "generator": {"dcgan": {"width": 4, "norm": "batch"}},
    "discriminator": {"dcgan": {"width": 4, "norm": "batch"}},
}


def norms(module: nn.Module) -> list[nn.Module]:
    kinds = (
        nn.modules.batchnorm._BatchNorm,
        nn.modules.instancenorm._InstanceNorm,
        nn.GroupNorm,
        nn.LayerNorm,
        ScaleAndShift,
    )
    return [layer for layer in module.modules() if isinstance(layer, kinds)]


AXES = {"instance": (2, 3), "layer": (1, 2, 3), "group": (2, 3, 4), "none": ()}


@pytest.mark.parametrize("to", AXES)
def test_the_new_layer_normalises_its_own_axes_and_keeps_scale_and_shift(tiny, make_run, to):
    plain, run = make_run(tiny(**IMAGES)), make_run(tiny(**IMAGES, tricks=[{"norm-swap": {"to": to, "groups": 2}}]))
    for player in ("generator", "discriminator"):
        old, new = norms(plain.experiment.modules[player]), norms(run.experiment.modules[player])
        assert len(old) == len(new) > 0
        assert not any(isinstance(layer, nn.BatchNorm2d) for layer in new)
        for before, after in zip(old, new):
            assert torch.equal(before.weight, after.weight)
            with torch.no_grad():
                after.weight.normal_()
                after.bias.normal_()
            x = torch.randn(3, len(before.weight), 4, 4)
            h = x.unflatten(1, (2, -1)) if to == "group" else x
            if AXES[to]:
                h = (h - h.mean(AXES[to], keepdim=True)) / (h.var(AXES[to], unbiased=False, keepdim=True) + 1e-5).sqrt()
            expected = h.reshape(x.shape) * after.weight.view(-1, 1, 1) + after.bias.view(-1, 1, 1)
            assert torch.allclose(after(x), expected, atol=1e-5)
    run.engine.step(0)


def test_a_layer_without_scale_and_shift_is_followed_by_one_without(make_run, tiny):
    class Plain(nn.Module):
        takes = frozenset({"points"})

        def __init__(self, interface) -> None:
            super().__init__()
            self.first, self.norm = nn.Linear(2, 4), nn.BatchNorm1d(4, affine=False)

        def forward(self, x):
            return DiscriminatorOutput(self.norm(self.first(x)).square().sum(1))

    for to in ("layer", "none"):
        run = make_run(tiny(tricks=[{"norm-swap": {"to": to}}], discriminator="plain"), {"discriminator.plain": Plain})
        names = [name for name, _ in run.experiment.modules["discriminator"].named_parameters()]
        assert names == ["first.weight", "first.bias"]


@pytest.mark.parametrize(
    ("channels", "positions", "wanted", "count"),
    [(64, 16, 32, 32), (48, 16, 32, 24), (8, 1, 32, 4), (7, 1, 32, 1), (7, 4, 32, 7), (6, 1, 2, 2)],
)
def test_groups_divide_the_channels_and_hold_two_numbers(channels, positions, wanted, count):
    assert group_count(channels, positions, wanted) == count


@pytest.mark.parametrize("networks", ["generators", "discriminators", "all"])
def test_only_the_networks_named_are_changed(tiny, make_run, networks):
    run = make_run(tiny(generator=BATCH, discriminator=BATCH, tricks=[{"norm-swap": {"networks": networks}}]))
    swapped = {
        name: not any(isinstance(m, nn.BatchNorm1d) for m in module.modules())
        for name, module in run.experiment.modules.items()
    }
    assert swapped == {"generator": networks != "discriminators", "discriminator": networks != "generators"}


class Penalty:
    """A trick that cannot stand BatchNorm in a discriminator."""

    strength = ""
    restructures = "nothing"
    refuses = {"discriminator:batch-statistics": Reason("samples depend on each other", "another normalisation")}


def test_after_a_swap_penalties_are_allowed(tiny, make_run):
    def make(*tricks):
        return make_run(
            tiny(generator=BATCH, discriminator=BATCH, tricks=[*tricks, "penalty"]), {"trick.penalty": Penalty}
        )

    with pytest.raises(RefusedError, match="samples depend on each other"):
        make()
    with pytest.raises(RefusedError, match="samples depend on each other"):
        make({"norm-swap": {"networks": "generators"}})
    make("norm-swap")


def test_instance_normalisation_of_a_perceptron_would_give_zeros_whatever_the_sample_so_it_is_refused(tiny, make_run):
    """Each feature of (B, F) has one position: a number minus its own mean is 0."""
    assert torch.allclose(nn.GroupNorm(16, 16)(torch.randn(4, 16)), torch.zeros(4, 16), atol=1e-3)
    with pytest.raises(RefusedError, match="minus its own mean is 0"):
        make_run(tiny(generator=BATCH, tricks=[{"norm-swap": {"to": "instance"}}]))


def test_nothing_to_swap_is_refused_and_any_finds_other_layers(tiny, make_run):
    with pytest.raises(RefusedError, match="the discriminators have no BatchNorm layer"):
        make_run(tiny(generator=BATCH, tricks=[{"norm-swap": {"networks": "discriminators"}}]))
    layer_norm = {"mlp": {"widths": [16, 16], "norm": "layer"}}
    run = make_run(tiny(discriminator=layer_norm, tricks=[{"norm-swap": {"of": "any", "to": "group", "groups": 4}}]))
    assert [type(layer) for layer in norms(run.experiment.modules["discriminator"])] == [nn.GroupNorm]
