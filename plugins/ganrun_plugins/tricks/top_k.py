"""Top-k: the generator learns only from those fakes of a batch that the discriminator takes for the most real.

Paper: Sinha et al., "Top-k Training of GANs: Improving GAN Performance by Throwing Away Bad Samples" (2020), section 3.
On the generator's side, of a batch of B fakes the k with the highest scores count, and the loss is their mean:

    k = max(gamma^epoch * B, nu * B), rounded down, at least 1;  gamma = 0.99, nu = 0.5

``epoch`` counts whole epochs since ``start``: at the beginning the discriminator does not know yet which samples are
good, so all count. Scores are the loss's (of an energy, the lowest is the best); patches are averaged first. The rows
that count have the weight B / k, the others 0, on top of the weight they have. Each process picks k of its own rows.
Terms that a variant or a trick adds to the game, such as AC-GAN's classes, are of all fakes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Call, Component, DiscriminatorOutput, Duration, Experiment, Reason, Scheduled, Turn, hookimpl
from ganrun_plugins.tricks._moments import warn_of_late

ROUNDING = 1e-9  # 100 epochs are not to be counted as 99 because of a last bit


class TopK:
    """Weights the generator's fakes by 1 or 0, by the order of their scores."""

    strength: ClassVar[str] = "gamma"
    neutral: ClassVar[float] = 1.0
    remedies: ClassVar[frozenset[str]] = frozenset({"bad-start", "oscillation"})
    needs: ClassVar[dict[str, Reason]] = {
        "game": Reason("there are no scores by which fakes could be picked", "a variant with a game"),
        "per-sample-generator": Reason(
            "the loss's value of a fake depends on the other fakes of the batch, "
            "so those left out would count all the same",
            "a loss whose generator side takes each sample alone, such as non-saturating or hinge",
        ),
    }
    warns: ClassVar[dict[str, Reason]] = dict.fromkeys(
        ("several-processes", "accumulated"),
        Reason("the best of each part of the batch count, not the best of all of it", "larger batches"),
    )

    def __init__(
        self,
        *,
        gamma: Annotated[
            Scheduled, Field(gt=0, le=1, description="factor of the share that counts, per epoch")
        ] = Scheduled(0.99),
        nu: Annotated[Scheduled, Field(ge=0, le=1, description="smallest share of the batch that counts")] = Scheduled(
            0.5
        ),
        start: Annotated[Duration, Field(description="until then all fakes count")] = Duration(0),
    ) -> None:
        self.gamma, self.nu = gamma, nu
        self.start = Duration.parse(start)

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        warn_of_late(experiment, "top-k", self.start)

    @hookimpl
    def discriminator_output(self, turn: Turn, call: Call, output: DiscriminatorOutput) -> None:
        if call.tag == "adversarial" and call.role == "fake" and call.round.side == "generator":
            scores = turn.score(call.round, output).detach()
            scores = scores.flatten(1).mean(1) if scores.dim() > 1 else scores  # (B,)
            weights = top(scores, self.k(turn, scores.shape[0]))
            before = output.weight
            if isinstance(before, Tensor):  # such as that of another instance: the sum of all weights stays what it was
                weights = before * (weights > 0)
                weights = weights * (before.sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny))
                output.weight = weights
            else:
                output.weight = before * weights

    def k(self, turn: Turn, rows: int) -> int:
        """How many of a number of rows count in this step."""
        clock = turn.clock
        epochs = (turn.step - self.start.steps(clock)) / Duration(1, "epochs").steps(clock)
        share = turn.now(self.gamma) ** max(0, math.floor(epochs + ROUNDING))
        return max(1, math.floor(max(share, turn.now(self.nu)) * rows + ROUNDING))


def top(scores: Tensor, k: int) -> Tensor:
    """(B,) -> (B,): B / k for the k highest scores, 0 for the others; all 1 if k is B. At least float32."""
    dtype = torch.promote_types(scores.dtype, torch.float32)
    weights = torch.zeros_like(scores, dtype=dtype)
    return weights.index_fill(0, scores.topk(k).indices, scores.shape[0] / k)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "top-k", TopK)
