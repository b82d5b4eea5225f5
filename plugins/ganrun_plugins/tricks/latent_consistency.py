"""Latent consistency: neighbouring latents look alike to the discriminator, while the generator keeps them apart (zCR).

Paper: Zhao et al., "Improved Consistency Regularization for GANs" (2020), section 3.2, algorithm 2. With D(x) the
logits and delta normal noise of standard deviation sigma, added to the latent:

    discriminator: + weight * discriminator * E (D(G(z)) - D(G(z + delta)))^2
    generator:     - weight * generator * E |G(z) - G(z + delta)|^2

sigma = 0.03, generator = 0.5, discriminator = 5; StudioGAN's settings have sigma 0.05 and discriminator 20.

|.|^2 is the mean over a sample's numbers, as public code has it: the paper's weights cannot be meant for the sum over
all pixels, which grows with the resolution (``distance: sum`` takes that). All latents that are real numbers are moved
(codes, too, class labels not). Neither score of the discriminator is detached, and no buffer of any network changes.
G(z + delta) has the dropout of G(z). Fakes that a replay buffer has swapped have lost their latent, so both scores are
then of this turn's fakes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, DiscriminatorOutput, Reason, Round, Scheduled, Stream, Turn, hookimpl
from ganrun_plugins.tricks._consistency import ALONE, DETERMINISTIC, distance
from ganrun_plugins.tricks._entries import entries


class LatentConsistency:
    """Adds the effect of a small latent step to the discriminator's terms, and subtracts it from the generator's."""

    strength: ClassVar[str] = "weight"
    provides = frozenset({"latent-response"})
    remedies: ClassVar[frozenset[str]] = frozenset({"mode-collapse", "missing-diversity", "overfitting-discriminator"})
    needs: ClassVar[dict[str, Reason]] = {
        "latent": Reason("fakes are made from no latent, so there is none to move", "a variant with a latent"),
        "game": Reason(
            "without a discriminator nothing bounds the term that drives G(z) and G(z + delta) apart",
            "a variant with a game",
        ),
    }
    warns: ClassVar[dict[str, Reason]] = {"discriminator:dropout": DETERMINISTIC, "joint-batches": ALONE}

    def __init__(
        self,
        *,
        weight: Annotated[Scheduled, Field(ge=0, description="factor of both sides' terms")] = Scheduled(1.0),
        sigma: Annotated[
            Scheduled, Field(ge=0, description="standard deviation of the step of the latent")
        ] = Scheduled(0.03),
        discriminator: Annotated[Scheduled, Field(ge=0, description="weight of the discriminator's term")] = Scheduled(
            5.0
        ),
        generator: Annotated[
            Scheduled, Field(ge=0, description="weight of what is taken off the generator's terms")
        ] = Scheduled(0.5),
        distance: Annotated[
            Literal["mean", "sum"], Field(description="of the squares over the numbers of a sample")
        ] = "mean",
        heads: Annotated[bool, Field(description="whether the discriminator's extra heads are compared, too")] = False,
    ) -> None:
        self.weight, self.sigma = weight, sigma
        self.discriminator, self.generator = discriminator, generator
        self.summed = distance == "sum"
        self.heads = heads

    @hookimpl
    def losses(self, turn: Turn) -> None:
        sides = {round.side for round in turn.rounds} - {"watcher"}
        if not sides:
            return
        moved = self._moved(turn)
        if "discriminator" in sides:
            self._discriminator_terms(turn, moved)
        if "generator" in sides:
            for name in entries(turn):
                value = self._square(turn.made[name], moved.made[name])
                turn.add(f"latent_consistency_{name}", value, -turn.now(self.weight) * turn.now(self.generator))

    def _moved(self, turn: Turn) -> Turn:
        """This turn as it would be with other latents: its latents and what is made of them."""
        sigma = turn.now(self.sigma)
        latents = {
            name: z + sigma * turn.draws.normal("latent-consistency", *z.shape).to(z.dtype)
            if z.is_floating_point()
            else z
            for name, z in turn.latents.items()
        }
        return turn.with_latents(latents)

    def _discriminator_terms(self, turn: Turn, moved: Turn) -> None:
        """One term a game. The variant packs what was made into streams, as it does for the turn itself."""
        there = turn.variant.streams(moved)
        here = turn.variant.streams(turn)
        weight = turn.now(self.weight) * turn.now(self.discriminator)
        for round in turn.rounds:
            if round.side != "discriminator":
                continue
            name, found = round.game.name, []
            fakes = [[s for s in streams[name] if s.role == "fake"] for streams in (here, there)]
            for shown, one, other in zip(round.of("fake"), *fakes):
                if one.latent is None:  # not made from a latent, such as a real image with a wrong text
                    continue
                # None after a swap: its rows are other samples
                base = shown.output if shown.latent is not None else None
                found.append(
                    distance(base or self._judged(turn, round, one), self._judged(turn, round, other), heads=self.heads)
                )
            if found:
                turn.add(f"{name}.latent_consistency", torch.cat(found).mean(), weight)

    def _judged(self, turn: Turn, round: Round, stream: Stream) -> DiscriminatorOutput:
        given = tuple(tensor.detach() for tensor in stream.given)
        return turn.discriminate(round, stream.x.detach(), given, role="fake", tag="consistency")

    def _square(self, one: Tensor, other: Tensor) -> Tensor:
        """(B, ...) -> scalar: the mean over samples of their squared distance. At least float32."""
        dtype = torch.promote_types(one.dtype, torch.float32)
        squares = (one.to(dtype) - other.to(dtype)).square().flatten(1)  # (B, D)
        return squares.sum(1).mean() if self.summed else squares.mean()


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "latent-consistency", LatentConsistency)
