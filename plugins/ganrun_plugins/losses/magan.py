"""The margin-adapting loss: an energy-based loss whose margin follows the real samples' energy down.

Paper: Wang, Cully, Chang and Demiris, "MAGAN: Margin Adaptation for Generative Adversarial Networks" (2017), algorithm
1. With E the energy that the discriminator, an autoencoder, gives a sample and m the margin:

    discriminator: E on real samples, max(0, m - E) on fakes
    generator:     E on fakes

For two epochs the discriminator alone learns, from real samples alone; then m is their mean energy. After each epoch t
with S_x and S_z the energies of its real samples and fakes, m becomes S_x if S_x < m (real samples fit better),
S_x < S_z (fakes are worse) and S_z of the epoch before <= S_z (fakes no longer get better). It never grows. Each game
has a margin of its own.

The sums are means here: S_x over the discriminator's turns, S_z over the generator's, so that unequal numbers of
updates do not weigh; over all micro-batches and processes. An epoch is as many steps as ``epochs`` are in durations,
counted from the end of the pretraining. The first one has no epoch before it and changes nothing.

Differences from well-known code: the first margin is the mean energy in the last epoch of pretraining, as it was met
there, not of one more pass over the data afterwards. The hinge is taken for every sample, as in the paper, not of the
batch's mean, and S_z may stay equal. Energies are means over the numbers of a sample, not sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Duration, Experiment, Reason, Role, Round, Stream, Turn, hookimpl

EPOCH = Duration(1, "epochs")
COUNTED: Mapping[str, Role] = {"discriminator": "real", "generator": "fake"}  # whose energies are summed on which side


@dataclass
class Tally:
    """The energies of one game in one epoch: sums of the turns' means, and how many turns.

    ``last`` is S_z of the epoch before.
    """

    margin: Tensor | None = None
    last: Tensor | None = None
    real: Tensor | None = None
    fake: Tensor | None = None
    real_turns: int = 0
    fake_turns: int = 0

    def add(self, role: Role, energy: Tensor) -> None:
        """Count the mean energy, (), of one turn's real samples or fakes."""
        if role == "real":
            self.real, self.real_turns = (
                energy + (0 if self.real is None else self.real.to(energy.device)),
                self.real_turns + 1,
            )
        else:
            self.fake, self.fake_turns = (
                energy + (0 if self.fake is None else self.fake.to(energy.device)),
                self.fake_turns + 1,
            )

    def close(self, turn: Turn, start: float, *, pretraining: bool) -> None:
        """End an epoch: move the margin, and start counting again.

        Collective: all processes have counted as many turns.
        """
        real = None if self.real is None else turn.mean_over_processes(self.real / self.real_turns)
        fake = None if self.fake is None else turn.mean_over_processes(self.fake / self.fake_turns)
        if real is not None and pretraining:
            self.margin = real
        elif real is not None and fake is not None:
            if self.last is not None:
                margin = torch.full_like(real, start) if self.margin is None else self.margin.to(real.device)
                self.margin = adapted(margin, real, fake, self.last.to(real.device))
            self.last = fake
        self.real, self.fake, self.real_turns, self.fake_turns = None, None, 0, 0


def adapted(margin: Tensor, real: Tensor, fake: Tensor, last: Tensor) -> Tensor:
    """The margin after an epoch with mean energies ``real`` and ``fake``, behind one whose fakes had ``last``.

    No value is read.
    """
    lower = (real < margin) & (real < fake) & (last <= fake)
    return torch.where(lower, real, margin)


