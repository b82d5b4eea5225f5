"""CoGAN's networks: one generator and one discriminator for several domains, which share their semantic layers.

Paper: Liu and Tuzel, "Coupled Generative Adversarial Networks" (2016), section 3, and the layers of the authors' code
for MNIST and its edges, whose shape they have at 28 pixels. The domain of a sample is a label that both networks are
given.

- Generator: the layers next to the latent are shared, and the last one, which makes the image, is the domain's own.
  Transposed convolutions of 8, 4, 2 and 1 times ``width`` channels: from the latent to 4 x 4 pixels, then three that
  double the side (stride 2, kernel 3: 7, 13, 25), each with BatchNorm without a scale and one PReLU; the last one is
  6 x 6, then tanh.
- Discriminator: the first layer, which sees the pixels, is the domain's own, and all later ones are shared: convolution
  5 x 5 to 20 channels, max-pooling, 5 x 5 to 50, max-pooling, a convolution over what is left to 500, PReLU, and the
  logits. Nothing but max-pooling stands between the first three. No BatchNorm.

7,842,694 and 427,593 parameters for two domains of grey images of 28 pixels and two logits. Weights start uniform
(Glorot with gain sqrt(2)) and biases at 0.1, as in the authors' code.

Differences: logits, no softmax: with the loss ``two-class`` there are two, as in the paper; with any other a single
one, the difference of the paper's two. tanh for images in [-1, 1]; theirs are in [0, 1] and end with a sigmoid. Other
sizes: the generator halves the side minus 3, rounding up, until 4 or less are left. Without a label there is one
domain. All domains' own layers run on all rows, and each row keeps what its domain made: the batch has one shape
whatever the labels are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, DiscriminatorOutput, Interface, Layers, Refusal, Space, hookimpl
from ganrun_plugins.networks._given import append_planes, append_vectors, plane_count, vector_size
from ganrun_plugins.networks._hidden import names_of, through

GAIN = math.sqrt(2)
BIAS = 0.1


class Domains:
    """Which of the things given is the domain, the first single label, and which are the rest.

    Without one there is one domain.
    """

    def __init__(self, given: Sequence[Space]) -> None:
        labels = [place for place, space in enumerate(given) if space.kind == "labels" and not space.shape]
        self.place = labels[0] if labels else None
        self.count = 1 if self.place is None else given[self.place].classes
        self.rest = tuple(space for place, space in enumerate(given) if place != self.place)

    def split(self, given: Sequence[Tensor], like: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The domain of each row (B,) int64, and the rest of what is given. Samples of one pack are of one domain."""
        if self.place is None:
            return torch.zeros(like.shape[0], dtype=torch.long, device=like.device), list(given)
        labels = given[self.place]
        domain = labels.reshape(labels.shape[0], -1)[:, 0]  # (B,) or (B, m) -> (B,)
        return domain, [value for place, value in enumerate(given) if place != self.place]


def own(layers: nn.ModuleList, x: Tensor, domain: Tensor) -> Tensor:
    """(B, ...) -> what each row's own layer makes of it, (B, ...)."""
    made = torch.stack([layer(x) for layer in layers])  # (domains, B, ...)
    return made[domain, torch.arange(domain.shape[0], device=domain.device)]


