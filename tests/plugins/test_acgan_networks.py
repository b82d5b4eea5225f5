"""AC-GAN's networks: parameters by hand, sides and channels, dropout and noise, and what is not normalised."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from tried_runs import problems_of_run

from ganrun.catalog.catalog import Catalog
from ganrun.experiment.capabilities import traits
from ganrun.recipe import find_recipe, load_recipe
from ganrun.testing import probe
from ganrun.words.spaces import Interface, Refusal, Space
from ganrun_plugins.networks.acgan import ACGANDiscriminator, ACGANGenerator, Noise

CIFAR, LATENT, TEN = Space("image", (3, 32, 32)), Space("latent", (110,)), Space("labels", (), 10)
CLASSES = {"class": 10}
CHANNELS = (16, 32, 64, 128, 256, 512)


def count(module) -> int:
    return sum(p.numel() for p in module.parameters())


def on_meta(factory, interface, **parameters):
    with torch.device("meta"):
        return factory(interface, **parameters)


def discriminator(interface=None, seed=0, **parameters) -> ACGANDiscriminator:
    """With seeded weights, in training mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ACGANDiscriminator(interface or Interface(takes=CIFAR, heads=CLASSES), **parameters)


def images(rows=8, seed=0):
    return torch.randn(rows, 3, 32, 32, generator=torch.Generator().manual_seed(seed)).tanh()


def watched(network, x, seed=0):
    """The output, and what went into the convolutions and into the layers of logits and classes, in their order."""
    taken = []
    layers = [m for m in network.trunk if isinstance(m, nn.Conv2d)] + [network.output, *network.heads.values()]
    hooks = [
        layer.register_forward_pre_hook(lambda _, args: taken.append(args[0].detach().clone())) for layer in layers
    ]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        output = network(x)
    for hook in hooks:
        hook.remove()
    return output, taken


# --- parameter counts -------------------------------------------------------------------------------------------

LINEAR = (110 + 10 + 1) * 384 * 4 * 4  # 743,424
UP = (384 * 192 + 192 * 96 + 96 * 3) * 5 * 5  # 1,843,200 + 460,800 + 7,200
# 432 + 4,608 + 18,432 + 73,728 + 294,912 + 1,179,648
DOWN = (3 * 16 + 16 * 32 + 32 * 64 + 64 * 128 + 128 * 256 + 256 * 512) * 3 * 3
FLAT = 512 * 4 * 4  # 8,192


def test_generator_has_the_parameters_of_the_table():
    """Two numbers of BatchNorm for each of 192 and 96 channels, a bias for each of 3."""
    network = on_meta(ACGANGenerator, Interface(takes=LATENT, makes=CIFAR, given=(TEN,)))
    assert count(network) == LINEAR + UP + 2 * (192 + 96) + 3 == 3_055_203


def test_discriminator_has_the_parameters_of_the_table():
    """A bias for each of the first 16 channels, two numbers of BatchNorm for each of the others, 8,192 + 1 for each
    output.
    """
    network = on_meta(ACGANDiscriminator, Interface(takes=CIFAR, heads=CLASSES))
    assert count(network) - count(network.heads) == DOWN + 16 + 2 * (32 + 64 + 128 + 256 + 512) + FLAT + 1 == 1_581_953
    assert count(network.heads) == 10 * (FLAT + 1) == 81_930


def test_without_norm_each_layer_has_a_bias_in_its_place():
    generator = on_meta(ACGANGenerator, Interface(takes=LATENT, makes=CIFAR, given=(TEN,)), norm="none")
    assert count(generator) == LINEAR + UP + 192 + 96 + 3
    network = on_meta(ACGANDiscriminator, Interface(takes=CIFAR), norm="none")
    assert count(network) == DOWN + sum(CHANNELS) + FLAT + 1
    assert "batch-statistics" not in traits([*generator.modules(), *network.modules()])


# --- layers -----------------------------------------------------------------------------------------------------


def test_every_second_convolution_halves_and_each_doubles_the_channels():
    output = discriminator()(images())
    assert [tuple(f.shape[1:]) for f in output.features] == [(c, s, s) for c, s in zip(CHANNELS, (16, 16, 8, 8, 4, 4))]
    assert output.logits.shape == (8,)
    assert output.heads["class"].shape == (8, 10)
    convolutions = [m for m in discriminator().trunk if isinstance(m, nn.Conv2d)]
    assert [m.stride for m in convolutions] == [(2, 2), (1, 1)] * 3
    assert {m.kernel_size for m in convolutions} == {(3, 3)}


