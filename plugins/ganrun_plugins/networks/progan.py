"""Networks that grow: from a base up, a level with twice the sides at a time, each new one faded in.

The base is 4 x 4 for sides that are powers of two, as in the paper; other images have one of 4 to 7 pixels.

Paper: Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation" (2018), sections 2 to
4, table 2.

- Level k has the side 4 * 2^k, and min(base / side, widest) channels. Both networks hold their growth as a buffer
  ``grown``, a number of levels: at 1.4 level 1 is shown, and level 2 is mixed in by 0.4. A variant sets it with
  ``grow``; a new network is fully grown.
- Generator: level k + 1 repeats every pixel of level k in both directions, then two 3 x 3 convolutions. Each level has
  a 1 x 1 convolution to the image; while one fades in, the image is
  (1 - a) repeated(image of level k) + a (image of level k + 1).
- Discriminator: the same backwards, with the mean of 2 x 2 pixels, mixed behind the first layers of two levels.
- Equalised learning rate: weights start as N(0, 1) and are multiplied by gain / sqrt(fan-in) in every forward, so that
  an optimiser with steps of one size moves all layers equally fast. gain: sqrt(2); 1 for images out and the last layer;
  sqrt(2) / 4 for the first.
- Pixel norm: latents, and the generator's activations behind each layer, x / sqrt(mean over channels of x^2 + 1e-8).
LeakyReLU 0.2.
- Minibatch standard deviation (one map, groups of 4; see the trick of that name) before the discriminator's last
  convolution.

Both work at full size at their borders: a lower level's image is repeated to the full side, and the discriminator takes
means of its input down to its level, as in the authors' code. So whatever acts on images acts on full ones, and a slope
with respect to an image has the norm it has there, at every level.

Images out are linear, without tanh. Outside training they are clipped to [-1, 1], as the authors' code does where it
saves images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, DiscriminatorOutput, Interface, Layers, Refusal, hookimpl
from ganrun_plugins._group_deviation import GroupDeviation
from ganrun_plugins.networks._given import append_planes, append_vectors, plane_count, vector_size

EPSILON = 1e-8
GAIN = math.sqrt(2)
Base = Annotated[int, Field(ge=1, description="channels of a level are base / side, at most `widest`")]
Widest = Annotated[int, Field(ge=1, description="most channels of a level")]


class EqualisedConv2d(nn.Conv2d):
    """A convolution of stride 1 whose weights, N(0, 1) at first, are multiplied by gain / sqrt(fan-in) when used."""

    def __init__(
        self, before: int, after: int, kernel: int | tuple[int, int], padding: int = 0, *, gain: float = GAIN
    ) -> None:
        super().__init__(before, after, kernel, padding=padding)
        self.scale = gain / math.sqrt(self.weight[0].numel())
        start(self)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.scale * self.weight, self.bias, padding=self.padding)


class EqualisedConvTranspose2d(nn.ConvTranspose2d):
    """From a vector, (B, N, 1, 1), to (B, C, kernel, kernel), with equalised weights."""

    def __init__(self, before: int, after: int, kernel: tuple[int, int], *, gain: float) -> None:
        super().__init__(before, after, kernel)
        self.scale = gain / math.sqrt(before)
        start(self)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return F.conv_transpose2d(x, self.scale * self.weight, self.bias)


class EqualisedLinear(nn.Linear):
    """A linear layer with equalised weights."""

    def __init__(self, before: int, after: int, *, gain: float = 1.0) -> None:
        super().__init__(before, after)
        self.scale = gain / math.sqrt(before)
        start(self)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.scale * self.weight, self.bias)


def start(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> None:
    """Weights from N(0, 1), biases 0."""
    nn.init.normal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class PixelNorm(nn.Module):
    """(B, C, ...) -> the same, each pixel's vector of channels divided by the root of its mean square."""

    def forward(self, x: Tensor) -> Tensor:
        exact = x.float() if x.element_size() < 4 else x  # squares of bfloat16 have 3 digits
        return x * (exact.square().mean(1, keepdim=True) + EPSILON).rsqrt().to(x.dtype)


