"""DiscoGAN: translation between two unpaired sets that discovers which image of the one belongs to which of the other.

Paper: Kim, Cha, Kim, Lee and Kim, "Learning to Discover Cross-Domain Relations with Generative Adversarial Networks"
(2017). Two generators, each judged by a discriminator of the domain it makes; the generators minimise, for b (and
likewise for a),

    (1 - r) * (adversarial * -log D_b(G(a)) + matching * fm_b) + r * (G(F(b)) - b)^2

where the last term is the mean over all pixels, fm_b = sum over layers of mean over features of (E f(b) - E f(G(a)))^2
compares mean activations of the discriminator's hidden layers, the means being over the batch, and r is 0.01 for 10,000
steps and 0.5 then. The discriminators minimise half the sum of -log D(real) and -log(1 - D(fake)), in steps of their
own: in step i with i mod 3 = 0 the discriminators learn, in all others the generators do.

As in the authors' code: weights 0.1 and 0.9, activations of all hidden layers but the first, Adam 2e-4 (0.5, 0.999)
with weight decay 1e-5, batches of 64, torch's own initial weights, and no pool. The paper's formula has neither feature
matching nor r: it adds the terms as they are (``adversarial: 1, matching: 0, reconstruction: 0.5`` up to a factor of
2).

Differences from well-known code: there images are in [0, 1], here in [-1, 1], so the reconstruction is divided by 4 to
keep the code's weights; the discriminators see the wider range. Its ``generator_A`` makes domain a from b:
``generator_ba`` here. The activations compared are those of samples without augmentation or noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ganrun.plugin import (
    Clock,
    Component,
    Description,
    Phase,
    Reason,
    Role,
    Round,
    Scheduled,
    Space,
    Stream,
    Term,
    Turn,
    hookimpl,
)
from ganrun_plugins.variants._two_way import TwoWay

PLAYER = {
    "optimizer": {"adam": {"lr": 2e-4, "betas": [0.5, 0.999], "weight_decay": 1e-5}},
    "init": {"scheme": "default"},
}
UNITS = 4.0  # a squared distance in [-1, 1] for one in [0, 1]


class Rest(Scheduled):
    """weight * (1 - r), at every moment."""

    def __init__(self, weight: Scheduled, r: Scheduled) -> None:
        self.spec = {"weight": weight.spec, "r": r.spec}
        self.values = tuple(w * (1 - share) for w in weight.values for share in r.values)
        self.parts = (weight, r)

    def at(self, step: float, clock: Clock) -> float:
        weight, r = self.parts
        return weight.at(step, clock) * (1 - r.at(step, clock))


class DiscoGAN(TwoWay):
    """Two generators, two discriminators, two games, feature matching, and the way back."""

    provides = frozenset({"deterministic-generator"})
    needs: ClassVar[dict[str, Reason]] = {
        "discriminator:features": Reason(
            "feature matching compares activations of the discriminators' hidden layers, and these return none",
            "a discriminator that provides features, such as dcgan",
        )
    }
    warns: ClassVar[dict[str, Reason]] = dict.fromkeys(
        ("several-processes", "accumulated"),
        Reason("features are matched by the means of a part of the batch, which are noisier", "larger batches"),
    )
    defaults: ClassVar[dict[str, Any]] = {
        "generator": "discogan",
        "discriminator": "dcgan",
        "loss": "non-saturating",
        "players": {"generator": PLAYER, "discriminator": PLAYER},
        "train": {"batch_size": 64},
    }

    def __init__(
        self,
        *,
        adversarial: Annotated[
            Scheduled, Field(ge=0, description="weight of the games in the generators' turns")
        ] = Scheduled(0.1),
        matching: Annotated[Scheduled, Field(ge=0, description="weight of feature matching")] = Scheduled(0.9),
        reconstruction: Annotated[
            Scheduled, Field(ge=0, le=1, description="r: weight of the reconstruction; all else has 1 - r")
        ] = Scheduled({"steps": {0: 0.01, 10_000: 0.5}}),
        generator_steps: Annotated[
            int, Field(ge=1, description="steps of the generators after each of the discriminators")
        ] = 2,
    ) -> None:
        self.reconstruction = reconstruction
        self.adversarial = Rest(adversarial, self.reconstruction)
        self.matching = Rest(matching, self.reconstruction)
        self.cycle = generator_steps + 1

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with entries ``a`` and ``b``: images."""
        description = super().describe(spaces)
        description.players.reverse()
        description.phases = [  # one a step: with a shared batch both read one order, and every batch is new
            Phase("discriminator", "discriminator", when=lambda step: step % self.cycle == 0),
            Phase("generator", "generator", when=lambda step: step % self.cycle != 0),
        ]
        return description

    def terms(self, turn: Turn) -> dict[str, Term]:
        if turn.player != "generator":
            return {}
        terms = {f"matching_{r.game.name}": Term(self._matching(turn, r), turn.now(self.matching)) for r in turn.rounds}
        for domain in ("a", "b"):
            distance = F.mse_loss(turn.made[f"rec_{domain}"], turn.real[domain]) / UNITS
            terms[f"reconstruction_{domain}"] = Term(distance, turn.now(self.reconstruction))
        return terms

    def _matching(self, turn: Turn, round: Round) -> Tensor:
        """Sum over hidden layers of the mean squared difference of mean activations: a scalar."""
        with torch.no_grad():
            wanted = self._means(turn, round, turn.streams(round.game.name, "real"), "real")
        found = self._means(turn, round, round.of("fake"), "fake")
        return torch.stack([(one - other).square().mean() for one, other in zip(wanted, found)]).sum()

    @staticmethod
    def _means(turn: Turn, round: Round, streams: list[Stream], role: Role) -> list[Tensor]:
        """Mean activations of all hidden layers but the first (of one alone, if there is no other), (D,) each.

        At least float32.
        """
        outputs = [turn.discriminate(round, s.x, s.given, role=role, tag="feature") for s in streams]
        layers = [
            torch.cat([features.flatten(1) for features in layer])
            for layer in zip(*(output.features for output in outputs))
        ]
        return [layer.to(torch.promote_types(layer.dtype, torch.float32)).mean(0) for layer in (layers[1:] or layers)]


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "discogan", DiscoGAN)