@pytest.mark.parametrize(("height", "width"), [(8, 8), (32, 32), (16, 40)])
def test_each_transposed_convolution_doubles_exactly(height, width):
    network = ACGANGenerator(Interface(takes=Space("latent", (5,)), makes=Space("image", (2, height, width))), width=3)
    sides = []
    for layer in network.image:
        if isinstance(layer, nn.ConvTranspose2d):
            assert layer.kernel_size == (5, 5)
            layer.register_forward_hook(
                lambda _, args, out: sides.append(tuple(args[0].shape[1:]) + tuple(out.shape[1:]))
            )
    made = network(torch.randn(4, 5))
    h, w = height // 8, width // 8
    assert sides == [
        (12, h, w, 6, 2 * h, 2 * w),
        (6, 2 * h, 2 * w, 3, 4 * h, 4 * w),
        (3, 4 * h, 4 * w, 2, height, width),
    ]
    assert made.shape == (4, 2, height, width)
    assert float(made.detach().abs().max()) <= 1


def test_the_generators_vector_is_linear_and_relu_without_norm():
    network = ACGANGenerator(Interface(takes=Space("latent", (5,)), makes=CIFAR, given=(TEN,)), width=2)
    seen = []
    network.image[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    z, label = torch.randn(6, 5), torch.tensor([0, 3, 9, 1, 1, 2])
    network(z, label)
    columns = torch.cat([z, F.one_hot(label, 10).float()], 1)
    assert torch.allclose(
        seen[0].flatten(1), (columns @ network.vector[0].weight.T + network.vector[0].bias).clamp(min=0), atol=1e-6
    )
    assert [type(m).__name__ for m in network.image] == [
        *["ConvTranspose2d", "BatchNorm2d", "ReLU"] * 2,
        "ConvTranspose2d",
        "Tanh",
    ]


def test_the_discriminators_first_layer_has_no_norm_and_all_others_have():
    """In training, the first feature is LeakyReLU of the convolution's own output; BatchNorm would have changed it."""
    network, x = discriminator(), images()
    first = network.trunk[0]
    plain = F.conv2d(x, first.weight, first.bias, stride=2, padding=1)
    features = network(x).features
    assert torch.allclose(features[0], torch.where(plain > 0, plain, 0.2 * plain), atol=1e-6)
    for feature in features[1:]:  # undo LeakyReLU: normalised, so of mean 0 and variance 1 in each channel
        normed = torch.where(feature > 0, feature, 5 * feature).transpose(0, 1).flatten(1)
        assert torch.allclose(normed.mean(1), torch.zeros(len(normed)), atol=1e-4)
        assert torch.allclose(normed.var(1, unbiased=False), torch.ones(len(normed)), atol=1e-2)


def test_logits_and_classes_are_linear_in_the_same_numbers():
    network, x = discriminator(width=2).eval(), images()
    output, taken = watched(network, x)
    assert torch.equal(taken[-1], taken[-2])
    flat = output.features[-1].flatten(1)
    assert torch.equal(taken[-1], flat)
    assert torch.allclose(output.logits, flat @ network.output.weight[0] + network.output.bias, atol=1e-5)
    head = network.heads["class"]
    assert torch.allclose(output.heads["class"], flat @ head.weight.T + head.bias, atol=1e-5)


# --- dropout and noise ------------------------------------------------------------------------------------------


def test_dropout_is_behind_each_activation_and_not_in_the_features():
    network, x = discriminator(dropout=0.25), images(16)
    output, taken = watched(network, x)
    assert torch.equal(taken[0], x)
    assert len(output.features) == 6
    for feature, after in zip(output.features, taken[1:7], strict=True):
        dropped = after.reshape_as(feature) == 0
        assert bool((feature != 0).all())
        assert float(dropped.float().mean()) == pytest.approx(0.25, abs=0.02)
        assert torch.allclose(after.reshape_as(feature)[~dropped], feature[~dropped] / 0.75)
    assert torch.equal(taken[6], taken[7])  # classes are named from what the logit saw


def test_dropout_is_a_half_unless_set():
    assert [m.p for m in discriminator().trunk if isinstance(m, nn.Dropout)] == [0.5] * 6


def test_noise_is_on_each_activation_in_training_and_not_on_the_image():
    network, x = discriminator(dropout=0.0, noise=0.1), images(16)
    output, taken = watched(network, x)
    assert torch.equal(taken[0], x)
    added = [after.reshape_as(feature) - feature for feature, after in zip(output.features, taken[1:7], strict=True)]
    for noise in added:
        assert float(noise.detach().std()) == pytest.approx(0.1, rel=0.03)
        assert float(noise.detach().mean()) == pytest.approx(0, abs=0.005)
    assert (
        abs(float(torch.corrcoef(torch.stack([added[2].flatten()[:8192], added[5].flatten()[:8192]]))[0, 1].detach()))
        < 0.05
    )


def test_evaluation_has_neither_dropout_nor_noise():
    network, x = discriminator(noise=0.2).eval(), images()
    output, taken = watched(network, x)
    for feature, after in zip(output.features, taken[1:7], strict=True):
        assert torch.equal(after.reshape_as(feature), feature)
    assert torch.equal(output.logits, watched(network, x, seed=1)[0].logits)


@pytest.mark.parametrize("parameters", [{"dropout": 0.0, "noise": 0.1}, {"dropout": 0.5}])
def test_draws_are_those_of_torchs_global_generator(parameters):
    """So the seed of a turn's forward decides them, and nothing that went before."""
    network, x = discriminator(width=2, **parameters), images()
    one, same, other = (watched(network, x, seed)[0].logits for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_noise_is_drawn_before_dropout():
    """What is dropped is 0, noise and all; what stays is (feature + noise) / (1 - p)."""
    network, x = discriminator(width=2, dropout=0.5, noise=0.1), images(16)
    output, taken = watched(network, x)
    after = taken[1]
    assert float((after == 0).float().mean()) == pytest.approx(0.5, abs=0.05)
    noise = (after / 2 - output.features[0])[after != 0]
    assert float(noise.detach().std()) == pytest.approx(0.1, rel=0.05)


def test_who_minds_dropout_is_told_of_noise():
    """Two calls of the discriminator differ with either, which is what tricks of consistency warn of."""
    assert "dropout" not in traits(discriminator(width=2, dropout=0.0).modules())
    assert "dropout" in traits(discriminator(width=2, dropout=0.0, noise=0.1).modules())
    assert "dropout" in traits(discriminator(width=2).modules())
    assert isinstance(discriminator(width=2, noise=0.1).trunk[2], Noise)


# --- what is given, packs, refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize("labels", ["one-hot", "embedding", "linear-map", "projection"])
def test_labels_enter_as_in_dcgan(labels):
    interface = Interface(takes=CIFAR, given=(TEN,))
    network = discriminator(interface, width=2, labels=labels, label_size=7).eval()
    planes = {"one-hot": 10, "embedding": 7, "linear-map": 7, "projection": 0}[labels]
    assert network.trunk[0].in_channels == 3 + planes
    x, label = images(4), torch.tensor([0, 3, 9, 1])
    assert not torch.equal(network(x, label).logits, network(x, label.roll(1)).logits)


def test_projection_adds_the_inner_product_with_the_summed_last_features():
    network = discriminator(Interface(takes=CIFAR, given=(TEN,)), width=2, labels="projection").eval()
    x, label = images(4), torch.tensor([0, 3, 9, 1])
    output = network(x, label)
    phi = output.features[-1]
    plain = phi.flatten(1) @ network.output.weight[0] + network.output.bias
    vectors = network.projection.vectors["0"].weight[label]
    assert torch.allclose(output.logits, plain + (vectors * phi.sum((2, 3))).sum(1), atol=1e-5)


def test_a_pack_of_images_with_planes_is_judged_as_one():
    given = (TEN, Space("image", (1, 32, 32)))
    network = discriminator(Interface(takes=CIFAR, given=given, pack=2, logits=3), width=2)
    assert network.trunk[0].in_channels == 2 * (3 + 10 + 1)
    labels, beside = torch.zeros(4, 2, dtype=torch.int64), torch.zeros(4, 2, 32, 32)
    assert network(torch.zeros(4, 6, 32, 32), labels, beside).logits.shape == (4, 3)


@pytest.mark.parametrize("network", [ACGANGenerator, ACGANDiscriminator])
@pytest.mark.parametrize("side", [(28, 28), (32, 36)])
def test_other_sides_are_refused(network, side):
    image = Space("image", (3, *side))
    interface = Interface(takes=LATENT, makes=image) if network is ACGANGenerator else Interface(takes=image)
    with pytest.raises(Refusal, match=f"divisible by 8; this is {side[0]} x {side[1]}"):
        network(interface)


def test_the_generator_has_no_place_for_a_given_image():
    with pytest.raises(Refusal, match="no place for a given image"):
        ACGANGenerator(Interface(takes=LATENT, makes=CIFAR, given=(CIFAR,)))


# --- in runs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["acgan", "cgan"])
def test_runs_with_noise_and_dropout_resume_bit_for_bit(variant):
    recipe = {
        "variant": {variant: {"latent": 4}},
        "dataset": {"digits": {"size": 8}},
        "generator": {"acgan": {"width": 2}},
        "discriminator": {"acgan": {"width": 2, "noise": 0.1}},
        "without": ["progress", "samples", "metrics-log", "health", "checkpoints"],
        "train": {"steps": 4, "batch_size": 8, "device": "cpu"},
    }
    assert problems_of_run(Catalog(modules=[probe]), recipe) == []


def test_the_recipe_for_cifar_has_the_papers_networks_with_noise():
    recipe = load_recipe(find_recipe("acgan_cifar10"), catalog=Catalog())
    with torch.device("meta"):
        generator = recipe.networks["generator"].make(Interface(takes=LATENT, makes=CIFAR, given=(TEN,)))
        network = recipe.networks["discriminator"].make(Interface(takes=CIFAR, heads=CLASSES))
    assert count(generator) == 3_055_203
    assert count(network) == 1_581_953 + 81_930
    assert [m.sigma for m in network.modules() if isinstance(m, Noise)] == [0.1] * 6
    assert "instance-noise" not in {part.name for part in recipe.tricks}
