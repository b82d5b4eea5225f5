"""R3GAN's networks: residual blocks of grouped convolutions, without normalisation, alike in both networks.

Paper: Huang, Gokaslan, Kuleshov and Tompkin, "The GAN is dead; long live the GAN! A Modern Baseline GAN" (2024),
section 4. One stage for each side from 4 on. A block adds to its input

    1 x 1 -> bias, LeakyReLU -> grouped 3 x 3 -> bias, LeakyReLU -> 1 x 1    (inside ``expansion`` times the channels)

and nothing else: no normalisation, no activation behind the sum. With L blocks in all, the first two convolutions start
from N(0, (gain L^(-1/4))^2 / fan-in), gain^2 = 2 / 1.04, and the last from 0 (Zhang, Dauphin and Ma, "Fixup
Initialization", 2019), so that each block starts as the identity. Sides change by bilinear resampling ([1, 2, 1]
convolved with a box), with a 1 x 1 convolution where the channels change: before it on the way up, behind it on the way
down. The generator starts from a learned 4 x 4 basis, each channel scaled by a linear function of the latent; the
discriminator ends in a 4 x 4 depthwise convolution and a linear layer. What is given, such as labels, is embedded and
joined to the latent, and projected onto the discriminator's features.

Parameters, generator and discriminator: 20,732,160 and 20,683,776 at 32 x 32, with 10 classes 20,781,952 and
21,280,512; at 64 x 64 22,429,824 and 22,381,440; at 256 x 256 23,057,952 and 23,009,568. ImageNet with 1,000 classes
has ``width: 1536``, at 64 x 64 also ``wide: 64``: 82,914,304 and 86,548,992 at 32 x 32, 103,570,432 and 107,205,120 at
64 x 64.

The authors compute the stages of high resolution in bfloat16 and the others in float32. Here ``train.precision`` is
that of all stages; under ``bfloat16``, ``float32_below`` keeps those of smaller sides in float32. The convolution at
the image goes with the largest side, resampling with the larger of its two, and what follows the 4 x 4 stage with it.

Difference from the authors' code: the generator ends in tanh, as images here lie in [-1, 1]; ``output: linear`` is
without.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, DiscriminatorOutput, Interface, Layers, Refusal, Space, hookimpl
from ganrun_plugins.networks._given import append_planes, append_vectors, plane_count, vector_size
from ganrun_plugins.networks._hidden import names_of, through

SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))
Width = Annotated[
    int, Field(ge=1, description="channels of the stages up to `wide` pixels; halved with every doubling beyond")
]
Wide = Annotated[int, Field(ge=4, description="the largest side whose stage has the full width")]
Cardinality = Annotated[
    int, Field(ge=1, description="groups of the 3 x 3 convolutions at full width; fewer in proportion beyond")
]
Blocks = Annotated[int, Field(ge=1, description="residual blocks a stage")]
Expansion = Annotated[int, Field(ge=1, description="channels inside a block as a multiple of those outside")]
Float32Below = Annotated[
    int,
    Field(
        ge=0, description="stages of sides below it compute in float32 also under `train.precision: bfloat16`; 0: none"
    ),
]


def precise(layer: nn.Module, x: Tensor, full: bool) -> Tensor:
    """What a layer makes of x; if ``full``, without mixed precision, in float32 at least."""
    if not full or x.device.type == "meta":
        found: Tensor = layer(x)
        return found
    with torch.autocast(x.device.type, enabled=False):
        found = layer(x.to(torch.promote_types(x.dtype, torch.float32)))
    return found


class Shape:
    """Channels and groups of the stages, from the base on: 4 x 4 for sides that are powers of two."""

    def __init__(self, image: Space, width: int, wide: int, cardinality: int, expansion: int, network: str) -> None:
        times, self.base = image.halvings(network, least=0)
        self.sides = [min(self.base) * 2**stage for stage in range(times + 1)]
        shrinks = [max(1, side // wide) for side in self.sides]
        self.widths = [width // shrink for shrink in shrinks]
        self.groups = [max(1, cardinality // shrink) for shrink in shrinks]
        for channels, groups in zip(self.widths, self.groups):
            if channels < 1 or channels * expansion % groups:
                near = nearest_width(width, shrinks, self.groups, expansion)
                raise Refusal(
                    f"{network}: {channels * expansion} channels inside a block are no multiple of {groups} groups",
                    f"width: {near}, or another cardinality",
                )


def nearest_width(width: int, shrinks: list[int], groups: list[int], expansion: int) -> int:
    """The width nearest to ``width`` with which the channels of every stage are a multiple of its groups."""

    def works(wide: int) -> bool:
        return all(wide >= shrink and wide // shrink * expansion % each == 0 for shrink, each in zip(shrinks, groups))

    most = width + max(shrinks) * max(groups)
    return next(near for apart in range(most) for near in (width - apart, width + apart) if near > 0 and works(near))


class BiasedLeakyReLU(nn.LeakyReLU):
    """LeakyReLU of x + bias, a number a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__(SLOPE)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + self.bias.to(x.dtype).view(1, -1, 1, 1))


