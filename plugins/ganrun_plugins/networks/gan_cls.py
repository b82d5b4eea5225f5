"""GAN-CLS's networks: DCGAN with a residual block at its narrow end, and a text that is compressed before it is joined.

Paper: Reed et al., "Generative Adversarial Text to Image Synthesis" (2016), section 4.1 and figure 2; the layers are
those of the authors' code, which has residual blocks that the paper does not mention.

Generator: whatever vectors are given, such as the embedding of a text, go through a linear layer to ``projection``
numbers and LeakyReLU 0.2, and are joined to the latent; transposed convolutions with BatchNorm double the side from 4
on. Behind the first two stands a residual block (1x1 to a quarter of the channels, 3x3, 3x3 back, each with BatchNorm)
and ReLU after the sum, with no ReLU before it; tanh at the end. Discriminator: convolutions halve the side down to 4,
BatchNorm on all but the first, LeakyReLU 0.2 on all but the last two; a residual block and LeakyReLU; there the text
(linear, BatchNorm, LeakyReLU) is joined at every place; 1x1 convolution, BatchNorm, LeakyReLU; 4x4 convolution.
``width`` is the number of channels next to the image, which doubles with every halving.

At 64 pixels, RGB, a text of 1024 numbers and a latent of 100: 18,909,699 parameters (width 128) and 4,032,321 (width
64). Sides are powers of two from 8 up.

Differences: logits, no sigmoid. The authors set the biases of convolutions to 0 before every evaluation, here they are
trained. The discriminator's ``norm: none`` and ``instance`` are for what BatchNorm cannot serve, such as gradient
penalties.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, DiscriminatorOutput, Interface, Layers, Refusal, hookimpl
from ganrun_plugins.networks._convolutions import Norm, norm_layer
from ganrun_plugins.networks._given import append_vectors, vector_size
from ganrun_plugins.networks._hidden import names_of, through

Projection = Annotated[int, Field(ge=1, description="numbers that everything given is compressed to")]


class ResidualBlock(nn.Module):
    """activation(x + three convolutions(x)); the two inner ones have a quarter of the channels of the block."""

    def __init__(self, width: int, inner: int, activation: nn.Module, norm: Norm = "batch") -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(width, inner, 1),
            *norm_layer(norm, inner),
            activation,
            nn.Conv2d(inner, inner, 3, 1, 1),
            *norm_layer(norm, inner),
            activation,
            nn.Conv2d(inner, width, 3, 1, 1),
            *norm_layer(norm, width),
        )
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(x + self.block(x))
        return out


def given_size(interface: Interface, network: str) -> int:
    """How many numbers are given besides the input, 0 for none. Raises Refusal for images."""
    if any(space.kind == "image" for space in interface.given):
        raise Refusal(
            f"{network} compresses what it is given to a vector, and has no place for a given image",
            "a network such as patchgan",
        )
    return vector_size(interface.given)


def joined(given: tuple[Tensor, ...], interface: Interface, like: Tensor) -> Tensor:
    """Everything given, (B, numbers), in the number format of ``like``; labels as columns."""
    return append_vectors(like.new_zeros(like.shape[0], 0), given, interface.given)


class TextGenerator(nn.Module):
    """(B, latent), given vectors and labels -> (B, C, H, W) in [-1, 1]."""

    takes: ClassVar[frozenset[str]] = frozenset({"latent"})
    makes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"layers"})

    def __init__(
        self,
        interface: Interface,
        *,
        width: Annotated[int, Field(ge=1, description="channels of the layer next to the image")] = 128,
        projection: Projection = 128,
    ) -> None:
        super().__init__()
        assert interface.makes is not None, "the interface of a generator says what it makes"
        self.interface = interface
        size, given = interface.takes.size, given_size(interface, "generator gan-cls")
        self.text = nn.Sequential(nn.Linear(given, projection), nn.LeakyReLU(0.2)) if given else None
        size += projection if given else 0
        doublings, base = interface.makes.halvings("generator gan-cls")
        channels = width * 2 ** (doublings - 1)
        layers: list[nn.Module] = []
        for stage in range(doublings):  # (B, Z, 1, 1) -> (B, channels, h, w) -> (B, channels / 2, 2 h, 2 w) -> ...
            first = (
                nn.ConvTranspose2d(size, channels, base, 1, 0)
                if stage == 0
                else nn.ConvTranspose2d(size, channels, 4, 2, 1)
            )
            end = ResidualBlock(channels, max(1, channels // 4), nn.ReLU()) if stage < 2 else nn.ReLU()
            layers += [first, nn.BatchNorm2d(channels), end]
            size, channels = channels, channels // 2
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(size, interface.makes.shape[0], 4, 2, 1), nn.Tanh())
        self.activations = names_of(self.main, nn.ReLU, ResidualBlock)

    def forward(self, x: Tensor, *given: Tensor, layers: bool = False) -> Tensor | Layers:
        # (B, latent + projection)
        z = x if self.text is None else torch.cat([x, self.text(joined(given, self.interface, x))], 1)
        if layers:
            hidden: dict[str, Tensor] = {}
            return Layers(through(self.main, z[:, :, None, None], self.activations, "main", hidden), hidden)
        image: Tensor = self.main(z[:, :, None, None])
        return image


class TextDiscriminator(nn.Module):
    """(B, C, H, W), given vectors and labels -> logits (B,), or (B, logits) if several are asked for.

    Its features follow each LeakyReLU.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"features"})

    def __init__(
        self,
        interface: Interface,
        *,
        width: Annotated[int, Field(ge=1, description="channels of the layer next to the image")] = 64,
        projection: Projection = 128,
        norm: Annotated[
            Norm,
            Field(description="normalisation of all layers but the first and the last; the text's is by batch or none"),
        ] = "batch",
    ) -> None:
        super().__init__()
        self.interface = interface
        given = given_size(interface, "discriminator gan-cls")
        steps, base = interface.takes.halvings("discriminator gan-cls")
        before, after = interface.pack * interface.takes.shape[0], width
        layers: list[nn.Module] = []
        for step in range(steps):
            layers.append(nn.Conv2d(before, after, 4, 2, 1))
            layers += norm_layer(norm, after) if step else []
            layers += [nn.LeakyReLU(0.2)] if step == 0 or step < steps - 2 else []
            before, after = after, 2 * after
        self.image = nn.Sequential(*layers, ResidualBlock(before, max(1, before // 4), nn.LeakyReLU(0.2), norm))
        of_text = [nn.BatchNorm1d(projection)] if norm == "batch" else []
        self.text = (
            nn.Sequential(nn.Linear(interface.pack * given, projection), *of_text, nn.LeakyReLU(0.2)) if given else None
        )
        both = before + (projection if given else 0)
        self.joint = nn.Sequential(nn.Conv2d(both, before, 1), *norm_layer(norm, before), nn.LeakyReLU(0.2))
        self.output = nn.Conv2d(before, interface.logits, base)
        self.heads = nn.ModuleDict({name: nn.Conv2d(before, size, base) for name, size in interface.heads.items()})

    def forward(self, x: Tensor, *given: Tensor) -> DiscriminatorOutput:
        features = []
        h = x
        for layer in self.image:
            h = layer(h)
            if isinstance(layer, nn.LeakyReLU | ResidualBlock):
                features.append(h)
        if self.text is not None:
            text = self.text(joined(given, self.interface, x))  # (B, projection)
            h = torch.cat([h, text[:, :, None, None].expand(-1, -1, *h.shape[2:])], 1)  # (B, D + projection, h, w)
        h = self.joint(h)  # (B, D, h, w)
        logits = self.output(h).flatten(1)  # (B, logits)
        heads = {name: head(h).flatten(1) for name, head in self.heads.items()}
        return DiscriminatorOutput(logits.squeeze(1) if logits.shape[1] == 1 else logits, [*features, h], heads)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "gan-cls", TextGenerator)
    yield Component("discriminator", "gan-cls", TextDiscriminator)
