"""The network of the features ``inception``: Inception v3 as it stood in TensorFlow's graph of 2015-12-05.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015. Names are those of the usual file of
weights. The graph differs from the paper and from torchvision's Inception v3: averages over 3 x 3 pixels do not count
what lies beyond the border, the very last block has a maximum instead of an average, and there are 1008 classes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 299
Pool = Callable[[Tensor], Tensor]


class Conv(NamedTuple):
    """A convolution of a block: name, channels that come out, kernel (height, width).

    With stride 2 it is not padded.
    """

    name: str
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1


Step = Conv | tuple[Conv, ...] | Pool  # several convolutions at once see the same and are put side by side


class Convolution(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], stride: int = 1, padded: bool = True
    ) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if padded else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def average(x: Tensor) -> Tensor:
    """The mean of each pixel and its neighbours within the image."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def maximum(x: Tensor) -> Tensor:
    """The maximum of each pixel and its neighbours."""
    return F.max_pool2d(x, 3, stride=1, padding=1)


def halved(x: Tensor) -> Tensor:
    """The maximum of 3 x 3 pixels, every second one."""
    return F.max_pool2d(x, 3, stride=2)


class Block(nn.Module):
    """Branches side by side, each a chain of steps; what comes out is put together: (B, C, H, W) -> (B, C', H', W')."""

    def __init__(self, inputs: int, *branches: list[Step]) -> None:
        super().__init__()
        self.chains: list[list[Pool | list[str]]] = []
        for branch in branches:
            chain: list[Pool | list[str]] = []
            channels = inputs
            for step in branch:
                if callable(step):
                    chain.append(step)
                    continue
                several = (step,) if isinstance(step, Conv) else step
                for conv in several:
                    self.add_module(
                        conv.name, Convolution(channels, conv.outputs, conv.kernel, conv.stride, conv.stride == 1)
                    )
                chain.append([conv.name for conv in several])
                channels = sum(conv.outputs for conv in several)
            self.chains.append(chain)

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for chain in self.chains:
            h = x
            for step in chain:
                h = step(h) if callable(step) else torch.cat([self.get_submodule(name)(h) for name in step], 1)
            found.append(h)
        return torch.cat(found, 1)


def at_35(inputs: int, pooled: int) -> Block:
    """For maps of 35 x 35: 1 x 1, 5 x 5, twice 3 x 3, and an average; 224 + ``pooled`` channels come out."""
    return Block(
        inputs,
        [Conv("branch1x1", 64)],
        [Conv("branch5x5_1", 48), Conv("branch5x5_2", 64, (5, 5))],
        [Conv("branch3x3dbl_1", 64), Conv("branch3x3dbl_2", 96, (3, 3)), Conv("branch3x3dbl_3", 96, (3, 3))],
        [average, Conv("branch_pool", pooled)],
    )


def to_17(inputs: int) -> Block:
    """From 35 x 35 to 17 x 17: 480 + ``inputs`` channels."""
    return Block(
        inputs,
        [Conv("branch3x3", 384, (3, 3), 2)],
        [Conv("branch3x3dbl_1", 64), Conv("branch3x3dbl_2", 96, (3, 3)), Conv("branch3x3dbl_3", 96, (3, 3), 2)],
        [halved],
    )


def at_17(inputs: int, width: int) -> Block:
    """For maps of 17 x 17: 7 x 7 as 1 x 7 and 7 x 1, once and twice; 768 channels."""
    row, column = (1, 7), (7, 1)
    long = [
        Conv("branch7x7dbl_2", width, column),
        Conv("branch7x7dbl_3", width, row),
        Conv("branch7x7dbl_4", width, column),
    ]
    return Block(
        inputs,
        [Conv("branch1x1", 192)],
        [Conv("branch7x7_1", width), Conv("branch7x7_2", width, row), Conv("branch7x7_3", 192, column)],
        [Conv("branch7x7dbl_1", width), *long, Conv("branch7x7dbl_5", 192, row)],
        [average, Conv("branch_pool", 192)],
    )


