"""Gaussian noise on the latents, of a scale that may fade during training.

Each latent z becomes z + sigma e with e ~ N(0, 1). At sigma 0 nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from ganrun.plugin import Component, Reason, Scheduled, Turn, hookimpl


class LatentNoise:
    """Adds noise to every latent that the variant drew."""

    strength = "sigma"
    needs = {
        "latent": Reason(
            "there is no latent to add noise to", "take a variant that starts from a latent, or leave the trick out"
        )
    }

    def __init__(
        self,
        *,
        sigma: Annotated[Scheduled, Field(ge=0, description="standard deviation of the noise")] = Scheduled(0.1),
    ) -> None:
        self.sigma = sigma

    @hookimpl
    def sample(self, turn: Turn) -> None:
        """Latents (rows, D) -> (rows, D). Labels, which are integers, are left alone."""
        sigma = turn.now(self.sigma)
        for name, latent in turn.latents.items():
            if latent.is_floating_point():
                rows, *shape = latent.shape
                turn.latents[name] = latent + sigma * turn.draws.normal(f"latent-noise {name}", rows, *shape)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "latent-noise", LatentNoise)