class Growing(nn.Module):
    """A network of levels 0 to ``top``, with its growth as the buffer ``grown``.

    Which layers run is decided by plain numbers beside the buffer, so that no forward waits for the device: ``level``,
    the level that is shown, wholly or in part, and ``fading``, whether the next one is being mixed in. Neither changes
    within a fade, so that a compiled network is compiled once for each.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"growing"})
    grown: Tensor

    def __init__(self, top: int, base: tuple[int, int]) -> None:
        super().__init__()
        self.top, self.base = top, base
        self.register_buffer("grown", torch.tensor(float(top)))
        self._show(float(top))

    def _show(self, levels: float) -> None:
        self.shown = levels
        self.level = int(levels)
        self.fading = levels > self.level

    def grow(self, levels: float) -> None:
        """Show so many levels, from 0 (the base) to ``top``; a part of one is how far the next is mixed in."""
        exact = torch.tensor(min(max(levels, 0.0), float(self.top)), dtype=self.grown.dtype, device="cpu")
        if float(exact) != self.shown:  # what a checkpoint holds, and what is shown, are the same number
            self.grown.fill_(float(exact))
            self._show(float(exact))

    @property
    def share(self) -> Tensor:
        """How far the next level is mixed in, a scalar in [0, 1]."""
        return (self.grown - self.level).clamp(0, 1)

    def side(self, level: int) -> str:
        """The shorter side of a level in pixels, by which its layers are called."""
        return str(min(self.base) * 2**level)

    def resting(self) -> set[str]:
        """Names of the parameters that no forward uses at this growth."""
        used = {self.side(level) for level in range(self.level + self.fading + 1)}
        at_the_border = {self.side(level) for level in (self.level, self.level + self.fading)}
        found = set()
        for name, _ in self.named_parameters():
            kind, side = name.split(".")[:2]
            if (kind == "blocks" and side not in used) or (kind == "rgb" and side not in at_the_border):
                found.add(name)
        return found

    def _load_from_state_dict(self, *args: Any, **named: Any) -> None:
        super()._load_from_state_dict(*args, **named)
        if not self.grown.is_meta:
            self._show(float(self.grown))


class ProGANGenerator(Growing):
    """(B, latent) -> (B, C, H, W), in [-1, 1] outside training. Given vectors and labels are joined to the latent."""

    takes: ClassVar[frozenset[str]] = frozenset({"latent"})
    makes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"growing", "layers"})

    def __init__(self, interface: Interface, *, base: Base = 16384, widest: Widest = 512) -> None:
        assert interface.makes is not None, "the interface of a generator says what it makes"
        super().__init__(*interface.makes.halvings("generator progan"))
        if any(space.kind == "image" for space in interface.given):
            why = "generator progan grows an image from a vector and has no place for a given image"
            raise Refusal(why, "a generator that takes images")
        self.given = interface.given
        channels = widths(self.top, base, widest)
        size = interface.takes.size + vector_size(interface.given)
        self.latent_norm = PixelNorm()
        self.start = nn.Sequential(
            EqualisedConvTranspose2d(size, channels[0], self.base, gain=GAIN / math.sqrt(math.prod(self.base))),
            nn.LeakyReLU(0.2),
            PixelNorm(),
            *layer(channels[0], channels[0]),
        )
        self.blocks = nn.ModuleDict(
            {
                self.side(k): nn.Sequential(
                    nn.Upsample(scale_factor=2), *layer(channels[k - 1], channels[k]), *layer(channels[k], channels[k])
                )
                for k in range(1, self.top + 1)
            }
        )
        colours = interface.makes.shape[0]
        self.rgb = nn.ModuleDict(
            {self.side(k): EqualisedConv2d(width, colours, 1, gain=1.0) for k, width in enumerate(channels)}
        )

    def forward(self, x: Tensor, *given: Tensor, layers: bool = False) -> Tensor | Layers:
        z = self.latent_norm(append_vectors(x, given, self.given))  # (B, Z)
        h = self.start(z[:, :, None, None])  # (B, D, h, w)
        hidden: dict[str, Tensor] = {"start": h} if layers else {}
        for k in range(1, self.level + 1):
            h = self.blocks[self.side(k)](h)  # (B, D, 2^k h, 2^k w)
            if layers:
                hidden[f"blocks.{self.side(k)}"] = h
        image: Tensor = self.rgb[self.side(self.level)](h)
        shown = self.level
        if self.fading:
            shown += 1
            above = self.rgb[self.side(shown)](self.blocks[self.side(shown)](h))
            below = repeated(image, 2)
            image = below + self.share * (above - below)
        image = repeated(image, 2 ** (self.top - shown))  # (B, C, H, W)
        image = image if self.training else image.clamp(-1, 1)
        return Layers(image, hidden) if layers else image


class ProGANDiscriminator(Growing):
    """(B, C, H, W) -> logits (B,), or (B, logits) if several are asked for.

    Its features follow each level and layer.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"growing", "features"})

    def __init__(
        self,
        interface: Interface,
        *,
        base: Base = 16384,
        widest: Widest = 512,
        group: Annotated[int, Field(ge=2, description="samples whose standard deviation is taken together")] = 4,
    ) -> None:
        super().__init__(*interface.takes.halvings("discriminator progan"))
        self.given = interface.given
        planes = interface.takes.shape[0] + plane_count(
            interface.given, interface.takes.shape[1:], "discriminator progan"
        )
        channels = widths(self.top, base, widest)
        self.rgb = nn.ModuleDict(
            {
                self.side(k): nn.Sequential(EqualisedConv2d(interface.pack * planes, width, 1), nn.LeakyReLU(0.2))
                for k, width in enumerate(channels)
            }
        )
        self.blocks = nn.ModuleDict(
            {
                self.side(k): nn.Sequential(
                    EqualisedConv2d(channels[k], channels[k], 3, 1),
                    nn.LeakyReLU(0.2),
                    EqualisedConv2d(channels[k], channels[k - 1], 3, 1),
                    nn.LeakyReLU(0.2),
                    nn.AvgPool2d(2),
                )
                for k in range(1, self.top + 1)
            }
        )
        self.deviation = GroupDeviation(group)
        last = max(1, min(base // 2, widest))
        self.end = nn.Sequential(
            EqualisedConv2d(channels[0] + 1, channels[0], 3, 1),
            nn.LeakyReLU(0.2),
            EqualisedConv2d(channels[0], last, self.base),
            nn.LeakyReLU(0.2),
        )
        self.logit = EqualisedLinear(last, interface.logits)
        self.heads = nn.ModuleDict({name: EqualisedLinear(last, size) for name, size in interface.heads.items()})

    def forward(self, x: Tensor, *given: Tensor) -> DiscriminatorOutput:
        x = append_planes(x, given, self.given)  # (B, pack * (C + planes), H, W)
        highest = self.level + self.fading
        x = averaged(x, 2 ** (self.top - highest))  # (B, pack * (C + planes), 2^k h, 2^k w)
        h = self.rgb[self.side(highest)](x)
        features = [h]
        if self.fading:
            below, above = self.rgb[self.side(self.level)](averaged(x, 2)), self.blocks[self.side(highest)](h)
            h = below + self.share * (above - below)
            features.append(h)
        for k in range(self.level, 0, -1):
            h = self.blocks[self.side(k)](h)
            features.append(h)  # (B, D, 2^(k - 1) h, 2^(k - 1) w)
        deviation = self.deviation(h).to(h.dtype)[:, :, None, None].expand(-1, -1, *self.base)  # (B, 1, h, w)
        h = self.end(torch.cat([h, deviation], 1)).flatten(1)  # (B, D)
        logits = self.logit(h)  # (B, logits)
        heads = {name: head(h) for name, head in self.heads.items()}
        return DiscriminatorOutput(logits.squeeze(1) if logits.shape[1] == 1 else logits, [*features, h], heads)


def widths(top: int, base: int, widest: int) -> list[int]:
    """The channels of levels 0 to ``top``."""
    return [max(1, min(base // (4 * 2**level), widest)) for level in range(top + 1)]


def layer(before: int, after: int) -> list[nn.Module]:
    """A 3 x 3 convolution of the generator, its activation and pixel norm."""
    return [EqualisedConv2d(before, after, 3, 1), nn.LeakyReLU(0.2), PixelNorm()]


def repeated(x: Tensor, times: int) -> Tensor:
    """(B, C, H, W) -> (B, C, times H, times W): each pixel repeated in both directions."""
    return x if times == 1 else F.interpolate(x, scale_factor=times, mode="nearest")


def averaged(x: Tensor, size: int) -> Tensor:
    """(B, C, H, W) -> (B, C, H / size, W / size): the mean of size x size pixels."""
    return x if size == 1 else F.avg_pool2d(x, size)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "progan", ProGANGenerator)
    yield Component("discriminator", "progan", ProGANDiscriminator)
