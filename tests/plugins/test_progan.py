"""Progressive growing: equalised layers, fades and the schedule by hand."""

import math

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from ganrun.schedule import Clock, Duration
from ganrun.words.spaces import Interface, Space
from ganrun_plugins.networks.progan import (
    EqualisedConv2d,
    EqualisedConvTranspose2d,
    EqualisedLinear,
    PixelNorm,
    ProGANDiscriminator,
    ProGANGenerator,
    averaged,
)
from ganrun_plugins.variants.progan import ProGAN, at_growth

LATENT = Space("latent", (4,))
GROWTHS = (0.0, 0.5, 1.0, 1.25, 2.0)  # of networks with levels of 4, 8 and 16 pixels


def image(side, channels=1):
    return Space("image", (channels, side, side))


@pytest.fixture
def generator():
    torch.manual_seed(0)
    return ProGANGenerator(Interface(LATENT, image(16)), base=64, widest=8).double()


@pytest.fixture
def discriminator():
    torch.manual_seed(1)
    return ProGANDiscriminator(Interface(image(16)), base=64, widest=8).double()


@pytest.fixture
def x():
    return torch.randn(4, 1, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def z():
    return torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


# --- layers -----------------------------------------------------------------------------------------------------


def test_equalised_layers_scale_their_weights_by_gain_over_the_root_of_the_fan_in():
    """Convolution of 2 channels, kernel 1: sqrt(2 / 2) = 1. Linear of 4: 1 / 2.

    From a vector of 8: sqrt(2) / 4 / sqrt(8) = 1 / 8.
    """
    conv = EqualisedConv2d(2, 1, 1)
    conv.weight.data, conv.bias.data = torch.tensor([3.0, 5.0]).reshape(1, 2, 1, 1), torch.tensor([0.5])
    assert conv(torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1)).item() == pytest.approx(3 + 10 + 0.5)
    linear = EqualisedLinear(4, 1)
    linear.weight.data, linear.bias.data = torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([1.0])
    assert linear(torch.ones(1, 4)).item() == 10 / 2 + 1
    first = EqualisedConvTranspose2d(8, 1, 4, gain=math.sqrt(2) / 4)
    first.weight.data.fill_(1.0)
    assert torch.allclose(first(torch.ones(1, 8, 1, 1)), torch.full((1, 1, 4, 4), 1.0))
    assert EqualisedConv2d(3, 5, 3).scale == pytest.approx(math.sqrt(2 / 27))
    assert EqualisedConv2d(8, 3, 1, gain=1.0).scale == pytest.approx(1 / math.sqrt(8))


def test_weights_start_from_a_standard_normal_whatever_the_size_of_a_layer():
    for layer in (EqualisedConv2d(64, 64, 3), EqualisedLinear(200, 200)):
        assert layer.weight.std().item() == pytest.approx(1, abs=0.02)
        assert not layer.bias.any()


def test_a_step_of_adam_moves_every_layer_by_the_same_share_of_its_weights():
    """The point of it: weights in effect start with the deviation gain / sqrt(fan-in), and a step of 0.1 moves them by
    a tenth of it.
    """
    for size in (50, 800):
        layer = EqualisedLinear(size, 100)

        def effective(layer=layer, size=size):
            return layer(torch.eye(size)).detach() - layer.bias.detach()  # (size, 100)

        before = effective()
        assert before.std().item() == pytest.approx(1 / math.sqrt(size), rel=0.03)
        adam = torch.optim.Adam(layer.parameters(), lr=0.1)
        layer(torch.ones(1, size)).sum().backward()
        adam.step()
        assert torch.allclose(before - effective(), torch.tensor(0.1 / math.sqrt(size)), rtol=1e-3)


def test_pixel_norm_by_hand():
    """(3, 4) has the mean square 12.5."""
    normed = PixelNorm()(torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)).flatten()
    assert normed.tolist() == pytest.approx([3 / math.sqrt(12.5), 4 / math.sqrt(12.5)])


def test_the_scale_of_a_latent_does_not_matter(generator, z):
    assert torch.allclose(generator(z), generator(100 * z), rtol=1e-6)


