"""What gradient penalties share: the slope of a discriminator's score at samples, and where its penalty is paid.

A penalty is a term of the discriminator's player. With ``every: 1`` it joins the sum of the loss, in the loss's own
optimiser step. With ``every: k`` it is lazy (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN",
2020, appendix B): it has a phase of its own behind the player's last one, every k steps, in which the engine weighs it
by the turns that the player has from one to the next (k, if it has one a step), so that it pulls as with ``every: 1``;
the engine slows the player's optimiser down, so that a step's worth of learning stays what it was.

The slope is that of the loss's score: the logits of most losses, the negative of an energy. A patch map counts by its
sum. A pack of samples is one input of the discriminator, so it has one slope. Forward and slope are float32 whatever
the precision of the run (float64 if that is float64), since squares of small gradients vanish in shorter formats.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Experiment, Phase, Reason, Role, Round, Scheduled, Term, Turn, hookimpl

Every = Annotated[
    int,
    Field(
        ge=1,
        description="steps from one penalty to the next; above 1 in a phase of its own, weighted by the turns between",
    ),
]

GAME: dict[str, Reason] = {
    "game": Reason("there is no discriminator whose slope could be penalised", "a variant with a game")
}
BATCH_STATISTICS: dict[str, Reason] = {
    "discriminator:batch-statistics": Reason(
        "each logit depends on every sample of the batch through the batch's mean and variance, "
        "so the gradient of the summed logits at one sample holds parts of all other samples' logits: "
        "it is not the slope of the discriminator at that sample",
        "a discriminator with norm: none, layer or instance",
    )
}
PULLS_APART: dict[str, Reason] = {
    "gradient-penalised": Reason(
        "this penalty pulls slopes to 0, another one of this recipe pulls them to its target", "one of the two"
    )
}
CLIPPED = Reason(
    "clipping bounds the slope already, by the steepest discriminator whose weights fit into its box: "
    "where that is flatter than the target no weights meet the penalty, which then drives each of them "
    "into the wall of the box",
    "one of the two: both are there to bound the slope",
)
LAZY = Reason(
    "between its phases nothing holds the norm at its target, and no published run pays this penalty lazily", "every: 1"
)


class Penalty(ABC):
    """A penalty on the slopes of every discriminator, for its own player.

    A subclass names its terms with ``label`` and the roles of the streams it uses with ``sees``, and computes the
    value of one round in ``penalty``. ``weight`` multiplies that value.
    """

    label: ClassVar[str]
    sees: ClassVar[frozenset[Role]]
    provides: frozenset[str] = frozenset({"slope-bounded"})
    needs: dict[str, Reason] = GAME
    refuses: dict[str, Reason] = BATCH_STATISTICS
    warns: dict[str, Reason] = {}

    def __init__(self, weight: Scheduled, every: int) -> None:
        self.weight = weight
        self.every = every
        self.phases: set[str] = set()
        if every > 1:
            self.provides = self.provides | {"lazy"}
            self.restructures = (
                f"the schedule: a phase of its own every {every} steps, and slower optimisers of discriminators"
            )

    @abstractmethod
    def penalty(self, turn: Turn, round: Round) -> Tensor:
        """The value of one round, a scalar: the mean over its samples, or packs."""

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        if self.every == 1:
            return
        for player in dict.fromkeys(game.player for game in experiment.games):
            taken = {phase.name for phase in experiment.phases}
            phase = Phase(free_name(f"{player}.{self.label}", taken), player, every=self.every, terms=self.terms)
            insert_behind(experiment.phases, phase)
            self.phases.add(phase.name)

    @hookimpl
    def phase_start(self, turn: Turn) -> None:
        if turn.phase.name in self.phases:
            losses = [turn.loss(game.name) for game in turn.games.values() if game.player == turn.player]
            turn.wanted |= self.sees.union(*(getattr(loss, "score_sees", ()) for loss in losses))

    @hookimpl
    def gradients(self, turn: Turn) -> None:
        """In a lazy phase what no slope depends on, such as a last bias, makes its step, too.

        Its rate was slowed down like the others'.
        """
        if turn.phase.name in self.phases:
            for parameter in turn.trained():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)

    @hookimpl
    def losses(self, turn: Turn) -> None:
        if self.every == 1:
            for name, term in self.terms(turn).items():
                turn.add(name, term.value, term.weight)

    def terms(self, turn: Turn) -> dict[str, Term]:
        """A term for each game in which the turn's player is the discriminator's side."""
        return {
            f"{round.game.name}.{self.label}": Term(self.penalty(turn, round), turn.now(self.weight))
            for round in turn.rounds
            if round.side == "discriminator" and all(round.of(role) for role in self.sees)
        }


class AtSamples(Penalty):
    """gamma / 2 * E |grad D(x)|^2 over the samples x of one role, which a subclass names in ``sees``."""

    strength: ClassVar[str] = "gamma"
    warns = PULLS_APART

    def __init__(
        self,
        *,
        gamma: Annotated[Scheduled, Field(ge=0, description="twice the factor of the squared slope")] = Scheduled(10.0),
        augmented: Annotated[
            bool, Field(description="take the gradient through the augmentation that the loss sees")
        ] = True,
        every: Every = 1,
    ) -> None:
        super().__init__(gamma, every)
        self.through = ("augment", "pack") if augmented else ("pack",)

    def penalty(self, turn: Turn, round: Round) -> Tensor:
        (role,) = self.sees
        return squares(at_samples(turn, round, role, through=self.through)).mean() / 2


def slopes(
    turn: Turn,
    round: Round,
    x: Tensor,
    given: tuple[Tensor, ...] = (),
    *,
    role: Role,
    through: Sequence[str] | None = None,
    of: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """The gradient of a discriminator's score at samples x (B, ...), before augmentation.

    (rows, D), a row a sample or pack.

    through: the stages between x and the discriminator, packing alone if None. of: a function of the score (B, ...)
    whose gradient is wanted instead. It can be differentiated again, with respect to the discriminator's parameters.
    """
    with turn.full_precision():
        output = turn.discriminate(
            round,
            full(x),
            tuple(full(tensor) for tensor in given),
            role=role,
            tag="penalty",
            leaf=True,
            through=through,
        )
        score = turn.score(round, output)  # (rows, ...)
        score = score if of is None else of(score)
        assert output.x is not None, "the call asked for a leaf"
        (slope,) = torch.autograd.grad(score.sum(), output.x, create_graph=True)  # (B, ...)
    return slope.reshape(score.shape[0], -1)


def at_samples(
    turn: Turn,
    round: Round,
    role: Role,
    *,
    through: Sequence[str] | None = None,
    of: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """The slopes at all samples of a role, of all its streams: (rows, D). See :func:`slopes`."""
    streams = round.of(role)
    return joined([slopes(turn, round, s.x, s.given, role=role, through=through, of=of) for s in streams])


def between(turn: Turn, round: Round, purpose: str) -> Tensor:
    """The slopes on lines from real samples to fakes: (rows, D). See :func:`interpolates`."""
    found = interpolates(turn, round, purpose)
    return joined([slopes(turn, round, x, given, role="real") for x, given in found])


def joined(pieces: Sequence[Tensor]) -> Tensor:
    """Tensors (B, D) of several streams in one; that of the only stream is left as it is."""
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces))


def norms(slope: Tensor) -> Tensor:
    """(rows, D) -> Euclidean norms (rows,). Where a slope is zero the gradient of its norm is zero, too, and finite."""
    found: Tensor = torch.linalg.vector_norm(slope, dim=1)
    return found


def squares(slope: Tensor) -> Tensor:
    """(rows, D) -> squared Euclidean norms (rows,)."""
    return slope.square().sum(1)


def interpolates(turn: Turn, round: Round, purpose: str) -> list[tuple[Tensor, tuple[Tensor, ...]]]:
    """Points (B, ...) on the lines from real samples to fakes, and what the real ones are given.

    real + e (fake - real), e from U(0, 1) for each; the last samples of a longer stream are left out. The first real
    stream is paired with the first fake one, the second with the second and so on; the shorter list starts again.
    """
    real, fake = round.of("real"), round.of("fake")
    found = []
    for number in range(max(len(real), len(fake))):
        one, other = real[number % len(real)], fake[number % len(fake)]
        rows = min(one.x.shape[0], other.x.shape[0])
        start, end = full(one.x[:rows]), full(other.x[:rows])
        share = per_sample(turn.draws.uniform(purpose, rows), start)  # (B, 1, ...)
        found.append((start + share * (end - start), tuple(tensor[:rows] for tensor in one.given)))
    return found


def per_sample(numbers: Tensor, like: Tensor) -> Tensor:
    """(B,) -> (B, 1, ...) of the number format of samples (B, ...), which they then multiply one each."""
    return numbers.to(like.dtype).reshape(-1, *[1] * (like.dim() - 1))


def full(tensor: Tensor) -> Tensor:
    """A tensor in full precision; whole numbers, such as labels, as they are."""
    return tensor.to(torch.get_default_dtype()) if tensor.is_floating_point() else tensor


def free_name(name: str, taken: set[str]) -> str:
    """The name, numbered from 2 on if it is taken."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}{number}"
    return free


def insert_behind(phases: list[Phase], phase: Phase) -> None:
    """Put a lazy phase behind its player's last phase and its earlier lazy ones, never inside one move."""
    own = [place for place, other in enumerate(phases) if other.player == phase.player and not other.lazy]
    place = own[-1] + 1 if own else len(phases)
    while place < len(phases) and (
        _one_move(phases[place - 1], phases[place]) or _is_lazy_of(phases[place], phase.player)
    ):
        place += 1
    phases.insert(place, phase)


def _one_move(first: Phase, second: Phase) -> bool:
    return bool(first.together) and first.together == second.together


def _is_lazy_of(phase: Phase, player: str) -> bool:
    return phase.player == player and phase.lazy
