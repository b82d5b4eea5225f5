"""VEEGAN: a reconstructor maps samples to latents, so that two latents making one sample cost the generator.

Paper: Srivastava et al., "VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational Learning" (2017), algorithm
1. The reconstructor F is the recipe's ``encoder``. The discriminator tells (x, F(x)) of real samples from (G(z), z) of
made ones. With l its logit, larger for real,

    discriminator:   softplus(-l(x, F(x))) + softplus(l(G(z), z))
    generator:       -l(G(z), z) + reconstruction * |z - F(G(z))|^2
    reconstructor:                 reconstruction * |z - F(G(z))|^2

all gradients are taken before any player moves. At the best discriminator -l is the log ratio of the two joint
densities, so with an autoencoder's error in the space of latents (not of samples) this bounds the cross-entropy of F's
encodings of the data under the prior. |.|^2 is the sum over a latent's numbers.

Signs: the paper writes D for minus our logit (its cross-entropy has the label 1 on (z, G(z))), and its generator
minimises +D. The reconstructor learns from the error alone: the discriminator sees F only on real samples, which the
log ratio of G(z) does not hold. So this is no symmetric game, as ``bigan`` and ``ali`` are. The generator's loss -l is
``log-ratio``; others are possible and are not the paper's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from ganrun.plugin import Component, Description, Scheduled, Space, Term, Turn, hookimpl
from ganrun_plugins.variants._encoders import errors, inside
from ganrun_plugins.variants._joint import NOT_RECONSTRUCTED, Joint

PLAYER = {"optimizer": {"adam": {"lr": 2e-4, "betas": [0.5, 0.999]}}}


class VEEGAN(Joint):
    """The networks of ``bigan``.

    The generator minimises the log ratio, generator and reconstructor the error of the latents.
    """

    defaults: ClassVar[dict[str, Any]] = {
        "generator": {"mlp": {"widths": [128, 128], "norm": "none", "activation": "relu"}},
        "encoder": {"mlp": {"widths": [128, 128], "norm": "none", "activation": "relu"}},
        "discriminator": {"mlp": {"widths": [128, 128], "activation": "relu"}},
        "loss": "log-ratio",
        "sampler": "normal",
        "players": {"discriminator": PLAYER, "generator": PLAYER},
    }

    def __init__(
        self,
        *,
        latent: Annotated[int, Field(ge=1, description="size of the latent")] = 64,
        reconstruction: Annotated[
            Scheduled, Field(ge=0, description="weight of the squared distance of a latent and its reconstruction")
        ] = Scheduled(1.0),
    ) -> None:
        super().__init__(latent, reconstruction)
        self.warns = NOT_RECONSTRUCTED  # of samples: what is reconstructed are latents

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with an entry ``x``: images or points."""
        description = super().describe(spaces)
        for phase in description.phases:
            phase.together = "step"
        for game in description.games:
            game.symmetric, game.weight = False, {}
        return description

    def terms(self, turn: Turn) -> dict[str, Term]:
        if not inside(turn, "generator"):
            return {}
        z = turn.latents["z"]
        returned = turn.modules["encoder"](turn.made["x"])  # (B, Z)
        return {"reconstruction": Term(errors(returned, z, "squared").sum(1).mean(), turn.now(self.reconstruction))}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "veegan", VEEGAN)
