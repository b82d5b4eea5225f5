"""Networks of BEGAN, SNGAN, WGAN-GP, R3GAN and of max-pooling lectures: counts, layers by hand, what makes each."""

import pytest
import torch
import torch.nn.functional as F

from ganrun.words.spaces import Interface, Refusal, Space
from ganrun_plugins.networks.began import BEGANDiscriminator, BEGANGenerator, sides
from ganrun_plugins.networks.maxpool import MaxPoolDiscriminator, MaxPoolGenerator
from ganrun_plugins.networks.r3gan import GAIN, Block, R3GANDiscriminator, R3GANGenerator, Resample
from ganrun_plugins.networks.sngan_resnet import SNGANDiscriminator, SNGANGenerator

TEN, THOUSAND, THREE = (Space("labels", (), classes) for classes in (10, 1000, 3))
NARROW = {"width": 8, "cardinality": 2, "blocks": 1}


def image(side: int, channels: int = 3) -> Space:
    return Space("image", (channels, side, side))


def latent(size: int) -> Space:
    return Space("latent", (size,))


def parameters(network, interface: Interface, **settings) -> int:
    """How many parameters it has, on the meta device."""
    with torch.device("meta"):
        return sum(p.numel() for p in network(interface, **settings).parameters())


def made(network, interface: Interface, **settings):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return network(interface, **settings)


# --- parameter counts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "width", "generator", "discriminator"),
    [(64, 128, 1_716_611, 13_405_379), (128, 128, 2_011_779, 23_221_443), (64, 64, 563_395, 4_011_651)],
)
def test_began_has_the_parameters_of_the_reference(side, width, generator, discriminator):
    assert parameters(BEGANGenerator, Interface(latent(64), image(side)), width=width) == generator
    assert parameters(BEGANDiscriminator, Interface(image(side)), width=width, code=64) == discriminator


def test_wgan_gp_has_the_parameters_of_the_reference():
    assert parameters(SNGANGenerator, Interface(latent(128), image(32)), width=128) == 1_204_483
    assert parameters(SNGANDiscriminator, Interface(image(32)), width=128, pool="mean", bias=True) == 1_053_825


def test_sngan_has_the_parameters_of_the_reference():
    assert parameters(SNGANGenerator, Interface(latent(128), image(32))) == 4_276_739
    assert parameters(SNGANDiscriminator, Interface(image(32))) == 1_053_824


R3GAN = {
    "CIFAR, without classes": (32, (), {}, 20_732_160, 20_683_776),
    "CIFAR, with classes": (32, (TEN,), {}, 20_781_952, 21_280_512),
    "FFHQ-64": (64, (), {}, 22_429_824, 22_381_440),
    "FFHQ-256": (256, (), {}, 23_057_952, 23_009_568),
    "ImageNet-32": (32, (THOUSAND,), {"width": 1536}, 82_914_304, 86_548_992),
    "ImageNet-64": (64, (THOUSAND,), {"width": 1536, "wide": 64}, 103_570_432, 107_205_120),
}


@pytest.mark.parametrize("name", R3GAN)
def test_r3gan_has_the_parameters_of_the_reference(name):
    side, given, settings, generator, discriminator = R3GAN[name]
    assert parameters(R3GANGenerator, Interface(latent(64), image(side), given), **settings) == generator
    assert parameters(R3GANDiscriminator, Interface(image(side), given=given), **settings) == discriminator


def test_max_pooling_has_the_parameters_that_its_layers_have_by_hand():
    """On 8 x 8 grey: 5*5*1*2 + 2 = 52, 5*5*2*4 + 4 = 204, 4*2*2*6 + 6 = 102, 6 + 1 = 7; back 3*6 + 6 = 24, 6*16 + 16 =
    112, 202, 51.
    """
    small = {"width": 2, "dense": 6}
    assert parameters(MaxPoolDiscriminator, Interface(image(8, 1)), **small) == 52 + 204 + 102 + 7
    assert parameters(MaxPoolGenerator, Interface(latent(3), image(8, 1)), norm="none", **small) == 24 + 112 + 202 + 51


# --- BEGAN ------------------------------------------------------------------------------------------------------


def test_began_gives_a_sample_back_and_its_energy_is_the_mean_absolute_error():
    """With an output of zeros every sample comes back as 0, so that the energy is the mean of |x|."""
    network = made(BEGANDiscriminator, Interface(image(16)), width=2, code=3)
    torch.nn.init.zeros_(network.decoder.output.weight)
    torch.nn.init.constant_(network.decoder.output.bias, 0.25)
    x = torch.stack([torch.full((3, 16, 16), 0.75), torch.full((3, 16, 16), -0.5)])
    assert network(x).logits.tolist() == [0.5, 0.75]


def test_began_encodes_to_channels_that_grow_linearly_and_decodes_to_constant_ones():
    network = made(BEGANDiscriminator, Interface(image(32)), width=2, code=3)
    shapes = [tuple(layer.shape[1:]) for layer in network(torch.zeros(1, 3, 32, 32)).features]
    assert shapes == [(2, 16, 16), (4, 8, 8), (6, 8, 8), (3,)], (
        "the convolution of stride 2 belongs to the size above it"
    )
    assert [layers[0].in_channels for layers in network.decoder.sizes] == [2, 2, 2]
    assert sides((28, 28)) == [(28, 28), (14, 14), (7, 7)]


