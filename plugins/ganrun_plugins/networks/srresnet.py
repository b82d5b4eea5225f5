"""SRGAN's networks: SRResNet (residual blocks, pixel shuffling), and a discriminator of large images.

Paper: Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network" (2016),
figure 4.

Generator ``srresnet``: 9x9 convolution, PReLU; 16 residual blocks (3x3 convolution, BatchNorm, PReLU, 3x3 convolution,
BatchNorm, added to the block's input); 3x3 convolution, BatchNorm, added to the first PReLU's output; for each doubling
of the side a 3x3 convolution to four times the channels, shuffled into space (Shi et al., "Real-Time Single Image and
Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", 2016), PReLU; 9x9 convolution. The
factor of enlargement is that of the two spaces. At factor 4 it has 1,549,462 parameters for RGB: every PReLU has one
slope for all channels.

Discriminator ``srgan``: eight 3x3 convolutions of 64, 64, 128, 128, 256, 256, 512 and 512 channels, every second of
stride 2, all but the first with BatchNorm, LeakyReLU 0.2; a dense layer of 1024, LeakyReLU, a dense layer: 23,565,505
parameters for RGB at 96 pixels.

As in the paper the generator is shown images in [0, 1] (they come in [-1, 1]; its zero padding is black), and nothing
follows its last convolution. Outside training its images are clipped to [-1, 1]. Code published by others often has
a tanh there, whose gradient vanishes at black and white: ``end: tanh``. The discriminator returns logits, no sigmoid;
its ``norm: none`` and ``instance`` are for what BatchNorm cannot serve, such as gradient penalties.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, DiscriminatorOutput, Interface, Layers, Refusal, hookimpl
from ganrun_plugins.networks._convolutions import Norm, norm_layer
from ganrun_plugins.networks._given import append_planes, plane_count
from ganrun_plugins.networks._hidden import names_of, through


class ResidualBlock(nn.Module):
    """x + (convolution, BatchNorm, PReLU, convolution, BatchNorm)(x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1),
            nn.BatchNorm2d(width),
            nn.PReLU(),
            nn.Conv2d(width, width, 3, 1, 1),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.block(x)
        return out


class SRResNet(nn.Module):
    """(B, C, H, W) -> (B, C', s H, s W) for a power of two s.

    Vectors and labels that are given become planes of its input.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    makes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"layers", "any-size"})

    def __init__(
        self,
        interface: Interface,
        *,
        blocks: Annotated[int, Field(ge=0, description="residual blocks")] = 16,
        width: Annotated[int, Field(ge=1, description="channels of all hidden layers")] = 64,
        end: Annotated[
            Literal["clamp", "tanh"],
            Field(description="what keeps images in [-1, 1]: clipping outside training, or tanh always"),
        ] = "clamp",
    ) -> None:
        super().__init__()
        assert interface.makes is not None, "the interface of a generator says what it makes"
        channels, *side = interface.takes.shape
        self.given = interface.given
        self.end = end
        planes = channels + plane_count(interface.given, side, "generator srresnet")
        self.first = nn.Sequential(nn.Conv2d(planes, width, 9, 1, 4), nn.PReLU())
        self.blocks = nn.Sequential(
            *(ResidualBlock(width) for _ in range(blocks)), nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width)
        )
        larger: list[nn.Module] = []
        # (B, W, h, w) -> (B, 4 W, h, w) -> (B, W, 2 h, 2 w)
        for _ in range(doublings(side, interface.makes.shape[1:])):
            larger += [nn.Conv2d(width, 4 * width, 3, 1, 1), nn.PixelShuffle(2), nn.PReLU()]
        self.last = nn.Sequential(*larger, nn.Conv2d(width, interface.makes.shape[0], 9, 1, 4))
        self.residuals, self.enlarged = names_of(self.blocks, ResidualBlock), names_of(self.last, nn.PReLU)

    def forward(self, x: Tensor, *given: Tensor, layers: bool = False) -> Tensor | Layers:
        h = self.first(append_planes((x + 1) / 2, given, self.given))  # (B, W, H, W)
        if layers:
            hidden = {"first": h}
            h = h + through(self.blocks, h, self.residuals, "blocks", hidden)
            return Layers(self._ended(through(self.last, h, self.enlarged, "last", hidden)), hidden)
        image: Tensor = self.last(h + self.blocks(h))  # (B, C', s H, s W)
        return self._ended(image)

    def _ended(self, image: Tensor) -> Tensor:
        if self.end == "tanh":
            return image.tanh()
        return image if self.training else image.clamp(-1, 1)


def doublings(small: list[int], large: tuple[int, ...]) -> int:
    """How often a side is doubled from one size (H, W) to the other. Raises Refusal if that is no power of two."""
    factor = large[0] // small[0]
    if factor < 1 or factor & (factor - 1) or [factor * side for side in small] != list(large):
        raise Refusal(
            "generator srresnet doubles both sides of an image some times; "
            f"from {small[0]} x {small[1]} to {large[0]} x {large[1]} there is no such way",
            "a factor of 1, 2, 4 or 8 between both entries of the data",
        )
    return factor.bit_length() - 1


class SRGANDiscriminator(nn.Module):
    """(B, C, H, W) -> logits (B,), or (B, logits) if several are asked for. Its features follow each LeakyReLU."""

    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"features"})

    def __init__(
        self,
        interface: Interface,
        *,
        width: Annotated[int, Field(ge=1, description="channels of the first layer; they double three times")] = 64,
        dense: Annotated[int, Field(ge=1, description="size of the hidden dense layer")] = 1024,
        norm: Annotated[Norm, Field(description="normalisation of all convolutions but the first")] = "batch",
    ) -> None:
        super().__init__()
        channels, *side = interface.takes.shape
        self.given = interface.given
        before = interface.pack * (channels + plane_count(interface.given, side, "discriminator srgan"))
        body: list[nn.Module] = []
        for number in range(8):
            after, stride = width * 2 ** (number // 2), 1 + number % 2
            norms = norm_layer(norm, after) if number else []
            body += [nn.Conv2d(before, after, 3, stride, 1), *norms, nn.LeakyReLU(0.2, inplace=True)]
            before = after
            side = [(length + stride - 1) // stride for length in side]
        self.body = nn.Sequential(*body)
        self.dense = nn.Sequential(nn.Linear(before * side[0] * side[1], dense), nn.LeakyReLU(0.2))
        self.output = nn.Linear(dense, interface.logits)
        self.heads = nn.ModuleDict({name: nn.Linear(dense, size) for name, size in interface.heads.items()})

    def forward(self, x: Tensor, *given: Tensor) -> DiscriminatorOutput:
        h = append_planes(x, given, self.given)  # (B, pack * (C + planes), H, W)
        features = []
        for layer in self.body:
            h = layer(h)
            if isinstance(layer, nn.LeakyReLU):
                features.append(h)
        h = self.dense(h.flatten(1))  # (B, 8 W, H / 16, W / 16) -> (B, dense)
        logits = self.output(h)  # (B, logits)
        heads = {name: head(h) for name, head in self.heads.items()}
        return DiscriminatorOutput(logits.squeeze(1) if logits.shape[1] == 1 else logits, [*features, h], heads)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "srresnet", SRResNet)
    yield Component("discriminator", "srgan", SRGANDiscriminator)
