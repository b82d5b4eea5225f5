"""BEGAN's networks: a decoder as generator, and an autoencoder of the same layers as discriminator.

Paper: Berthelot, Schumm and Metz, "BEGAN: Boundary Equilibrium Generative Adversarial Networks" (2017), section 3.5.1.
3 x 3 convolutions with ELU, two at each size; on the way down the i-th size has i * n channels and a convolution of
stride 2 between sizes, on the way up all have n and pixels are repeated. 8 pixels a side are the smallest; before and
after them a linear layer to and from the code. No normalisation. The discriminator's logit is the mean absolute error
with which it gives a sample back, an energy.

With n = 128 and a code of 64 numbers the generator and the discriminator of 64 x 64 images have 1,716,611 and
13,405,379 parameters, of 128 x 128 ones 2,011,779 and 23,221,443; with n = 64, at 64 x 64, 563,395 and 4,011,651.

Layers are those of a well-known TensorFlow version, whose stride-2 convolutions keep the channels and whose next one
adds n.

Differences from it: the generator ends in tanh, as images here lie in [-1, 1]; ``output: linear`` is without. It has no
skip connections; ``skips: true`` joins the first 8 x 8 tensor of a decoder to every size behind it, before that size's
first convolution (our reading of the paper, held against no code). Sides that are no 8, 16, 32, ... are halved rounding
up: 28, 14, 7.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, DiscriminatorOutput, Interface, Layers, Reason, Refusal, hookimpl
from ganrun_plugins.networks._given import append_planes, append_vectors, plane_count, vector_size

Width = Annotated[
    int, Field(ge=1, description="n: channels of the layers next to the image, and of every layer of a decoder")
]
Skips = Annotated[bool, Field(description="join the first tensor of the decoder to all that follow")]
SMALLEST = 8  # a side of this many pixels is not halved any more


def sides(side: tuple[int, int]) -> list[tuple[int, int]]:
    """Height and width on the way down: (64, 64), (32, 32), (16, 16), (8, 8)."""
    found = [side]
    while max(found[-1]) > SMALLEST:
        height, breadth = ((n + 1) // 2 if n > SMALLEST else n for n in found[-1])
        found.append((height, breadth))
    return found


def convolution(channels: int, width: int, stride: tuple[int, int] = (1, 1)) -> list[nn.Module]:
    """A 3 x 3 convolution and its ELU."""
    return [nn.Conv2d(channels, width, 3, stride, 1), nn.ELU()]


class Decoder(nn.Module):
    """(B, code) -> (B, out, H, W): two convolutions at each size, then pixels are repeated."""

    def __init__(self, code: int, out: int, side: tuple[int, int], width: int, skips: bool) -> None:
        super().__init__()
        self.sides = sides(side)[::-1]
        self.skips = skips
        height, breadth = self.sides[0]
        self.grow = nn.Linear(code, width * height * breadth)
        self.sizes = nn.ModuleList(
            nn.Sequential(*convolution(2 * width if skips and place else width, width), *convolution(width, width))
            for place in range(len(self.sides))
        )
        self.output = nn.Conv2d(width, out, 3, 1, 1)

    def forward(self, code: Tensor, hidden: dict[str, Tensor] | None = None) -> Tensor:
        """``hidden`` gets what comes out at each size."""
        first = h = self.grow(code).unflatten(1, (-1, *self.sides[0]))  # (B, n, 8, 8)
        for place, (side, layers) in enumerate(zip(self.sides, self.sizes)):
            if place:
                h = F.interpolate(h, side)  # each pixel repeated
                h = torch.cat([h, F.interpolate(first, side)], 1) if self.skips else h
            h = layers(h)  # (B, n, h, w)
            if hidden is not None:
                hidden[f"decoder.sizes.{place}"] = h
        image: Tensor = self.output(h)
        return image


class Encoder(nn.Module):
    """(B, planes, H, W) -> activations of each size and the code (B, code), which is last."""

    def __init__(self, planes: int, code: int, side: tuple[int, int], width: int) -> None:
        super().__init__()
        found = sides(side)
        self.sizes = nn.ModuleList()
        before = width
        for place, (here, below) in enumerate(zip(found, [*found[1:], None])):
            channels = (place + 1) * width
            layers = [] if place else convolution(planes, width)
            layers += [*convolution(before, channels), *convolution(channels, channels)]
            if below is not None:
                stride = (1 if here[0] == below[0] else 2, 1 if here[1] == below[1] else 2)
                layers += convolution(channels, channels, stride)
            self.sizes.append(nn.Sequential(*layers))
            before = channels
        height, breadth = found[-1]
        self.code = nn.Linear(before * height * breadth, code)

    def forward(self, h: Tensor) -> list[Tensor]:
        features = []
        for layers in self.sizes:
            h = layers(h)  # (B, i * n, h, w)
            features.append(h)
        return [*features, self.code(h.flatten(1))]


class BEGANGenerator(nn.Module):
    """(B, latent) -> (B, C, H, W) in [-1, 1]. Given vectors and labels (one-hot) are joined to the latent."""

    takes: ClassVar[frozenset[str]] = frozenset({"latent"})
    makes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"layers"})

    def __init__(
        self,
        interface: Interface,
        *,
        width: Width = 128,
        skips: Skips = False,
        output: Annotated[
            Literal["tanh", "linear"], Field(description="at the image; linear leaves [-1, 1], as in the authors' code")
        ] = "tanh",
    ) -> None:
        super().__init__()
        assert interface.makes is not None, "the interface of a generator says what it makes"
        if any(space.kind == "image" for space in interface.given):
            raise Refusal(
                "generator began grows an image from a vector and has no place for a given image",
                "a generator that takes images",
            )
        self.given = interface.given
        channels, height, breadth = interface.makes.shape
        self.decoder = Decoder(
            interface.takes.size + vector_size(interface.given), channels, (height, breadth), width, skips
        )
        self.squash = nn.Tanh() if output == "tanh" else nn.Identity()

    def forward(self, x: Tensor, *given: Tensor, layers: bool = False) -> Tensor | Layers:
        hidden: dict[str, Tensor] = {}
        code = append_vectors(x, given, self.given)  # (B, Z)
        image: Tensor = self.squash(self.decoder(code, hidden if layers else None))  # (B, C, H, W)
        return Layers(image, hidden) if layers else image


class BEGANDiscriminator(nn.Module):
    """(B, C, H, W) -> the energy (B,), never negative.

    Features are the encoder's activations, the code last; heads are linear on it.

    Packed samples are given back as a pack; what is given besides x is seen by the encoder and not given back.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"energy", "features"})
    needs: ClassVar[dict[str, Reason]] = {
        "logit:energy": Reason(
            "an error is never negative and is lowered on real samples, while this loss raises the logits of real "
            "samples above the fakes'",
            "loss: ebgan, began or magan, or a discriminator without an energy",
        )
    }

    def __init__(
        self,
        interface: Interface,
        *,
        width: Width = 128,
        code: Annotated[int, Field(ge=1, description="size of the code")] = 64,
        skips: Skips = False,
    ) -> None:
        super().__init__()
        if interface.logits != 1:
            raise Refusal(
                f"an autoencoder has one error a sample, and the loss asks for {interface.logits} numbers",
                "a loss on energies, or another discriminator",
            )
        self.given = interface.given
        channels, height, breadth = interface.takes.shape
        planes = channels + plane_count(interface.given, (height, breadth), "discriminator began")
        self.encoder = Encoder(interface.pack * planes, code, (height, breadth), width)
        self.decoder = Decoder(code, interface.pack * channels, (height, breadth), width, skips)
        self.heads = nn.ModuleDict({name: nn.Linear(code, size) for name, size in interface.heads.items()})

    def forward(self, x: Tensor, *given: Tensor) -> DiscriminatorOutput:
        features = self.encoder(append_planes(x, given, self.given))  # (B, pack * (C + planes), H, W) -> ..., (B, code)
        returned = self.decoder(features[-1])  # (B, pack * C, H, W)
        errors = (x.to(torch.promote_types(x.dtype, torch.float32)) - returned).abs()  # an energy is a small difference
        heads = {name: head(features[-1]) for name, head in self.heads.items()}  # (B, size)
        return DiscriminatorOutput(errors.flatten(1).mean(1), features, heads)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "began", BEGANGenerator)
    yield Component("discriminator", "began", BEGANDiscriminator)
