"""StarGAN's networks: a generator given its target as label planes, a discriminator that also predicts the domain.

Paper: Choi et al., "StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation"
(2018), appendix 7.2 (tables 4 and 5). Generator: a 7x7 convolution, two of stride 2 (4x4), 6 residual blocks of 256
channels without an activation after the sum, two transposed convolutions, a 7x7 convolution, tanh; no bias anywhere,
affine instance normalisation. Discriminator: 6 convolutions of stride 2 with LeakyReLU 0.01 and no normalisation, 64 to
2048 channels; a 3x3 convolution makes a map of logits, one as large as what is left of the image makes the class
logits. With 5 attributes at 128 pixels: 8,430,528 and 44,762,048 parameters.

Padding is zero on purpose. A constant plane passes a convolution with reflected borders as a constant, and instance
normalisation takes it away: the generator would not see its target.

Differences from well-known code: the authors' instance normalisation keeps running statistics
(``track_running_stats``), and in evaluation mode normalises by them, which spoils the translations; here each image is
normalised by its own statistics, always. To import their weights, drop ``running_mean``, ``running_var`` and
``num_batches_tracked`` of every norm; all other names of their generator are those here (``main.0``, ``main.9.main.0``,
...). Of their discriminator ``main`` is ``main``, ``conv1`` is ``logits`` and ``conv2`` is the only one of ``heads``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, DiscriminatorOutput, Interface, Refusal, hookimpl
from ganrun_plugins.networks._given import append_planes, plane_count
from ganrun_plugins.networks._hidden import names_of
from ganrun_plugins.networks._translator import Translator

MOST = 6  # halvings of the authors' discriminator, which they keep at 256 pixels


def normalised(convolution: nn.Module, width: int) -> list[nn.Module]:
    """A convolution and the statistics of each image's own behind it, in training and in tests."""
    return [convolution, nn.InstanceNorm2d(width, affine=True, track_running_stats=False)]


class ResidualBlock(nn.Module):
    """x + (convolution, norm, ReLU, convolution, norm)(x), at one size and number of channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(width, width, 3, 1, 1, bias=False) for _ in range(2))
        self.main = nn.Sequential(*normalised(first, width), nn.ReLU(inplace=True), *normalised(second, width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.main(x)
        return out


class StarGANGenerator(Translator):
    """(B, C, H, W) -> (B, C', H, W) in [-1, 1].

    Whatever is given is joined to the channels of its input, a label as planes.
    """

    inside = "main"

    def __init__(
        self,
        interface: Interface,
        *,
        blocks: Annotated[int, Field(ge=0, description="residual blocks")] = 6,
        width: Annotated[int, Field(ge=1, description="channels of the layers next to the images")] = 64,
    ) -> None:
        super().__init__(interface, "generator stargan")
        layers: list[nn.Module] = [
            *normalised(nn.Conv2d(self.planes, width, 7, 1, 3, bias=False), width),
            nn.ReLU(inplace=True),
        ]
        for w in (2 * width, 4 * width):  # (B, W, H, W) -> (B, 4 W, H/4, W/4)
            layers += [*normalised(nn.Conv2d(w // 2, w, 4, 2, 1, bias=False), w), nn.ReLU(inplace=True)]
        layers += [ResidualBlock(4 * width) for _ in range(blocks)]
        for w in (2 * width, width):  # back to (B, W, H, W)
            layers += [*normalised(nn.ConvTranspose2d(2 * w, w, 4, 2, 1, bias=False), w), nn.ReLU(inplace=True)]
        self.main = nn.Sequential(*layers, nn.Conv2d(width, self.colours, 7, 1, 3, bias=False), nn.Tanh())
        self.activations = names_of(self.main, nn.ReLU, ResidualBlock)


class StarGANDiscriminator(nn.Module):
    """(B, C, H, W) -> logits (B, 1, h, w), one a patch, and heads (B, size). Its features follow each LeakyReLU."""

    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"features"})
    # of the authors' state dicts
    reference_names: ClassVar[dict[str, str]] = {"conv1": "logits", "conv2": "heads.class"}

    def __init__(
        self,
        interface: Interface,
        *,
        layers: Annotated[
            int | None,
            Field(
                ge=1,
                description=(
                    "convolutions of stride 2; null: down to 2 pixels, at most 6, which are the paper's for 128 pixels"
                ),
            ),
        ] = None,
        width: Annotated[
            int, Field(ge=1, description="channels of the first layer; they double with every halving")
        ] = 64,
    ) -> None:
        super().__init__()
        channels, *side = interface.takes.shape
        count = min(halvings(side), MOST) if layers is None else layers
        if count < 1 or any(length % 2**count for length in side):
            raise Refusal(
                f"discriminator stargan halves an image {max(count, 1)} times, so its sides must be multiples of "
                f"{2 ** max(count, 1)}; this is {side[0]} x {side[1]}",
                f"layers: {halvings(side)}" if halvings(side) else "images of even sides of 4 pixels or more",
            )
        self.given = interface.given
        planes = interface.pack * (channels + plane_count(interface.given, side, "discriminator stargan"))
        model: list[nn.Module] = [nn.Conv2d(planes, width, 4, 2, 1), nn.LeakyReLU(0.01)]
        for _ in range(count - 1):
            model += [nn.Conv2d(width, 2 * width, 4, 2, 1), nn.LeakyReLU(0.01)]
            width *= 2
        self.main = nn.Sequential(*model)
        self.logits = nn.Conv2d(width, interface.logits, 3, 1, 1, bias=False)
        left = (side[0] >> count, side[1] >> count)
        self.heads = nn.ModuleDict(
            {name: nn.Conv2d(width, size, left, bias=False) for name, size in interface.heads.items()}
        )

    def forward(self, x: Tensor, *given: Tensor) -> DiscriminatorOutput:
        h = append_planes(x, given, self.given)  # (B, pack * (C + planes), H, W)
        features = []
        for layer in self.main:
            h = layer(h)
            if isinstance(layer, nn.LeakyReLU):
                features.append(h)
        heads = {name: head(h).flatten(1) for name, head in self.heads.items()}  # (B, size, 1, 1) -> (B, size)
        return DiscriminatorOutput(self.logits(h), features, heads)  # (B, logits, h, w)


def halvings(side: Sequence[int]) -> int:
    """How many times both sides can be halved so that at least 2 pixels are left."""
    count = 0
    while all(length % 2 ** (count + 1) == 0 and length >> (count + 1) >= 2 for length in side):
        count += 1
    return count


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "stargan", StarGANGenerator)
    yield Component("discriminator", "stargan", StarGANDiscriminator)
