"""WGAN: the discriminator estimates a Wasserstein distance, its weights clipped so that its slopes are bounded.

Paper: Arjovsky, Chintala and Bottou, "Wasserstein GAN" (2017), algorithm 1: five updates of the discriminator to one of
the generator, each on new samples, weights in [-0.01, 0.01], RMSprop with rate 5e-5, batch 64. Networks and
initialisation are DCGAN's.

``warm_up`` is the authors' code's and not in the paper: in the first 25 steps and in every 500th the discriminator is
updated 100 times instead, because the distance means little before the discriminator is nearly optimal; 0 leaves it
out. Its further updates are a phase of their own before the usual ones, which ``players.discriminator.updates`` counts.

Difference from that code: weights are clipped after each update, as in the paper;
``tricks: [weight-clipping: {when: before}]`` clips before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from ganrun.plugin import Component, Description, Experiment, Phase, Space, hookimpl
from ganrun_plugins.variants._dcgan import DCGAN_DEFAULTS, INIT
from ganrun_plugins.variants._fresh import Fresh
from ganrun_plugins.variants._game import First, Latent

RMSPROP = {"rmsprop": {"lr": 5e-5}}
FIRST_STEPS, EVERY = 25, 500


def is_warm(step: int) -> bool:
    """Whether a step, counted from 0, is one of those with many updates of the discriminator."""
    return step < FIRST_STEPS or step % EVERY == 0


class WGAN(Fresh):
    """The game of ``gan`` with fresh latents in every turn, and steps in which the discriminator catches up."""

    defaults: ClassVar[dict[str, Any]] = {
        **DCGAN_DEFAULTS,
        "loss": "wasserstein",
        "tricks": [{"weight-clipping": {"limit": 0.01}}],
        "players": {
            "discriminator": {"optimizer": RMSPROP, "init": INIT, "updates": 5},
            "generator": {"optimizer": RMSPROP, "init": INIT},
        },
    }

    def __init__(
        self,
        *,
        latent: Latent = 100,
        first: First = "discriminator",
        warm_up: Annotated[
            int,
            Field(
                ge=0, description="updates of the discriminator in the first 25 steps and every 500th; 0: as in others"
            ),
        ] = 100,
    ) -> None:
        super().__init__(latent=latent, first=first)
        self.warm_up = warm_up

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with an entry ``x``: images or points."""
        description = super().describe(spaces)
        if self.warm_up > 1:
            place = [phase.name for phase in description.phases].index("discriminator")
            description.phases.insert(place, Phase("warm-up", "discriminator", repeats=self.warm_up - 1, when=is_warm))
        return description

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """The further updates are what the usual ones, known now, lack of ``warm_up``."""
        usual = next(phase.repeats for phase in experiment.phases if phase.name == "discriminator")
        for phase in [phase for phase in experiment.phases if phase.name == "warm-up"]:
            phase.repeats = self.warm_up - usual
            if phase.repeats < 1:
                experiment.phases.remove(phase)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "wgan", WGAN)
