"""Instance noise: the discriminator sees every sample, real or fake, through normal noise that fades.

Papers: Sønderby et al., "Amortised MAP Inference for Image Super-resolution" (2016), section 3.4; Arjovsky and Bottou,
"Towards Principled Methods for Training GANs" (2017), section 3. x + sigma * n with n from N(0, 1), on both streams and
in both sides' turns: noise on one of them would change what the game is about. It widens distributions that do not
overlap, so that the discriminator cannot tell them apart without a gradient.

The default fades linearly from 0.1 to 0, in units of images in [-1, 1], over the whole run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from ganrun.plugin import Call, Component, Reason, Scheduled, Turn, hookimpl


class InstanceNoise:
    """Adds sigma * N(0, 1) to whatever a discriminator sees."""

    strength: ClassVar[str] = "sigma"
    remedies: ClassVar[frozenset[str]] = frozenset(
        {"saturated-discriminator", "vanishing-gradient", "overfitting-discriminator"}
    )
    needs: ClassVar[dict[str, Reason]] = {
        "game": Reason("there is no discriminator whose input could be made noisy", "a variant with a game")
    }

    def __init__(
        self,
        *,
        sigma: Annotated[Scheduled, Field(ge=0, description="standard deviation of the noise")] = Scheduled(
            {"linear": [0.1, 0.0]}
        ),
    ) -> None:
        self.sigma = sigma

    @hookimpl
    def corrupt(self, turn: Turn, call: Call) -> None:
        noise = turn.draws.normal("instance-noise", *call.x.shape).to(call.x.dtype)  # (B, ...)
        call.x = call.x + turn.now(self.sigma) * noise


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "instance-noise", InstanceNoise)