def to_8(inputs: int) -> Block:
    """From 17 x 17 to 8 x 8: 512 + ``inputs`` channels."""
    seven = [Conv("branch7x7x3_1", 192), Conv("branch7x7x3_2", 192, (1, 7)), Conv("branch7x7x3_3", 192, (7, 1))]
    return Block(
        inputs,
        [Conv("branch3x3_1", 192), Conv("branch3x3_2", 320, (3, 3), 2)],
        [*seven, Conv("branch7x7x3_4", 192, (3, 3), 2)],
        [halved],
    )


def at_8(inputs: int, pool: Pool) -> Block:
    """For maps of 8 x 8: branches that end in 1 x 3 and 3 x 1 side by side; 2048 channels."""
    short = (Conv("branch3x3_2a", 384, (1, 3)), Conv("branch3x3_2b", 384, (3, 1)))
    long = (Conv("branch3x3dbl_3a", 384, (1, 3)), Conv("branch3x3dbl_3b", 384, (3, 1)))
    return Block(
        inputs,
        [Conv("branch1x1", 320)],
        [Conv("branch3x3_1", 384), short],
        [Conv("branch3x3dbl_1", 448), Conv("branch3x3dbl_2", 384, (3, 3)), long],
        [pool, Conv("branch_pool", 192)],
    )


class InceptionNetwork(nn.Module):
    """Images (B, 3, H, W), 0 to 255 -> 2048 features, and from them 1008 logits."""

    size = 2048

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, (3, 3), stride=2, padded=False)
        self.Conv2d_2a_3x3 = Convolution(32, 32, (3, 3), padded=False)
        self.Conv2d_2b_3x3 = Convolution(32, 64, (3, 3))
        self.Conv2d_3b_1x1 = Convolution(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = Convolution(80, 192, (3, 3), padded=False)
        self.Mixed_5b = at_35(192, 32)
        self.Mixed_5c = at_35(256, 64)
        self.Mixed_5d = at_35(288, 64)
        self.Mixed_6a = to_17(288)
        self.Mixed_6b = at_17(768, 128)
        self.Mixed_6c = at_17(768, 160)
        self.Mixed_6d = at_17(768, 160)
        self.Mixed_6e = at_17(768, 192)
        self.Mixed_7a = to_8(768)
        self.Mixed_7b = at_8(1280, average)
        self.Mixed_7c = at_8(2048, maximum)
        self.fc = nn.Linear(self.size, 1008)

    def maps(self, levels: Tensor) -> Iterator[tuple[str, Tensor]]:
        """(B, 3, H, W) in 0 to 255 -> name and maps of each layer: from (B, 32, 149, 149) to (B, 2048, 8, 8)."""
        x = (scaled(levels, SIDE) - 128) / 128  # (B, 3, 299, 299)
        for name, layer in self.named_children():
            if name != "fc":
                x = layer(halved(x) if name in ("Conv2d_3b_1x1", "Mixed_5b") else x)
                yield name, x

    def features(self, levels: Tensor) -> Tensor:
        """(B, 3, H, W) in 0 to 255 -> (B, 2048): the means of the last maps."""
        ((_, x),) = deque(self.maps(levels), maxlen=1)  # (B, 2048, 8, 8)
        return x.mean((2, 3))

    def forward(self, levels: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, 1008) without the bias, as the Inception score has always taken them."""
        return F.linear(self.features(levels), self.fc.weight)


def scaled(x: Tensor, side: int) -> Tensor:
    """(B, C, H, W) -> (B, C, side, side), bilinear in TensorFlow 1's way.

    Pixel i of n is at i * n / side; nothing is antialiased.
    """
    return along(along(x, 3, side), 2, side)


def along(x: Tensor, axis: int, side: int) -> Tensor:
    """Linear interpolation along one axis.

    Positions are float32 products, as there: their rounding shows in the pixels.
    """
    n = x.shape[axis]
    place = torch.arange(side, dtype=torch.float32, device=x.device) * torch.tensor(
        n / side, dtype=torch.float32, device=x.device
    )
    below = place.long()
    above = (below + 1).clamp(max=n - 1)
    share = (place - below).reshape([-1 if dimension == axis else 1 for dimension in range(4)])
    low = x.index_select(axis, below)
    return low + (x.index_select(axis, above) - low) * share
