"""ALI: adversarially learned inference, a generator and a stochastic encoder against a discriminator of pairs (x, z).

Paper: Dumoulin et al., "Adversarially Learned Inference" (2017), algorithm 1. The encoder returns mean m and variance v
of z given x, and z' = m + sqrt(v) * e with e from N(0, I). The discriminator tells (x, z') of real samples from
(G(z), z) of made ones. With l the logit,

    discriminator:           softplus(-l(x, z')) + softplus(l(G(z), z))
    generator and encoder:   softplus(l(x, z')) + softplus(-l(G(z), z))

Both take their gradients from one graph, before either moves. Where the discriminator cannot tell the pairs apart, the
two joint distributions are equal, so the encoder's is the posterior of the generator's. ``bigan`` is the same idea with
an encoder without chance, weights 1/2 and alternating updates. Latents of 64 numbers from N(0, I), Adam 1e-4 with first
beta 0.5, batches of 100, weights from N(0, 0.01) (CIFAR-10).

Differences: the authors' discriminator has maxout layers and dropout, and no BatchNorm; here it is any discriminator,
without BatchNorm by default. Encodings that are compared or decoded outside training are means. ``reconstruction`` as
in ``bigan``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Description, Scheduled, Space, Turn, hookimpl
from ganrun_plugins.variants._encoders import gaussian, reparameterised
from ganrun_plugins.variants._joint import Joint

PLAYER = {"optimizer": {"adam": {"lr": 1e-4, "betas": [0.5, 0.999]}}, "init": {"scheme": "normal", "gain": 0.01}}
NOISE = "noise"


class ALI(Joint):
    """The game of ``bigan`` with a stochastic encoder and simultaneous updates."""

    defaults: ClassVar[dict[str, Any]] = {
        "generator": "dcgan",
        "encoder": "conv-encoder",
        "discriminator": {"dcgan": {"norm": "none"}},
        "loss": "non-saturating",
        "sampler": "normal",
        "players": {"discriminator": PLAYER, "generator": PLAYER},
        "train": {"batch_size": 100},
    }

    def __init__(
        self,
        *,
        latent: Annotated[int, Field(ge=1, description="size of the latent")] = 64,
        reconstruction: Annotated[
            Scheduled,
            Field(ge=0, description="weight of the mean squared error of the decoded encoding; 0 in the paper"),
        ] = Scheduled(0.0),
    ) -> None:
        super().__init__(latent, reconstruction)

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with an entry ``x``: images or points."""
        description = super().describe(spaces)
        description.networks["encoder"].interface.makes = Space("latent", (2 * self.latent.size,))
        for phase in description.phases:
            phase.together = "step"
        for game in description.games:
            game.weight = {}
        return description

    def sample(self, turn: Turn) -> None:
        super().sample(turn)
        self._draw_noise(turn)

    def _draw_noise(self, turn: Turn) -> Tensor:
        turn.latents[NOISE] = turn.draws.normal(NOISE, turn.rows, self.latent.size)
        return turn.latents[NOISE]

    def encode(self, turn: Turn) -> Tensor:
        """A draw of each encoding, (B, Z)."""
        # a penalty's phase draws no latents
        noise = turn.latents[NOISE] if NOISE in turn.latents else self._draw_noise(turn)
        return reparameterised(*gaussian(turn.modules["encoder"](turn.real["x"])), noise)

    def infer(self, turn: Turn) -> dict[str, Tensor]:
        """``z``: the means of the encodings of the real items, (B, Z)."""
        return {"z": gaussian(turn.modules["encoder"](turn.real["x"]))[0]}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "ali", ALI)
