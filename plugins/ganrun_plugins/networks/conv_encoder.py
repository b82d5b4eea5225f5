"""A convolutional encoder: a square image goes down to a vector, the way of DCGAN's generator backwards.

Papers: Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional GANs" (2015), whose
discriminator's layers these are; Donahue, Krähenbühl and Darrell, "Adversarial Feature Learning" (2017), which mirrors
its generator like this. 4 x 4 convolutions of stride 2 halve the side down to 4 pixels, LeakyReLU 0.2 after each, a
normalisation in all but the first; a last convolution over the 4 x 4 pixels that are left gives the vector, without an
activation.

``width`` is the number of channels of the layer next to the image, and doubles with every halving, as in ``dcgan``. The
last layer has a bias, because encodings have a mean; others have one where nothing subtracts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Interface, Layers, hookimpl
from ganrun_plugins.networks._convolutions import Norm, Width, norm_layer
from ganrun_plugins.networks._given import append_planes, plane_count
from ganrun_plugins.networks._hidden import names_of, through


class ConvEncoder(nn.Module):
    """(B, C, H, W) -> (B, *makes.shape). Given vectors and labels become planes, given images channels."""

    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    makes: ClassVar[frozenset[str]] = frozenset({"latent"})
    provides: ClassVar[frozenset[str]] = frozenset({"layers"})

    def __init__(
        self,
        interface: Interface,
        *,
        width: Width = 64,
        norm: Annotated[Norm, Field(description="normalisation of all layers but the first and the last")] = "batch",
    ) -> None:
        super().__init__()
        assert interface.makes is not None, "the interface of a generator says what it makes"
        self.given = interface.given
        self.shape = interface.makes.shape
        steps, base = interface.takes.halvings("generator conv-encoder")
        bias = norm == "none"  # a normalisation would subtract it at once
        planes = interface.takes.shape[0] + plane_count(
            interface.given, interface.takes.shape[1:], "generator conv-encoder"
        )
        layers: list[nn.Module] = [nn.Conv2d(planes, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for _ in range(steps - 1):
            layers += [
                nn.Conv2d(width, 2 * width, 4, 2, 1, bias=bias),
                *norm_layer(norm, 2 * width),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            width *= 2
        self.main = nn.Sequential(*layers, nn.Conv2d(width, interface.makes.size, base, 1, 0))
        self.activations = names_of(self.main, nn.LeakyReLU)

    def forward(self, x: Tensor, *given: Tensor, layers: bool = False) -> Tensor | Layers:
        h = append_planes(x, given, self.given)  # (B, C + planes, H, W)
        if layers:
            hidden: dict[str, Tensor] = {}
            return Layers(through(self.main, h, self.activations, "main", hidden).reshape(-1, *self.shape), hidden)
        z: Tensor = self.main(h)  # (B, Z, 1, 1)
        return z.reshape(-1, *self.shape)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "conv-encoder", ConvEncoder)
