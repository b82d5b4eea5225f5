"""Mode seeking: the generator is rewarded for making different samples of different latents (MSGAN).

Paper: Mao et al., "Mode Seeking Generative Adversarial Networks for Diverse Image Synthesis" (2019), section 3.2. Two
samples are made of each item, with latents z1 and z2. The paper maximises the ratio of distances
d(G(z1), G(z2)) / d(z1, z2); this minimises, as the authors' code does,

    weight / (mean|G(z1) - G(z2)| / mean|z1 - z2| + 1e-5)

in the generator's turns. It is a ratio of means over the batch and all numbers of a sample, not a mean of ratios. Each
process takes its own ratio.

Both samples of a pair also count in the game, on both sides, as in that code: every turn of the game has twice the
samples, and twice the real ones. The two stand next to each other, in rows 2i and 2i + 1. They share what a variant
makes fakes of besides latents (the real item of a conditional variant); the distance is that of all latents that are
real numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Reason, Scheduled, Turn, hookimpl
from ganrun_plugins.tricks._entries import entries

EPSILON = 1e-5


class ModeSeeking:
    """Makes samples in pairs; adds the inverse of how far apart a pair's samples are, relative to their latents."""

    strength: ClassVar[str] = "weight"
    provides = frozenset({"latent-response"})
    restructures: ClassVar[str] = "two samples of each item, in every turn of a game"
    remedies: ClassVar[frozenset[str]] = frozenset({"mode-collapse", "missing-diversity"})
    needs: ClassVar[dict[str, Reason]] = {
        "latent": Reason(
            "two samples made without a latent are the same, so there is no distance to divide by",
            "a variant with a latent",
        ),
        "game": Reason("distances alone say nothing about what the samples should look like", "a variant with a game"),
    }
    warns: ClassVar[dict[str, Reason]] = {
        "generator:dropout": Reason(
            "dropout sets the samples of a pair apart whatever their latents are, "
            "so the generator may continue to ignore them",
            "a generator without dropout",
        ),
        **dict.fromkeys(
            ("several-processes", "accumulated"),
            Reason(
                "the ratio is that of the mean distances in a part of the batch, not in all of it", "larger batches"
            ),
        ),
    }

    def __init__(
        self, *, weight: Annotated[Scheduled, Field(ge=0, description="weight of the inverse ratio")] = Scheduled(1.0)
    ) -> None:
        self.weight = weight

    @hookimpl
    def phase_start(self, turn: Turn) -> None:
        sides = {game.side(turn.player) for game in turn.games.values() if turn.phase.plays(game.name)}
        # another trick may have asked for an even number
        if sides & {"generator", "discriminator"} and turn.copies % 2:
            turn.copies *= 2

    @hookimpl
    def losses(self, turn: Turn) -> None:
        if not any(round.side == "generator" for round in turn.rounds):
            return
        latents = [z.flatten(1) for z in turn.latents.values() if z.is_floating_point()]
        apart = pair_distance(torch.cat(latents, 1))
        for name in entries(turn):
            value = 1 / (pair_distance(turn.made[name]) / apart + EPSILON)
            turn.add(f"mode_seeking_{name}", value, turn.now(self.weight))


def pair_distance(x: Tensor) -> Tensor:
    """(2n, ...) -> scalar: the mean absolute difference of rows 2i and 2i + 1. At least float32."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return (x[::2] - x[1::2]).abs().mean()


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "mode-seeking", ModeSeeking)
