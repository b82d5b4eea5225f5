"""AC-GAN's networks for CIFAR-10, for sides divisible by 8; dropout after each convolution of the discriminator.

Paper: Odena, Olah and Shlens, "Conditional Image Synthesis with Auxiliary Classifier GANs" (2017), appendix, the table
for CIFAR-10. For images of S x S pixels, with widths 96 and 16:

    generator      vector - FC 384 x S/8 x S/8 - up 192 - up 96 - up image, tanh
                   ReLU after all but the last, BatchNorm after 192 and 96
    discriminator  image - down 16 - 32 - down 64 - 128 - down 256 - 512 - FC logits
                   LeakyReLU 0.2 and dropout 0.5 after all but the last, BatchNorm after 32 to 512
    heads          the 512 x S/8 x S/8 numbers - FC of each head

Up are transposed convolutions of 5 x 5 pixels with stride 2; down, and the numbers alone, are convolutions of 3 x 3
with stride 2, and 1. Layers have a bias unless BatchNorm follows, which would subtract it. At 32 pixels, with 110
latents and one label of 10 classes, there are 3,055,203 parameters in the generator, 1,581,953 in the discriminator
without heads, and 81,930 in the head of the classes.

**Noise**: the paper tried normal noise of standard deviation 0 (the default), 0.1 and 0.2 on activations, without
saying where in a layer. Here ``noise`` is on each output of LeakyReLU in the discriminator, in training, before
dropout; the image has none (the trick ``instance-noise`` adds that).

Differences from well-known code: a generator that is common in PyTorch for CIFAR-10 has transposed convolutions of
4 x 4 with 192, 96, 48 and 3 channels on a vector of 384 numbers that has no ReLU. The table says "linear, 384"; three
doublings up to 32 pixels leave 4 x 4, so that it is read as 384 x 4 x 4 here. That code ends in sigmoid and softmax;
here logits come out of both. The table's input of 110 numbers may or may not count the label: here the label's columns
come on top of the latents.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, DiscriminatorOutput, Interface, Layers, Refusal, Space, hookimpl
from ganrun_plugins.networks._given import append_planes, append_vectors, plane_count, vector_size
from ganrun_plugins.networks._hidden import names_of, through
from ganrun_plugins.networks._labels import (
    DiscriminatorLabelsField,
    GivenLabels,
    LabelsField,
    LabelSize,
    PlanesField,
    Projection,
)

Norm = Literal["batch", "none"]
STRIDES = (2, 1, 2, 1, 2, 1)


def eighth(image: Space, network: str) -> tuple[int, int]:
    """Height and width of an image after three halvings."""
    height, width = image.shape[1:]
    if height % 8 or width % 8:
        raise Refusal(
            f"{network} halves an image three times, so its sides must be divisible by 8; this is {height} x {width}",
            f"{height // 8 * 8 or 8} x {width // 8 * 8 or 8}, or {-(-height // 8) * 8} x {-(-width // 8) * 8}",
        )
    return height // 8, width // 8


class Noise(nn.Module):
    """x -> x + N(0, sigma) of the same shape in training, x otherwise.

    Draws from torch's global generator, as dropout does.
    """

    # two calls differ, as with dropout: plugins that have to know of dropout have to know of this, too
    provides: ClassVar[frozenset[str]] = frozenset({"dropout"})

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor) -> Tensor:
        return x + self.sigma * torch.randn_like(x) if self.training else x


class ACGANGenerator(nn.Module):
    """(B, latent) -> (B, C, H, W) in [-1, 1]. Given vectors and labels are joined to the latent.

    For ``labels`` see ``_labels.py``.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"latent"})
    makes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"layers"})

    def __init__(
        self,
        interface: Interface,
        *,
        width: Annotated[
            int, Field(ge=1, description="channels of the layer next to the image; 2 and 4 times as many before it")
        ] = 96,
        norm: Annotated[Norm, Field(description="normalisation of all layers but the first and the last")] = "batch",
        labels: LabelsField = "one-hot",
        label_size: LabelSize = 50,
    ) -> None:
        super().__init__()
        assert interface.makes is not None, "the interface of a generator says what it makes"
        if any(space.kind == "image" for space in interface.given):
            why = "generator acgan grows an image from a vector and has no place for a given image"
            raise Refusal(why, "a generator that takes images")
        self.given = GivenLabels(interface.given, labels, label_size)
        # the shape in which the vector becomes an image
        self.seed = torch.Size((4 * width, *eighth(interface.makes, "generator acgan")))
        size = interface.takes.size + vector_size(self.given.spaces)
        self.vector = nn.Sequential(nn.Linear(size, self.seed.numel()), nn.ReLU(inplace=True))
        layers: list[nn.Module] = []
        for channels in (4 * width, 2 * width):
            layers.append(nn.ConvTranspose2d(channels, channels // 2, 5, 2, 2, output_padding=1, bias=norm == "none"))
            layers += [nn.BatchNorm2d(channels // 2)] if norm == "batch" else []
            layers.append(nn.ReLU(inplace=True))
        self.image = nn.Sequential(
            *layers, nn.ConvTranspose2d(width, interface.makes.shape[0], 5, 2, 2, output_padding=1), nn.Tanh()
        )
        self.activations = names_of(self.image, nn.ReLU)

    def forward(self, x: Tensor, *given: Tensor, layers: bool = False) -> Tensor | Layers:
        h = self.vector(append_vectors(x, self.given(given), self.given.spaces))  # (B, Z) -> (B, 4 width * H/8 * W/8)
        h = h.unflatten(1, self.seed)  # (B, 4 width, H/8, W/8)
        if layers:
            hidden = {"vector": h}
            return Layers(through(self.image, h, self.activations, "image", hidden), hidden)
        image: Tensor = self.image(h)  # (B, C, H, W)
        return image


class ACGANDiscriminator(nn.Module):
    """(B, C, H, W) -> logits (B,), or (B, logits) if several are asked for, and heads.

    Its features follow each LeakyReLU.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"features"})

    def __init__(
        self,
        interface: Interface,
        *,
        width: Annotated[
            int, Field(ge=1, description="channels of the layer next to the image; they double with each of the six")
        ] = 16,
        norm: Annotated[Norm, Field(description="normalisation of all layers but the first and the last")] = "batch",
        dropout: Annotated[float, Field(ge=0, lt=1, description="probability that an activation is dropped")] = 0.5,
        noise: Annotated[
            float, Field(ge=0, description="standard deviation of noise on activations; the paper tried 0.1 and 0.2")
        ] = 0.0,
        labels: DiscriminatorLabelsField = "one-hot",
        label_size: LabelSize = 50,
        planes: PlanesField = "constant",
    ) -> None:
        super().__init__()
        side = interface.takes.shape[1:]
        height, breadth = eighth(interface.takes, "discriminator acgan")
        self.given = GivenLabels(interface.given, labels, label_size, side if planes == "learned" else ())
        before = interface.pack * (
            interface.takes.shape[0] + plane_count(self.given.spaces, side, "discriminator acgan")
        )
        layers: list[nn.Module] = []
        for place, stride in enumerate(STRIDES):
            channels, normed = width * 2**place, norm == "batch" and place > 0
            layers.append(nn.Conv2d(before, channels, 3, stride, 1, bias=not normed))
            layers += [nn.BatchNorm2d(channels)] if normed else []
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            layers += [Noise(noise)] if noise else []
            layers += [nn.Dropout(dropout)] if dropout else []
            before = channels
        self.trunk = nn.Sequential(*layers)
        self.output = nn.Linear(before * height * breadth, interface.logits)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(before * height * breadth, size) for name, size in interface.heads.items()}
        )
        self.projection = (
            Projection(interface.given, before, interface.logits, interface.pack) if labels == "projection" else None
        )

    def forward(self, x: Tensor, *given: Tensor) -> DiscriminatorOutput:
        h = append_planes(x, self.given(given), self.given.spaces)  # (B, pack * (C + planes), H, W)
        features = []
        for layer in self.trunk:
            h = layer(h)
            if isinstance(layer, nn.LeakyReLU):
                features.append(h)
        # before the layer that makes logits: tricks take that to be the last one
        projected = None if self.projection is None else self.projection(h, given)  # (B, logits)
        h = h.flatten(1)  # (B, 32 width, H/8, W/8) -> (B, 32 width * H/8 * W/8)
        logits = self.output(h)  # (B, logits)
        if projected is not None:
            logits = logits + projected
        heads = {name: head(h) for name, head in self.heads.items()}
        return DiscriminatorOutput(logits.squeeze(1) if logits.shape[1] == 1 else logits, features, heads)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "acgan", ACGANGenerator)
    yield Component("discriminator", "acgan", ACGANDiscriminator)
