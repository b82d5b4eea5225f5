"""The training step, for any variant: it takes turns and knows no GAN by name.

step: goes through the phases that are due, in groups. Of a group (mostly one phase) first every turn is taken, then
    every turn's player is updated, so that no player of a group sees another's update. Last: step_taken.
take: a turn up to its gradients, for each micro-batch: phase_start, forward, backward.
forward: sample and make, unless fakes are reused; streams; generated; of each game the discriminator and the loss;
    the variant's terms; losses.
update: average the gradients; gradients; optimiser step; updated.

step_taken, optimizer_options, phase_start, sample, generated, losses, gradients and updated are events, at which
tricks act.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

import torch
from torch import Tensor

from ganrun.engine.batches import Readers
from ganrun.engine.boundaries import backward_failed, check_terms, made_optimizer
from ganrun.engine.fakes import Fakes
from ganrun.engine.freezing import Freezing
from ganrun.engine.lazy import Lazy, slowed
from ganrun.engine.rounds import play_round, streams_of
from ganrun.engine.step import Step
from ganrun.engine.turn import Turn
from ganrun.engine.watch import Watch
from ganrun.errors import UserError
from ganrun.experiment.batch_norm import compiled, over_all_processes, synchronised
from ganrun.experiment.capabilities import mixing_games
from ganrun.randomness import Draws, seeded
from ganrun.schedule import value_at
from ganrun.words.game import Phase, Round, Term

if TYPE_CHECKING:
    from ganrun.experiment.experiment import Experiment
    from ganrun.schedule import Scheduled


class Engine:
    """Owns the optimisers and the order of events of one experiment on one process.

    ``step(t)`` goes through the due phases. ``take`` runs one turn up to its gradients, ``update`` applies them.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.processes = experiment.processes
        self.device = experiment.processes.device
        self.settings = experiment.recipe.train
        self.hooks = experiment.hooks
        self.variant = experiment.variant
        self.sampler = experiment.sampler
        self.clock = experiment.clock
        self.parts = self.processes.world * self.settings.accumulate  # of the batch of a turn
        self.modules = experiment.modules
        self.compiled: dict[str, Any] = {
            name: compiled(module) if self.settings.compile else module for name, module in self.modules.items()
        }
        self.parameters = {name: experiment.parameters(player) for name, player in experiment.players.items()}
        self.optimizers = {name: made_optimizer(experiment.optimizers[name], p) for name, p in self.parameters.items()}
        self.readers = Readers(experiment, self.parts)
        self.fakes = Fakes(self)
        self.freezing = Freezing(experiment.frozen)
        self.watch = Watch(experiment)
        self.terms: dict[str, dict[str, Tensor]] = {}  # phase -> what was logged of its last turn
        self._games = {game.name: game for game in experiment.games}
        self._synchronised = synchronised(self.modules.values())
        self._mixing = mixing_games(experiment)
        self._trained: frozenset[str] | None = None
        self.lazy = Lazy(experiment.phases)

    @property
    def attempt(self) -> int:
        """Part of the key of every random number and of the order of the data; 0 until a run is rolled back."""
        return self.readers.attempt

    @attempt.setter
    def attempt(self, attempt: int) -> None:
        self.readers.attempt = attempt

    # --- the step -------------------------------------------------------------------------------------------

    def step(self, step: int) -> None:
        """Train one step, counted from 0."""
        with self.experiment.settings(), over_all_processes(self._synchronised):
            self._step(step)

    def _step(self, step: int) -> None:
        self.fakes.forget()
        groups = list(self.groups(step))
        later = [phase for group in groups for phase, _ in group]  # in the order of their turns
        for group in groups:
            self._train(group, step, later)
            later = later[len(group) :]
        self.fakes.forget()
        self.readers.step_ended()
        whole = Step(self, step)
        self.hooks.step_taken(step=whole)
        if whole.notes:
            self.terms["step"] = whole.notes

    def _train(self, group: Sequence[tuple[Phase, int]], step: int, due: Sequence[Phase]) -> None:
        """Take the turns of a group, then update their players. due: the phases of the group and of those after it."""
        turns = [self.take(phase, step, repeat, due[i:]) for i, (phase, repeat) in enumerate(group, start=1)]
        for turn in turns:
            if not turn.skip:
                self.update(turn)

    def due(self, step: int) -> list[Phase]:
        """The phases of a step, in order."""
        return [phase for phase in self.experiment.phases if self.lazy.due(phase, step)]

    def groups(self, step: int) -> Iterator[list[tuple[Phase, int]]]:
        """The due phases in order, each with the number of its repeat.

        Neighbours with one ``together`` name are a group; every repeat of a group is a group of its own.
        """
        group: list[Phase] = []
        for phase in self.due(step):
            if group and not (phase.together and phase.together == group[0].together):
                yield from self._repeated(group)
                group = []
            group.append(phase)
        yield from self._repeated(group)

    @staticmethod
    def _repeated(group: list[Phase]) -> Iterator[list[tuple[Phase, int]]]:
        for repeat in range(group[0].repeats if group else 0):
            yield [(phase, repeat) for phase in group]

    def take(self, phase: Phase, step: int, repeat: int, later: Sequence[Phase]) -> Turn:
        """Run one turn up to its gradients, in micro-batches. Returns the turn of the last micro-batch.

        later: the phases that are still to come in this step. The next of them may train on this turn's fakes, which
        are then made with its player's graph; see :class:`Fakes`.
        """
        if self.freezing.frozen and self.freezing.moves_to(step):
            self._trained = None
        self.train_only({phase.player})
        optimizer = self.optimizers[phase.player]
        for parameter in self.parameters[phase.player]:  # torch's zero_grad takes 30 microseconds
            parameter.grad = None
        self._apply_options(phase.player, optimizer, step)
        logged: dict[str, Tensor] = {}
        for micro in range(self.settings.accumulate):
            # Micro-batches of all processes are the parts of one batch. Every part draws the whole batch's numbers and
            # keeps its rows, so that the samples of a step do not depend on how the batch is divided.
            part = micro * self.processes.world + self.processes.rank
            draws = Draws((self.settings.seed, self.attempt, step, phase.name, repeat), part, self.parts, self.device)
            turn = Turn(
                self,
                phase,
                step=step,
                repeat=repeat,
                micro=micro,
                draws=draws,
                modules=self.compiled,
                batch_size=self.settings.batch_size,
            )
            self.hooks.phase_start(turn=turn)
            # The first micro-batch decides: a turn is skipped as a whole, before it has any gradient.
            if turn.skip and micro == 0:
                return turn
            with self.processes.autocast():
                self.forward(turn, later)
            if turn.skip and self.settings.accumulate > 1:
                raise RuntimeError(
                    f"phase {phase.name}: turn.skip was set in micro-batch {micro} after the turn had begun; set it in "
                    "phase_start of the first (turn.micro == 0), which decides for all"
                )
            self.backward(turn)
            self._log(turn, logged)
        self.terms[phase.name] = logged
        turn.notes = {}  # what is noted from here on is added by update
        self.readers.turn_ended()
        return turn

    def _log(self, turn: Turn, logged: MutableMapping[str, Tensor]) -> None:
        """Add a micro-batch's terms and notes to what is logged of the turn: their means over the micro-batches."""
        values = [*((name, term.value.detach()) for name, term in turn.terms.items()), *turn.notes.items()]
        for name, value in values:
            if self.settings.accumulate > 1:
                value = value / self.settings.accumulate + logged.get(name, 0.0)
            logged[name] = value

    def forward(self, turn: Turn, later: Sequence[Phase]) -> None:
        """Everything of a turn that comes before its backward pass: make, discriminate, collect the terms."""
        self.fakes.fill(turn, later)
        turn.rounds = self.rounds(turn)
        self.hooks.generated(turn=turn)
        # A lazy phase plays no game. Its terms weigh as much more as its player has turns until it comes again, so that
        # over time they pull as they would in each of them.
        if turn.phase.terms is not None:
            weight = self.lazy.weight(turn.phase, turn.step)
            for name, term in turn.phase.terms(turn).items():
                turn.terms[name] = Term(term.value, term.weight * weight)
            return
        for round in turn.rounds:
            play_round(turn, round)
        own = self.variant.terms(turn)
        check_terms(self.variant, "terms", own)
        turn.terms.update(own)
        self.hooks.losses(turn=turn)  # last, so that a trick finds every other term

    def update(self, turn: Turn) -> None:
        """Average the gradients of the turn's player and apply them."""
        self.processes.average_gradients(self.parameters[turn.player])
        self.hooks.gradients(turn=turn)
        self.freezing.drop_gradients(turn.player)
        self.watch.saw(turn.step, turn.phase.name, turn.player, tuple(turn.terms), self.terms[turn.phase.name])
        self.optimizers[turn.player].step()
        self.hooks.updated(turn=turn)
        self.terms.setdefault(turn.phase.name, {}).update(turn.notes)

    # --- inside a turn --------------------------------------------------------------------------------------

    def rounds(self, turn: Turn) -> list[Round]:
        """The games this turn's player takes part in, with their streams; detached on the discriminator's side.

        A regularisation phase plays none, but its terms may need the streams, such as the real ones of R1.
        """
        lazy = turn.phase.lazy
        sides = {name: game.side(turn.player) for name, game in self._games.items() if lazy or turn.phase.plays(name)}
        streams = streams_of(turn) if sides else {}
        now = partial(value_at, step=turn.step, clock=self.clock)
        rounds = []
        for name, side in sides.items():
            if side is None or name not in streams:
                continue
            # Behind the fakes there may be the graph that the generator's turn is to use. The discriminator's backward
            # pass must not run into it: it would spend time there, and free it.
            if side == "discriminator":
                for stream in streams[name]:
                    stream.detach()
            rounds.append(Round(self._games[name], side, list(streams[name]), now, ref(turn)))
        return rounds

    def backward(self, turn: Turn) -> None:
        """Backpropagate the sum of weight * value.

        Raises RuntimeError if there is none: the player would learn nothing.
        """
        if not turn.terms:
            raise RuntimeError(
                f"phase {turn.phase.name} has no term: "
                f"the variant, the loss and the tricks gave {turn.player} nothing to minimise"
            )
        values = [
            t.value if isinstance(t.weight, int | float) and t.weight == 1 else t.weight * t.value
            for t in turn.terms.values()
        ]
        total = sum(values[1:], start=values[0])
        try:
            (total / self.settings.accumulate if self.settings.accumulate > 1 else total).backward()
        except (UserError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # what a plugin's own gradient raises may be of any kind
            raise backward_failed(turn, error) from error

    def wants(self, turn: Turn, game: str, role: str) -> bool:
        """Whether a turn needs a stream of a role in a game: what its side's loss sees, and what tricks asked for."""
        side, plays = self._games[game].side(turn.player), turn.phase.plays(game)
        if role in turn.wanted and (plays or turn.phase.lazy):
            return True
        if side is None or not plays:
            return False
        if side == "discriminator" or role == "fake":
            return True
        if side != "generator":
            return False
        shared = game in self._mixing  # in the discriminator's turn, so a fake has to be seen beside real samples here
        return bool(shared or self.experiment.loss(game).real_in_generator or self._games[game].symmetric)

    # --- seeds, rates, parameters ---------------------------------------------------------------------------

    def seed_forward(self, turn: Turn, seed: int | None = None) -> int:
        """Seed torch's global generator, which dropout uses, by the turn's key and this process's part of the batch.

        seed: one that was returned before, to repeat its dropout. Returns the seed.
        """
        seed = turn.draws.forward_seed() if seed is None else seed
        seeded(torch.default_generator, seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        return seed

    def train_only(self, players: set[str]) -> None:
        """Let only these players' parameters require a gradient, as far as they are not frozen."""
        wanted = frozenset(players)  # turned on last: players may share parameters
        if wanted == self._trained:
            return
        for name, parameters in self.parameters.items():
            if name not in wanted:
                for parameter in parameters:
                    parameter.requires_grad_(False)
        for name in wanted & self.parameters.keys():
            for parameter in self.freezing.trained(name, self.parameters[name]):
                parameter.requires_grad_(True)
        self._trained = wanted

    def options(self, player: str, step: int) -> dict[str, Any]:
        """What a player's optimiser is given in a step: its rate and what else is scheduled, by entry of its groups."""
        made = self.experiment.optimizers[player]

        def now(value: Scheduled | float) -> float:
            return value_at(value, step, self.clock)

        options = made.options(now) if hasattr(made, "options") else {"lr": now(made.lr)}
        self.hooks.optimizer_options(player=player, step=step, options=options)
        return slowed(options, self.optimizers[player].defaults, self.lazy.pace(player, step))

    def _apply_options(self, player: str, optimizer: torch.optim.Optimizer, step: int) -> None:
        for key, value in self.options(player, step).items():
            for group in optimizer.param_groups:
                if group[key] != value:
                    group[key] = value

    def mean_over_processes(self, tensor: Tensor) -> Tensor:
        """The mean of a tensor over all processes, without a gradient."""
        return self.processes.mean(tensor.detach())