def drawn(layer: nn.Module, gain: float) -> nn.Module:
    """A layer with weights from N(0, gain^2 / fan-in)."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    with torch.no_grad():
        weight.normal_(0, gain / math.sqrt(weight[0].numel()))
    return layer


class Block(nn.Module):
    """x + (1 x 1, grouped 3 x 3, 1 x 1)(x). ``total``: how many blocks the network has."""

    def __init__(self, channels: int, groups: int, expansion: int, total: int) -> None:
        super().__init__()
        inside, gain = channels * expansion, GAIN * total**-0.25
        self.first = drawn(nn.Conv2d(channels, inside, 1, bias=False), gain)
        self.activation1 = BiasedLeakyReLU(inside)
        self.grouped = drawn(nn.Conv2d(inside, inside, 3, 1, 1, groups=groups, bias=False), gain)
        self.activation2 = BiasedLeakyReLU(inside)
        self.last = drawn(nn.Conv2d(inside, channels, 1, bias=False), 0.0)

    def forward(self, x: Tensor) -> Tensor:
        h = self.activation1(self.first(x))  # (B, expansion * C, H, W)
        h = self.activation2(self.grouped(h))
        out: Tensor = x + self.last(h)
        return out


class Resample(nn.Module):
    """(B, C, H, W) -> (B, C, 2 H, 2 W) or (B, C, H/2, W/2) by [1, 3, 3, 1] / 8 along each axis.

    Outside an image there are zeros.
    """

    kernel: Tensor

    def __init__(self, *, up: bool) -> None:
        super().__init__()
        self.up = up
        line = [weight / (4 if up else 8) for weight in (1.0, 3.0, 3.0, 1.0)]
        self.register_buffer("kernel", torch.tensor([[a * b for b in line] for a in line]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.kernel.to(x.dtype).expand(channels, 1, 4, 4)
        resample = F.conv_transpose2d if self.up else F.conv2d
        found: Tensor = resample(x, kernel, stride=2, padding=1, groups=channels)
        return found


class Basis(nn.Module):
    """(B, Z) -> (B, C, h, w): a learned map for each channel, times a linear function of the latent."""

    def __init__(self, size: int, channels: int, base: tuple[int, int]) -> None:
        super().__init__()
        self.pictures = nn.Parameter(torch.randn(channels, *base))
        self.linear = drawn(nn.Linear(size, channels, bias=False), 1.0)

    def forward(self, z: Tensor) -> Tensor:
        scale: Tensor = self.linear(z)  # (B, C)
        return scale[:, :, None, None] * self.pictures.to(scale.dtype)


def transition(before: int, after: int, *, up: bool) -> nn.Sequential:
    """The way from one stage to the next."""
    change = [] if before == after else [drawn(nn.Conv2d(before, after, 1, bias=False), 1.0)]
    return nn.Sequential(*change, Resample(up=True)) if up else nn.Sequential(Resample(up=False), *change)


class R3GANGenerator(nn.Module):
    """(B, latent) -> (B, C, H, W) in [-1, 1].

    Given vectors and labels are embedded together and joined to the latent.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"latent"})
    makes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"layers"})

    def __init__(
        self,
        interface: Interface,
        *,
        width: Width = 768,
        wide: Wide = 32,
        cardinality: Cardinality = 96,
        blocks: Blocks = 2,
        expansion: Expansion = 2,
        embedding: Annotated[int, Field(ge=1, description="numbers that stand for all that is given")] = 64,
        output: Annotated[
            Literal["tanh", "linear"], Field(description="at the image; linear leaves [-1, 1], as in the authors' code")
        ] = "tanh",
        float32_below: Float32Below = 0,
    ) -> None:
        super().__init__()
        assert interface.makes is not None, "the interface of a generator says what it makes"
        if any(space.kind == "image" for space in interface.given):
            raise Refusal(
                "generator r3gan grows an image from a vector and has no place for a given image",
                "a generator that takes images",
            )
        self.given = interface.given
        shape = Shape(interface.makes, width, wide, cardinality, expansion, "generator r3gan")
        condition = vector_size(interface.given)
        self.embedding = drawn(nn.Linear(condition, embedding, bias=False), 1.0) if condition else None
        total = blocks * len(shape.widths)
        size = interface.takes.size + (embedding if condition else 0)
        layers: list[nn.Module] = [Basis(size, shape.widths[0], shape.base)]
        before, self.precise = shape.widths[0], 0  # how many layers compute in float32 whatever the precision
        for stage, (channels, groups) in enumerate(zip(shape.widths, shape.groups)):
            layers += [transition(before, channels, up=True)] if stage else []
            layers += [Block(channels, groups, expansion, total) for _ in range(blocks)]
            before = channels
            self.precise = len(layers) if shape.sides[stage] < float32_below else self.precise
        self.precise += float32_below > shape.sides[-1]
        self.main = nn.Sequential(*layers, drawn(nn.Conv2d(before, interface.makes.shape[0], 1, bias=False), 1.0))
        self.blocks = names_of(self.main, Basis, Block)
        self.squash = nn.Tanh() if output == "tanh" else nn.Identity()

    def forward(self, x: Tensor, *given: Tensor, layers: bool = False) -> Tensor | Layers:
        z = x.flatten(1)  # (B, Z)
        if self.embedding is not None:
            z = torch.cat([z, self.embedding(append_vectors(z[:, :0], given, self.given))], 1)  # (B, Z + embedding)
        hidden: dict[str, Tensor] = {}
        if self.precise:
            for place, (name, layer) in enumerate(self.main.named_children()):
                z = precise(layer, z, place < self.precise)
                if name in self.blocks:
                    hidden[f"main.{name}"] = z
            output: Tensor = self.squash(z)
            return Layers(output, hidden) if layers else output
        if layers:
            return Layers(self.squash(through(self.main, z, self.blocks, "main", hidden)), hidden)
        image: Tensor = self.squash(self.main(z))  # (B, C, H, W)
        return image


