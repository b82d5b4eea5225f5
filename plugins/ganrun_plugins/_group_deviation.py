"""How much the samples of a group differ: part of a published discriminator, and a trick for any other."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

EPSILON = 1e-8


class GroupDeviation(nn.Module):
    """(B, ...) -> (B, 1): the mean standard deviation within each sample's group."""

    provides: ClassVar[frozenset[str]] = frozenset({"group-statistics"})

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        size = group_size(len(x), self.group)
        x = x.flatten(1)
        x = x.float() if x.element_size() < 4 else x  # squares of bfloat16 have 3 digits
        groups = x.reshape(size, -1, x.shape[1])  # (B, F) -> (G, B/G, F)
        deviation = ((groups - groups.mean(0)).square().mean(0) + EPSILON).sqrt()  # (B/G, F)
        return deviation.mean(1).repeat(size)[:, None]  # (B/G,) -> (B, 1)


def group_size(rows: int, wanted: int) -> int:
    """The largest divisor of ``rows`` from 2 up to ``wanted``; if there is none, the smallest one above it."""
    divisors = [size for size in range(2, rows + 1) if rows % size == 0]
    return max((size for size in divisors if size <= wanted), default=min(divisors, default=1))
