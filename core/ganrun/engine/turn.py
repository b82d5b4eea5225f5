"""A turn: one phase, once, and what every event of training is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer as TorchOptimizer

from ganrun.engine.boundaries import check_scalar, check_shape
from ganrun.randomness import Draws
from ganrun.schedule import value_at
from ganrun.words.game import Call, DiscriminatorOutput, Game, Phase, Player, Role, Round, Stream, Term
from ganrun.words.spaces import Interface, Space

if TYPE_CHECKING:
    from ganrun.contracts.protocols import Loss, Optimizer, Variant
    from ganrun.engine.engine import Engine
    from ganrun.schedule import Clock, Scheduled


class RealBatch(Mapping[str, Tensor]):
    """Real items, name -> (rows, ...), that are read when they are first indexed."""

    def __init__(self, read: Callable[[], Mapping[str, Tensor]]) -> None:
        self._read = read

    def __getitem__(self, name: str) -> Tensor:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    @cached_property
    def _items(self) -> Mapping[str, Tensor]:
        return self._read()


@dataclass
class Reading:
    """The real items of a turn, which its copies share; None until one of them has indexed them."""

    items: Mapping[str, Tensor] | None = None


@dataclass(frozen=True)
class PlayerOptimizer:
    """The optimiser of a player: ``part``, the recipe's plugin, and ``torch``, torch's optimiser that it made.

    options: step -> the entries of torch's parameter groups in that step, such as ``lr``, as lazy phases have them.
    """

    part: Optimizer
    torch: TorchOptimizer
    options: Callable[[int], dict[str, Any]]


class Turn:
    """One phase, once: what every event of training is given.

    step, repeat, micro: where in the run.
    player, phase: whose turn it is; no player ("") outside training.
    in_training: False where samples are made outside training.
    modules: name -> module, to be called with samples.
    draws: the keyed random numbers of this turn.
    latents: what ``sample`` drew; drawn: the names of those that are the recipe's sampler's.
    made: what ``make`` generated.
    rounds: the games of this turn.
    terms: name -> :class:`Term`; notes: what is logged beside them.
    overrides: parameter tensors that stand in for a discriminator's own in this turn's rounds, by module name.
    skip, copies (samples per item), wanted (roles that no loss asks for): a trick may set them at ``phase_start``. The
    first micro-batch decides whether a turn is skipped.
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
        real: Mapping[str, Tensor] | None = None,
        in_training: bool = True,
    ) -> None:
        self._engine = engine
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
        self.in_training = in_training
        self._reading = Reading(real)

    @property
    def real(self) -> Mapping[str, Tensor]:
        """The real batch, name -> (rows, ...). It is read when it is first indexed, in an order of the phase's own."""
        # A new mapping each time: one that the turn kept would be a cycle, and hold the turn's graph.
        return RealBatch(self._read) if self._reading.items is None else self._reading.items

    def _read(self) -> Mapping[str, Tensor]:
        if self._reading.items is None:
            self._reading.items = self._engine.readers.read(self)
        return self._reading.items

    # --- what the turn is part of ---------------------------------------------------------------------------

    @property
    def clock(self) -> Clock:
        """What durations are measured against, such as ``self.start.steps(turn.clock)``."""
        return self._engine.clock

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        return self._engine.device

    @property
    def variant(self) -> Variant:
        """The variant of the run."""
        return self._engine.variant

    @property
    def games(self) -> dict[str, Game]:
        """Name -> game: all games of the run, also those that are not played in this turn."""
        return {game.name: game for game in self._engine.experiment.games}

    @property
    def players(self) -> dict[str, Player]:
        """Name -> player: all players of the run."""
        return self._engine.experiment.players

    @property
    def outputs(self) -> tuple[str, ...]:
        """The entries of ``made`` that imitate an entry of the data: ``Description.outputs``."""
        return self._engine.experiment.description.outputs

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Name -> network as it was built, uncompiled, for its layers. ``modules`` are what is called."""
        return self._engine.modules

    @property
    def interfaces(self) -> dict[str, Interface]:
        """Name of a network -> what is asked of it."""
        networks = self._engine.experiment.description.networks
        return {name: network.interface for name, network in networks.items()}

    def loss(self, game: str) -> Loss:
        """The loss that a game is played with, by the game's name."""
        return self._engine.experiment.loss(game)

    def parameters(self, player: str = "") -> list[nn.Parameter]:
        """The parameters of a player, each once, in a fixed order; by default those of the turn's player."""
        return self._engine.parameters[player or self.player]

    def trained(self, player: str = "") -> list[nn.Parameter]:
        """Those of :meth:`parameters` that are not frozen in this step: for what changes weights or gradients."""
        return self._engine.freezing.trained(player or self.player, self.parameters(player))

    def optimizer(self, player: str = "") -> PlayerOptimizer:
        """The optimiser of a player; by default of the turn's player."""
        engine, name = self._engine, player or self.player
        part, made = engine.experiment.optimizers[name], engine.optimizers[name]
        return PlayerOptimizer(part, made, lambda step: engine.options(name, step))

    def full_precision(self) -> AbstractContextManager[Any]:
        """A context without mixed precision."""
        return torch.autocast(self.device.type, enabled=False)

    # --- numbers --------------------------------------------------------------------------------------------

    @property
    def rows(self) -> int:
        """How many samples this process makes in this turn: the batch size times ``copies``."""
        return self.batch_size * self.copies

    def now(self, value: Scheduled | float) -> float:
        """The value of a scheduled number in this step; a plain number is its own."""
        return value_at(value, self.step, self._engine.clock)

    def add(self, name: str, value: Tensor, weight: float | Tensor = 1.0, *, game: str = "") -> None:
        """Add a term under a name, numbered from 2 on if it is taken: two instances of a trick have a term each."""
        check_scalar(name, value)
        free, number = name, 1
        while free in self.terms:
            number += 1
            free = f"{name}{number}"
        self.terms[free] = Term(value, weight, game)

    def draw_latent(self, name: str, space: Space) -> Tensor:
        """Draw latents (rows, *shape) from the recipe's sampler, and keep them as ``latents[name]``."""
        latent: Tensor = self._engine.sampler.sample(self.draws, name, self.rows, space)
        check_shape(self._engine.sampler, "sample", latent, (self.rows, *space.shape))
        self.latents[name] = latent
        self.drawn.add(name)
        return latent

    def draw_labels(self, name: str, space: Space) -> Tensor:
        """Draw labels (rows, *shape) int64, and keep them as ``latents[name]``. Copies of an item share theirs.

        All classes are equally likely, unless the recipe's sampler draws labels itself (its method ``labels``).
        """
        assert space.kind == "labels", f"{name}: {space} has no labels"
        sampler, n = self._engine.sampler, self.batch_size
        if hasattr(sampler, "labels"):
            labels: Tensor = sampler.labels(self.draws, name, n, space)
            check_shape(sampler, "labels", labels, (n, *space.shape))
        else:
            labels = self.draws.integers(name, space.classes, n, *space.shape)
        self.latents[name] = labels if self.copies == 1 else labels.repeat_interleave(self.copies, 0)
        return self.latents[name]

    def wants(self, game: str, role: Role) -> bool:
        """Whether this turn needs a stream of this role in this game."""
        return self._engine.wants(self, game, role)

    def streams(self, game: str, role: Role) -> list[Stream]:
        """New streams of a role of a game, whether or not this turn wants them. They have no output yet.

        For what a trick compares with: asking for them by ``wanted`` would make them part of the game.
        """
        from ganrun.engine.rounds import streams_of

        return [stream for stream in streams_of(self._copy(wanted=self.wanted | {role}))[game] if stream.role == role]

    # --- other turns like this one --------------------------------------------------------------------------

    def part(self, rows: slice) -> Self:
        """Some rows of this turn: its latents, what was made and the real item of each, once for each of its copies.

        It draws what this turn would.
        """
        made, latents = ({name: x[rows] for name, x in found.items()} for found in (self.made, self.latents))
        count = len(range(self.rows)[rows])
        real = RealBatch(lambda: {name: x.repeat_interleave(self.copies, 0)[rows] for name, x in self.real.items()})
        return self._copy(latents=latents, made=made, _reading=Reading(real), batch_size=count, copies=1)

    def with_latents(self, latents: Mapping[str, Tensor]) -> Self:
        """This turn with other latents (by name, the rest stay) and with what the variant makes of them.

        Real items and dropout are this turn's; no buffer changes. Gradients flow as in this turn: to the generators if
        they are the player's.
        """
        modules: dict[str, Any] = {name: _with_own_buffers(module) for name, module in self._engine.modules.items()}
        other = self._copy(latents={**self.latents, **latents}, made={}, modules=modules)
        self._engine.seed_forward(self, self.seed_of_made)
        self.variant.make(other)
        return other

    def fresh(self, draws: Draws, real: Mapping[str, Tensor] | None = None) -> Self:
        """A turn like this one in which nothing is drawn or made yet; of other real items, if some are given."""
        size = {} if real is None else {"batch_size": len(next(iter(real.values()))), "copies": 1}
        reading = self._reading if real is None else Reading(real)
        return self._copy(draws=draws, latents={}, made={}, drawn=set(), wanted=set(), _reading=reading, **size)

    def remake(self, latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the variant makes of other latents: ``made`` of :meth:`with_latents`."""
        return self.with_latents(latents).made

    def _copy(self, **changes: Any) -> Self:
        """A turn like this one, with draws and modules in common, and rounds, terms and notes of its own."""
        other = copy(self)
        fresh = {"rounds": [], "terms": {}, "notes": {}, "drawn": set(self.drawn), "wanted": set(self.wanted)}
        other.__dict__.update(fresh | {"latents": dict(self.latents), "made": dict(self.made)} | changes)
        return other

    def keeping_buffers(self, name: str) -> Callable[..., Any]:
        """A module of this turn as a function that leaves its buffers alone, such as running statistics."""
        return _with_own_buffers(self.modules[name])

    # --- discriminators -------------------------------------------------------------------------------------

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
        corrupt and pack, ``penalty`` and ``feature`` through pack alone; ``through`` names others. ``leaf``
        detaches x, before any stage, and keeps it as ``output.x``, which requires a gradient. Only adversarial calls
        may change buffers (BatchNorm statistics, the u of spectral normalisation).
        """
        from ganrun.engine.discriminate import discriminate

        call = Call(round, x, role, given, tag)
        return discriminate(self, [call], leaf=[leaf], through=through, overrides=overrides)[0]

    def send(self, round: Round, streams: Sequence[Stream], *, tag: str = "feature") -> None:
        """Send streams of a round through its discriminator, and keep what it returns as their ``output``."""
        from ganrun.engine.rounds import send

        send(self, round, streams, tag=tag)

    def transform(self, call: Call, stages: Sequence[str] = ("augment",)) -> None:
        """Change ``call.x`` and ``call.given`` as stages on the way to a discriminator do: augment, corrupt, pack."""
        for stage in stages:
            getattr(self._engine.hooks, stage)(turn=self, call=call)

    def note(self, name: str, value: Tensor) -> None:
        """Log a scalar beside the terms, such as a probability that adapts. It is not minimised.

        Of several micro-batches the mean is logged; in ``gradients`` and ``updated``, which come once, the value.
        """
        self.notes[name] = value.detach().to(torch.get_default_dtype())

    def score(self, round: Round, output: DiscriminatorOutput) -> Tensor:
        """The score of an output, (B, ...), as the loss defines it: one a sample or patch, larger is more real."""
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

    def mean_over_processes(self, tensor: Tensor) -> Tensor:
        """The mean of a tensor over all processes, on its device, without a gradient."""
        return self._engine.mean_over_processes(tensor)

    def rows_of_all(self, tensor: Tensor) -> Tensor:
        """(B, ...) of each process -> (processes * B, ...), in their order, without a gradient.

        Those are the rows of one micro-batch: of all of the batch, unless there are several.
        """
        return self._engine.processes.rows_of_all(tensor.detach())


def _with_own_buffers(module: nn.Module) -> Callable[..., Any]:
    """A module as a function that leaves its buffers alone."""
    if next(module.buffers(), None) is None:
        return module
    return lambda *args, **asked: functional_call(module, own_buffers(module), args, asked)


def own_buffers(module: nn.Module) -> dict[str, Tensor]:
    """Copies of a module's buffers, for a forward that must leave them alone."""
    return {name: buffer.clone() for name, buffer in module.named_buffers()}