class R3GANDiscriminator(nn.Module):
    """(B, C, H, W) -> logits (B,), or (B, logits) if several are asked for.

    Features follow each stage, those of the basis last.

    Given vectors and labels are embedded together and projected onto the features; given images are further channels.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"features"})

    def __init__(
        self,
        interface: Interface,
        *,
        width: Width = 768,
        wide: Wide = 32,
        cardinality: Cardinality = 96,
        blocks: Blocks = 2,
        expansion: Expansion = 2,
        float32_below: Float32Below = 0,
    ) -> None:
        super().__init__()
        shape = Shape(interface.takes, width, wide, cardinality, expansion, "discriminator r3gan")
        self.sides, self.below = shape.sides, float32_below
        self.images = [place for place, space in enumerate(interface.given) if space.kind == "image"]
        self.vectors = [place for place, space in enumerate(interface.given) if space.kind != "image"]
        self.given, self.logits = interface.given, interface.logits
        planes = plane_count(
            [interface.given[place] for place in self.images], interface.takes.shape[1:], "discriminator r3gan"
        )
        condition = interface.pack * vector_size([interface.given[place] for place in self.vectors])
        widths, groups = shape.widths[::-1], shape.groups[::-1]
        total = blocks * len(widths)
        self.extraction = drawn(
            nn.Conv2d(interface.pack * (interface.takes.shape[0] + planes), widths[0], 1, bias=False), 1.0
        )
        self.stages = nn.ModuleList()
        for stage, channels in enumerate(widths):
            layers: list[nn.Module] = [transition(widths[stage - 1], channels, up=False)] if stage else []
            layers += [Block(channels, groups[stage], expansion, total) for _ in range(blocks)]
            self.stages.append(nn.Sequential(*layers))
        last = widths[-1]
        self.basis = drawn(nn.Conv2d(last, last, shape.base, groups=last, bias=False), 1.0)
        self.linear = drawn(nn.Linear(last, interface.logits * (last if condition else 1), bias=False), 1.0)
        self.embedding = drawn(nn.Linear(condition, last, bias=False), 1 / math.sqrt(last)) if condition else None
        self.heads = nn.ModuleDict({name: nn.Linear(last, size) for name, size in interface.heads.items()})

    def forward(self, x: Tensor, *given: Tensor) -> DiscriminatorOutput:
        # (B, pack * (C + planes), H, W)
        h = append_planes(x, [given[i] for i in self.images], [self.given[i] for i in self.images])
        side, last = self.sides[-1], self.below > self.sides[0]
        h = precise(self.extraction, h, side < self.below)
        features: list[Tensor] = []
        for stage in self.stages:
            if self.below:
                for place, layer in enumerate(stage.children()):
                    h = precise(layer, h, side < self.below)
                    side //= 2 if features and not place else 1  # it was the way from the stage before
            else:
                h = stage(h)
            features.append(h)
        h = precise(self.basis, h, last).flatten(1)  # (B, W, h, w) -> (B, W)
        logits = precise(self.linear, h, last)  # (B, logits), or (B, logits * W)
        if self.embedding is not None:
            condition = append_vectors(
                h[:, :0], [given[i] for i in self.vectors], [self.given[i] for i in self.vectors]
            )
            # (B, logits)
            embedded = precise(self.embedding, condition, last)  # (B, W)
            logits = (logits.unflatten(1, (self.logits, -1)) * embedded.unsqueeze(1)).sum(2)
        heads = {name: precise(head, h, last) for name, head in self.heads.items()}  # (B, size)
        return DiscriminatorOutput(logits.squeeze(1) if self.logits == 1 else logits, [*features, h], heads)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "r3gan", R3GANGenerator)
    yield Component("discriminator", "r3gan", R3GANDiscriminator)
