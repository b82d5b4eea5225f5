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

Everything that looks at samples sees the chosen ones, evaluators too. A sample costs ``proposals`` times as much as
without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Draws, Experiment, Game, Reason, Role, Round, Stream, Turn, chunks, hookimpl
from ganrun.plugin.data import Dataset, read_items

ROWS = 256  # samples scored at a time
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
            "the discriminator's opinion has no point at which it is undecided, "
            "so it says nothing of how likely real samples are",
            "a loss such as non-saturating",
        ),
    }
    refuses: ClassVar[dict[str, Reason]] = {
        "packed": Reason("the discriminator judges packs, while a chain is of single samples", "leave packing out")
    }

    def __init__(
        self,
        *,
        proposals: Annotated[
            int, Field(ge=0, description="samples proposed for each one; 640 in the paper; 0: off")
        ] = 100,
        held_out: Annotated[
            int, Field(ge=2, description="test items, and fakes, that the scores are calibrated on")
        ] = 1000,
    ) -> None:
        self.proposals = proposals
        self.held_out = held_out

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        self.data = experiment.data

    @hookimpl
    def sample(self, turn: Turn) -> None:
        if turn.player or self.proposals == 0:  # a turn of training
            return
        n, kept = turn.rows, {name: turn.latents[name] for name in sorted(turn.drawn)}
        real, fake = self._of_held_out(turn)
        a, b = calibration(real, fake)
        proposed = [kept]  # the first proposal is what would have been the sample
        scores = [self._of_fakes(turn, turn.latents)]
        for k in range(1, self.proposals):
            latents = self._proposal(turn, k)
            proposed.append({name: latents[name] for name in kept})
            scores.append(self._of_fakes(turn, turn.latents | proposed[-1]))
        start = real[turn.draws.integers("metropolis-hastings start", len(real), n)]
        chances = turn.draws.uniform("metropolis-hastings", n, self.proposals).T  # (K, n)
        chosen = last_states(a * torch.stack(scores) + b, a * start + b, chances)
        for name in kept:
            stacked = torch.stack([latents[name] for latents in proposed])  # (K, n, ...)
            turn.latents[name] = stacked[chosen, torch.arange(n, device=chosen.device)]

    @staticmethod
    def _proposal(turn: Turn, k: int) -> dict[str, Tensor]:
        """The k-th latents of all rows."""
        other = turn.fresh(Draws((*turn.draws.key, "metropolis-hastings", k), device=turn.draws.device, by_row=True))
        turn.variant.sample(other)
        return other.latents

    def _of_fakes(self, turn: Turn, latents: dict[str, Tensor]) -> Tensor:
        """Scores (n,) of the samples of some latents."""
        found = []
        for rows in chunks(turn.rows, ROWS):
            piece = turn.part(rows).fresh(_draws(turn))
            piece.latents = {name: z[rows] for name, z in latents.items()}
            turn.variant.make(piece)
            found.append(_score(piece, "fake"))
        return torch.cat(found)

    def _of_held_out(self, turn: Turn) -> tuple[Tensor, Tensor]:
        """Scores of held-out real samples and of as many fakes, the same however many samples are asked for."""
        held: Dataset = self.data("test")
        count, real, fake = min(self.held_out, len(held)), [], []
        for number, items in enumerate(
            read_items(held, range(count), rows=ROWS, key=("metropolis-hastings",), device=turn.device)
        ):
            piece = turn.fresh(_draws(turn, number), items)
            turn.variant.sample(piece)
            turn.variant.make(piece)
            real.append(_score(piece, "real"))
            fake.append(_score(piece, "fake"))
        return torch.cat(real), torch.cat(fake)


def _draws(turn: Turn, number: int = 0) -> Draws:
    """The draws of a piece of a turn; ``number`` tells them from those of others."""
    return Draws((*turn.draws.key, "metropolis-hastings rows", number), device=turn.draws.device)


def _score(turn: Turn, role: Role) -> Tensor:
    """The opinion of every game's discriminator on the streams of a role, summed over games, (B,)."""
    turn.wanted = {role}
    streams = turn.variant.streams(turn)
    found = [_opinion(turn, game, role, streams.get(game.name, ())) for game in turn.games.values()]
    return torch.stack([score for score in found if score is not None]).sum(0)


def _opinion(turn: Turn, game: Game, role: Role, streams: Sequence[Stream]) -> Tensor | None:
    """The mean score over the patches of the first stream of a role, (B,); None if the game has none."""
    stream = next((stream for stream in streams if stream.role == role), None)
    if stream is None:
        return None
    round = Round(game, "watcher", [stream], turn.now)
    output = turn.discriminate(round, stream.x, stream.given, role=role, tag="feature")
    score = turn.score(round, output)
    return (score.flatten(1).mean(1) if score.dim() > 1 else score).to(torch.promote_types(score.dtype, torch.float32))


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "metropolis-hastings", MetropolisHastings)
