"""The residual networks of WGAN-GP and SNGAN, for images that are a base of 4 to 7 pixels, doubled.

Papers: Gulrajani et al., "Improved Training of Wasserstein GANs" (2017), appendix (CIFAR-10 ResNet); Miyato et al.,
"Spectral Normalization for Generative Adversarial Networks" (2018), appendix (32 x 32). With labels: conditional
BatchNorm in the generator (a scale and a shift for each class) and projection in the discriminator (Miyato and Koyama,
"cGANs with Projection Discriminator", 2018).

Generator: a linear layer to the base (4 x 4 for sides that are powers of two), then one block for each doubling,

    BatchNorm, ReLU, pixels repeated, 3 x 3, BatchNorm, ReLU, 3 x 3        beside: pixels repeated, 1 x 1

BatchNorm, ReLU, 3 x 3 to the image, tanh. Discriminator: blocks of ReLU, 3 x 3, ReLU, 3 x 3, of which the first ones
end in a mean over 2 x 2 pixels (down to 8 x 8, two at 32 x 32; at least one) and two more keep the side; the very first
starts without a ReLU, and its way beside pools before its 1 x 1 convolution, the others behind it. ReLU, sum or mean
over all pixels, a linear layer.

Parameters for RGB at 32 x 32 from 128 latents: the defaults are SNGAN's, 4,276,739 and 1,053,824 (no bias in the last
layer). WGAN-GP's are ``width: 128`` with 1,204,483, and ``pool: mean, bias: true`` with 1,053,825. Weights start
uniform by Glorot, with gain root 2 in the 3 x 3 convolutions of blocks (in effect He's, as WGAN-GP has it) and 1
elsewhere. BatchNorm has Chainer's eps of 2e-5.

Differences: larger images have more blocks of the same width (the papers' networks for 64 and 128 pixels have their own
widths).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, DiscriminatorOutput, Interface, Layers, Refusal, Space, hookimpl
from ganrun_plugins.networks._given import append_planes, append_vectors, plane_count, vector_size
from ganrun_plugins.networks._labels import Projection

EPSILON = 2e-5


def glorot(layer: nn.Module, gain: float = 1.0) -> nn.Module:
    """A layer with Glorot's uniform weights and biases of 0."""
    nn.init.xavier_uniform_(layer.weight, gain)  # type: ignore[arg-type]
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def residual(channels: int, width: int) -> nn.Module:
    """A 3 x 3 convolution inside a block."""
    return glorot(nn.Conv2d(channels, width, 3, 1, 1), math.sqrt(2))


class Norm(nn.Module):
    """BatchNorm whose scale and shift depend on a condition (B, columns), if there is one; they start at 1 and 0."""

    def __init__(self, width: int, columns: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, eps=EPSILON, affine=columns == 0)
        self.scale = nn.Linear(columns, width, bias=False) if columns else None
        self.shift = nn.Linear(columns, width, bias=False) if columns else None
        for layer in (self.scale, self.shift):
            if layer is not None:
                nn.init.zeros_(layer.weight)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        normalised: Tensor = self.norm(h)
        if self.scale is None or self.shift is None:
            return normalised
        scale, shift = self.scale(condition)[:, :, None, None], self.shift(condition)[:, :, None, None]  # (B, C, 1, 1)
        conditioned: Tensor = normalised * (1 + scale) + shift
        return conditioned


