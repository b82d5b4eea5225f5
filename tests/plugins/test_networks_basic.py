"""The networks: parameter counts of the references, shapes, conditions, refusals."""

import pytest
import torch
from torch import nn

from ganrun.words.spaces import Interface, Refusal, Space
from ganrun_plugins.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from ganrun_plugins.networks.mlp import MLPDiscriminator, MLPGenerator
from ganrun_plugins.networks.patchgan import PatchGAN
from ganrun_plugins.networks.pixelgan import PixelGAN
from ganrun_plugins.networks.resnet_translator import ResnetTranslator


def image(channels: int, side: int) -> Space:
    return Space("image", (channels, side, side))


LATENT = Space("latent", (100,))
LABELS = Space("labels", (), classes=10)
POINTS = Space("points", (2,))


def count(factory, *args, **kwargs) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in factory(*args, **kwargs).parameters())


def meta(factory, interface: Interface, **kwargs) -> nn.Module:
    with torch.device("meta"):
        return factory(interface, **kwargs)


@pytest.mark.parametrize(
    ("channels", "generator", "discriminator"), [(3, 3_576_704, 2_765_568), (1, 3_574_656, 2_763_520)]
)
def test_dcgan_at_64_pixels_has_the_parameters_of_the_reference(channels, generator, discriminator):
    assert count(DCGANGenerator, Interface(LATENT, image(channels, 64))) == generator
    assert count(DCGANDiscriminator, Interface(image(channels, 64))) == discriminator


@pytest.mark.parametrize(("blocks", "parameters"), [(9, 11_378_179), (6, 7_837_699)])
def test_resnet_translator_has_the_parameters_of_the_reference(blocks, parameters):
    assert count(ResnetTranslator, Interface(image(3, 256), image(3, 256)), blocks=blocks) == parameters


def test_patchgan_has_the_parameters_of_the_references():
    """2,764,737 for CycleGAN; pix2pix judges six channels with BatchNorm and has 2,768,705."""
    assert count(PatchGAN, Interface(image(3, 256))) == 2_764_737
    assert count(PatchGAN, Interface(image(3, 256), given=(image(3, 256),)), norm="batch") == 2_768_705


def test_lecture_perceptrons_have_the_layers_of_the_lecture():
    generator = meta(MLPGenerator, Interface(LATENT, image(1, 28)))
    sizes = [(layer.in_features, layer.out_features) for layer in generator.modules() if isinstance(layer, nn.Linear)]
    assert sizes == [(100, 128), (128, 256), (256, 512), (512, 1024), (1024, 784)]
    norms = [layer.num_features for layer in generator.modules() if isinstance(layer, nn.BatchNorm1d)]
    assert norms == [256, 512, 1024]
    assert all(layer.eps == 1e-5 for layer in generator.modules() if isinstance(layer, nn.BatchNorm1d))
    assert isinstance(list(generator.modules())[-1], nn.Tanh)
    discriminator = meta(MLPDiscriminator, Interface(image(1, 28)))
    sizes = [
        (layer.in_features, layer.out_features) for layer in discriminator.modules() if isinstance(layer, nn.Linear)
    ]
    assert sizes == [(784, 512), (512, 256), (256, 1)]


def test_points_are_not_squashed():
    generator = MLPGenerator(Interface(LATENT, POINTS))
    assert not any(isinstance(layer, nn.Tanh) for layer in generator.modules())
    assert generator(torch.randn(4, 100)).shape == (4, 2)


def test_mlp_without_hidden_layers_is_linear():
    discriminator = MLPDiscriminator(Interface(POINTS), widths=())
    assert sum(p.numel() for p in discriminator.parameters()) == 3


@pytest.mark.parametrize("side", [8, 16, 32, 128])
def test_dcgan_serves_powers_of_two(side):
    generator = meta(DCGANGenerator, Interface(LATENT, image(1, side)), width=8)
    x = generator(torch.empty(2, 100, device="meta"))
    assert x.shape == (2, 1, side, side)
    output = meta(DCGANDiscriminator, Interface(image(1, side)), width=8)(x)
    assert output.logits.shape == (2,)
    assert [f.shape[1] for f in output.features] == [8 * 2**i for i in range(side.bit_length() - 3)]
    assert all(f.shape[2] >= 4 for f in output.features)


@pytest.mark.parametrize("shape", [(1, 30, 30), (1, 4, 4), (3, 32, 66)])
def test_dcgan_refuses_sizes_that_doubling_does_not_reach(shape):
    with pytest.raises(Refusal, match="cannot be reached"):
        DCGANGenerator(Interface(LATENT, Space("image", shape)))
    with pytest.raises(Refusal, match="cannot be reached"):
        DCGANDiscriminator(Interface(Space("image", shape)))


