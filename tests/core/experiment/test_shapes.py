"""Shapes of networks that were built on the meta device."""

import pytest
import torch
from torch import Tensor, nn

from ganrun.experiment import shapes
from ganrun.words.spaces import Interface, Space

IMAGES = Interface(takes=Space("latent", (3,)), makes=Space("image", (2, 8, 8)))


class Small(nn.Module):
    """(B, 3) -> (B, 2, 8, 8), with a buffer that no checkpoint holds."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2 * 64)
        self.norm = nn.BatchNorm2d(2)
        self.register_buffer("scale", torch.ones(1), persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        return self.norm(self.linear(z).view(-1, 2, 8, 8)) * self.scale


class Torn(Small):
    """A layer of it takes another size than it is given."""

    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z[:, :2])


def on_meta(kind: type[nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return kind()


def test_a_small_network_runs_on_the_cpu_and_stays_on_meta() -> None:
    network = on_meta(Small)
    out = shapes.output(network, IMAGES, 2)
    assert (out.shape, out.device.type) == ((2, 2, 8, 8), "cpu")
    assert all(tensor.is_meta for tensor in (*network.parameters(), *network.buffers()))


def test_a_large_network_is_not_calculated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "LIGHT", (4 * 128 + 4) * 64)  # its weights at 8 x 8 pixels
    out = shapes.output(on_meta(Small), IMAGES, 2)
    assert (out.shape, out.device.type) == ((2, 2, 8, 8), "meta")


def test_what_does_not_fit_is_an_error_of_the_network() -> None:
    with pytest.raises(RuntimeError, match="must have same reduction dim"):
        shapes.output(on_meta(Torn), IMAGES, 2)


def test_a_tensor_that_torch_does_not_know_of_leaves_the_network_on_meta() -> None:
    class Hidden(Small):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = torch.ones(1)  # neither a parameter nor a buffer

        def forward(self, z: Tensor) -> Tensor:
            return super().forward(z) * self.hidden.expand(z.shape[0], 2, 8, 8)

    assert shapes.output(on_meta(Hidden), IMAGES, 2).device.type == "meta"


def test_nothing_is_drawn_on_the_meta_device_and_everything_elsewhere():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with shapes.NothingDrawn(), torch.device("meta"):
        weight = nn.init.normal_(nn.Parameter(torch.randn(2, 3)))
        assert torch.rand(4, dtype=torch.float64).dtype == torch.float64
        assert nn.Embedding(5, 2).weight.is_meta
    assert (weight.is_meta, weight.shape) == (True, (2, 3))
    assert torch.equal(torch.get_rng_state(), before)
    with shapes.NothingDrawn():
        drawn = nn.init.normal_(torch.zeros(3))
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.randn(3))
