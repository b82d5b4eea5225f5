"""Pulling-away: the codes of a batch of fakes are driven towards right angles, so that the fakes differ.

Paper: Zhao, Mathieu and LeCun, "Energy-based Generative Adversarial Network" (2016), section 2.4. With S_i the code of
fake i, the last hidden activation that the discriminator offers (an autoencoder's code), the generator also minimises

    PT = 1 / (N (N - 1)) * sum over i != j of (S_i . S_j / (|S_i| |S_j|))^2

with weight 0.1. The codes are those of the adversarial call, so that the term costs no further forward. The mean over
the pairs of a batch has the same expectation whatever the batch's size; pairs are of one process and one micro-batch.

Differences from well-known code: one public version takes the angles of pixels instead of codes, and divides by one
norm only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Reason, Scheduled, Turn, hookimpl


class PullingAway:
    """Adds the mean squared cosine between the codes of different fakes to the generator's terms."""

    strength: ClassVar[str] = "weight"
    remedies: ClassVar[frozenset[str]] = frozenset({"mode-collapse", "missing-diversity"})
    needs: ClassVar[dict[str, Reason]] = {
        "game": Reason("there is no discriminator to give fakes a code", "a variant with a game"),
        "discriminator:features": Reason(
            "this discriminator shows no hidden activations, so fakes have no codes",
            "discriminator: autoencoder, or mlp",
        ),
    }
    refuses: ClassVar[dict[str, Reason]] = {
        "single-sample": Reason("a batch of one has no pairs: the mean over them is 0 / 0", "a batch size of 2 or more")
    }
    warns: ClassVar[dict[str, Reason]] = dict.fromkeys(
        ("several-processes", "accumulated"),
        Reason("pairs are taken within a part of the batch, not from all of it", "larger batches"),
    )

    def __init__(
        self, *, weight: Annotated[Scheduled, Field(ge=0, description="weight of the term")] = Scheduled(0.1)
    ) -> None:
        self.weight = weight

    @hookimpl
    def losses(self, turn: Turn) -> None:
        for round in turn.rounds:
            for stream in round.of("fake") if round.side == "generator" else ():
                assert stream.output is not None, "the losses come after the discriminator"
                turn.add(
                    f"{round.game.name}.pulling-away",
                    squared_cosines(stream.output.features[-1].flatten(1)),
                    turn.now(self.weight),
                )


def squared_cosines(codes: Tensor) -> Tensor:
    """The mean squared cosine between rows of (N, D), a scalar in [0, 1]; a row of zeros is at right angles to all."""
    with torch.autocast(codes.device.type, enabled=False):  # a cosine in bfloat16 is a few per cent off
        unit = F.normalize(codes.to(torch.promote_types(codes.dtype, torch.float32)), dim=1)
        cosines = unit @ unit.T  # (N, N)
        n = cosines.shape[0]
        same = torch.eye(n, dtype=torch.bool, device=cosines.device)
        return cosines.masked_fill(same, 0.0).square().sum() / (n * (n - 1))


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "pulling-away", PullingAway)