def test_began_repeats_pixels():
    """With convolutions that pass their middle pixel on, an 8 x 8 tensor is seen four times as large."""
    network = made(BEGANGenerator, Interface(latent(3), image(32, 1)), width=1, output="linear")
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.dirac_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    torch.nn.init.uniform_(network.decoder.grow.bias, 0.1, 1.0)
    torch.nn.init.zeros_(network.decoder.grow.weight)
    expected = network.decoder.grow.bias.view(1, 1, 8, 8).repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.equal(network(torch.zeros(1, 3)), expected), "ELU leaves positive numbers alone"


def test_the_skips_of_began_join_its_first_tensor_to_every_later_size():
    network = made(BEGANGenerator, Interface(latent(3), image(32)), width=2, skips=True)
    assert [layers[0].in_channels for layers in network.decoder.sizes] == [2, 4, 4]
    assert network(torch.zeros(2, 3)).shape == (2, 3, 32, 32)


# --- SNGAN and WGAN-GP ------------------------------------------------------------------------------------------


def beside(network, x) -> list[tuple[int, ...]]:
    """The sizes that the 1 x 1 convolutions beside the blocks see."""
    seen = []
    for block in network.blocks:
        if isinstance(block.beside, torch.nn.Conv2d):
            block.beside.register_forward_pre_hook(lambda layer, args: seen.append(tuple(args[0].shape[2:])))
    network(x)
    return seen


def test_the_first_block_of_the_discriminator_pools_before_its_1x1_and_the_second_behind_it():
    network = made(SNGANDiscriminator, Interface(image(32)), width=4)
    assert beside(network, torch.zeros(1, 3, 32, 32)) == [(16, 16), (16, 16)]
    first = network.blocks[0]
    x = torch.randn(2, 3, 32, 32)
    by_hand = F.avg_pool2d(first.conv2(first.conv1(x).relu()), 2) + first.beside(F.avg_pool2d(x, 2))
    assert torch.equal(first(x), by_hand), "no activation before the first convolution"


def test_the_discriminator_has_two_halvings_at_32_pixels_and_two_blocks_that_keep_the_side():
    features = made(SNGANDiscriminator, Interface(image(32)), width=4)(torch.zeros(1, 3, 32, 32)).features
    assert [layer.shape[-1] for layer in features] == [16, 8, 8, 8]
    features = made(SNGANDiscriminator, Interface(image(64)), width=4)(torch.zeros(1, 3, 64, 64)).features
    assert [layer.shape[-1] for layer in features] == [32, 16, 8, 8, 8]


def test_sum_pooling_is_64_times_mean_pooling_on_8_x_8():
    x = torch.randn(3, 3, 32, 32)
    summed, mean = (
        made(SNGANDiscriminator, Interface(image(32)), width=4, pool=pool)(x).logits for pool in ("sum", "mean")
    )
    assert torch.allclose(summed, 64 * mean, rtol=1e-4)
    assert float(summed.detach().abs().min()) > 0


def test_residual_convolutions_start_twice_as_wide_in_variance_as_the_others():
    """Glorot's variance is 2 / (fan-in + fan-out), times 2 for gain root 2: 2 / (9 * 64) and 1 / 64 at 64 channels."""
    block = made(SNGANGenerator, Interface(latent(8), image(8)), width=64).blocks[0]
    assert float(block.conv2.weight.detach().var()) == pytest.approx(2 / (9 * 64), rel=0.05)
    assert float(block.beside.weight.detach().var()) == pytest.approx(1 / 64, rel=0.1)
    assert block.norm1.norm.eps == 2e-5


def test_labels_choose_scale_and_shift_in_the_generator():
    network = made(SNGANGenerator, Interface(latent(4), image(8), (THREE,)), width=4).eval()
    z = torch.randn(1, 4).repeat(3, 1)
    labels = torch.tensor([0, 1, 2])
    assert torch.equal(network(z, labels)[0], network(z, labels)[1]), "at the start every class has scale 1 and shift 0"
    norm = network.blocks[0].norm1
    assert not norm.norm.affine
    with torch.no_grad():
        norm.scale.weight[:, 1], norm.shift.weight[:, 1] = 0.5, 2.0
    h = torch.randn(1, 4, 4, 4).repeat(3, 1, 1, 1)
    out = norm(h, torch.eye(3))
    assert torch.allclose(out[1], 1.5 * out[0] + 2.0)
    assert torch.equal(out[0], out[2])
    assert not torch.equal(network(z, labels)[0], network(z, labels)[1])


def test_labels_are_projected_onto_the_features_of_the_discriminator():
    network = made(SNGANDiscriminator, Interface(image(8), given=(THREE,)), width=4)
    x = torch.randn(1, 3, 8, 8).repeat(3, 1, 1, 1)
    output = network(x, torch.tensor([0, 1, 2]))
    phi = output.features[-1].sum((2, 3))  # (3, 4)
    vectors = network.projection.vectors["0"].weight  # (3, 4)
    assert torch.allclose(output.logits, network.output(phi).squeeze(1) + (vectors * phi).sum(1), atol=1e-5)


