"""LSGAN: DCGAN's networks with the least-squares loss, whose gradient does not vanish for fakes far from the boundary.

Paper: Mao et al., "Least Squares Generative Adversarial Networks" (2016). Coding a, b, c = 0, 1, 1 and the factor 1/2
of equation 2. The paper's own networks are DCGAN's with more layers at 112 pixels; Adam with first beta 0.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from ganrun.plugin import Component, hookimpl
from ganrun_plugins.variants._dcgan import DCGAN_DEFAULTS
from ganrun_plugins.variants._game import OneGame


class LSGAN(OneGame):
    """DCGAN with least squares."""

    defaults: ClassVar[dict[str, Any]] = {**DCGAN_DEFAULTS, "loss": {"least-squares": {"coding": "zero-one"}}}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "lsgan", LSGAN)
