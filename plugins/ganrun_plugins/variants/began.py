"""BEGAN: an autoencoder as discriminator, whose errors on real samples and fakes are kept in balance.

Paper: Berthelot, Schumm and Metz, "BEGAN: Boundary Equilibrium Generative Adversarial Networks" (2017). The loss
``began`` on the networks ``began``: with L the discriminator's error on a sample it minimises L(x) - k L(G(z)), the
generator L(G(z)), and k steers E L(G(z)) towards gamma E L(x). As in the authors' TensorFlow version both players learn
from one graph: both gradients are taken before either moves, on the same fakes, and k moves after both. z is uniform on
[-1, 1]^64; Adam with rate 1e-4, batch 16.

The paper halves the rate when its measure of convergence (logged as ``adversarial.convergence``) stalls, as does the
trick ``reduce-on-plateau``: ``tricks: [{reduce-on-plateau: {watch: adversarial.convergence}}]``. It is not on by
default, as the paper does not say when M stalls. That version follows the clock: ``lr: {steps: {0: 8e-5, 100000: 4e-5,
200000: 2e-5}}``. Its configuration names a first beta of 0.5 that is never passed on; 0.9 is in effect, there and here.
The paper draws other latents for the generator than for the discriminator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ganrun.plugin import Component, Description, Space, hookimpl
from ganrun_plugins.variants._game import Latent, OneGame

PLAYER = {"optimizer": {"adam": {"lr": 1e-4, "betas": [0.9, 0.999]}}}


class BEGAN(OneGame):
    """The game of ``gan`` with both players' moves made at once, against an autoencoder."""

    defaults: ClassVar[dict[str, Any]] = {
        "generator": "began",
        "discriminator": "began",
        "loss": {"began": {"gamma": 0.5, "lambda_k": 0.001}},
        "sampler": "uniform",
        "players": {"discriminator": PLAYER, "generator": PLAYER},
        "train": {"batch_size": 16, "channels_last": True},
    }

    def __init__(self, *, latent: Latent = 64) -> None:
        super().__init__(latent=latent)

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with an entry ``x``: images, or points with another discriminator."""
        description = super().describe(spaces)
        for phase in description.phases:
            phase.together = "both"
        return description


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "began", BEGAN)
