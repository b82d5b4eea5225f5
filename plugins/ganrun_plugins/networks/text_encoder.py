"""Encoders of texts and of images into one space, where vectors of a matching pair point the same way.

Paper: Reed et al., "Learning Deep Representations of Fine-Grained Visual Descriptions" (2016), sections 3 and 4. A text
is word numbers; 0 is no word, and fills up what is left of its length. Words have vectors, ``words: gru`` runs a gated
recurrent unit over them, and the mean over all words of its states (as in the paper's recurrent encoders; of the
vectors themselves for ``words: bag``, which cannot tell orders apart) goes through a linear layer. An image is halved
down to 4 x 4 or less by 4x4 convolutions of stride 2 with BatchNorm and LeakyReLU 0.2, and then goes through a linear
layer.

Differences: words, not characters before a convolution; images are seen by a small network that is trained along, not
by a large one that was trained on photographs. One part of a recipe serves both: what it is asked to take decides which
of the two it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Interface, Refusal, hookimpl


class TextEncoder(nn.Module):
    """Word numbers (B, T) int64 -> (B, size). Rows of zeros, texts without a word, are all alike."""

    def __init__(self, vocabulary: int, size: int, *, width: int, recurrent: bool) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.states = nn.GRU(width, width, batch_first=True) if recurrent else None
        self.output = nn.Linear(width, size)

    def forward(self, text: Tensor) -> Tensor:
        h = self.words(text)  # (B, T, width)
        if self.states is not None:
            h, _ = self.states(h)  # (B, T, width); what follows a text does not reach the states of its words
        there = (text != 0).unsqueeze(2).to(h.dtype)  # (B, T, 1)
        mean = (h * there).sum(1) / there.sum(1).clamp(min=1)  # (B, width)
        out: Tensor = self.output(mean)
        return out


class ImageEncoder(nn.Module):
    """(B, C, H, W) -> (B, size)."""

    def __init__(self, shape: tuple[int, ...], size: int, *, width: int) -> None:
        super().__init__()
        channels, height, side = shape
        layers: list[nn.Module] = []
        while max(height, side) > 4 and min(height, side) > 1:
            layers += [nn.Conv2d(channels, width, 4, 2, 1), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
            channels, width, height, side = width, 2 * width, height // 2, side // 2
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.output = nn.Linear(channels * height * side, size)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.output(self.body(x))  # (B, C, H, W) -> (B, D) -> (B, size)
        return out


class JointEmbedding(nn.Module):
    """Texts (B, T) or images (B, C, H, W) -> (B, size), whichever the interface says."""

    takes: ClassVar[frozenset[str]] = frozenset({"labels", "image"})
    makes: ClassVar[frozenset[str]] = frozenset({"latent"})

    def __init__(
        self,
        interface: Interface,
        *,
        words: Annotated[
            Literal["gru", "bag"], Field(description="a recurrent unit over the words of a text, or their mean")
        ] = "gru",
        text_width: Annotated[int, Field(ge=1, description="size of word vectors and of recurrent states")] = 128,
        image_width: Annotated[
            int, Field(ge=1, description="channels of the first convolution; they double with every halving")
        ] = 32,
    ) -> None:
        super().__init__()
        assert interface.makes is not None, "the interface of a generator says what it makes"
        takes, size = interface.takes, interface.makes.size
        if interface.given:
            raise Refusal(
                "generator joint-embedding encodes texts or images by themselves, and has no place for anything given",
                "generator: mlp",
            )
        if takes.kind == "labels" and len(takes.shape) != 1:
            raise Refusal(
                f"generator joint-embedding takes texts, rows of word numbers, and this is {takes}", "generator: mlp"
            )
        self.encoder: nn.Module = (
            TextEncoder(takes.classes, size, width=text_width, recurrent=words == "gru")
            if takes.kind == "labels"
            else ImageEncoder(takes.shape, size, width=image_width)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.encoder(x)
        return out


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "joint-embedding", JointEmbedding)
