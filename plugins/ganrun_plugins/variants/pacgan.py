"""PacGAN: the discriminator scores two samples at once, so that it sees whether a generator repeats itself.

Paper: Lin, Khetan, Fanti and Oh, "PacGAN: The power of two samples in generative adversarial networks" (2018),
PacDCGAN2: DCGAN with ``packing`` of m = 2, latents uniform in [-1, 1]^100, Adam with rate 2e-4 and first beta 0.5. Only
the discriminator's first layer grows. For more at once, ``--set tricks.packing.m=4``. The authors feed m times as many
samples, to have as many packs as there were samples: so does the batch of 128 = 2 x 64 here. Any variant becomes one by
the trick alone; for points, choose perceptrons.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from ganrun.plugin import Component, hookimpl
from ganrun_plugins.variants._dcgan import DCGAN_DEFAULTS
from ganrun_plugins.variants._game import OneGame


class PacGAN(OneGame):
    """DCGAN whose discriminator scores packs."""

    defaults: ClassVar[dict[str, Any]] = {
        **DCGAN_DEFAULTS,
        "sampler": "uniform",
        "tricks": [{"packing": {"m": 2}}],
        "train": {**DCGAN_DEFAULTS["train"], "batch_size": 128},
    }


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "pacgan", PacGAN)