# --- growth -----------------------------------------------------------------------------------------------------


def test_at_1024_pixels_the_networks_have_the_23_1_million_parameters_of_table_2():
    with torch.device("meta"):
        made = (
            ProGANGenerator(Interface(Space("latent", (512,)), image(1024, 3))),
            ProGANDiscriminator(Interface(image(1024, 3))),
        )
    assert [round(sum(p.numel() for p in network.parameters()) / 1e6, 1) for network in made] == [23.1, 23.1]
    assert [made[0].rgb[str(side)].in_channels for side in (4, 32, 64, 256, 1024)] == [512, 512, 256, 64, 16]


def test_a_new_network_is_fully_grown_and_growth_stays_within_its_levels(generator):
    assert (float(generator.grown), generator.level, generator.fading) == (2, 2, False)
    generator.grow(7.5)
    assert float(generator.grown) == 2
    generator.grow(-1)
    assert float(generator.grown) == 0


def test_a_lower_level_is_repeated_to_the_full_side(generator, z):
    generator.grow(0)
    made = generator(z)
    assert made.shape == (4, 1, 16, 16)
    assert torch.equal(made, made[:, :, ::4, ::4].repeat_interleave(4, 2).repeat_interleave(4, 3))
    assert len(made[0].unique()) == 16


@pytest.mark.parametrize("share", [0.25, 0.5, 0.875])
def test_a_generators_fade_is_the_mixture_of_both_levels_images(generator, z, share):
    """At 0 it is the lower level's image, repeated; at 1 the upper one's."""
    generator.grow(1)
    below = generator(z)
    generator.grow(2)
    above = generator(z)
    generator.grow(1 + share)
    assert torch.allclose(generator(z), (1 - share) * below + share * above, rtol=1e-12)
    assert not torch.allclose(below, above)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.875])
def test_a_discriminators_fade_is_the_mixture_behind_both_first_layers(discriminator, x, share):
    discriminator.grow(1)
    below = discriminator(x).features[0]  # the first layer of 8 pixels
    discriminator.grow(2)
    above = discriminator(x).features[1]  # the first layer and the block of 16 pixels
    discriminator.grow(1 + share)
    assert torch.allclose(discriminator(x).features[1], (1 - share) * below + share * above, rtol=1e-12)
    assert not torch.allclose(below, above)


def test_the_ends_of_a_discriminators_fade_are_both_levels(discriminator, x):
    def logits(grown):
        discriminator.grow(grown)
        return discriminator(x).logits

    assert torch.allclose(logits(1 + 2**-20), logits(1), atol=1e-5)
    assert torch.allclose(logits(2 - 2**-20), logits(2), atol=1e-5)


def test_a_discriminator_sees_means_of_its_levels_pixels_alone(discriminator, x):
    discriminator.grow(1)
    same = averaged(x, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.allclose(discriminator(x).logits, discriminator(same).logits, rtol=1e-12)
    discriminator.grow(2)
    assert not torch.allclose(discriminator(x).logits, discriminator(same).logits)


def test_a_slope_at_a_lower_level_is_that_of_the_full_image(discriminator, x):
    """A pixel of 8 x 8 is the mean of 4: each has a quarter of its slope, and the norm of all is half."""
    discriminator.grow(1)
    full = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(full).logits.sum(), full)
    small = ProGANDiscriminator(Interface(image(8)), base=64, widest=8).double()
    small.load_state_dict(
        {**{k: v for k, v in discriminator.state_dict().items() if k in small.state_dict()}, "grown": torch.tensor(1.0)}
    )
    low = averaged(x, 2).requires_grad_()
    (expected,) = torch.autograd.grad(small(low).logits.sum(), low)
    assert torch.allclose(slope.flatten(1).norm(dim=1), expected.flatten(1).norm(dim=1) / 2, rtol=1e-10)


@pytest.mark.parametrize("grown", GROWTHS)
def test_levels_that_are_not_needed_are_not_computed(generator, discriminator, x, z, grown):
    for network, out in ((generator, lambda: generator(z)), (discriminator, lambda: discriminator(x).logits)):
        network.grow(grown)
        out().square().sum().backward()
        assert {name for name, p in network.named_parameters() if p.grad is None} == network.resting()
    assert ("blocks.8.0.weight" in discriminator.resting()) == (grown == 0)


