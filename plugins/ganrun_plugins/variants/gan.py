"""The original GAN: perceptrons that turn latents into samples, against perceptrons that tell them from real ones.

Paper: Goodfellow et al., "Generative Adversarial Nets" (2014), algorithm 1 with one discriminator update a step.

The default loss is ``non-saturating``, with which the paper trains; ``loss: minimax`` is the value its theorems are
about. The fakes of a step are made once: the discriminator sees them first, then the generator learns from the updated
discriminator's scores of the same fakes, as in most public code (algorithm 1 draws fresh latents for the generator).
With ``first: generator`` it is the other way round: the discriminator learns from the fakes on which the generator has
just learned, made before it moved.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from ganrun.plugin import Component, hookimpl
from ganrun_plugins.variants._game import PERCEPTRONS, OneGame


class GAN(OneGame):
    """One generator, one discriminator, one game."""

    defaults: ClassVar[dict[str, Any]] = PERCEPTRONS


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "gan", GAN)
