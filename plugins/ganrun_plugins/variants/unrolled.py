"""Unrolled GAN: the generator plays against the discriminator as it will be five steps later.

Paper: Metz, Poole, Pfau and Sohl-Dickstein, "Unrolled Generative Adversarial Networks" (2016), with the settings of the
authors' demonstration on points in the plane: perceptrons of two layers of 128 with tanh, orthogonal weights with gain
1.4, 256 normal latents, Adam with first beta 0.5 and a rate of 1e-3 for the generator and 1e-4 for the discriminator,
batch 512. The generator maximises the discriminator's whole (saturating) loss after five differentiable steps of its
own Adam; the discriminator then makes one plain step.

The demonstration's ring names its first mode twice (see the data set ``ring``). It takes 25,000 steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from ganrun.plugin import Component, hookimpl
from ganrun_plugins.variants._game import First, Latent, OneGame

PERCEPTRON = {"mlp": {"widths": [128, 128], "norm": "none", "activation": "tanh"}}
INIT = {"scheme": "orthogonal", "gain": 1.4}


def player(rate: float) -> dict[str, Any]:
    """The settings of one player."""
    return {"optimizer": {"adam": {"lr": rate, "betas": [0.5, 0.999]}}, "init": INIT}


class Unrolled(OneGame):
    """The game of ``gan``, the generator first."""

    defaults: ClassVar[dict[str, Any]] = {
        "generator": PERCEPTRON,
        "discriminator": PERCEPTRON,
        "loss": "minimax",
        "sampler": "normal",
        "tricks": [{"unrolling": {"steps": 5, "objective": "saddle"}}],
        "players": {"discriminator": player(1e-4), "generator": player(1e-3)},
        "train": {"batch_size": 512},
    }

    def __init__(self, *, latent: Latent = 256, first: First = "generator") -> None:
        super().__init__(latent=latent, first=first)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "unrolled", Unrolled)
