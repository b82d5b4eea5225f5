"""Adaptive gradient clipping: a row of a gradient is no longer than a share of the row of weights that it moves.

Paper: Brock, De, Smith and Simonyan, "High-Performance Large-Scale Image Recognition Without Normalization" (2021),
section 4.1. For each row i of a weight W (rows, ...) with gradient G, and c the ``clipping``:

    G_i <- c max(|W_i|, 0.001) G_i / |G_i|   if   |G_i| > c max(|W_i|, 0.001)

A vector, such as a bias, is clipped number by number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Scheduled, Turn, hookimpl

SMALLEST = 1e-3


class AdaptiveClipping:
    """Clips the rows of every gradient of every player."""

    strength = "clipping"
    neutral = 1e9
    remedies = frozenset({"exploding"})

    def __init__(
        self,
        *,
        clipping: Annotated[
            Scheduled, Field(gt=0, description="largest length, in lengths of the weights")
        ] = Scheduled(0.01),
    ) -> None:
        self.clipping = clipping

    @hookimpl
    def gradients(self, turn: Turn) -> None:
        for parameter in turn.parameters():
            if parameter.grad is not None:
                longest = turn.now(self.clipping) * lengths(parameter.detach()).clamp(min=SMALLEST)
                parameter.grad *= (longest / lengths(parameter.grad)).clamp(max=1.0)  # by 1 where it is 0


def lengths(rows: Tensor) -> Tensor:
    """(R, ...) -> (R, 1, ...): the Euclidean length of each row."""
    return rows.reshape(len(rows), -1).norm(dim=1).reshape(-1, *[1] * (rows.dim() - 1)) if rows.dim() else rows.abs()


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "adaptive-clipping", AdaptiveClipping)
