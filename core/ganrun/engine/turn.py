"""A turn: one phase, once, and what every event of training is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganrun.randomness import Draws
from ganrun.schedule import value_at
from ganrun.words.game import Call, DiscriminatorOutput, Phase, Role, Round, Stream, Term
from ganrun.words.spaces import Space

if TYPE_CHECKING:
    from ganrun.engine.engine import Engine
    from ganrun.schedule import Scheduled


class Turn:
    """One phase, once: what every event of training is given.

    step, repeat, micro: where in the run. player, phase: whose turn it is; no player ("") outside training.
    modules: name -> module, to be called with samples.
    draws: the keyed random numbers of this turn. latents: what ``sample`` drew; drawn: the names of those that are the
    recipe's sampler's. made: what ``make`` generated.
    rounds: the games of this turn. terms: name -> :class:`Term`. notes: what is logged beside them. overrides:
    parameter tensors that stand in for a discriminator's own in this turn's rounds, by module name. A trick may set
    skip, copies (samples per item) and wanted (roles that no loss asks for) at ``phase_start``.
    """

    def __init__(
        self,
        engine: Engine,
        phase: Phase,
        *,
        step: int,
        draws: Draws,
        modules: Mapping[str, torch.nn.Module],
        batch_size: int,
        repeat: int = 0,
        micro: int = 0,
        real: dict[str, Tensor] | None = None,
    ) -> None:
        self.engine = engine
        self.batch_size = batch_size
        self.phase = phase
        self.player = phase.player
        self.step = step
        self.repeat = repeat
        self.micro = micro
        self.draws = draws
        self.modules = modules
        self.latents: dict[str, Tensor] = {}
        self.drawn: set[str] = set()
        self.made: dict[str, Tensor] = {}
        self.rounds: list[Round] = []
        self.terms: dict[str, Term] = {}
        self.notes: dict[str, Tensor] = {}
        self.overrides: dict[str, dict[str, Tensor]] = {}
        self.skip = False
        self.copies = 1
        self.wanted: set[str] = set()
        self.seed_of_made = 0
        self._real = real

    @property
    def rows(self) -> int:
        """How many samples this process makes in this turn: the batch size times ``copies``."""
        return self.batch_size * self.copies

    @property
    def real(self) -> dict[str, Tensor]:
        """The real batch, name -> (rows, ...). It is read when first asked for, in an order of the phase's own."""
        if self._real is None:
            self._real = self.engine.readers.read(self)
        return self._real

    def now(self, value: Scheduled | float) -> float:
        """The value of a scheduled number in this step; a plain number is its own."""
        return value_at(value, self.step, self.engine.clock)

    def add(self, name: str, value: Tensor, weight: float | Tensor = 1.0, *, game: str = "") -> None:
        """Add a term under a name, numbered from 2 on if it is taken: two instances of a trick have a term each."""
        free, number = name, 1
        while free in self.terms:
            number += 1
            free = f"{name}{number}"
        self.terms[free] = Term(value, weight, game)

    def draw_latent(self, name: str, space: Space) -> Tensor:
        """Draw latents (rows, *shape) from the recipe's sampler, and keep them as ``latents[name]``."""
        self.latents[name] = self.engine.sampler.sample(self.draws, name, self.rows, space)
        self.drawn.add(name)
        return self.latents[name]

    def draw_labels(self, name: str, space: Space) -> Tensor:
        """Draw labels (rows, *shape) int64, and keep them as ``latents[name]``. Copies of an item share theirs.

        All classes are equally likely, unless the recipe's sampler has a say in it (its method ``labels``).
        """
        assert space.kind == "labels", f"{name}: {space} has no labels"
        sampler, n = self.engine.sampler, self.batch_size
        if hasattr(sampler, "labels"):
            labels: Tensor = sampler.labels(self.draws, name, n, space)
        else:
            labels = self.draws.integers(name, space.classes, n, *space.shape)
        self.latents[name] = labels if self.copies == 1 else labels.repeat_interleave(self.copies, 0)
        return self.latents[name]

    def wants(self, game: str, role: Role) -> bool:
        """Whether this turn needs a stream of this role in this game."""
        return self.engine.wants(self, game, role)

    def streams(self, game: str, role: Role) -> list[Stream]:
        """New streams of a role of a game, whether or not this turn wants them. Nothing has sent them through the game.

        For what a trick compares with: asking for them by ``wanted`` would make them part of the game.
        """
        other = copy(self)
        other._real = self.real
        other.wanted = self.wanted | {role}
        return [stream for stream in self.engine.variant.streams(other)[game] if stream.role == role]

    def discriminate(
        self,
        round: Round,
        x: Tensor,
        given: tuple[Tensor, ...] = (),
        *,
        role: Role,
        tag: str = "adversarial",
        leaf: bool = False,
        through: Sequence[str] | None = None,
        overrides: Mapping[str, Tensor] | None = None,
    ) -> DiscriminatorOutput:
        """Call a round's discriminator: the only way to do so, for variants, losses and tricks alike.

        ``tag`` decides the stages passed: ``adversarial``, ``consistency`` and ``unrolling`` go through augment,
        corrupt and pack, ``penalty`` and ``feature`` through pack alone; ``through`` names others. ``leaf`` cuts x
        and keeps it, before any stage, as ``output.x`` with a gradient wanted. Only adversarial calls may change
        buffers (BatchNorm statistics, the u of spectral normalisation).
        """
        from ganrun.engine.discriminate import discriminate

        call = Call(round, x, role, given, tag)
        return discriminate(self, [call], leaf=[leaf], through=through, overrides=overrides)[0]

    def note(self, name: str, value: Tensor) -> None:
        """Log a scalar beside the terms, such as a probability that adapts. It is not minimised.

        Of several micro-batches the mean is logged; in ``gradients`` and ``updated``, which come once, the value.
        """
        self.notes[name] = value.detach().to(torch.get_default_dtype())

    def score(self, round: Round, output: DiscriminatorOutput) -> Tensor:
        """The discriminator's opinion in the terms of the loss, (B, ...), by sample or patch: larger is more real."""
        from ganrun.engine.rounds import score

        return score(self, round, output)

    def discriminator_loss(self, round: Round, *, overrides: Mapping[str, Tensor] | None = None) -> Tensor:
        """What the discriminator's side would minimise on this round's streams.

        It is differentiable in overrides and streams.

        Real streams are added if the round has none. No buffer and no stream of the round is changed. The calls have
        the tag ``unrolling``.
        """
        from ganrun.engine.rounds import discriminator_loss

        return discriminator_loss(self, round, overrides)

    def remake(self, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the variant makes of other latents and this turn's real items, with the same dropout; no buffer changes.

        Gradients flow as in this turn: to the generators if they are the player's.
        """
        return self.engine.fakes.remake(self, latents)

    def mean_over_processes(self, tensor: Tensor) -> Tensor:
        """The mean of a tensor over all processes, on its device, without a gradient."""
        return self.engine.mean_over_processes(tensor)