def start(network: nn.Module) -> None:
    """Weights uniform (Glorot), biases 0.1."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight, GAIN)
            assert layer.bias is not None
            nn.init.constant_(layer.bias, BIAS)


def sides(length: int, doublings: int) -> list[int]:
    """The sides on the way up to ``length``: each at least half of the next."""
    found = [length]
    for _ in range(doublings):
        found.append((found[-1] + 1) // 2)
    return found[::-1]


class CoGANGenerator(nn.Module):
    """(B, latent), domain (B,) -> (B, C, H, W) in [-1, 1]. What else is given is joined to the latent."""

    takes: ClassVar[frozenset[str]] = frozenset({"latent"})
    makes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"layers"})

    def __init__(
        self,
        interface: Interface,
        *,
        width: Annotated[
            int, Field(ge=1, description="channels before the last layer; they double with every halving of the side")
        ] = 128,
    ) -> None:
        super().__init__()
        assert interface.makes is not None, "the interface of a generator says what it makes"
        if any(space.kind == "image" for space in interface.given):
            why = "generator cogan grows an image from a vector and has no place for a given image"
            raise Refusal(why, "a generator that takes images")
        channels, *side = interface.makes.shape
        if min(side) < 4:
            why = (
                "the last layer of generator cogan adds 3 pixels to each side, "
                f"and the images are {side[0]} x {side[1]}"
            )
            raise Refusal(why, "images of 4 pixels or more")
        self.domains = Domains(interface.given)
        self.rest = self.domains.rest
        doublings = 0
        while max(sides(max(side) - 3, doublings)[0], 1) > 4:
            doublings += 1
        rows, columns = (sides(length - 3, doublings) for length in side)
        w = width * 2**doublings
        size = interface.takes.size + vector_size(self.rest)
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(size, w, (rows[0], columns[0])),
            nn.BatchNorm2d(w, affine=False),
            nn.PReLU(),
        ]
        for i in range(doublings):
            further = (rows[i + 1] - 2 * rows[i] + 1, columns[i + 1] - 2 * columns[i] + 1)  # 0 or 1
            layers += [
                nn.ConvTranspose2d(w, w // 2, 3, 2, 1, further),
                nn.BatchNorm2d(w // 2, affine=False),
                nn.PReLU(),
            ]
            w //= 2
        self.shared = nn.Sequential(*layers)
        self.activations = names_of(self.shared, nn.PReLU)
        self.own = nn.ModuleList(nn.ConvTranspose2d(w, channels, 6, 1, 1) for _ in range(self.domains.count))
        start(self)

    def forward(self, x: Tensor, *given: Tensor, layers: bool = False) -> Tensor | Layers:
        domain, rest = self.domains.split(given, x)
        z = append_vectors(x, rest, self.rest)  # (B, Z)
        if layers:
            hidden: dict[str, Tensor] = {}
            h = through(self.shared, z[:, :, None, None], self.activations, "shared", hidden)
            return Layers(own(self.own, h, domain).tanh(), hidden)
        h = self.shared(z[:, :, None, None])  # (B, W, H - 3, W - 3)
        return own(self.own, h, domain).tanh()  # (B, C, H, W)


class CoGANDiscriminator(nn.Module):
    """(B, C, H, W), domain (B,) -> logits (B,), or (B, logits) if several are asked for.

    What else is given becomes planes.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"features"})

    def __init__(
        self,
        interface: Interface,
        *,
        widths: Annotated[
            tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]],
            Field(description="channels of the three convolutions"),
        ] = (20, 50, 500),
    ) -> None:
        super().__init__()
        channels, *side = interface.takes.shape
        left = [((length - 4) // 2 - 4) // 2 for length in side]
        if min(left) < 1:
            raise Refusal(
                "two convolutions of 5 x 5 without a border, each followed by pooling, "
                f"leave no pixel of {side[0]} x {side[1]}",
                "images of 16 pixels or more, or discriminator: dcgan",
            )
        self.domains = Domains(interface.given)
        self.rest = self.domains.rest
        planes = interface.pack * (channels + plane_count(self.rest, side, "discriminator cogan"))
        first, second, third = widths
        self.own = nn.ModuleList(nn.Conv2d(planes, first, 5) for _ in range(self.domains.count))
        self.second = nn.Conv2d(first, second, 5)
        self.third = nn.Conv2d(second, third, (left[0], left[1]))
        self.activation = nn.PReLU()
        self.logit = nn.Conv2d(third, interface.logits, 1)
        self.heads = nn.ModuleDict({name: nn.Conv2d(third, size, 1) for name, size in interface.heads.items()})
        start(self)

    def forward(self, x: Tensor, *given: Tensor) -> DiscriminatorOutput:
        domain, rest = self.domains.split(given, x)
        x = append_planes(x, rest, self.rest)  # (B, pack * (C + planes), H, W)
        h1 = F.max_pool2d(own(self.own, x, domain), 2)  # (B, 20, (H - 4) / 2, (W - 4) / 2)
        h2 = F.max_pool2d(self.second(h1), 2)  # (B, 50, h, w)
        h3 = self.activation(self.third(h2))  # (B, 500, 1, 1)
        logits = self.logit(h3).flatten(1)  # (B, logits)
        heads = {name: head(h3).flatten(1) for name, head in self.heads.items()}
        return DiscriminatorOutput(logits.squeeze(1) if logits.shape[1] == 1 else logits, [h1, h2, h3], heads)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "cogan", CoGANGenerator)
    yield Component("discriminator", "cogan", CoGANDiscriminator)
