"""The convolutional vanilla GAN of lectures: convolutions and max-pooling against repeated pixels and convolutions.

A teaching network without a paper of its own, the textbook classifier of LeCun et al., "Gradient-Based Learning Applied
to Document Recognition" (1998), turned into a discriminator: 5 x 5 convolution, max over 2 x 2 pixels, twice; a dense
layer; one logit. The generator is its reverse: two dense layers, then twice pixels are repeated and convolved, tanh. It
came before DCGAN's rules and breaks them (pooling instead of strides, dense layers, little BatchNorm), which is what it
is shown for.

An image may have any size from 4 pixels a side up; halves are rounded down on the way down and met exactly on the way
up. Differences from the scripts that teach it: logits instead of a sigmoid, and LeakyReLU 0.2 by default where they
have tanh throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, DiscriminatorOutput, Interface, Layers, Refusal, Space, hookimpl
from ganrun_plugins.networks._given import append_planes, append_vectors, plane_count, vector_size

Activation = Literal["leaky-relu", "relu", "tanh"]
ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "leaky-relu": lambda: nn.LeakyReLU(0.2),
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
}
Width = Annotated[
    int, Field(ge=1, description="channels of the convolution next to the image; the other one has twice as many")
]
Dense = Annotated[int, Field(ge=1, description="numbers of the dense layer")]
ActivationField = Annotated[Activation, Field(description="after each hidden layer")]


def quarter(image: Space, network: str) -> tuple[int, int]:
    """Height and width after two halvings."""
    height, width = image.shape[1:]
    if min(height, width) < 4:
        raise Refusal(
            f"{network} halves an image twice, and of {height} x {width} pixels nothing is left",
            "images of at least 4 pixels a side",
        )
    return height // 4, width // 4


class MaxPoolGenerator(nn.Module):
    """(B, latent) -> (B, C, H, W) in [-1, 1]. Given vectors and labels (one-hot) are joined to the latent."""

    takes: ClassVar[frozenset[str]] = frozenset({"latent"})
    makes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"layers"})

    def __init__(
        self,
        interface: Interface,
        *,
        width: Width = 64,
        dense: Dense = 1024,
        activation: ActivationField = "leaky-relu",
        norm: Annotated[
            Literal["batch", "none"], Field(description="normalisation of the second dense layer")
        ] = "batch",
    ) -> None:
        super().__init__()
        assert interface.makes is not None, "the interface of a generator says what it makes"
        if any(space.kind == "image" for space in interface.given):
            raise Refusal(
                "generator maxpool grows an image from a vector and has no place for a given image",
                "a generator that takes images",
            )
        self.given = interface.given
        channels, height, breadth = interface.makes.shape
        self.sides = [quarter(interface.makes, "generator maxpool"), (height // 2, breadth // 2), (height, breadth)]
        size, act = interface.takes.size + vector_size(interface.given), ACTIVATIONS[activation]
        grown = 2 * width * self.sides[0][0] * self.sides[0][1]
        norms = [nn.BatchNorm1d(grown)] if norm == "batch" else []
        self.dense = nn.Sequential(nn.Linear(size, dense), act(), nn.Linear(dense, grown), *norms, act())
        self.first = nn.Sequential(nn.Conv2d(2 * width, width, 5, 1, 2), act())
        self.output = nn.Sequential(nn.Conv2d(width, channels, 5, 1, 2), nn.Tanh())

    def forward(self, x: Tensor, *given: Tensor, layers: bool = False) -> Tensor | Layers:
        # (B, Z) -> (B, 2 W, H/4, W/4)
        h = self.dense(append_vectors(x, given, self.given)).unflatten(1, (-1, *self.sides[0]))
        grown, h = h, self.first(F.interpolate(h, self.sides[1]))  # (B, W, H/2, W/2)
        image: Tensor = self.output(F.interpolate(h, self.sides[2]))  # (B, C, H, W)
        return Layers(image, {"dense": grown, "first": h}) if layers else image


class MaxPoolDiscriminator(nn.Module):
    """(B, C, H, W) -> logits (B,), or (B, logits) if several are asked for. Its features follow each activation."""

    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"features"})

    def __init__(
        self,
        interface: Interface,
        *,
        width: Width = 64,
        dense: Dense = 1024,
        activation: ActivationField = "leaky-relu",
    ) -> None:
        super().__init__()
        self.given, act = interface.given, ACTIVATIONS[activation]
        height, breadth = quarter(interface.takes, "discriminator maxpool")
        planes = interface.takes.shape[0] + plane_count(
            interface.given, interface.takes.shape[1:], "discriminator maxpool"
        )
        self.main = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(interface.pack * planes, width, 5, 1, 2), act(), nn.MaxPool2d(2)),
                nn.Sequential(nn.Conv2d(width, 2 * width, 5, 1, 2), act(), nn.MaxPool2d(2)),
                nn.Sequential(nn.Flatten(), nn.Linear(2 * width * height * breadth, dense), act()),
            ]
        )
        self.output = nn.Linear(dense, interface.logits)
        self.heads = nn.ModuleDict({name: nn.Linear(dense, size) for name, size in interface.heads.items()})

    def forward(self, x: Tensor, *given: Tensor) -> DiscriminatorOutput:
        h = append_planes(x, given, self.given)  # (B, pack * (C + planes), H, W)
        features = []
        for layers in self.main:
            h = layers(h)
            features.append(h)
        logits = self.output(h)  # (B, logits)
        heads = {name: head(h) for name, head in self.heads.items()}  # (B, size)
        return DiscriminatorOutput(logits.squeeze(1) if logits.shape[1] == 1 else logits, features, heads)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "maxpool", MaxPoolGenerator)
    yield Component("discriminator", "maxpool", MaxPoolDiscriminator)
