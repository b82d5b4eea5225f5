"""Perceptrons of the first GANs: a discriminator of maxout units against a generator of rectified linear units.

A maxout unit (Goodfellow, Warde-Farley et al., "Maxout Networks", 2013) is the largest of k linear functions of its
input,

    h_i = max_j (w_ij . x + b_ij),    j = 1..k

so it learns its own convex activation. These discriminators are made of it:

- Goodfellow et al., "Generative Adversarial Nets" (2014), on MNIST: two layers of 240 units of 5 pieces. The defaults.
- Mirza and Osindero, "Conditional Generative Adversarial Nets" (2014): 240 units of 5 pieces for the image and
  50 of 5 for the label, joined by 240 units of 4: ``{widths: [240], given_width: 50, joint: [240], joint_pieces: 4}``.
- Lin et al., "PacGAN" (2018), on the ring and the grid: three layers of 200 units of 5 pieces:
  ``{widths: [200, 200, 200]}``.

The generators beside them: two layers of 1200 rectified units (the defaults); Mirza's 200 for the latent and 1000 for
the label, joined by 1200: ``{widths: [200], given_width: 1000, joint: [1200]}``; PacGAN's four layers of 400 with
BatchNorm behind each: ``{widths: [400, 400, 400, 400], norm: batch}``.

Whatever is given (labels one-hot) is joined to the input if ``given_width`` is 0. Differences from the papers: images
end in tanh, for data in [-1, 1], not in a sigmoid; the discriminator returns logits. Goodfellow's and Mirza's
discriminators are trained with dropout 0.5, PacGAN's without: ``dropout`` is 0 unless set. Weights start as torch's
layers do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, DiscriminatorOutput, Interface, Layers, Space, hookimpl
from ganrun_plugins.networks._given import append_vectors, vector_size

Norm = Literal["batch", "none"]
Width = Annotated[int, Field(ge=1)]
Widths = Annotated[
    tuple[Width, ...], Field(description="units of the layers of the input, from the input on; may be empty")
]
Joint = Annotated[tuple[Width, ...], Field(description="units of the layers after what is given has joined")]
GivenWidth = Annotated[
    int, Field(ge=0, description="units of a layer of its own for what is given; 0: it joins the input as it is")
]


class Maxout(nn.Module):
    """(B, D) -> (B, units): each the largest of ``pieces`` linear functions."""

    def __init__(self, size: int, units: int, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(size, units * pieces)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x).unflatten(1, (-1, self.pieces)).amax(2)  # (B, units * pieces) -> (B, units)
        return out


class Hidden(nn.Module):
    """Layers of the input, perhaps one of what is given beside them, then layers of both together.

    ``layer(size, units, joint)`` makes one, ``spaces`` and ``pack`` say what is given. ``width`` is the size of the
    last activation.
    """

    def __init__(
        self,
        size: int,
        spaces: Sequence[Space],
        layer: Callable[[int, int, bool], nn.Module],
        *,
        widths: Sequence[int],
        given_width: int,
        joint: Sequence[int],
        pack: int = 1,
    ) -> None:
        super().__init__()
        self.spaces = tuple(spaces)
        given = pack * vector_size(spaces)
        self.beside = layer(given, given_width, False) if given and given_width else None
        size = pack * size + (given if self.beside is None else 0)
        self.own, self.joint = nn.ModuleList(), nn.ModuleList()
        for units in widths:
            self.own.append(layer(size, units, False))
            size = units
        size += given_width if self.beside is not None else 0
        for units in joint:
            self.joint.append(layer(size, units, True))
            size = units
        self.width = size

    def forward(self, x: Tensor, given: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """(B, ...) and what is given -> the last activation (B, width), and all of them."""
        x = x.flatten(1)
        columns = append_vectors(x[:, :0], given, self.spaces)  # (B, given)
        h = torch.cat([x, columns], 1) if self.beside is None else x
        features = []
        for layer in self.own:
            h = layer(h)
            features.append(h)
        if self.beside is not None:
            h = torch.cat([h, self.beside(columns)], 1)
        for layer in self.joint:
            h = layer(h)
            features.append(h)
        return h, features


class MaxoutDiscriminator(nn.Module):
    """(B, *takes.shape) -> logits (B,), or (B, logits) if several are asked for.

    Its features are the layers' activations.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"image", "points", "latent"})
    provides: ClassVar[frozenset[str]] = frozenset({"features"})

    def __init__(
        self,
        interface: Interface,
        *,
        widths: Widths = (240, 240),
        pieces: Annotated[int, Field(ge=1, description="linear functions of each unit")] = 5,
        given_width: GivenWidth = 0,
        joint: Joint = (),
        joint_pieces: Annotated[
            int | None, Field(ge=1, description="linear functions of each unit after joining; null: as before")
        ] = None,
        dropout: Annotated[
            float, Field(ge=0, lt=1, description="share of each layer's units left out in training")
        ] = 0.0,
    ) -> None:
        super().__init__()
        pieces_joint = joint_pieces or pieces

        def layer(size: int, units: int, joined: bool) -> nn.Module:
            maxout = Maxout(size, units, pieces_joint if joined else pieces)
            return nn.Sequential(maxout, nn.Dropout(dropout)) if dropout else maxout

        self.hidden = Hidden(
            interface.takes.size,
            interface.given,
            layer,
            widths=widths,
            given_width=given_width,
            joint=joint,
            pack=interface.pack,
        )
        self.output = nn.Linear(self.hidden.width, interface.logits)
        self.heads = nn.ModuleDict({name: nn.Linear(self.hidden.width, head) for name, head in interface.heads.items()})

    def forward(self, x: Tensor, *given: Tensor) -> DiscriminatorOutput:
        h, features = self.hidden(x, given)  # (B, width)
        logits = self.output(h)  # (B, logits)
        heads = {name: head(h) for name, head in self.heads.items()}
        return DiscriminatorOutput(logits.squeeze(1) if logits.shape[1] == 1 else logits, features, heads)