class UpBlock(nn.Module):
    """(B, C, H, W) -> (B, C', 2 H, 2 W)."""

    def __init__(self, channels: int, width: int, columns: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = Norm(channels, columns), Norm(width, columns)
        self.activation1, self.activation2 = nn.ReLU(), nn.ReLU()
        self.conv1, self.conv2 = residual(channels, width), residual(width, width)
        self.beside = glorot(nn.Conv2d(channels, width, 1))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = self.activation1(self.norm1(x, condition))
        h = self.conv1(F.interpolate(h, scale_factor=2))  # (B, C', 2 H, 2 W)
        h = self.conv2(self.activation2(self.norm2(h, condition)))
        out: Tensor = h + self.beside(F.interpolate(x, scale_factor=2))
        return out


class FirstBlock(nn.Module):
    """(B, C, H, W) -> (B, C', H/2, W/2), of an image: no activation before it, and the way beside pools first."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = residual(channels, width), residual(width, width)
        self.activation = nn.ReLU()
        self.beside = glorot(nn.Conv2d(channels, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(self.activation(self.conv1(x)))
        out: Tensor = F.avg_pool2d(h, 2) + self.beside(F.avg_pool2d(x, 2))
        return out


class Block(nn.Module):
    """(B, C, H, W) -> (B, C, H/2, W/2), or of the same size; then the way beside is the identity."""

    def __init__(self, width: int, *, down: bool) -> None:
        super().__init__()
        self.down = down
        self.conv1, self.conv2 = residual(width, width), residual(width, width)
        self.activation1, self.activation2 = nn.ReLU(), nn.ReLU()
        self.beside = glorot(nn.Conv2d(width, width, 1)) if down else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(self.activation2(self.conv1(self.activation1(x))))
        beside: Tensor = self.beside(x)
        return F.avg_pool2d(h, 2) + F.avg_pool2d(beside, 2) if self.down else h + beside


def labels_of(spaces: Sequence[Space]) -> list[int]:
    """The places of labels among what is given."""
    return [place for place, space in enumerate(spaces) if space.kind == "labels"]


class SNGANGenerator(nn.Module):
    """(B, latent) -> (B, C, H, W) in [-1, 1].

    Labels choose scales and shifts of BatchNorm; given vectors are joined to the latent.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"latent"})
    makes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"layers"})

    def __init__(
        self,
        interface: Interface,
        *,
        width: Annotated[int, Field(ge=1, description="channels of all blocks: 256 in SNGAN, 128 in WGAN-GP")] = 256,
    ) -> None:
        super().__init__()
        assert interface.makes is not None, "the interface of a generator says what it makes"
        if any(space.kind == "image" for space in interface.given):
            raise Refusal(
                "generator sngan-resnet grows an image from a vector and has no place for a given image",
                "a generator that takes images",
            )
        doublings, base = interface.makes.halvings("generator sngan-resnet")
        self.given, self.labels = interface.given, labels_of(interface.given)
        self.vectors = [place for place in range(len(interface.given)) if place not in self.labels]
        columns = vector_size([interface.given[place] for place in self.labels])
        size = interface.takes.size + vector_size([interface.given[place] for place in self.vectors])
        self.start = (width, *base)
        self.grow = glorot(nn.Linear(size, width * base[0] * base[1]))
        self.blocks = nn.ModuleList(UpBlock(width, width, columns) for _ in range(doublings))
        self.norm = nn.BatchNorm2d(width, eps=EPSILON)
        self.activation = nn.ReLU()
        self.output = glorot(nn.Conv2d(width, interface.makes.shape[0], 3, 1, 1))
        self.squash = nn.Tanh()

    def forward(self, x: Tensor, *given: Tensor, layers: bool = False) -> Tensor | Layers:
        condition = append_vectors(
            x.flatten(1)[:, :0], [given[i] for i in self.labels], [self.given[i] for i in self.labels]
        )
        z = append_vectors(x, [given[i] for i in self.vectors], [self.given[i] for i in self.vectors])
        h = self.grow(z).unflatten(1, self.start)  # (B, Z) -> (B, W, h, w)
        hidden: dict[str, Tensor] = {}
        for place, block in enumerate(self.blocks):
            h = block(h, condition)
            if layers:
                hidden[f"blocks.{place}"] = h
        image: Tensor = self.squash(self.output(self.activation(self.norm(h))))  # (B, C, H, W)
        return Layers(image, hidden) if layers else image


class SNGANDiscriminator(nn.Module):
    """(B, C, H, W) -> logits (B,), or (B, logits) if several are asked for.

    Its features follow each block, the last one's after its ReLU.

    Labels are projected onto the pooled features; given vectors and images are further channels.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"features"})

    def __init__(
        self,
        interface: Interface,
        *,
        width: Annotated[int, Field(ge=1, description="channels of all blocks")] = 128,
        pool: Annotated[
            Literal["sum", "mean"],
            Field(description="over all pixels before the last layer: sum in SNGAN, mean in WGAN-GP"),
        ] = "sum",
        bias: Annotated[bool, Field(description="whether the last layer has one: in WGAN-GP, not in SNGAN")] = False,
    ) -> None:
        super().__init__()
        downs = max(1, interface.takes.halvings("discriminator sngan-resnet").times - 1)
        self.given, labels = interface.given, labels_of(interface.given)
        self.planes = [place for place in range(len(interface.given)) if place not in labels]
        planes = plane_count(
            [interface.given[i] for i in self.planes], interface.takes.shape[1:], "discriminator sngan-resnet"
        )
        first = FirstBlock(interface.pack * (interface.takes.shape[0] + planes), width)
        self.blocks = nn.ModuleList(
            [first, *(Block(width, down=True) for _ in range(downs - 1)), *(Block(width, down=False) for _ in range(2))]
        )
        self.activation = nn.ReLU()
        self.mean = pool == "mean"
        self.output = glorot(nn.Linear(width, interface.logits, bias=bias))
        self.heads = nn.ModuleDict({name: glorot(nn.Linear(width, size)) for name, size in interface.heads.items()})
        self.projection = Projection(interface.given, width, interface.logits, interface.pack) if labels else None

    def forward(self, x: Tensor, *given: Tensor) -> DiscriminatorOutput:
        # (B, pack * (C + planes), H, W)
        h = append_planes(x, [given[i] for i in self.planes], [self.given[i] for i in self.planes])
        features = []
        for block in self.blocks:
            h = block(h)
            features.append(h)
        h = features[-1] = self.activation(h)  # (B, W, 8, 8)
        pooled = h.mean((2, 3)) if self.mean else h.sum((2, 3))  # (B, W)
        logits = self.output(pooled)
        if self.projection is not None:
            logits = logits + self.projection(pooled, given)
        heads = {name: head(pooled) for name, head in self.heads.items()}  # (B, size)
        return DiscriminatorOutput(logits.squeeze(1) if logits.shape[1] == 1 else logits, features, heads)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "sngan-resnet", SNGANGenerator)
    yield Component("discriminator", "sngan-resnet", SNGANDiscriminator)
