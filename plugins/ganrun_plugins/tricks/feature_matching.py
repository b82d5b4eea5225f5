"""Feature matching: the generator matches the mean activations that real samples cause in the discriminator.

Paper: Salimans et al., "Improved Techniques for Training GANs" (2016), section 3.1. With f(x) the activations of a
hidden layer of the discriminator, on the generator's side:

    + weight * |E f(x) - E f(G(z))|^2,  x real

The paper puts this in the place of the generator's adversarial terms: ``adversarial: 0``. By default it is added to
them (``adversarial: 1``); DiscoGAN's code has 0.9 of this and 0.1 of the game. ``layers: last`` is the last hidden
layer, ``all`` sums over all.

Differences from well-known code: the paper's squared norm is a sum over activations. The authors' code for images has
the mean of absolute differences (``norm: l1``).

Both means are of calls without augmentation and noise, so that they differ by the samples alone; these calls leave
buffers alone, and real samples have no gradient. Each process takes the means of its own samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Reason, Role, Round, Scheduled, Stream, Turn, hookimpl


class FeatureMatching:
    """Adds the distance of the mean features of real samples and of fakes to the generator's terms."""

    strength: ClassVar[str] = "weight"
    remedies: ClassVar[frozenset[str]] = frozenset({"oscillation", "saturated-discriminator", "vanishing-gradient"})
    needs: ClassVar[dict[str, Reason]] = {
        "game": Reason("there is no discriminator whose activations could be compared", "a variant with a game"),
        "discriminator:features": Reason(
            "the discriminator returns no activations of hidden layers, so there is nothing to match",
            "a discriminator that provides features, such as mlp or dcgan",
        ),
    }
    warns: ClassVar[dict[str, Reason]] = dict.fromkeys(
        ("several-processes", "accumulated"),
        Reason(
            "the means are taken over a part of the batch, and are noisier than those of the whole", "larger batches"
        ),
    )

    def __init__(
        self,
        *,
        weight: Annotated[Scheduled, Field(ge=0, description="weight of the distance")] = Scheduled(1.0),
        adversarial: Annotated[
            Scheduled, Field(ge=0, description="factor of the game's own terms in these turns: 0 replaces them")
        ] = Scheduled(1.0),
        layers: Annotated[
            Literal["last", "all"], Field(description="the hidden layers whose activations are compared")
        ] = "last",
        norm: Annotated[
            Literal["squared", "l1"], Field(description="sum of squares, or mean of absolute differences")
        ] = "squared",
    ) -> None:
        self.weight, self.adversarial = weight, adversarial
        self.first = -1 if layers == "last" else 0
        self.squared = norm == "squared"

    @hookimpl
    def losses(self, turn: Turn) -> None:
        rounds = [round for round in turn.rounds if round.side == "generator"]
        if not rounds:
            return
        for round in rounds:
            name = round.game.name
            for term in turn.terms.values():
                if term.game == name:
                    term.weight = term.weight * turn.now(self.adversarial)
            with torch.no_grad():
                wanted = self._means(turn, round, turn.streams(name, "real"), "real")
            found = self._means(turn, round, round.of("fake"), "fake")
            value = torch.stack([self._distance(a, b) for a, b in zip(wanted, found)]).sum()
            turn.add(f"{name}.feature_matching", value, turn.now(self.weight))

    def _means(self, turn: Turn, round: Round, streams: Sequence[Stream], role: Role) -> list[Tensor]:
        """The mean activations of each chosen layer over all samples of some streams, (D,) each. At least float32."""
        outputs = [turn.discriminate(round, s.x, s.given, role=role, tag="feature") for s in streams]
        layers = zip(*(output.features[self.first :] for output in outputs))
        joined = [torch.cat([features.flatten(1) for features in layer]) for layer in layers]  # (B, D) each
        return [layer.to(torch.promote_types(layer.dtype, torch.float32)).mean(0) for layer in joined]

    def _distance(self, one: Tensor, other: Tensor) -> Tensor:
        """(D,), (D,) -> scalar."""
        return (one - other).square().sum() if self.squared else (one - other).abs().mean()


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "feature-matching", FeatureMatching)
