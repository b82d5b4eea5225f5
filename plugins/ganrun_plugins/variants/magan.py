"""MAGAN: EBGAN with a margin that follows the energy of real samples down.

Paper: Wang, Cully, Chang and Demiris, "MAGAN: Margin Adaptation for Generative Adversarial Networks" (2017). The loss
``magan``, which first trains the discriminator alone for two epochs and lowers its margin between epochs, against the
discriminator ``autoencoder`` with squared errors. Adamax with a rate of 5e-4 and torch's betas is that of a public
version. That the generator, the initialisation and the batch are DCGAN's is our choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from ganrun.plugin import Component, hookimpl
from ganrun_plugins.variants._dcgan import DCGAN_DEFAULTS, INIT
from ganrun_plugins.variants._game import OneGame

PLAYER = {"optimizer": {"adamax": {"lr": 5e-4, "betas": [0.9, 0.999]}}, "init": INIT}


class MAGAN(OneGame):
    """DCGAN's generator against an autoencoder, with an adaptive margin."""

    defaults: ClassVar[dict[str, Any]] = {
        **DCGAN_DEFAULTS,
        "discriminator": {"autoencoder": {"error": "squared"}},
        "loss": {"magan": {"pretrain": "2 epochs"}},
        "players": {"discriminator": PLAYER, "generator": PLAYER},
    }


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "magan", MAGAN)
