"""InfoGAN's networks for MNIST, for sides divisible by 4; the discriminator's heads share a layer of their own.

Paper: Chen et al., "InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial
Nets" (2016), appendix C.1, with the details of the authors' code. For images of S x S pixels and width 64:

    generator      vector - FC 1024 - FC 128 x S/4 x S/4 - up 64 - up image, tanh
                   BatchNorm and ReLU after all but the last
    discriminator  image - down 64 - down 128 - FC 1024 - FC logits
                   LeakyReLU 0.01 after all but the last, BatchNorm after all but the first and the last
    heads          the 1024 numbers - FC 128 - FC of each head, likewise

Up and down are convolutions of 4 x 4 pixels with stride 2. Every layer has a bias, as in the authors' code, although it
cancels in front of BatchNorm. At 28 x 28, with 74 numbers in and heads of 14 numbers out, there are 6,652,481
parameters in the generator, 6,559,169 in trunk and logits, and 133,262 in the heads: the network Q, which is the
submodule ``heads``.

Differences from well-known code: the authors' generator ends in a sigmoid, for images in [0, 1]; images are in [-1, 1]
here, so it ends in tanh(l) = 2 sigmoid(2 l) - 1. The discriminator returns logits. ``norm: none`` is for what BatchNorm
cannot serve.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, DiscriminatorOutput, Interface, Layers, Refusal, Space, hookimpl
from ganrun_plugins.networks._given import append_planes, append_vectors, plane_count, vector_size
from ganrun_plugins.networks._hidden import names_of, through

Norm = Literal["batch", "none"]
Width = Annotated[
    int,
    Field(ge=1, description="channels of the layer next to the image; 2, 16 and (heads) 2 times as many in the others"),
]
SLOPE = 0.01


def quarter(image: Space, network: str) -> tuple[int, int]:
    """Height and width of an image after two halvings."""
    height, width = image.shape[1:]
    if height % 4 or width % 4:
        raise Refusal(
            f"{network} halves an image twice, so its sides must be divisible by 4; this is {height} x {width}",
            f"{height // 4 * 4 or 4} x {width // 4 * 4 or 4}, or {-(-height // 4) * 4} x {-(-width // 4) * 4}",
        )
    return height // 4, width // 4


def norm_layer(norm: Norm, width: int, *, flat: bool) -> list[nn.Module]:
    """The normalisation behind a layer of (B, width) if flat, else of (B, width, H, W): a list of no or one module."""
    if norm == "none":
        return []
    return [nn.BatchNorm1d(width) if flat else nn.BatchNorm2d(width)]


class InfoGANGenerator(nn.Module):
    """(B, latent) -> (B, C, H, W) in [-1, 1].

    Given codes (vectors, and labels as one-hot columns) are joined to the latent.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"latent"})
    makes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"layers"})

    def __init__(
        self,
        interface: Interface,
        *,
        width: Width = 64,
        norm: Annotated[Norm, Field(description="normalisation of all layers but the last")] = "batch",
    ) -> None:
        super().__init__()
        assert interface.makes is not None, "the interface of a generator says what it makes"
        if any(space.kind == "image" for space in interface.given):
            why = "generator infogan grows an image from a vector and has no place for a given image"
            raise Refusal(why, "a generator that takes images")
        self.given = interface.given
        # the shape in which the vector becomes an image
        self.seed = (2 * width, *quarter(interface.makes, "generator infogan"))
        size, seed = interface.takes.size + vector_size(interface.given), self.seed[0] * self.seed[1] * self.seed[2]
        self.vector = nn.Sequential(
            nn.Linear(size, 16 * width),
            *norm_layer(norm, 16 * width, flat=True),
            nn.ReLU(inplace=True),
            nn.Linear(16 * width, seed),
            *norm_layer(norm, seed, flat=True),
            nn.ReLU(inplace=True),
        )
        self.image = nn.Sequential(
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1),
            *norm_layer(norm, width, flat=False),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(width, interface.makes.shape[0], 4, 2, 1),
            nn.Tanh(),
        )
        self.activations = names_of(self.image, nn.ReLU)

    def forward(self, x: Tensor, *given: Tensor, layers: bool = False) -> Tensor | Layers:
        h = self.vector(append_vectors(x, given, self.given))  # (B, Z) -> (B, 2 width * H/4 * W/4)
        h = h.unflatten(1, self.seed)  # (B, 2 width, H/4, W/4)
        if layers:
            hidden = {"vector": h}
            return Layers(through(self.image, h, self.activations, "image", hidden), hidden)
        image: Tensor = self.image(h)  # (B, C, H, W)
        return image


class Heads(nn.Module):
    """(B, D) -> name -> (B, size): one hidden layer for all heads. This is Q; without heads it has no layer."""

    def __init__(self, size: int, width: int, heads: dict[str, int], norm: Norm) -> None:
        super().__init__()
        self.hidden = (
            nn.Sequential(nn.Linear(size, width), *norm_layer(norm, width, flat=True), nn.LeakyReLU(SLOPE))
            if heads
            else None
        )
        self.outputs = nn.ModuleDict({name: nn.Linear(width, out) for name, out in heads.items()})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        if self.hidden is None:
            return {}
        h = self.hidden(x)  # (B, width)
        return {name: layer(h) for name, layer in self.outputs.items()}


class InfoGANDiscriminator(nn.Module):
    """(B, C, H, W) -> logits (B,), or (B, logits) if several are asked for, and heads.

    Its features follow each LeakyReLU.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"features"})

    def __init__(
        self,
        interface: Interface,
        *,
        width: Width = 64,
        norm: Annotated[Norm, Field(description="normalisation of all layers but the first and the last")] = "batch",
    ) -> None:
        super().__init__()
        self.given = interface.given
        side = interface.takes.shape[1:]
        height, breadth = quarter(interface.takes, "discriminator infogan")
        planes = interface.pack * (
            interface.takes.shape[0] + plane_count(interface.given, side, "discriminator infogan")
        )
        self.trunk = nn.Sequential(
            nn.Conv2d(planes, width, 4, 2, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            *norm_layer(norm, 2 * width, flat=False),
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
            nn.Linear(2 * width * height * breadth, 16 * width),
            *norm_layer(norm, 16 * width, flat=True),
            nn.LeakyReLU(SLOPE),
        )
        self.output = nn.Linear(16 * width, interface.logits)
        self.heads = Heads(16 * width, 2 * width, interface.heads, norm)

    def forward(self, x: Tensor, *given: Tensor) -> DiscriminatorOutput:
        h = append_planes(x, given, self.given)  # (B, pack * (C + planes), H, W)
        features = []
        for layer in self.trunk:
            h = layer(h)
            if isinstance(layer, nn.LeakyReLU):
                features.append(h)
        logits = self.output(h)  # (B, 16 width) -> (B, logits)
        return DiscriminatorOutput(logits.squeeze(1) if logits.shape[1] == 1 else logits, features, self.heads(h))


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "infogan", InfoGANGenerator)
    yield Component("discriminator", "infogan", InfoGANDiscriminator)
