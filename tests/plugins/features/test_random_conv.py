"""Features of an untrained network: the same everywhere, worked out by hand, and better than nothing."""

import pytest
import torch

from ganrun.data.reader import InMemory
from ganrun.evaluation.features import FeatureContext
from ganrun.words.spaces import DataFiles, Refusal, Space
from ganrun_plugins.datasets.digits import Digits
from ganrun_plugins.features.random_conv import RandomConv


def context(shape=(1, 8, 8), kind="image", device="cpu"):
    data = InMemory({"x": torch.zeros(4, *shape)}, {"x": Space(kind, shape)}, [])
    return FeatureContext("x", data.spaces["x"], data, None, torch.device(device))


def pictures(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 14), (2, 28, 28), (3, 64, 64), (1, 8, 40)])
def test_pictures_of_any_size_and_number_of_channels_have_256_features(shape):
    found = RandomConv(context(shape))(pictures(5, *shape))
    assert found.shape == (5, 256)
    assert found.isfinite().all()
    assert (found.std(0) > 0).all(), "each feature tells some pictures apart"


def test_points_are_refused():
    with pytest.raises(Refusal) as caught:
        RandomConv(context((2,), "points"))
    assert caught.value.reason.instead == "features: pixels"


def test_weights_depend_on_the_seed_alone():
    """Not on torch's generator, nor on its default type; the first numbers are written down, so that no version changes
    them unseen.
    """
    first = RandomConv(context())
    torch.manual_seed(7)
    torch.set_default_dtype(torch.float64)
    try:
        second = RandomConv(context())
        x = pictures(2, 1, 8, 8)
        assert torch.equal(first(x), second(x))
        assert second(x).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
    assert first.fingerprint() == second.fingerprint()
    assert len({RandomConv(context(), seed=seed).fingerprint() for seed in range(3)}) == 3
    assert len({RandomConv(context(), width=width).fingerprint() for width in (64, 128)}) == 2
    torch.testing.assert_close(
        first.weights[0].flatten()[:3], torch.tensor([0.2962793707847595, 0.32840123772621155, -0.2796768248081207])
    )


def test_one_layer_is_a_convolution_its_mean_and_its_maximum():
    """On a white 4 x 4 picture, stride 1: inside, the kernel's sum; in a corner, that of the 2 x 2 weights that lie
    within.
    """
    extract = RandomConv(context((1, 4, 4)), layers=1, width=1)
    kernel = extract.weights[0][0, 0]
    sums = torch.empty(4, 4)
    for row in range(4):
        for column in range(4):
            rows = slice(1 if row == 0 else 0, 2 if row == 3 else 3)
            columns = slice(1 if column == 0 else 0, 2 if column == 3 else 3)
            sums[row, column] = kernel[rows, columns].sum()
    leaky = torch.where(sums > 0, sums, 0.2 * sums)
    torch.testing.assert_close(extract(torch.ones(1, 1, 4, 4)), torch.stack([leaky.mean(), leaky.max()])[None])


def test_halving_ends_at_four_pixels():
    """8 -> 4 -> 4 -> 4 -> 4: on maps of 2 x 2 or 1 x 1, mean and maximum would soon be the same number."""
    found = RandomConv(context())(pictures(3, 1, 8, 8))
    assert not torch.isclose(found[:, :128], found[:, 128:]).any()


def test_numbers_keep_their_size_from_layer_to_layer():
    """He's variance: of normal pictures the mean square stays 1 after each layer, within the luck of one draw of
    weights.
    """
    extract = RandomConv(context((3, 64, 64)), width=256)
    x = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for weight in extract.weights:
        x = torch.nn.functional.leaky_relu(torch.nn.functional.conv2d(x, weight, padding=1), 0.2)
        assert 0.5 < float(x[:, :, 8:-8, 8:-8].square().mean()) < 2


def test_digits_are_told_apart_without_training(tmp_path):
    """The nearest of the ten class means (train split) is right for most test digits: weak, yet far above 10%."""
    train, test = (Digits(DataFiles(tmp_path, tmp_path), split) for split in ("train", "test"))
    extract = RandomConv(FeatureContext("x", train.spaces["x"], train, tmp_path, torch.device("cpu")))
    known, asked = (extract(data.tensors["x"].float() / 127.5 - 1) for data in (train, test))
    mean, deviation = known.mean(0), known.std(0)
    means = torch.stack([((known - mean) / deviation)[train.tensors["label"] == digit].mean(0) for digit in range(10)])
    nearest = torch.cdist((asked - mean) / deviation, means).argmin(1)
    assert (nearest == test.tensors["label"]).double().mean() > 0.7


def test_pictures_are_rounded_to_256_levels_and_gradients_are_not():
    extract = RandomConv(context())
    levels = torch.randint(0, 256, (3, 1, 8, 8), generator=torch.Generator().manual_seed(0)).float()
    x = (levels / 127.5 - 1) * 0.99
    whole = ((x + 1) * 127.5).round() / 127.5 - 1
    assert not torch.equal(x, whole)
    assert torch.equal(extract(x), extract(whole))
    x.requires_grad_()
    whole.requires_grad_()
    (found,) = torch.autograd.grad(extract(x).square().sum(), x)
    (wanted,) = torch.autograd.grad(extract(whole).square().sum(), whole)
    assert found.abs().max() > 0
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_the_features_are_the_mean_and_the_maximum_of_the_last_of_its_maps():
    extract, x = RandomConv(context((1, 16, 16))), pictures(3, 1, 16, 16)
    maps = extract.maps(x)
    shapes = {"layer1": (16, 8, 8), "layer2": (32, 4, 4), "layer3": (64, 4, 4), "layer4": (128, 4, 4)}
    assert {name: tuple(layer.shape[1:]) for name, layer in maps.items()} == shapes
    last = maps["layer4"]
    assert torch.equal(extract(x), torch.cat([last.mean((2, 3)), last.amax((2, 3))], 1))