# --- R3GAN ------------------------------------------------------------------------------------------------------


def test_the_last_convolution_of_a_block_is_zero_so_that_each_block_starts_as_the_identity():
    for network in (
        made(R3GANGenerator, Interface(latent(4), image(16)), **NARROW),
        made(R3GANDiscriminator, Interface(image(16)), **NARROW),
    ):
        blocks = [module for module in network.modules() if isinstance(module, Block)]
        assert len(blocks) == 3
        for block in blocks:
            assert not block.last.weight.any()
            assert block.first.weight.any()
            assert block.grouped.weight.any()
            x = torch.randn(2, block.first.in_channels, 4, 4)
            assert torch.equal(block(x), x)


def test_a_block_starts_with_the_variance_that_its_depth_asks_for():
    """16 blocks: gain 16^(-1/4) = 1/2, so that the deviation is GAIN / 2 / root(64) for 1 x 1 and GAIN / 2 / root(9 *
    16) in groups of 16.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        block = Block(64, 8, 2, total=16)
    assert pytest.approx(2 / 1.04) == GAIN**2
    assert float(block.first.weight.detach().std()) == pytest.approx(GAIN / 2 / 8, rel=0.05)
    assert float(block.grouped.weight.detach().std()) == pytest.approx(GAIN / 2 / 12, rel=0.05)


def test_groups_are_as_large_in_narrow_stages_as_in_wide_ones():
    with torch.device("meta"):
        network = R3GANGenerator(Interface(latent(64), image(256)))
    blocks = [module for module in network.modules() if isinstance(module, Block)]
    assert [block.first.in_channels for block in blocks] == [768] * 8 + [384] * 2 + [192] * 2 + [96] * 2
    assert [block.grouped.groups for block in blocks] == [96] * 8 + [48] * 2 + [24] * 2 + [12] * 2


def test_resampling_keeps_a_constant_away_from_the_borders_and_is_bilinear():
    """[1, 3, 3, 1] / 8 sums to 1; upwards pixels 2 i and 2 i + 1 are 1/4, 3/4 and 3/4, 1/4 of their neighbours."""
    ones = torch.ones(1, 2, 8, 8)
    assert torch.allclose(Resample(up=False)(ones)[..., 1:-1, 1:-1], torch.ones(1, 2, 2, 2))
    line = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 1, 8, 8)
    up = Resample(up=True)(line)
    assert up.shape == (1, 1, 16, 16)
    assert torch.allclose(up[0, 0, 7, 3:7], torch.tensor([1.25, 1.75, 2.25, 2.75]))


def test_a_discriminator_mirrors_the_generator_and_projects_labels():
    network = made(R3GANDiscriminator, Interface(image(16), given=(THREE,)), **NARROW)
    x = torch.randn(1, 3, 16, 16).repeat(3, 1, 1, 1)
    output = network(x, torch.tensor([0, 1, 2]))
    assert [layer.shape[-1] for layer in output.features[:-1]] == [16, 8, 4]
    by_hand = (network.linear(output.features[-1]) * network.embedding.weight.T).sum(1)  # (3, 8) -> (3,)
    assert torch.allclose(output.logits, by_hand, atol=1e-6)


def test_a_generator_scales_its_basis_by_a_linear_function_of_the_latent():
    basis = made(R3GANGenerator, Interface(latent(4), image(8)), **NARROW).main[0]
    z = torch.randn(2, 4)
    assert torch.allclose(basis(2 * z), 2 * basis(z))
    assert torch.allclose(basis(z)[1, 3], (z[1] @ basis.linear.weight[3]) * basis.pictures[3], atol=1e-6)


def test_sides_that_doubling_does_not_reach_and_groups_that_do_not_divide_are_refused():
    with pytest.raises(Refusal, match="18 x 18 cannot be reached"):
        R3GANGenerator(Interface(latent(4), image(18)), **NARROW)
    with pytest.raises(Refusal, match="no multiple of 3 groups"):
        R3GANDiscriminator(Interface(image(8)), width=8, cardinality=3)


# --- max-pooling ------------------------------------------------------------------------------------------------


def test_max_pooling_takes_the_largest_of_four_pixels():
    network = made(MaxPoolDiscriminator, Interface(image(8, 1)), width=1, dense=2, activation="relu")
    conv = network.main[0][0]
    torch.nn.init.dirac_(conv.weight)
    torch.nn.init.zeros_(conv.bias)
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(network(x).features[0], F.max_pool2d(x, 2))


@pytest.mark.parametrize("side", [4, 15, 28])
def test_max_pooling_serves_images_of_any_size(side):
    generator = made(MaxPoolGenerator, Interface(latent(3), image(side, 1)), width=1, dense=4)
    x = generator(torch.zeros(2, 3))
    assert x.shape == (2, 1, side, side)
    assert made(MaxPoolDiscriminator, Interface(image(side, 1)), width=1, dense=4)(x).logits.shape == (2,)
