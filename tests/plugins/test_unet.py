"""U-Net: its sizes, its joints by hand, where dropout is, and the names that the authors' code gives its modules."""

import pytest
import torch
from torch import nn

from ganrun.words.spaces import Interface, Refusal, Space
from ganrun_plugins.networks.patchgan import PatchGAN
from ganrun_plugins.networks.unet import UNet


def image(side, channels=3):
    return Space("image", (channels, side, side))


def translator(side, channels=3):
    return Interface(takes=image(side, channels), makes=image(side, channels))


def on_meta(factory, *args, **parameters):
    with torch.device("meta"):
        return factory(*args, **parameters)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("side", "parameters"), [(256, 54_413_955), (128, 41_828_995)])
def test_the_published_sizes(side, parameters):
    assert count(on_meta(UNet, translator(side))) == parameters


def test_the_discriminator_of_pairs_has_the_published_size():
    assert count(on_meta(PatchGAN, Interface(takes=image(256), given=(image(256),)), norm="batch")) == 2_768_705


def test_modules_are_nested_and_numbered_as_in_the_authors_code():
    """Outermost 0 down, 1 within, 3 up; then 1 down, 2 norm, 3 within, 5 up, 6 norm; innermost 1 down, 3 up, 4 norm."""
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in on_meta(UNet, translator(256)).state_dict().items()
        if name.endswith("weight")
    }
    inside = "model.model.1" + 6 * ".model.3"  # seven blocks down
    assert shapes["model.model.0.weight"] == (64, 3, 4, 4)
    assert shapes["model.model.3.weight"] == (128, 3, 4, 4)
    assert shapes["model.model.1.model.1.weight"] == (128, 64, 4, 4)
    assert shapes["model.model.1.model.2.weight"] == (128,)
    assert shapes["model.model.1.model.5.weight"] == (256, 64, 4, 4)
    assert shapes["model.model.1.model.6.weight"] == (64,)
    assert shapes[f"{inside}.model.1.weight"] == (512, 512, 4, 4)
    assert shapes[f"{inside}.model.3.weight"] == (512, 512, 4, 4)
    assert shapes[f"{inside}.model.4.weight"] == (512,)
    # convolutions; norms on the way down, all but the first and last; on the way up, all but the last
    assert len(shapes) == 2 * 8 + 6 + 7


def test_biases_stand_where_the_authors_have_them():
    """Under BatchNorm only the last layer has one; under instance normalisation every convolution, and no norm has
    parameters.
    """
    named = {norm: set(on_meta(UNet, translator(16), norm=norm).state_dict()) for norm in ("batch", "instance")}
    assert "model.model.3.bias" in named["batch"]
    assert not {f"model.model.{rest}" for rest in ("0.bias", "1.model.1.bias", "1.model.5.bias")} & named["batch"]
    assert {f"model.model.{rest}" for rest in ("0.bias", "1.model.1.bias", "1.model.5.bias", "3.bias")} < named[
        "instance"
    ]
    assert "model.model.1.model.2.weight" not in named["instance"]


def outputs_of_dropout(side, **parameters):
    network, seen = on_meta(UNet, translator(side), **parameters), []
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.register_forward_hook(lambda layer, x, y: seen.append(tuple(y.shape[1:])))
    network(torch.zeros(1, 3, side, side, device="meta"))
    return seen


def test_dropout_follows_the_first_three_layers_up_or_spares_the_first():
    assert outputs_of_dropout(256) == [(512, 2, 2), (512, 4, 4), (512, 8, 8)]
    assert outputs_of_dropout(256, dropout_at="pytorch") == [(512, 4, 4), (512, 8, 8), (512, 16, 16)]
    assert outputs_of_dropout(128, dropout_at="pytorch") == [(512, 4, 4), (512, 8, 8)]
    assert outputs_of_dropout(16) == [(256, 2, 2), (128, 4, 4), (64, 8, 8)]
    assert outputs_of_dropout(32, dropout_at="pytorch") == outputs_of_dropout(32, dropout=0) == []


def picking(*shape, channel=0):
    """Weights that copy one channel: down takes the pixel at even places, up puts each pixel at an even place."""
    weight = torch.zeros(shape)
    weight[channel, 0, 1, 1] = 1
    return weight


@pytest.mark.parametrize(("channel", "step"), [(0, 2), (1, 4)])
def test_what_came_down_stands_before_what_came_up(channel, step):
    """Depth 2, one channel: channel 0 of the last layer is x at every 2nd place, channel 1 went one size further, every
    4th.
    """
    network = UNet(translator(8, 1), width=1, depth=2, norm="none", dropout=0)
    inner, x = network.model.model[1].model, torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.bias.data.zero_()
    network.model.model[0].weight.data = picking(1, 1, 4, 4)
    inner[1].weight.data[0, 0] = 0
    inner[1].weight.data[0, 0, 1, 1] = 1
    inner[1].weight.data[1:] = 0
    inner[3].weight.data = picking(*inner[3].weight.shape)
    network.model.model[3].weight.data = picking(2, 1, 4, 4, channel=channel)
    expected = torch.zeros_like(x)
    expected[:, :, ::step, ::step] = x[:, :, ::step, ::step].relu().tanh()
    assert torch.allclose(network(x), expected)
    assert expected.any()


def test_without_skips_everything_goes_through_the_smallest_size():
    """No layer is twice as wide, and two images that agree at the bottleneck become one picture."""
    ups = [
        layer for layer in on_meta(UNet, translator(64), skips=False).modules() if isinstance(layer, nn.ConvTranspose2d)
    ]
    assert [up.in_channels for up in ups] == [512, 512, 512, 256, 128, 64]
    network, x = UNet(translator(16, 1), width=2, norm="none", dropout=0, skips=False), torch.randn(2, 1, 16, 16)
    deepest = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)][-1]
    deepest.weight.data.zero_()
    assert torch.equal(*network(x))
    joined = UNet(translator(16, 1), width=2, norm="none", dropout=0)
    [layer for layer in joined.modules() if isinstance(layer, nn.Conv2d)][-1].weight.data.zero_()
    assert not torch.equal(*joined(x))


@pytest.mark.parametrize("side", [8, 16, 32, 64])
def test_every_power_of_two_from_8_up_is_served(side):
    assert UNet(translator(side, 1), width=2)(torch.zeros(2, 1, side, side)).shape == (2, 1, side, side)


def test_other_sides_are_padded_unless_too_small_for_the_depth():
    assert UNet(translator(24, 1), width=2)(torch.zeros(2, 1, 24, 24)).shape == (2, 1, 24, 24)
    assert UNet(translator(24, 1), width=2, depth=3)(torch.zeros(2, 1, 24, 24)).shape == (2, 1, 24, 24)
    with pytest.raises(Refusal, match=r"depth 5 .* of 24 x 24 pixels nothing is left; depth: 4"):
        on_meta(UNet, translator(24), depth=5)
    with pytest.raises(Refusal, match="keeps the size"):
        on_meta(UNet, Interface(takes=image(16), makes=image(32)))


def test_what_is_given_joins_the_channels_of_the_input():
    network = UNet(Interface(takes=image(8, 1), makes=image(8, 1), given=(Space("labels", (), 3),)), width=2)
    assert network.model.model[0].in_channels == 4
    assert network.eval()(torch.zeros(2, 1, 8, 8), torch.tensor([0, 2])).shape == (2, 1, 8, 8)
