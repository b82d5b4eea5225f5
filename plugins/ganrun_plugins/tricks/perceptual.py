"""A perceptual term: what is made from a real image should have the features of that image, not just its pixels.

Papers: Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution" (2016), equation 2; Ledig
et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network" (2016), equation 5. With
a network phi that was trained for something else and stays as it is,

    weight * mean over samples and features of (phi(made) - phi(real))^2        (or of the absolute difference: ``l1``)

for every pair of images that the variant says ought to be equal, such as an image and its translation there and back.

Differences: the papers compare feature maps of a VGG network for photographs. Here phi is any part ``features``, which
gives one vector a sample, in float32: how finely positions are compared depends on the part. Ledig et al. replace the
distance of pixels; here the term is added to whatever the variant minimises (set that to 0, such as ``cycle`` of
CycleGAN, to replace it).

The features belong to no player: they are not trained, and no checkpoint holds them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Experiment, Features, Part, PartOf, Reason, Scheduled, Turn, hookimpl
from ganrun.plugin.evaluation import context_of


class Perceptual:
    """Adds weight * distance(features of made, features of real) to the turns of the player that makes the image."""

    strength: ClassVar[str] = "weight"
    provides = frozenset({"compares-pairs"})
    remedies: ClassVar[frozenset[str]] = frozenset()
    needs: ClassVar[dict[str, Reason]] = {
        "pairs": Reason(
            "no sample of this variant ought to equal a certain real one, "
            "so there is nothing to compare its features with",
            "a variant that gives an image back, such as cyclegan",
        )
    }

    def __init__(
        self,
        *,
        weight: Annotated[Scheduled, Field(ge=0, description="weight of the term")] = Scheduled(1.0),
        features: Annotated[
            Part, PartOf("features", default="classifier"), Field(description="the space to compare in")
        ],
        distance: Annotated[
            Literal["squared", "l1"], Field(description="mean of squared, or of absolute, differences")
        ] = "squared",
    ) -> None:
        self.weight = weight
        self.features = features
        self.distance = distance
        self.pairs: dict[str, str] = {}
        self.extract: dict[str, Features] = {}

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        self.pairs = dict(experiment.description.pairs)
        for target in sorted(set(self.pairs.values())):
            self.extract[target] = self.features.make(context_of(experiment, target))

    @hookimpl
    def losses(self, turn: Turn) -> None:
        for name, target in self.pairs.items():
            if name in turn.made and turn.made[name].requires_grad:  # not where a discriminator learns
                turn.add(
                    f"{name}.perceptual",
                    self._distance(turn.made[name], turn.real[target], target),
                    turn.now(self.weight),
                )

    def _distance(self, made: Tensor, real: Tensor, target: str) -> Tensor:
        """Samples (B, ...) and (B, ...) -> a scalar."""
        extract = self.extract[target]
        with torch.no_grad():
            wanted = extract(real)  # (B, size)
        difference = (extract(made) - wanted).to(torch.get_default_dtype())
        return (difference.abs() if self.distance == "l1" else difference.square()).mean()


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "perceptual", Perceptual)
