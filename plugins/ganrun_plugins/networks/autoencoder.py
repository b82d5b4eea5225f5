"""An autoencoder as discriminator: its logit is the error with which it gives a sample back, an energy.

Papers: Zhao, Mathieu and LeCun, "Energy-based Generative Adversarial Network" (2016), which made the idea; Berthelot,
Schumm and Metz, "BEGAN" (2017), section 3.5.1, whose layers these are: 3 x 3 convolutions with ELU, strides of 2 on the
way down with channels that grow linearly (n, 2n, 3n, ...), a linear code, and a decoder of n channels that doubles by
repeating pixels. No squashing at the end.

    error: l1        mean |x - D(x)|       (BEGAN)
    error: squared   mean (x - D(x))^2     (EBGAN, MAGAN)

The mean is over the numbers of a sample, so that margins do not depend on its size. With the sum, as in some code, they
are larger by that number: a margin of 10 for sums on 28 x 28 images is 10 / 784 here. Images lie in [-1, 1], so that l1
errors are twice those in [0, 1].

Images may have any size: a side is halved, rounding up, while it is above 4. Points and latents have linear layers
instead. Packed samples are given back as a pack; what is given besides x (a condition, a label) is seen by the encoder
and not given back.

Differences from BEGAN: one convolution a size (``convolutions: 2`` there), and 4 pixels a side before the code (8
there).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, DiscriminatorOutput, Interface, Reason, Refusal, hookimpl
from ganrun_plugins.networks._given import append_planes, append_vectors, plane_count, vector_size

Norm = Literal["batch", "layer", "none"]
Width = Annotated[int, Field(ge=1)]
SMALLEST = 4  # a side of this many pixels is not halved any more


class Perceptrons(nn.Module):
    """Linear layers from ``size`` numbers through ``widths`` to the code, and back to ``out`` numbers."""

    def __init__(self, size: int, out: int, widths: Sequence[int], code: int, norm: Norm) -> None:
        super().__init__()
        sizes = (size, *widths)
        self.encoder = nn.ModuleList(
            linear(*pair, norm if i else "none") for i, pair in enumerate(itertools.pairwise(sizes))
        )
        self.code = nn.Linear(sizes[-1], code)
        back = (code, *reversed(widths))
        self.decoder = nn.Sequential(
            *(linear(*pair, norm) for pair in itertools.pairwise(back)), nn.Linear(back[-1], out)
        )

    def encode(self, h: Tensor) -> list[Tensor]:
        """(B, size) -> hidden activations (B, width) and the code (B, code), which is last."""
        features = []
        for layer in self.encoder:
            h = layer(h)
            features.append(h)
        return [*features, self.code(h)]

    def decode(self, code: Tensor) -> Tensor:
        """(B, code) -> (B, out)."""
        out: Tensor = self.decoder(code)
        return out


class Convolutions(nn.Module):
    """Convolutions from ``planes`` channels down to the code, and back up to ``out`` channels."""

    def __init__(
        self, planes: int, out: int, side: tuple[int, int], width: int, convolutions: int, code: int, norm: Norm
    ) -> None:
        super().__init__()
        self.sides = sides(side)
        self.encoder = nn.ModuleList(
            [nn.Sequential(convolution(planes, width, "none"), *again(width, convolutions, norm))]
        )
        for i, (before, after) in enumerate(itertools.pairwise(self.sides), 1):
            stride = (1 if before[0] == after[0] else 2, 1 if before[1] == after[1] else 2)
            down = convolution(i * width, (i + 1) * width, norm, stride)
            self.encoder.append(nn.Sequential(down, *again((i + 1) * width, convolutions, norm)))
        height, breadth = self.sides[-1]
        self.code = nn.Linear(len(self.sides) * width * height * breadth, code)
        self.grow = nn.Linear(code, width * height * breadth)
        self.decoder = nn.ModuleList(nn.Sequential(*again(width, convolutions, norm)) for _ in self.sides)
        self.output = nn.Conv2d(width, out, 3, 1, 1)

    def encode(self, h: Tensor) -> list[Tensor]:
        """(B, planes, H, W) -> activations (B, i * width, h, w) of every size and the code (B, code), which is last."""
        features = []
        for layer in self.encoder:
            h = layer(h)
            features.append(h)
        return [*features, self.code(h.flatten(1))]

    def decode(self, code: Tensor) -> Tensor:
        """(B, code) -> (B, out, H, W)."""
        h = self.grow(code).unflatten(1, (-1, *self.sides[-1]))  # (B, width, h, w)
        for side, layer in zip(reversed(self.sides), self.decoder):
            h = layer(F.interpolate(h, side))  # each pixel repeated
        out: Tensor = self.output(h)
        return out


def sides(side: tuple[int, int]) -> list[tuple[int, int]]:
    """Height and width on the way down: (28, 28), (14, 14), (7, 7), (4, 4)."""
    found = [side]
    while max(found[-1]) > SMALLEST:
        height, breadth = ((n + 1) // 2 if n > SMALLEST else n for n in found[-1])
        found.append((height, breadth))
    return found


def linear(size: int, width: int, norm: Norm) -> nn.Sequential:
    """One hidden layer."""
    norms: dict[Norm, list[nn.Module]] = {"batch": [nn.BatchNorm1d(width)], "layer": [nn.LayerNorm(width)], "none": []}
    return nn.Sequential(nn.Linear(size, width), *norms[norm], nn.ELU())


def convolution(channels: int, width: int, norm: Norm, stride: tuple[int, int] = (1, 1)) -> nn.Sequential:
    """One 3 x 3 convolution; stride 2 halves a side, rounding up."""
    norms: dict[Norm, list[nn.Module]] = {
        "batch": [nn.BatchNorm2d(width)],
        "layer": [nn.GroupNorm(1, width)],
        "none": [],
    }
    return nn.Sequential(nn.Conv2d(channels, width, 3, stride, 1), *norms[norm], nn.ELU())


def again(width: int, convolutions: int, norm: Norm) -> list[nn.Module]:
    """The convolutions of one size that keep the channels."""
    return [convolution(width, width, norm) for _ in range(convolutions)]


class AutoencoderDiscriminator(nn.Module):
    """(B, *takes.shape) -> the energy (B,), never negative. Features are the encoder's activations, the code last.

    Heads are linear on the code.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"image", "points", "latent"})
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
        width: Annotated[
            Width, Field(description="for images: channels of the first layer; the i-th size has i times as many")
        ] = 32,
        convolutions: Annotated[
            int, Field(ge=1, description="for images: further convolutions at each size; 2 in BEGAN")
        ] = 1,
        widths: Annotated[
            tuple[Width, ...], Field(description="for points and latents: hidden layers down to the code; may be empty")
        ] = (128, 64),
        code: Annotated[int, Field(ge=1, description="size of the code")] = 64,
        norm: Annotated[Norm, Field(description="normalisation of all hidden layers but the first")] = "none",
        error: Annotated[
            Literal["l1", "squared"], Field(description="of each number of a sample; the energy is its mean")
        ] = "l1",
    ) -> None:
        super().__init__()
        if interface.logits != 1:
            raise Refusal(
                f"an autoencoder has one error a sample, and the loss asks for {interface.logits} numbers",
                "a loss on energies, or another discriminator",
            )
        self.given, self.error = interface.given, error
        self.join = append_planes if interface.takes.kind == "image" else append_vectors
        pack = interface.pack
        self.autoencoder: Perceptrons | Convolutions
        if interface.takes.kind == "image":
            channels, height, breadth = interface.takes.shape
            planes = channels + plane_count(interface.given, (height, breadth), "discriminator autoencoder")
            self.autoencoder = Convolutions(
                pack * planes, pack * channels, (height, breadth), width, convolutions, code, norm
            )
        else:
            size = interface.takes.size
            self.autoencoder = Perceptrons(
                pack * (size + vector_size(interface.given)), pack * size, widths, code, norm
            )
        self.heads = nn.ModuleDict({name: nn.Linear(code, size) for name, size in interface.heads.items()})

    def forward(self, x: Tensor, *given: Tensor) -> DiscriminatorOutput:
        # (B, pack * (C + planes), H, W) -> ..., (B, code)
        features = self.autoencoder.encode(self.join(x, given, self.given))
        returned = self.autoencoder.decode(features[-1]).reshape(x.shape)
        # at least float32: an energy is a small difference
        difference = x.to(torch.promote_types(x.dtype, torch.float32)) - returned
        errors = difference.abs() if self.error == "l1" else difference.square()
        heads = {name: head(features[-1]) for name, head in self.heads.items()}  # (B, size)
        return DiscriminatorOutput(errors.flatten(1).mean(1), features, heads)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("discriminator", "autoencoder", AutoencoderDiscriminator)
