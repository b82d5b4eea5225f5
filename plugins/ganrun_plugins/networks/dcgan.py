"""DCGAN's convolutional generator and discriminator, for images that are a base of 4 to 7 pixels, doubled.

Paper: Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional GANs" (2015), section
3: strided convolutions instead of pooling, BatchNorm in both networks except at the image, ReLU in the generator with
tanh at its end, LeakyReLU 0.2 in the discriminator, no hidden linear layers. No layer has a bias.

The base is 4 x 4 for sides that are powers of two, as in the paper, 7 x 7 for 28 pixels, 4 x 6 for 64 x 96: the first
layer makes it, and the last one sees it whole. ``width`` is the number of channels of the layer next to the image; it
doubles with every halving of the side. Width 64 at 64 pixels has 3,576,704 and 2,765,568 parameters for RGB, as
pytorch/examples; the paper's own generator is twice as wide. Differences from well-known code: logits, no sigmoid.
``norm: none`` and ``instance`` are for what BatchNorm cannot serve.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, DiscriminatorOutput, Interface, Layers, Refusal, hookimpl
from ganrun_plugins.networks._convolutions import Norm, Width, norm_layer
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


class DCGANGenerator(nn.Module):
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
        width: Width = 64,
        norm: Annotated[Norm, Field(description="normalisation of all layers but the last")] = "batch",
        labels: LabelsField = "one-hot",
        label_size: LabelSize = 50,
    ) -> None:
        super().__init__()
        assert interface.makes is not None, "the interface of a generator says what it makes"
        if any(space.kind == "image" for space in interface.given):
            raise Refusal(
                "generator dcgan grows an image from a vector and has no place for a given image",
                "a generator that takes images",
            )
        self.given = GivenLabels(interface.given, labels, label_size)
        doublings, base = interface.makes.halvings("generator dcgan")
        bias = norm == "none"  # a normalisation would subtract it at once
        channels = width * 2 ** (doublings - 1)
        size = interface.takes.size + vector_size(self.given.spaces)
        layers = [
            nn.ConvTranspose2d(size, channels, base, 1, 0, bias=bias),
            *norm_layer(norm, channels),
            nn.ReLU(inplace=True),
        ]
        for _ in range(doublings - 1):
            layers += [
                nn.ConvTranspose2d(channels, channels // 2, 4, 2, 1, bias=bias),
                *norm_layer(norm, channels // 2),
                nn.ReLU(inplace=True),
            ]
            channels //= 2
        self.main = nn.Sequential(
            *layers, nn.ConvTranspose2d(channels, interface.makes.shape[0], 4, 2, 1, bias=False), nn.Tanh()
        )
        self.activations = names_of(self.main, nn.ReLU)

    def forward(self, x: Tensor, *given: Tensor, layers: bool = False) -> Tensor | Layers:
        z = append_vectors(x, self.given(given), self.given.spaces)  # (B, Z)
        if layers:
            hidden: dict[str, Tensor] = {}
            return Layers(through(self.main, z[:, :, None, None], self.activations, "main", hidden), hidden)
        image: Tensor = self.main(z[:, :, None, None])  # (B, Z, 1, 1) -> (B, C, H, W)
        return image


class DCGANDiscriminator(nn.Module):
    """(B, C, H, W) -> logits (B,), or (B, logits) if several are asked for. Its features follow each LeakyReLU."""

    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"features"})

    def __init__(
        self,
        interface: Interface,
        *,
        width: Width = 64,
        norm: Annotated[Norm, Field(description="normalisation of all layers but the first and the last")] = "batch",
        labels: DiscriminatorLabelsField = "one-hot",
        label_size: LabelSize = 50,
        planes: PlanesField = "constant",
    ) -> None:
        super().__init__()
        side = interface.takes.shape[1:]
        self.given = GivenLabels(interface.given, labels, label_size, side if planes == "learned" else ())
        steps, base = interface.takes.halvings("discriminator dcgan")
        bias = norm == "none"
        channels = interface.takes.shape[0] + plane_count(self.given.spaces, side, "discriminator dcgan")
        layers: list[nn.Module] = [
            nn.Conv2d(interface.pack * channels, width, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for _ in range(steps - 1):
            layers += [
                nn.Conv2d(width, 2 * width, 4, 2, 1, bias=bias),
                *norm_layer(norm, 2 * width),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            width *= 2
        self.main = nn.Sequential(*layers, nn.Conv2d(width, interface.logits, base, 1, 0, bias=False))
        self.heads = nn.ModuleDict({name: nn.Conv2d(width, size, base, 1, 0) for name, size in interface.heads.items()})
        self.projection = (
            Projection(interface.given, width, interface.logits, interface.pack) if labels == "projection" else None
        )

    def forward(self, x: Tensor, *given: Tensor) -> DiscriminatorOutput:
        h = append_planes(x, self.given(given), self.given.spaces)  # (B, pack * (C + planes), H, W)
        features = []
        for layer in self.main[:-1]:
            h = layer(h)
            if isinstance(layer, nn.LeakyReLU):
                features.append(h)
        # before the layer that makes logits: tricks take that to be the last one
        projected = None if self.projection is None else self.projection(h, given)  # (B, logits)
        logits = self.main[-1](h).flatten(1)  # (B, D, h, w) -> (B, logits)
        if projected is not None:
            logits = logits + projected
        heads = {name: head(h).flatten(1) for name, head in self.heads.items()}
        return DiscriminatorOutput(logits.squeeze(1) if logits.shape[1] == 1 else logits, features, heads)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "dcgan", DCGANGenerator)
    yield Component("discriminator", "dcgan", DCGANDiscriminator)
