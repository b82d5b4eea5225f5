"""Roth penalty: the slope of the discriminator's log-likelihood is pulled to zero, at real samples and at fakes.

Paper: Roth et al., "Stabilizing Training of Generative Adversarial Networks through Regularization" (2017). With l the
logit and D = sigmoid(l):

    gamma / 2 * (E (1 - D(x))^2 |grad l(x)|^2 + E D(G(z))^2 |grad l(G(z))|^2)

It is what noise added to all samples does to the objective, to first order in the variance gamma of that noise; so
gamma may be annealed like the noise: ``gamma: {linear: [2, 0.02]}``. The factors are gradients, too:
(1 - D) grad l = grad log D and -D grad l = grad log(1 - D), which is how they are computed here, and what they mean for
a patch map, whose log-likelihood is the sum over its patches. The factors are differentiated with the slopes, as in the
authors' code. Samples are not augmented.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Reason, Role, Round, Scheduled, Turn, hookimpl
from ganrun_plugins.tricks._penalty import GAME, PULLS_APART, Every, Penalty, at_samples, squares


class RothPenalty(Penalty):
    """Penalises squared slopes of log D at real samples and of log(1 - D) at fakes."""

    label: ClassVar[str] = "roth-penalty"
    sees: ClassVar[frozenset[Role]] = frozenset({"real", "fake"})
    strength: ClassVar[str] = "gamma"
    remedies: ClassVar[frozenset[str]] = frozenset(
        {"saturated-discriminator", "vanishing-gradient", "oscillation", "exploding"}
    )
    needs = {
        **GAME,
        "logit:probability": Reason(
            "its weights are the probabilities D(x) that a sample is real, "
            "and the sigmoid of this loss's logit is none",
            "a loss whose discriminator estimates a probability, such as non-saturating; "
            "or r1 and r2, which have no such weights",
        ),
    }
    warns = PULLS_APART

    def __init__(
        self,
        *,
        gamma: Annotated[
            Scheduled, Field(ge=0, description="twice the factor: the variance of the noise it stands for")
        ] = Scheduled(2.0),
        every: Every = 1,
    ) -> None:
        super().__init__(gamma, every)

    def penalty(self, turn: Turn, round: Round) -> Tensor:
        at_real = at_samples(turn, round, "real", of=F.logsigmoid)  # (rows, D)
        at_fake = at_samples(turn, round, "fake", of=_log_fake)  # (rows, D)
        return (squares(at_real).mean() + squares(at_fake).mean()) / 2


def _log_fake(score: Tensor) -> Tensor:
    """log(1 - D), from the logit."""
    return F.logsigmoid(-score)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "roth-penalty", RothPenalty)
