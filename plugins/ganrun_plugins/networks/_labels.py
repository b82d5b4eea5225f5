"""How labels enter a network: one-hot, as an embedding, through a linear map, or as a projection.

one-hot (Mirza and Osindero, "Conditional Generative Adversarial Nets", 2014): K columns, or K constant planes beside an
image.

embedding: a learned vector for each class in their place; torch's N(0, 1) at the start. Beside an image it becomes
constant planes, or (``planes: learned``) every pixel of a class's planes is learned.

linear-map (Mao et al., "Least Squares Generative Adversarial Networks", 2017, the architecture for many classes: 3,740
Chinese characters, 256 numbers a label): the one-hot label goes through a linear layer without bias, K x size
parameters, and its output is joined like an embedding. The same family of functions as ``embedding``, from another
start, which the paper does not give: here N(0, 1 / size), so that a class's numbers have length 1 on average and any
two classes are nearly orthogonal, as one-hot codes are. The paper joins them to several layers, found by trial; here
they are joined to the input alone.

projection (Miyato and Koyama, "cGANs with Projection Discriminator", 2018), in discriminators: the label does not enter
the input. With phi(x) the features before the last layer and psi that layer,

    logit = psi(phi(x)) + <v_y, phi(x)>

which is the form of the true log ratio if log p(y | x) is linear in phi(x). If m samples are judged at once, those of
the pack are independent, their log ratios add up, and so do their vectors: each place in the pack has v of its own. As
in the authors' code v starts uniform (Glorot); a feature map is summed over its pixels first, as there.

These starts hold where the player's ``init`` is torch's own. Another, such as that of ``acgan``, draws all linear
layers and embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Space
from ganrun_plugins.networks._given import one_hot

Labels = Literal["one-hot", "embedding", "linear-map"]
DiscriminatorLabels = Literal["one-hot", "embedding", "linear-map", "projection"]
Planes = Literal["constant", "learned"]
LabelsField = Annotated[Labels, Field(description="how labels are joined to the input")]
DiscriminatorLabelsField = Annotated[
    DiscriminatorLabels, Field(description="how labels are joined to the input, or (projection) to the features")
]
LabelSize = Annotated[int, Field(ge=1, description="numbers that embedding and linear-map make of a label")]
PlanesField = Annotated[
    Planes,
    Field(
        description=(
            "beside an image, embedding's numbers are constant planes; learned: label_size planes, every pixel learned"
        )
    ),
]


class GivenLabels(nn.Module):
    """What a network is given, with labels turned into what is joined to its input.

    ``spaces`` says what comes out, for ``append_vectors`` and ``append_planes``. ``one-hot`` leaves all as it is and
    has no parameters; under ``projection`` labels are left out. ``side``: height and width of an embedding's learned
    planes, empty for vectors.
    """

    def __init__(
        self, spaces: Sequence[Space], labels: DiscriminatorLabels, size: int, side: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.drops = labels == "projection"
        self.side = tuple(side) if labels == "embedding" else ()
        self.maps = nn.ModuleDict()
        self.spaces: tuple[Space, ...] = ()
        numbers = size * torch.Size(self.side).numel()
        for place, space in enumerate(spaces):
            if space.kind != "labels" or labels == "one-hot":
                self.spaces += (space,)
            elif not self.drops:
                self.maps[str(place)] = (
                    Embedding(space, numbers) if labels == "embedding" else LinearMap(space, numbers)
                )
                self.spaces += (Space("image", (size, *self.side)) if self.side else Space("latent", (size,)),)
        self.kept = [place for place, space in enumerate(spaces) if space.kind != "labels" or not self.drops]

    def forward(self, given: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(
            self._joined(self.maps[str(place)](given[place])) if str(place) in self.maps else given[place]
            for place in self.kept
        )

    def _joined(self, vectors: Tensor) -> Tensor:
        """(B, m, numbers) of m packed samples -> (B, m * size), or (B, m * size, H, W)."""
        return vectors.reshape(vectors.shape[0], -1, *self.side)


class Embedding(nn.Module):
    """Labels (B,), or (B, m) in packs -> (B, m, size): a learned vector a class; those of several labels are added."""

    def __init__(self, space: Space, size: int) -> None:
        super().__init__()
        self.labels, self.classes = space.size, space.classes
        self.vectors = nn.Embedding(space.size * space.classes, size)

    def forward(self, labels: Tensor) -> Tensor:
        vectors: Tensor = self.vectors(numbered(labels, self.labels, self.classes))  # (B, m, A, size)
        return vectors.sum(2)


class LinearMap(nn.Module):
    """Labels (B,), or (B, m) in packs -> (B, m, size): their one-hot code through one linear layer.

    Exactly K * size parameters.
    """

    def __init__(self, space: Space, size: int) -> None:
        super().__init__()
        self.labels, self.classes = space.size, space.classes
        self.map = nn.Linear(space.size * space.classes, size, bias=False)
        nn.init.normal_(self.map.weight, 0.0, size**-0.5)

    def forward(self, labels: Tensor) -> Tensor:
        code = one_hot(labels, self.classes, next(self.map.parameters()))  # (B, m * A * K)
        # (B, m, A * K) -> (B, m, size)
        vectors: Tensor = self.map(code.reshape(code.shape[0], -1, self.labels * self.classes))
        return vectors


class Projection(nn.Module):
    """What labels add to the logits: features (B, W) or (B, W, h, w) and all that is given -> (B, logits)."""

    def __init__(self, spaces: Sequence[Space], features: int, logits: int, pack: int) -> None:
        super().__init__()
        self.logits = logits
        self.labels = {
            place: (pack * space.size, space.classes) for place, space in enumerate(spaces) if space.kind == "labels"
        }
        self.vectors = nn.ModuleDict()
        for place, (count, classes) in self.labels.items():
            vectors = nn.Embedding(count * classes, logits * features)
            nn.init.xavier_uniform_(vectors.weight)
            self.vectors[str(place)] = vectors

    def forward(self, features: Tensor, given: Sequence[Tensor]) -> Tensor:
        phi = features.flatten(2).sum(2) if features.dim() > 2 else features  # (B, W)
        total = phi.new_zeros(phi.shape[0], self.logits)
        for place, (count, classes) in self.labels.items():
            # (B, 1, m * A, ...) -> (B, logits * W)
            vectors = self.vectors[str(place)](numbered(given[place], count, classes)).sum((1, 2))
            total = total + (vectors.reshape(phi.shape[0], self.logits, -1) * phi.unsqueeze(1)).sum(2)
        return total


def numbered(labels: Tensor, count: int, classes: int) -> Tensor:
    """Labels (B, ...) -> (B, n, count) int64, in which places differ.

    The label at place i of each ``count`` becomes i * classes + label.
    """
    places = classes * torch.arange(count, device=labels.device)
    return labels.reshape(labels.shape[0], -1, count) + places