def test_a_network_is_compiled_once_for_a_whole_fade(generator, discriminator, x, z):
    """And once more for the level that it leads to."""
    for network, argument in ((generator, z), (discriminator, x)):
        torch._dynamo.reset()
        counter = CompileCounter()
        compiled = torch.compile(network, backend=counter)
        for grown in (1.25, 1.5, 1.75, 2.0):
            network.grow(grown)
            compiled(argument)
        assert counter.frame_count == 2
    torch._dynamo.reset()


def test_images_are_linear_in_training_and_cut_off_outside(generator, z):
    with torch.no_grad():
        generator.rgb["16"].bias.fill_(5.0)
        assert generator.train()(z).max() > 1
        assert generator.eval()(z).max() == 1


def test_a_loaded_network_shows_the_growth_it_was_saved_with(discriminator, x):
    discriminator.grow(0.4)
    other = ProGANDiscriminator(Interface(image(16)), base=64, widest=8).double()
    other.load_state_dict(discriminator.state_dict())
    assert (other.level, other.fading, other.shown) == (0, True, discriminator.shown)
    assert torch.equal(other(x).logits, discriminator(x).logits)


def test_the_statistic_of_a_batch_is_one_more_map_before_the_last_convolution(discriminator, x):
    assert discriminator.end[0].in_channels == 8 + 1
    alone, among_equals = discriminator(x).logits[0], discriminator(x[:1].expand(4, -1, -1, -1)).logits[0]
    assert not torch.allclose(alone, among_equals), "the same image counts differently among copies of itself"


# --- real images and schedule --------------------------------------------------------------------------------------


def test_real_images_fade_like_fakes_by_hand():
    """A block of 0, 0, 0, 4 has the mean 1.

    A quarter into the upper level: 1 + (0 - 1) / 4 = 0.75, and 1 + (4 - 1) / 4 = 1.75.
    """
    x = torch.zeros(1, 1, 8, 8)
    x[:, :, 1::2, 1::2] = 4
    assert at_growth(x, 0.25, 1)[0, 0, :2, :2].tolist() == [[0.75, 0.75], [0.75, 1.75]]
    assert torch.equal(at_growth(x, 0.0, 1), torch.ones(1, 1, 8, 8))
    assert at_growth(x, 1.0, 1) is x


@pytest.mark.parametrize("grown", GROWTHS)
def test_what_a_generator_shows_is_at_its_growth_already(generator, z, grown):
    """At whole levels real images and fakes are alike: blocks of one colour."""
    generator.grow(math.floor(grown))
    made = generator(z)
    assert torch.allclose(at_growth(made, math.floor(grown), 2), made, rtol=1e-12)


def schedule(fade, top=2, **settings):
    variant = ProGAN(stage=Duration.parse("100 images"), fade=fade, **settings)
    variant.top = top
    clock = Clock(total=1000, batch=10, dataset=500)
    return lambda step: variant.grown(step, clock)


def test_the_schedule_by_hand():
    """10 steps of a stage and 5 of a fade: 0 up to step 10, then a fifth a step up to 1 at step 15, 1 up to step 25, 2
    from step 30 on.
    """
    grown = schedule(Duration.parse("50 images"))
    assert [grown(step) for step in (0, 9, 10, 11, 14, 15, 20, 25, 26, 29, 30, 45, 999)] == [
        0,
        0,
        0,
        0.2,
        0.8,
        1,
        1,
        1,
        1.2,
        1.8,
        2,
        2,
        2,
    ]


def test_a_fade_lasts_as_long_as_a_stage_unless_told_otherwise_and_may_last_no_time():
    grown = schedule(None)
    assert [grown(step) for step in (10, 15, 20, 30, 35)] == [0, 0.5, 1, 1, 1.5]
    jumps = schedule(Duration(0))
    assert [jumps(step) for step in (9, 10, 19, 20)] == [0, 1, 1, 2]
    assert ProGAN().stage.steps(Clock(0, 16, 1000)) == 600_000 / 16