def test_dcgan_has_no_bias_and_no_sigmoid():
    discriminator = meta(DCGANDiscriminator, Interface(image(3, 64)))
    assert all(layer.bias is None for layer in discriminator.modules() if isinstance(layer, nn.Conv2d))
    assert not any(isinstance(layer, nn.Sigmoid) for layer in discriminator.modules())
    assert isinstance(discriminator.main[1], nn.LeakyReLU)  # no normalisation behind the first layer


def test_dcgan_without_batch_statistics():
    for norm in ("none", "instance"):
        for network in (
            DCGANGenerator(Interface(LATENT, image(1, 16)), width=4, norm=norm),
            DCGANDiscriminator(Interface(image(1, 16)), width=4, norm=norm),
        ):
            assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


def test_patchgan_judges_30_by_30_patches_of_70_pixels():
    discriminator = PatchGAN(Interface(image(3, 256)), width=4)
    x = torch.zeros(1, 3, 256, 256, requires_grad=True)
    output = discriminator(x)
    assert output.logits.shape == (1, 1, 30, 30)
    assert [f.shape[1] for f in output.features] == [4, 8, 16, 32]


def test_the_receptive_field_of_patchgan_is_70_pixels():
    discriminator = PatchGAN(Interface(image(1, 256)), width=2, norm="none").double()
    x = torch.randn(1, 1, 256, 256, dtype=torch.float64, requires_grad=True)
    discriminator(x).logits[0, 0, 15, 15].backward()
    rows = (x.grad[0, 0] != 0).any(1).nonzero()
    assert rows.max() - rows.min() + 1 == 70


@pytest.mark.parametrize(
    ("norm", "biased"), [("instance", [0, 2, 5, 8, 11]), ("batch", [0, 11]), ("none", [0, 2, 5, 8, 11])]
)
def test_convolutions_of_patchgan_are_biased_unless_the_batch_is_normalised(norm, biased):
    model = PatchGAN(Interface(image(3, 32)), width=2, norm=norm).model
    assert [k for k, layer in enumerate(model) if isinstance(layer, nn.Conv2d) and layer.bias is not None] == biased


def test_patchgan_without_normalisation_and_biases_is_that_of_the_authors():
    model = PatchGAN(Interface(image(3, 32)), width=2, norm="none", bias=False).model
    assert [k for k, layer in enumerate(model) if isinstance(layer, nn.Conv2d) and layer.bias is not None] == [0, 11]


def test_pixelgan_judges_each_pixel_by_its_colour_and_that_of_the_condition():
    discriminator = PixelGAN(Interface(image(3, 5), given=(image(3, 5),))).eval()
    # 6 * 64 + 64, 64 * 128, BatchNorm 2 * 128, 128
    assert sum(p.numel() for p in discriminator.parameters()) == 448 + 8192 + 256 + 128
    x, given = torch.randn(2, 1, 3, 5, 5)
    whole = discriminator(x, given).logits
    assert whole.shape == (1, 1, 5, 5)
    changed = x.clone()
    changed[:, :, 2, 3] += 1
    moved = discriminator(changed, given).logits != whole
    assert moved.nonzero().tolist() == [[0, 0, 2, 3]]
    joined = torch.cat([given, x], 1)
    assert torch.equal(whole, discriminator.model(joined)), "the condition comes first"


def test_patchgan_refuses_images_that_leave_no_patch():
    with pytest.raises(Refusal, match="at least 24 pixels"):
        PatchGAN(Interface(image(3, 16)))
    assert PatchGAN(Interface(image(3, 24)), width=2)(torch.randn(2, 3, 24, 24)).logits.shape == (2, 1, 1, 1)
    assert PatchGAN(Interface(image(3, 8)), width=2, layers=1)(torch.randn(2, 3, 8, 8)).logits.shape == (2, 1, 2, 2)


def test_resnet_translator_modules_stand_where_reference_weights_expect_them():
    names = set(meta(ResnetTranslator, Interface(image(3, 256), image(3, 256))).state_dict())
    convolutions = ["model.1", "model.4", "model.7", "model.19", "model.22", "model.26"]
    convolutions += [f"model.{i}.conv_block.{j}" for i in range(10, 19) for j in (1, 5)]
    assert names == {f"{name}.{kind}" for name in convolutions for kind in ("weight", "bias")}
    with_dropout = set(meta(ResnetTranslator, Interface(image(3, 8), image(3, 8)), blocks=1, dropout=0.5).state_dict())
    assert "model.10.conv_block.6.weight" in with_dropout


def test_patchgan_modules_stand_where_reference_weights_expect_them():
    names = set(meta(PatchGAN, Interface(image(3, 256))).state_dict())
    assert names == {f"model.{i}.{kind}" for i in (0, 2, 5, 8, 11) for kind in ("weight", "bias")}


