"""DRAGAN: the original game, with the discriminator's slopes held at 1 around real samples.

Paper: Kodali, Abernethy, Hays and Kira, "On Convergence and Stability of GANs" (2017). Cross-entropy, the penalty of
``dragan-penalty`` with weight 10, Adam with rate 1e-4 and betas (0.5, 0.9) and one update each, as in the authors'
code. Networks and initialisation are DCGAN's; the discriminator has no BatchNorm, under which a slope at one sample is
not defined.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from ganrun.plugin import Component, hookimpl
from ganrun_plugins.variants._dcgan import DCGAN_DEFAULTS, INIT
from ganrun_plugins.variants._game import OneGame

PLAYER = {"optimizer": {"adam": {"lr": 1e-4, "betas": [0.5, 0.9]}}, "init": INIT}


class DRAGAN(OneGame):
    """DCGAN with a penalty on the discriminator's slopes near the data."""

    defaults: ClassVar[dict[str, Any]] = {
        **DCGAN_DEFAULTS,
        "discriminator": {"dcgan": {"norm": "none"}},
        "tricks": [{"dragan-penalty": {"weight": 10.0, "scale": 0.5, "noise": "uniform"}}],
        "players": {"discriminator": PLAYER, "generator": PLAYER},
    }


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "dragan", DRAGAN)
