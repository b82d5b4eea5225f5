"""Label smoothing: the discriminator's target for real samples is a little less than certainty.

Paper: Salimans et al., "Improved Techniques for Training GANs" (2016), section 3.4: the target of real samples is 0.9,
that of fakes stays 0 (one-sided). A range such as [0.7, 1.0] is drawn again for every sample.

Targets are absolute values in the loss's own coding. Only the discriminator's side has them smoothed: the generator
still aims at an unsmoothed target. Smoothing fakes, too, moves the optimal discriminator's value between the modes
(Goodfellow 2016, section 4.2), so ``fake`` is left to the loss unless it is set.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Reason, Round, Scheduled, Turn, hookimpl

Range = tuple[float, float]
TWO_SIDED = Reason(
    "where there are no real samples the optimal discriminator answers the target of fakes: "
    "unless that is the loss's own, it scores frequent errors of the generator higher than places where no "
    "sample ever is, so there is less to drive them out",
    "leave `fake` to the loss",
)


class LabelSmoothing:
    """Replaces the targets of the discriminator's side by numbers, or by draws from a range."""

    strength: ClassVar[str] = "real"
    neutral: ClassVar[float] = 1.0
    remedies: ClassVar[frozenset[str]] = frozenset({"saturated-discriminator", "overfitting-discriminator"})
    needs: ClassVar[dict[str, Reason]] = {
        "targets": Reason(
            "this loss compares the logits with nothing, so there is no target that could be smoothed",
            "a loss with targets, such as non-saturating or least-squares",
        )
    }

    def __init__(
        self,
        *,
        real: Annotated[
            Scheduled | Range, Field(description="target of real samples: a number, or a range drawn per sample")
        ] = Scheduled(0.9),
        fake: Annotated[
            Scheduled | Range | None, Field(description="target of fakes, likewise; null: the loss's own")
        ] = None,
    ) -> None:
        self.real = _value(real)
        self.fake = None if fake is None else _value(fake)
        self.warns = {} if fake is None else {"targets": TWO_SIDED}

    @hookimpl
    def targets(self, turn: Turn, round: Round) -> None:
        for stream in round.streams:
            value = self.real if stream.role == "real" else self.fake
            if value is not None and stream.target is not None:
                stream.target = self._smoothed(turn, value, stream.target)

    def _smoothed(self, turn: Turn, value: Scheduled | Range, target: Tensor) -> Tensor:
        """New targets, (B, ...) as the old ones; a range is drawn once a sample, for all its patches."""
        if isinstance(value, Scheduled):
            return torch.full_like(target, turn.now(value))
        # (B,)
        draw = turn.draws.uniform("label-smoothing", target.shape[0], low=value[0], high=value[1]).to(target.dtype)
        return draw.reshape(-1, *[1] * (target.dim() - 1)).expand_as(target)


def _value(value: Scheduled | Range | list[float] | float) -> Scheduled | Range:
    if isinstance(value, tuple | list):
        low, high = value
        return (min(low, high), max(low, high))
    return Scheduled(value)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "label-smoothing", LabelSmoothing)
