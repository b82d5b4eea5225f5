"""Least squares whose two targets are moved by one number, which only the discriminator's last bias has to follow.

With l the logit and s the shift:

    discriminator: (l - (1 + s))^2 / 2 on real samples, (l - s)^2 / 2 on fakes
    generator:     (l - (1 + s))^2 / 2
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Round, Stream, hookimpl


class ShiftedLeastSquares:
    """Half the squared distance of a logit from its target."""

    provides = frozenset({"targets", "per-sample-generator"})
    real_in_generator = False

    def __init__(self, *, shift: Annotated[float, Field(description="added to both targets")] = 0.0) -> None:
        self.shift = shift

    def targets(self, role: str) -> float:
        """1 + shift for real samples, shift for fakes."""
        return self.shift + (1.0 if role == "real" else 0.0)

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> half the squared distance from its target, (B, ...)."""
        return {stream: (stream.logits - stream.target).square() / 2 for stream in round.streams}

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Fake stream -> half the squared distance from the target of real samples, (B, ...)."""
        return {stream: (stream.logits - self.targets("real")).square() / 2 for stream in round.of("fake")}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "shifted-least-squares", ShiftedLeastSquares)