class RectifierGenerator(nn.Module):
    """(B, *takes.shape) -> (B, *makes.shape), through rectified linear units; images end in tanh."""

    takes: ClassVar[frozenset[str]] = frozenset({"latent", "points", "image"})
    makes: ClassVar[frozenset[str]] = frozenset({"image", "points", "latent"})
    provides: ClassVar[frozenset[str]] = frozenset({"layers"})

    def __init__(
        self,
        interface: Interface,
        *,
        widths: Widths = (1200, 1200),
        given_width: GivenWidth = 0,
        joint: Joint = (),
        norm: Annotated[Norm, Field(description="normalisation of every hidden layer")] = "none",
    ) -> None:
        super().__init__()
        assert interface.makes is not None, "the interface of a generator says what it makes"
        self.shape = interface.makes.shape

        def layer(size: int, units: int, joined: bool) -> nn.Module:
            linear = nn.Linear(size, units, bias=norm == "none")  # a normalisation would subtract a bias at once
            return nn.Sequential(linear, *([nn.BatchNorm1d(units)] if norm == "batch" else []), nn.ReLU())

        self.hidden = Hidden(
            interface.takes.size, interface.given, layer, widths=widths, given_width=given_width, joint=joint
        )
        self.output = nn.Sequential(nn.Linear(self.hidden.width, interface.makes.size))
        if interface.makes.kind == "image":
            self.output.append(nn.Tanh())

    def forward(self, x: Tensor, *given: Tensor, layers: bool = False) -> Tensor | Layers:
        h, activations = self.hidden(x, given)
        out: Tensor = self.output(h).reshape(-1, *self.shape)  # (B, makes.size) -> (B, *makes.shape)
        return Layers(out, {f"hidden.{i}": h for i, h in enumerate(activations)}) if layers else out


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "maxout-mlp", RectifierGenerator)
    yield Component("discriminator", "maxout-mlp", MaxoutDiscriminator)
