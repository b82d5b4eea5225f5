"""BiGAN: an encoder learns the generator's inverse, since the discriminator sees samples with their latents.

Paper: Donahue, Krähenbühl and Darrell, "Adversarial Feature Learning" (2017), section 3. The discriminator tells pairs
(x, E(x)) of a real sample and its encoding from pairs (G(z), z). With l the logit,

    discriminator:           [softplus(-l(x, E(x))) + softplus(l(G(z), z))] / 2
    generator and encoder:   [softplus(l(x, E(x))) + softplus(-l(G(z), z))] / 2      the same with the labels swapped

so encoder and generator are players of one side: both are drawn to the boundary. Where the discriminator cannot tell
the pairs apart, E inverts G on the data. The encoder is deterministic (``ali`` has a stochastic one). Adam 2e-4 with
first beta 0.5 and an L2 penalty of 2.5e-5, 50 latents uniform in (-1, 1) and batches of 128 are those of the authors'
code (MNIST). Our choice: networks of two layers of 1024, constant rates, and that the discriminator moves first.

``reconstruction`` adds that weight times the mean of |x - G(E(x))|^2 to the terms of generator and encoder, as ALICE
does (Li et al., "ALICE: Towards Understanding Adversarial Learning for Joint Distribution Matching", 2017); the paper
has no such term. Without it nothing is reconstructed in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field

from ganrun.plugin import Component, Scheduled, hookimpl
from ganrun_plugins.variants._joint import Joint

ADAM = {"adam": {"lr": 2e-4, "betas": [0.5, 0.999], "weight_decay": 2.5e-5}}


class BiGAN(Joint):
    """Generator and encoder against a discriminator of pairs, in a symmetric game."""

    defaults: ClassVar[dict[str, Any]] = {
        "generator": {"mlp": {"widths": [1024, 1024], "activation": "relu"}},
        "encoder": {"mlp": {"widths": [1024, 1024]}},
        "discriminator": {"mlp": {"widths": [1024, 1024]}},
        "loss": "non-saturating",
        "sampler": "uniform",
        "players": {"discriminator": {"optimizer": ADAM}, "generator": {"optimizer": ADAM}},
        "train": {"batch_size": 128},
    }

    def __init__(
        self,
        *,
        latent: Annotated[int, Field(ge=1, description="size of the latent")] = 50,
        reconstruction: Annotated[
            Scheduled, Field(ge=0, description="weight of the mean squared error of G(E(x)); 0 in the paper")
        ] = Scheduled(0.0),
    ) -> None:
        super().__init__(latent, reconstruction)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "bigan", BiGAN)
