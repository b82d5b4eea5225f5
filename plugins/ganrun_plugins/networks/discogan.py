"""DiscoGAN's generator: an encoder and a decoder of 4x4 convolutions that turn an image into one of another domain.

Paper: Kim, Cha, Kim, Lee and Kim, "Learning to Discover Cross-Domain Relations with Generative Adversarial Networks"
(2017), section 3.4, with the layers of the authors' code: convolutions of stride 2 down to 4 x 4 pixels, LeakyReLU 0.2
and, from the second on, BatchNorm; the same way back with ReLU and BatchNorm. No layer has a bias. ``bottleneck: 100``
puts a vector of 100 numbers in the middle (the code's extra layers). At 64 pixels, RGB and width 64 it has 5,513,856
parameters, with the vector 7,153,480.

The code ends in a sigmoid s(x), for images in [0, 1]. Here images are in [-1, 1], where the same image is
2 s(x) - 1 = tanh(x / 2). Its discriminator is DCGAN's, ``dcgan``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Interface, Layers, Refusal, hookimpl
from ganrun_plugins.networks._convolutions import Norm, norm_layer
from ganrun_plugins.networks._given import append_planes, plane_count
from ganrun_plugins.networks._hidden import names_of, through


class DiscoGANGenerator(nn.Module):
    """(B, C, S, S) -> (B, C', S, S) in [-1, 1]. Whatever is given is joined to the channels of its input."""

    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    makes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: frozenset[str] = frozenset({"layers"})
    multiple = 1

    def __init__(
        self,
        interface: Interface,
        *,
        width: Annotated[
            int, Field(ge=1, description="channels of the layers next to the images; they double with every halving")
        ] = 64,
        bottleneck: Annotated[
            int | None, Field(ge=1, description="numbers of a vector in the middle, such as 100; null: 4 x 4 pixels")
        ] = None,
        norm: Annotated[Norm, Field(description="normalisation of all layers but the first and the last")] = "batch",
    ) -> None:
        super().__init__()
        assert interface.makes is not None, "the interface of a generator says what it makes"
        if interface.makes.shape[1:] != interface.takes.shape[1:]:
            raise Refusal(
                "generator discogan keeps the size of an image; "
                f"it takes {interface.takes} and is to make {interface.makes}",
                "resize both domains to one size",
            )
        steps, base = interface.takes.halvings("generator discogan")
        if bottleneck is None:  # a vector in the middle stands for images of one size
            self.provides = frozenset({"layers", "any-size"})
            self.multiple = 2**steps
        self.given = interface.given
        planes = interface.takes.shape[0] + plane_count(
            interface.given, interface.takes.shape[1:], "generator discogan"
        )
        bias = norm == "none"  # a normalisation would subtract it at once
        layers: list[nn.Module] = [nn.Conv2d(planes, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
        for _ in range(steps - 1):  # (B, W, H, W) -> (B, 2 W, H / 2, W / 2)
            layers += [
                nn.Conv2d(width, 2 * width, 4, 2, 1, bias=bias),
                *norm_layer(norm, 2 * width),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            width *= 2
        if bottleneck is not None:
            single = norm if norm == "batch" else "none"  # instance normalisation of one pixel is 0
            layers += [
                nn.Conv2d(width, bottleneck, base, 1, 0, bias=bias),
                *norm_layer(single, bottleneck),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            layers += [
                nn.ConvTranspose2d(bottleneck, width, base, 1, 0, bias=bias),
                *norm_layer(norm, width),
                nn.ReLU(inplace=True),
            ]
        for _ in range(steps - 1):  # and back
            layers += [
                nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=bias),
                *norm_layer(norm, width // 2),
                nn.ReLU(inplace=True),
            ]
            width //= 2
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(width, interface.makes.shape[0], 4, 2, 1, bias=False))
        self.activations = names_of(self.main, nn.LeakyReLU, nn.ReLU)

    def forward(self, x: Tensor, *given: Tensor, layers: bool = False) -> Tensor | Layers:
        h = append_planes(x, given, self.given)  # (B, C + planes, H, W)
        if layers:
            hidden: dict[str, Tensor] = {}
            return Layers(torch.tanh(through(self.main, h, self.activations, "main", hidden) / 2), hidden)
        image: Tensor = torch.tanh(self.main(h) / 2)  # (B, C', H, W)
        return image


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "discogan", DiscoGANGenerator)