class MAGAN:
    """A hinge on the energies of fakes, whose margin is lowered between epochs."""

    provides = frozenset({"per-sample-generator", "logit:energy"})
    needs: ClassVar[dict[str, Reason]] = {
        "discriminator:energy": Reason(
            "its margin is the mean logit of real samples, and falls without limit unless logits are energies, "
            "which have a lower bound at 0",
            "discriminator: autoencoder",
        )
    }
    real_in_generator = False

    def __init__(
        self,
        *,
        pretrain: Annotated[
            Duration, Field(description="how long the discriminator learns alone, from real samples alone")
        ] = Duration(2, "epochs"),
        margin: Annotated[
            float, Field(gt=0, description="the margin until one is measured: the first one, with pretrain: 0")
        ] = 1.0,
    ) -> None:
        self.pretrain = Duration.parse(pretrain)
        self.start = margin
        self.epoch: int | None = (
            None  # counted from the end of the pretraining, so negative in it; None before the first turn
        )
        self.games: dict[str, Tally] = {}
        self._seen: dict[tuple[str, Role], list[Tensor]] = {}  # mean energies of this turn's micro-batches

    @property
    def pretraining(self) -> bool:
        """Whether the discriminator learns alone."""
        return self.epoch is not None and self.epoch < 0

    def margin_of(self, game: str) -> Tensor | float:
        """A game's margin now."""
        margin = self.games[game].margin if game in self.games else None
        return self.start if margin is None else margin

    def score(self, round: Round, logits: Tensor) -> Tensor:
        """Minus the energy, (B, ...)."""
        return -logits

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> energy of real samples, what fakes' energies lack of the margin, (B, ...).

        Real samples alone while pretraining.
        """
        values = {s: s.logits for s in round.of("real")}
        if self.pretraining:
            return values
        margin = self.margin_of(round.game.name)
        return values | {
            s: F.relu((margin.to(s.logits) if isinstance(margin, Tensor) else margin) - s.logits)
            for s in round.of("fake")
        }

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Fake stream -> energy, (B, ...)."""
        return {s: s.logits for s in round.of("fake")}

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Warn of a run that ends before the pretraining does."""
        pretraining, total = self.pretrain.whole_steps(experiment.clock), experiment.clock.total
        if pretraining >= total and self.pretrain.amount:
            why = f"the discriminator learns alone for {pretraining:,} steps and the run ends after {total:,}"
            experiment.warn("loss magan", why, "a shorter pretrain, or more train.steps")

    @hookimpl
    def phase_start(self, turn: Turn) -> None:
        clock = turn.clock
        length = EPOCH.steps(clock)
        epoch = math.floor((turn.step - self.pretrain.steps(clock)) / length + 1e-9)
        if self.epoch is not None and epoch != self.epoch:
            for tally in self.games.values():
                tally.close(turn, self.start, pretraining=self.pretraining)
        self.epoch = epoch
        sides = {game.side(turn.player) for game in turn.games.values()}
        others = [name for name, game in turn.games.items() if game.side(turn.player) and turn.loss(name) is not self]
        if self.pretraining and "generator" in sides and "discriminator" not in sides and not others:
            turn.skip = True

    @hookimpl
    def losses(self, turn: Turn) -> None:
        for round in turn.rounds:
            game = round.game.name
            if turn.loss(game) is not self:
                continue
            for stream in round.of(COUNTED[round.side]) if round.side in COUNTED else ():
                self._seen.setdefault((game, stream.role), []).append(stream.logits.detach().mean())
            if round.side == "discriminator":
                turn.note(f"{game}.margin", torch.as_tensor(self.margin_of(game)))
            elif self.pretraining:  # the generator moves, because another game is played with another loss
                turn.terms = {name: term for name, term in turn.terms.items() if term.game != game}

    @hookimpl
    def updated(self, turn: Turn) -> None:
        for (game, role), energies in self._seen.items():
            energy = turn.mean_over_processes(torch.stack(energies).mean())
            self.games.setdefault(game, Tally()).add(role, energy)
        self._seen.clear()

    def state_dict(self) -> dict[str, Any]:
        """The epoch, and of each game what has been counted so far."""
        return {"epoch": self.epoch, "games": {game: dict(vars(tally)) for game, tally in self.games.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` returned."""
        self.epoch = state["epoch"]
        self.games = {game: Tally(**tally) for game, tally in state["games"].items()}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "magan", MAGAN)
