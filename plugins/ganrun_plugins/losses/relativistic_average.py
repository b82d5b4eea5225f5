"""The relativistic average loss: each sample is compared with the mean logit of the other role.

Paper: Jolicoeur-Martineau, "The relativistic discriminator: a key element missing from standard GAN" (2018), section
4.2 and appendix (RaSGAN, RaLSGAN, RaHingeGAN). With dr = r - mean f on real samples and df = f - mean r on fakes, the
discriminator minimises

    standard:      (cross-entropy of dr against 1 + cross-entropy of df against 0) / 2
    least-squares: ((dr - 1)^2 + (df + 1)^2) / 2
    hinge:         (max(0, 1 - dr) + max(0, 1 + df)) / 2

and the generator the same with the roles swapped. Gradients go through the means. The factor 1/2 is that of the
author's code.

A mean is over all logits of a role in one batch, patches included: of this process, and of this micro-batch if batches
are accumulated. ``standard`` and ``least-squares`` have targets (1 and 0, or 1 and -1), which label tricks may change
on the discriminator's side; ``hinge`` has none. A flipped target is doubtful here: its sample stays in the mean of its
true role.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Reason, Role, Round, Stream, hookimpl

Form = Literal["standard", "least-squares", "hinge"]
# of real samples, of fakes
TARGETS: dict[Form, tuple[float, float]] = {"standard": (1.0, 0.0), "least-squares": (1.0, -1.0)}
OTHER: dict[Role, Role] = {"real": "fake", "fake": "real"}


class RelativisticAverage:
    """Distances of logits from the mean of the other role, on both sides for both roles."""

    provides = frozenset({"targets", "batch-coupled", "logit:relative"})
    real_in_generator = True
    warns: ClassVar[dict[str, Reason]] = {
        "accumulated": Reason(
            "the mean logit of a role is that of one micro-batch, not of the whole batch", "train.accumulate: 1"
        ),
        "several-processes": Reason(
            "the mean logit of a role is that of the batch of one process", "larger batches in fewer processes"
        ),
        "single-sample": Reason(
            "the mean over one sample is that sample: this is the loss of pairs",
            "a larger batch, or loss: relativistic",
        ),
    }

    def __init__(
        self, *, form: Annotated[Form, Field(description="what is done with a difference")] = "standard"
    ) -> None:
        self.form: Form = form
        if form not in TARGETS:
            self.provides = self.provides - {"targets"}

    def targets(self, role: str) -> float | None:
        """Of a difference: 1 for real samples, 0 or -1 for fakes; None in the hinge form."""
        both = TARGETS.get(self.form)
        return None if both is None else both[0] if role == "real" else both[1]

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> half the distance of its differences from its targets, (B, ...)."""
        return {s: 0.5 * self._distance(difference(round, s), s.target, s.role) for s in round.streams}

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> half the distance of its differences from the other role's targets, (B, ...)."""
        return {
            s: 0.5 * self._distance(difference(round, s), self.targets(OTHER[s.role]), OTHER[s.role])
            for s in round.streams
        }

    def _distance(self, d: Tensor, target: Tensor | float | None, role: Role) -> Tensor:
        """How far differences (B, ...) are from what a role ought to have."""
        if target is None:  # only the hinge has none
            return F.relu(1 - d if role == "real" else 1 + d)
        return F.softplus(d) - target * d if self.form == "standard" else (d - target).square()


def difference(round: Round, stream: Stream) -> Tensor:
    """A stream's logits minus the mean of all logits of the other role, (B, ...)."""
    others = [other.logits for other in round.of(OTHER[stream.role])]
    mean = others[0].mean() if len(others) == 1 else torch.cat([logits.flatten() for logits in others]).mean()
    return stream.logits - mean


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "relativistic-average", RelativisticAverage)
