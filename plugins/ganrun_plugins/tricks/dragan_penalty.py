"""DRAGAN penalty: around real samples the discriminator's slope is pulled to norm 1.

Paper: Kodali et al., "On Convergence and Stability of GANs" (2017): weight * E (|grad D(x')| - target)^2 at points x'
near real samples x. In the authors' code, which ``noise: uniform`` follows,

    x' = x + a * scale * std * u,   u from U(0, 1) for each number, a from U(0, 1) for each sample,

with the (population) standard deviation of all numbers of the batch; each process takes its own. ``noise: normal`` is
the paper's: x' = x + scale * std * n with n from N(0, 1) for each number, to all sides and without a. The paper's c is
the variance of that noise, (scale * std)^2. x' is not augmented.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Reason, Role, Round, Scheduled, Turn, hookimpl
from ganrun_plugins.tricks._penalty import (
    BATCH_STATISTICS,
    CLIPPED,
    LAZY,
    Every,
    Penalty,
    full,
    joined,
    norms,
    per_sample,
    slopes,
)

TWICE = Reason("another penalty of this recipe pulls norms of slopes to its target, at other points", "one of the two")


class DraganPenalty(Penalty):
    """Penalises norms of slopes near real samples that are not the target."""

    label: ClassVar[str] = "dragan-penalty"
    sees: ClassVar[frozenset[Role]] = frozenset({"real"})
    strength: ClassVar[str] = "weight"
    remedies: ClassVar[frozenset[str]] = frozenset(
        {"mode-collapse", "oscillation", "exploding", "saturated-discriminator"}
    )
    provides = frozenset({"slope-bounded", "gradient-penalised"})
    refuses = {**BATCH_STATISTICS, "clipped": CLIPPED}
    warns = {
        "gradient-penalised": TWICE,
        "accumulated": Reason(
            "the size of the noise is measured on one micro-batch, not on the batch", "larger batches"
        ),
    }

    def __init__(
        self,
        *,
        weight: Annotated[Scheduled, Field(ge=0, description="factor of the penalty")] = Scheduled(10.0),
        target: Annotated[Scheduled, Field(ge=0, description="the norm that slopes are pulled to")] = Scheduled(1.0),
        scale: Annotated[
            Scheduled, Field(ge=0, description="size of the noise in standard deviations of the batch")
        ] = Scheduled(0.5),
        noise: Annotated[
            Literal["uniform", "normal"], Field(description="to one side (authors' code) or to all (paper)")
        ] = "uniform",
        every: Every = 1,
    ) -> None:
        super().__init__(weight, every)
        self.target = target
        self.scale = scale
        self.noise = noise
        if every > 1:
            self.warns = {**self.warns, "game": LAZY}

    def penalty(self, turn: Turn, round: Round) -> Tensor:
        near = [(self._near(turn, full(real.x)), real.given) for real in round.of("real")]
        slope = joined([slopes(turn, round, x, given, role="real") for x, given in near])  # (rows, D)
        return (norms(slope) - turn.now(self.target)).square().mean()

    def _near(self, turn: Turn, x: Tensor) -> Tensor:
        """Points (B, ...) near samples (B, ...)."""
        mean = turn.mean_over_processes(x.mean())
        size = turn.now(self.scale) * turn.mean_over_processes((x - mean).square().mean()).sqrt()
        if self.noise == "normal":
            return x + size * turn.draws.normal(self.label, *x.shape).to(x.dtype)
        share = per_sample(turn.draws.uniform(f"{self.label} share", x.shape[0]), x)  # (B, 1, ...)
        return x + share * size * turn.draws.uniform(self.label, *x.shape).to(x.dtype)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "dragan-penalty", DraganPenalty)