@pytest.mark.parametrize("padding", ["reflect", "replicate", "zero"])
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_resnet_translator_keeps_the_size(padding, norm):
    network = ResnetTranslator(
        Interface(Space("image", (1, 8, 12)), Space("image", (3, 8, 12))), blocks=1, width=4, norm=norm, padding=padding
    )
    y = network(torch.randn(2, 1, 8, 12))
    assert y.shape == (2, 3, 8, 12)
    assert y.abs().max() <= 1


@pytest.mark.parametrize("side", [4, 10, 30])
def test_resnet_translator_refuses_sides_it_cannot_halve_twice(side):
    with pytest.raises(Refusal, match="multiples of 4"):
        ResnetTranslator(Interface(image(3, side), image(3, side)))


def test_resnet_translator_refuses_to_change_the_size():
    with pytest.raises(Refusal, match="keeps the size"):
        ResnetTranslator(Interface(image(3, 16), image(3, 32)))


DISCRIMINATORS = [
    (MLPDiscriminator, {"widths": (8, 6)}),
    (DCGANDiscriminator, {"width": 4}),
    (PatchGAN, {"width": 4, "layers": 2}),
]


@pytest.mark.parametrize(("factory", "parameters"), DISCRIMINATORS)
def test_discriminators_serve_conditions_heads_packs_and_vector_logits(factory, parameters):
    space = image(2, 16)
    interface = Interface(
        space, given=(image(1, 16), LABELS, Space("points", (3,))), heads={"class": 10, "code": 2}, logits=5
    )
    given = (torch.randn(4, 1, 16, 16), torch.arange(4), torch.randn(4, 3))
    output = factory(interface, **parameters)(torch.randn(4, 2, 16, 16), *given)
    assert output.logits.shape[:2] == (4, 5)
    assert {name: head.shape for name, head in output.heads.items()} == {"class": (4, 10), "code": (4, 2)}
    packed = factory(Interface(space, pack=3), **parameters)
    assert packed(torch.randn(2, 6, 16, 16)).logits.shape[0] == 2


@pytest.mark.parametrize(("factory", "parameters"), DISCRIMINATORS)
def test_a_packed_discriminator_takes_what_is_given_packed_too(factory, parameters):
    packed = factory(Interface(image(1, 16), given=(image(1, 16), LABELS), pack=2), **parameters)
    assert (
        packed(torch.randn(3, 2, 16, 16), torch.randn(3, 2, 16, 16), torch.zeros(3, 2, dtype=torch.long)).logits.shape[
            0
        ]
        == 3
    )


@pytest.mark.parametrize(("factory", "parameters"), DISCRIMINATORS)
def test_a_given_label_changes_the_logits(factory, parameters):
    discriminator = factory(Interface(image(1, 16), given=(LABELS,)), **parameters).eval()
    x = torch.randn(2, 1, 16, 16)
    first, second = (discriminator(x, torch.full((2,), label)).logits for label in (0, 7))
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("factory", "parameters"), DISCRIMINATORS[1:])
def test_a_given_image_of_another_size_is_refused(factory, parameters):
    with pytest.raises(Refusal, match="one size"):
        factory(Interface(image(1, 16), given=(image(1, 32),)), **parameters)


def test_generators_take_labels_beside_latents():
    for factory, parameters in ((MLPGenerator, {"widths": (8,)}), (DCGANGenerator, {"width": 4})):
        generator = factory(Interface(LATENT, image(1, 8), given=(LABELS,)), **parameters).eval()
        z = torch.randn(2, 100)
        assert not torch.equal(generator(z, torch.tensor([0, 0])), generator(z, torch.tensor([1, 1])))


def test_dcgan_generator_refuses_a_given_image():
    with pytest.raises(Refusal, match="no place for a given image"):
        DCGANGenerator(Interface(LATENT, image(1, 8), given=(image(1, 8),)))


@pytest.mark.parametrize("space", [image(1, 8), POINTS, Space("latent", (5,))])
def test_mlp_serves_every_space(space):
    generator = MLPGenerator(Interface(space, space, given=(LABELS,)), widths=(8, 8))
    discriminator = MLPDiscriminator(Interface(space), widths=(8,))
    y = generator(torch.randn(3, *space.shape), torch.zeros(3, dtype=torch.long))
    assert y.shape == (3, *space.shape)
    assert discriminator(y).logits.shape == (3,)
    assert [f.shape for f in discriminator(y).features] == [(3, 8)]


def test_networks_run_on_the_meta_device():
    labels = torch.zeros(2, dtype=torch.long, device="meta")
    generator = meta(MLPGenerator, Interface(LATENT, POINTS, given=(LABELS,)))
    assert generator(torch.empty(2, 100, device="meta"), labels).shape == (2, 2)
    discriminator = meta(PatchGAN, Interface(image(1, 32), given=(LABELS,)))
    assert discriminator(torch.empty(2, 1, 32, 32, device="meta"), labels).logits.shape == (2, 1, 2, 2)
