"""Unrolling: the generator plays against the discriminator some steps ahead, and differentiates those steps.

Paper: Metz et al., "Unrolled Generative Adversarial Networks" (2016), section 2.2. In the generator's turns, with T the
discriminator's weights now, L its loss on the samples of this turn, and opt one step of its optimiser:

    T_0 = T,   T_i = opt(T_{i-1}, grad L(T_{i-1})),   i = 1..steps

and the generator is scored by the discriminator of weights T_steps. The gradient also goes through the steps, which
depend on the generator by its samples (``through: false`` leaves that out: a mere lookahead, of first order). The
discriminator itself is trained by one plain step in its own turn; its weights, its optimiser's state and its buffers
are left alone.

``objective: saddle`` is the paper's: in place of the game's own terms the generator minimises -L(T_steps), on fakes and
real samples, which reach it through T_steps. The default is the loss's own generator side at T_steps, because that is a
generator's loss for every loss and, with 0 steps, the plain game. With ``saddle``, 0 steps are the saturating (minimax)
game.

The steps are those of the discriminator's own optimiser: with its state, its rates now, and its weight decay. They see
the samples of the turn, through augmentation and noise as ever. What other tricks add to the discriminator's turns
(penalties, clipping) is not part of them. If the player of a discriminator has several, each takes its steps on the
loss of its own games. With several processes each one takes steps on its own samples; with ``accumulate`` on those of
the micro-batch.

Differences from well-known code: the authors' demonstration uses Adam with a rate ten times below the generator's
(1e-4, 1e-3), five steps and ``saddle``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Experiment, Reason, Refusal, Round, Scheduled, Turn, hookimpl


class Unrolling:
    """In the generator's turns, puts the discriminator's weights after some differentiable steps in its place."""

    strength: ClassVar[str] = "steps"
    remedies: ClassVar[frozenset[str]] = frozenset({"mode-collapse", "oscillation", "missing-diversity"})
    provides: ClassVar[frozenset[str]] = frozenset({"unrolled"})
    needs: ClassVar[dict[str, Reason]] = {
        "game": Reason("there is no discriminator whose next steps could be taken", "a variant with a game")
    }
    warns: ClassVar[dict[str, Reason]] = {
        "several-processes": Reason(
            "each process looks ahead on its own samples alone, a smaller batch than the discriminator's",
            "larger batches",
        ),
        "accumulated": Reason(
            "the steps see one micro-batch, a smaller batch than the discriminator's", "train.accumulate: 1"
        ),
    }

    def __init__(
        self,
        *,
        steps: Annotated[
            Scheduled, Field(ge=0, description="how many steps ahead, a whole number (rounded)")
        ] = Scheduled(5),
        objective: Annotated[
            Literal["loss", "saddle"],
            Field(description="what the generator minimises then: its loss, or minus the discriminator's"),
        ] = "loss",
        through: Annotated[bool, Field(description="whether the gradient goes through the steps")] = True,
    ) -> None:
        self.steps = steps
        self.saddle = objective == "saddle"
        self.through = through

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        for game in experiment.games:
            if game.against and not hasattr(experiment.optimizers[game.player], "differentiable_step"):
                raise Refusal(
                    f"the optimiser of player {game.player} offers no differentiable step, "
                    "so there is no gradient through its steps",
                    f"players.{game.player}.optimizer: adam, adamax, rmsprop or sgd",
                )

    def cost(self, experiment: Experiment) -> float:
        """A step ahead, differentiated twice, costs about 1.2 plain steps of both players, and 0.6 without that."""
        return 1 + (1.2 if self.through else 0.6) * max(self.steps.values)

    @hookimpl
    def generated(self, turn: Turn) -> None:
        for name, rounds in rounds_against(turn).items():
            count = round(turn.now(self.steps))
            unrolled = self._unrolled(turn, name, rounds, count)
            if count > 0:  # before any step it is the discriminator itself, with its buffers
                turn.overrides[name] = unrolled

    @hookimpl
    def losses(self, turn: Turn) -> None:
        if not self.saddle:
            return
        for name, rounds in rounds_against(turn).items():
            for round in rounds:
                game = round.game
                for replaced in [key for key, term in turn.terms.items() if term.game == game.name]:
                    del turn.terms[replaced]
                value = -turn.discriminator_loss(round, overrides=turn.overrides.get(name))
                turn.add(f"{game.name}.saddle", value, turn.now(game.weight.get("generator", 1.0)), game=game.name)

    def _unrolled(self, turn: Turn, name: str, rounds: list[Round], count: int) -> dict[str, Tensor]:
        """The parameters of a discriminator, by name, after ``count`` steps; only those of its player."""
        player = rounds[0].game.player
        owned = {id(parameter) for parameter in turn.trained(player)}
        held = {key: p for key, p in turn.networks[name].named_parameters() if id(p) in owned}
        ahead = Ahead(turn, player, list(held.values()))
        for _ in range(count):
            leaves = ahead.leaves(self.through)
            overrides = dict(zip(held, leaves))
            loss = torch.stack([turn.discriminator_loss(round, overrides=overrides) for round in rounds]).sum()
            with turn.full_precision():
                ahead.step(torch.autograd.grad(loss, leaves, create_graph=self.through, allow_unused=True))
        return dict(zip(held, ahead.parameters if self.through else [p.detach() for p in ahead.parameters]))


class Ahead:
    """Some parameters of a player and their states, on their way ahead. The player's optimiser is left alone."""

    def __init__(self, turn: Turn, player: str, held: list[nn.Parameter]) -> None:
        optimizer = turn.optimizer(player)
        self.part: Any = optimizer.part
        groups = optimizer.torch.param_groups
        options = optimizer.options(turn.step)  # its own turn of this step may be yet to come
        self.groups = [{**group, **options} for group in groups]
        places = {id(parameter): place for place, group in enumerate(groups) for parameter in group["params"]}
        self.places = [places[id(parameter)] for parameter in held]
        state = optimizer.torch.state
        self.states: list[dict[str, Tensor]] = [dict(state.get(parameter, {})) for parameter in held]
        self.parameters: list[Tensor] = [parameter.detach() for parameter in held]

    def leaves(self, through: bool) -> list[Tensor]:
        """The parameters, to be differentiated: detached from former steps, unless the gradient goes through them."""
        self.parameters = [p if through and p.requires_grad else p.detach().requires_grad_() for p in self.parameters]
        return self.parameters

    def step(self, gradients: tuple[Tensor | None, ...]) -> None:
        """One step. As in torch's, a parameter without a gradient stays as it is."""
        for place, group in enumerate(self.groups):
            moving = [i for i, gradient in enumerate(gradients) if gradient is not None and self.places[i] == place]
            stepped, states = self.part.differentiable_step(
                group,
                [self.states[i] for i in moving],
                [self.parameters[i] for i in moving],
                [gradients[i] for i in moving],
            )
            for i, parameter, state in zip(moving, stepped, states):
                self.parameters[i], self.states[i] = parameter, state


def rounds_against(turn: Turn) -> dict[str, list[Round]]:
    """Discriminator -> the rounds in which it scores the turn's player; none in a regularisation phase."""
    found: dict[str, list[Round]] = {}
    for round in turn.rounds if not turn.phase.lazy else ():
        if round.side == "generator":
            found.setdefault(round.game.discriminator, []).append(round)
    return found


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "unrolling", Unrolling)
