"""A loss in one of its states, and a round that it is tried with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from ganrun.testing.plugin import Plugin
from ganrun.words.game import DiscriminatorOutput, Game, Role, Round, Side, Stream

ROWS = 6
_STEPS = 3  # of a small experiment, after which a loss with state is looked at again
SIDES: tuple[Side, Side] = ("discriminator", "generator")
GAME = Game("adversarial", "discriminator", player="discriminator", against=("generator",))


@dataclass
class Tried:
    """A loss in one state, and the game that it is played in. moment: when it has this state, empty at the start."""

    loss: Any
    game: Game
    moment: str = ""

    @property
    def numbers(self) -> int:
        """How many numbers a sample the loss wants from the discriminator."""
        return int(getattr(self.loss, "logits", 1))

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of logits that it may meet: (B,), (B, 1, h, w), or (B, K), (B, K, h, w) if it wants K numbers."""
        numbers = self.numbers
        return ((ROWS,), (ROWS, 1, 3, 3)) if numbers == 1 else ((ROWS, numbers), (ROWS, numbers, 3, 3))

    def logits(
        self, shape: tuple[int, ...], seed: int, scale: float = 1.0, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Normal logits that require a gradient; energies are never below 0."""
        drawn = scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return (drawn.abs() if "logit:energy" in self.loss.provides else drawn).to(dtype).requires_grad_()

    def score(self, round: Round, logits: Tensor) -> Tensor:
        """The discriminator's score, as the core requests it of the loss."""
        found: Tensor = self.loss.score(round, logits) if hasattr(self.loss, "score") else logits
        return found

    def round_with(self, side: Side, logits: dict[Role, Tensor]) -> Round:
        """A round as the engine hands it to the loss, with targets on the discriminator's side."""
        streams = [
            Stream(torch.zeros(ROWS, 2), role, output=DiscriminatorOutput(logits[role]))
            for role in (("real", "fake") if side == "discriminator" or self.loss.real_in_generator else ("fake",))
        ]
        round = Round(self.game, side, streams)
        if side == "discriminator" and "targets" in self.loss.provides:
            for stream in streams:
                target = round.now(self.loss.targets(stream.role))
                stream.target = torch.full_like(self.score(round, stream.logits), target, requires_grad=False)
        return round

    def round(
        self, side: Side, shape: tuple[int, ...], *, scale: float = 1.0, dtype: torch.dtype = torch.float32
    ) -> Round:
        """A round with normal logits."""
        real, fake = (self.logits(shape, seed, scale, dtype) for seed in (0, 1))
        return self.round_with(side, {"real": real, "fake": fake})

    def values(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> values, as the engine asks for them."""
        return dict(self.loss.discriminator(round) if round.side == "discriminator" else self.loss.generator(round))

    def again(self) -> Tried:
        """The same loss in the same state."""
        return Tried(copy.deepcopy(self.loss), self.game, self.moment)


def states_of(plugin: Plugin) -> Iterator[Tried]:
    """The loss as it begins; and, if it has state, as it is after some steps of a small experiment."""
    loss = plugin.part.make()
    yield Tried(loss, GAME)
    if hasattr(loss, "state_dict"):
        from ganrun.testing.runs import trained

        experiment = trained(plugin, plugin.recipe, _STEPS).experiment
        game = next(game for game in experiment.games if type(experiment.loss(game.name)) is type(loss))
        yield Tried(experiment.loss(game.name), game, f"after {_STEPS} steps: ")


def in_each_state(check: Callable[[Tried], None]) -> Callable[[Plugin], None]:
    """A check of a plugin that tries its loss in each of its states."""

    @wraps(check)
    def over(plugin: Plugin) -> None:
        for tried in states_of(plugin):
            try:
                check(tried.again())
            except AssertionError as error:
                raise AssertionError(f"{tried.moment}{error}") from error

    return over


def total(values: dict[Stream, Tensor], **weights: float) -> Tensor:
    """What the engine minimises; with a weight by role, if some are given."""
    return torch.stack([weights.get(stream.role, 1.0) * value.mean() for stream, value in values.items()]).sum()


def gradients_of(value: Tensor, round: Round) -> list[Tensor | None]:
    """With respect to the logits of each stream; None where the value does not use them."""
    return list(torch.autograd.grad(value, [stream.logits for stream in round.streams], allow_unused=True))
