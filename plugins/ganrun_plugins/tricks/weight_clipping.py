"""Weight clipping: every parameter of a discriminator's player is kept within [-limit, limit].

Paper: Arjovsky, Chintala and Bottou, "Wasserstein GAN" (2017), algorithm 1: w <- clip(w, -c, c) with c = 0.01 after
each update of the discriminator. A network of bounded weights is Lipschitz with some constant, which is what the dual
form of the Wasserstein distance asks for. All parameters are clipped, those of normalisation layers, too.

What clipping does not go with is declared there: penalties that ask for slopes of a given size, which clipped weights
cannot have, and normalisation by a weight's own size, which undoes it.

Differences from well-known code: the authors' own clips before each of the discriminator's turns (``when: before``), so
that its last weights of a step, which the generator is scored by, are not clipped.

A limit of 1e9 leaves every usual weight as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Reason, Scheduled, Turn, hookimpl


class WeightClipping:
    """Clamps the parameters of the players that train a discriminator."""

    strength: ClassVar[str] = "limit"
    neutral: ClassVar[float] = 1e9
    remedies: ClassVar[frozenset[str]] = frozenset({"saturated-discriminator", "vanishing-gradient"})
    provides: ClassVar[frozenset[str]] = frozenset({"slope-bounded", "clipped"})
    needs: ClassVar[dict[str, Reason]] = {
        "game": Reason("there is no discriminator whose weights could be clipped", "a variant with a game")
    }
    warns: ClassVar[dict[str, Reason]] = {
        "discriminator:parametrised": Reason(
            "weights of the discriminator are computed from other tensors, and those are clipped: "
            "a weight that is divided by its own size, as by spectral normalisation, is not bounded by that",
            "leave one of the two out",
        )
    }

    def __init__(
        self,
        *,
        limit: Annotated[Scheduled, Field(gt=0, description="largest absolute value of a parameter")] = Scheduled(0.01),
        when: Annotated[
            Literal["after", "before"], Field(description="after each of its updates, or before each of its turns")
        ] = "after",
    ) -> None:
        self.limit = limit
        self.when = when

    @hookimpl
    def phase_start(self, turn: Turn) -> None:
        if self.when == "before":
            self._clip(turn)

    @hookimpl
    def updated(self, turn: Turn) -> None:
        if self.when == "after":
            self._clip(turn)

    def _clip(self, turn: Turn) -> None:
        if any(game.player == turn.player for game in turn.games.values()):
            limit, parameters = turn.now(self.limit), list[Tensor](turn.trained())
            with torch.no_grad():
                torch._foreach_clamp_min_(parameters, -limit)
                torch._foreach_clamp_max_(parameters, limit)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "weight-clipping", WeightClipping)
