"""Metropolis-Hastings sampling (MH-GAN): the discriminator accepts or rejects samples outside training.

Paper: Turner, Hung, Frank, Saatci and Yosinski, "Metropolis-Hastings Generative Adversarial Networks" (2019), algorithm
1. With D(x) the probability that x is real, a chain moves from x to a proposal x' of the generator with probability

    min(1, (1 / D(x) - 1) / (1 / D(x') - 1)) = min(1, exp(s' - s)),    s = log(D / (1 - D)), the logit

For the best discriminator of the generator, exp(s) is p_data / p_generator, so the chain's samples are data. Each
sample is the last state of a chain of its own after ``proposals`` proposals. A chain begins at the score of a held-out
real sample, which needs no burn-in; if it never moves, the chain of the same proposals that began at its first one
takes its place, as the paper restarts it there.

Discriminators are sure of themselves beyond what they know, so D is calibrated: s = a * score + b, fitted by logistic
regression to the scores of held-out real samples and of fakes (section 3.2; its isotonic regression is not offered).
Training never sees any of this, and labels and codes are kept: a chain of class 7 stays in class 7.

Everything that reads samples gets the chosen ones, evaluators too. A sample costs ``proposals`` times as much as
without.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Reason, SamplingTurn, Turn, hookimpl

NAME = "metropolis-hastings"
RIDGE = 1e-3  # keeps the regression finite if the discriminator tells all held-out samples from all fakes


def calibration(real: Tensor, fake: Tensor) -> tuple[float, float]:
    """a >= 0 and b of the logistic regression P(real) = sigmoid(a * score + b).

    On scores (n,) and (m,), both sets of equal weight.

    Newton's method on the mean cross-entropy plus RIDGE * a^2 / 2, on standardised scores.
    """
    scores = torch.cat([real, fake]).double()
    middle, scale = scores.mean(), scores.std(correction=0).clamp(min=1e-12)
    x = torch.stack([(scores - middle) / scale, torch.ones_like(scores)], 1)  # (n + m, 2)
    target = torch.cat([torch.ones(len(real)), torch.zeros(len(fake))]).to(x)
    weight = torch.cat([torch.full((len(real),), 0.5 / len(real)), torch.full((len(fake),), 0.5 / len(fake))]).to(x)
    ridge = torch.diag(torch.tensor([RIDGE, 0.0])).to(x)
    found = torch.zeros(2).to(x)
    for _ in range(50):
        p = torch.sigmoid(x @ found)
        gradient = x.T @ (weight * (p - target)) + ridge @ found
        curvature = x.T @ (x * (weight * p * (1 - p))[:, None]) + ridge + 1e-12 * torch.eye(2).to(x)
        step = torch.linalg.solve(curvature, gradient)
        found = found - step
        if float(step.abs().max()) < 1e-9:
            break
    a = max(float(found[0] / scale), 0.0)
    return a, float(found[1]) - a * float(middle)


def last_states(scores: Tensor, start: Tensor, chances: Tensor) -> Tensor:
    """Which proposal each chain ends at, (n,) int64.

    scores: (K, n) calibrated; start: (n,) of real samples; chances: (K, n) uniform.
    """
    here, restarted = start.clone(), scores[0].clone()
    state, other = torch.full_like(start, -1, dtype=torch.int64), torch.zeros_like(start, dtype=torch.int64)
    for k, (score, chance) in enumerate(zip(scores, chances)):
        moves, moves_too = chance.log() < score - here, chance.log() < score - restarted
        here, state = torch.where(moves, score, here), torch.where(moves, k, state)
        restarted, other = torch.where(moves_too, score, restarted), torch.where(moves_too, k, other)
    return torch.where(state < 0, other, state)


class MetropolisHastings:
    """Chooses among ``proposals`` latents for each sample, when sampling."""

    strength: ClassVar[str] = "proposals"
    provides = frozenset({"latent-response"})
    remedies: ClassVar[frozenset[str]] = frozenset()
    needs: ClassVar[dict[str, Reason]] = {
        "latent": Reason(
            "samples are not made from latents, so there is nothing to choose from",
            "a variant with latents, such as dcgan",
        ),
        "logit:signed": Reason(
            "the discriminator's score has no point at which it is undecided, "
            "so it does not show how likely real samples are",
            "a loss such as non-saturating",
        ),
    }
    refuses: ClassVar[dict[str, Reason]] = {
        "packed": Reason("the discriminator scores packs, while a chain is of single samples", "leave packing out")
    }

    def __init__(
        self,
        *,
        proposals: Annotated[
            int, Field(ge=0, description="samples proposed for each one; 640 in the paper; 0: off")
        ] = 100,
        held_out: Annotated[
            int,
            Field(
                ge=2,
                description="test items, all if there are fewer, and as many fakes, that the scores are calibrated on",
            ),
        ] = 1000,
    ) -> None:
        self.proposals = proposals
        self.held_out = held_out

    @hookimpl
    def sample(self, turn: Turn) -> None:
        if not isinstance(turn, SamplingTurn) or self.proposals == 0:
            return
        n, kept = turn.rows, {name: turn.latents[name] for name in sorted(turn.drawn)}
        real, fake = self._of_held_out(turn)
        a, b = calibration(real, fake)
        proposed = [kept]  # the first proposal is what would have been the sample
        scores = [turn.scores(turn.latents, f"{NAME} rows")]
        for k in range(1, self.proposals):
            latents = turn.another(NAME, k).draw()
            proposed.append({name: latents[name] for name in kept})
            scores.append(turn.scores(turn.latents | proposed[-1], f"{NAME} rows"))
        start = real[turn.draws.integers(f"{NAME} start", len(real), n)]
        chances = turn.draws.uniform(NAME, n, self.proposals).T  # (K, n)
        chosen = last_states(a * torch.stack(scores) + b, a * start + b, chances)
        for name in kept:
            stacked = torch.stack([latents[name] for latents in proposed])  # (K, n, ...)
            turn.latents[name] = stacked[chosen, torch.arange(n, device=chosen.device)]

    def _of_held_out(self, turn: SamplingTurn) -> tuple[Tensor, Tensor]:
        """Scores of held-out real samples and of as many fakes, the same however many samples are asked for."""
        real, fake = [], []
        for number, items in enumerate(turn.items("test", NAME, self.held_out)):
            piece = turn.another(f"{NAME} rows", number, real=items)
            piece.draw()
            piece.make()
            real.append(piece.total_score("real"))
            fake.append(piece.total_score("fake"))
        return torch.cat(real), torch.cat(fake)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "metropolis-hastings", MetropolisHastings)
