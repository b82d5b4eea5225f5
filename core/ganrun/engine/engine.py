"""The training step, for any variant: it takes turns and knows no GAN by name.

step: the due phases, in moves; of each move first every turn is taken, then every turn's player is updated
take: phase_start; fakes; rounds; generated; scores of the rounds; terms; losses; backward
update: average the gradients; gradients; optimiser step; updated
step_taken comes once, after the last update of the step
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganrun.engine.batches import Readers
from ganrun.engine.boundaries import backward_failed, check_terms, made_optimizer
from ganrun.engine.fakes import Fakes
from ganrun.engine.rounds import play_round, streams_of
from ganrun.engine.step import Step
from ganrun.engine.turn import Turn
from ganrun.errors import UserError
from ganrun.randomness import Draws
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
        self.hooks: Any = experiment.hooks
        self.variant: Any = experiment.variant
        self.sampler: Any = experiment.sampler
        self.clock = experiment.clock
        self.parts = self.processes.world * self.settings.accumulate
        self.modules = experiment.modules
        self.compiled: dict[str, Any] = {
            name: torch.compile(module) if self.settings.compile else module for name, module in self.modules.items()
        }
        self.parameters = {name: experiment.parameters(player) for name, player in experiment.players.items()}
        self.optimizers = {name: made_optimizer(experiment.optimizers[name], p) for name, p in self.parameters.items()}
        self.readers = Readers(experiment, self.parts)
        self.fakes = Fakes(self)
        self.terms: dict[str, dict[str, Tensor]] = {}
        self._games = {game.name: game for game in experiment.games}
        self._trained: frozenset[str] | None = None
        self.paces = {name: pace(experiment.phases, name) for name in experiment.players}

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
        with self.experiment.settings():
            self._step(step)

    def _step(self, step: int) -> None:
        self.fakes.forget()
        moves = list(self.moves(step))
        for number, move in enumerate(moves):
            later = [phase for other in moves[number:] for phase, _ in other]
            turns = [self.take(phase, step, repeat, later[place + 1 :]) for place, (phase, repeat) in enumerate(move)]
            for turn in turns:
                if not turn.skip:
                    self.update(turn)
        self.fakes.forget()
        self.readers.step_ended()
        taken = Step(self, step)
        self.hooks.step_taken(step=taken)
        if taken.notes:
            self.terms["step"] = taken.notes

    def moves(self, step: int) -> Iterator[list[tuple[Phase, int]]]:
        """The due phases in order: neighbours of one ``together`` are one move, repeats are moves of their own."""
        group: list[Phase] = []
        for phase in [phase for phase in self.experiment.phases if phase.due(step)]:
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
        """Run one turn up to its gradients, in micro-batches. Returns the turn of the last micro-batch."""
        self.train_only({phase.player})
        optimizer = self.optimizers[phase.player]
        optimizer.zero_grad(set_to_none=True)
        self._apply_options(phase.player, optimizer, step)
        logged: dict[str, Tensor] = {}
        for micro in range(self.settings.accumulate):
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
            if turn.skip and micro == 0:  # a turn is skipped as a whole
                return turn
            with self.processes.autocast():
                self.play(turn, later)
            self.backward(turn)
            for name, share in [
                *((name, term.value.detach()) for name, term in turn.terms.items()),
                *turn.notes.items(),
            ]:
                if self.settings.accumulate > 1:
                    share = share / self.settings.accumulate + logged.get(name, 0.0)
                logged[name] = share
        self.terms[phase.name] = logged
        turn.notes = {}  # what is noted from here on is added by update
        self.readers.turn_ended()
        return turn

    def play(self, turn: Turn, later: Sequence[Phase]) -> None:
        """Everything of a turn that comes before its backward pass: make, discriminate, collect the terms."""
        self.fakes.fill(turn, later)
        turn.rounds = self.rounds(turn)
        self.hooks.generated(turn=turn)
        if turn.phase.terms is not None:  # a lazy phase
            for name, term in turn.phase.terms(turn).items():
                turn.terms[name] = Term(term.value, term.weight * turn.phase.every)
            return
        for round in turn.rounds:
            play_round(turn, round)
        own = self.variant.terms(turn)
        check_terms(self.variant, "terms", own)
        turn.terms.update(own)
        self.hooks.losses(turn=turn)

    def update(self, turn: Turn) -> None:
        """Average the gradients of the turn's player and apply them."""
        self.processes.average_gradients(self.parameters[turn.player])
        self.hooks.gradients(turn=turn)
        self.optimizers[turn.player].step()
        self.hooks.updated(turn=turn)
        self.terms.setdefault(turn.phase.name, {}).update(turn.notes)

    # --- inside a turn --------------------------------------------------------------------------------------

    def rounds(self, turn: Turn) -> list[Round]:
        """The games this turn's player takes part in, with their streams; cut on the discriminator's side."""
        lazy = turn.phase.lazy
        sides = {name: game.side(turn.player) for name, game in self._games.items() if lazy or turn.phase.plays(name)}
        streams = streams_of(turn) if sides else {}
        rounds = []
        for name, side in sides.items():
            if side is None or name not in streams:
                continue
            if side == "discriminator":
                for stream in streams[name]:
                    stream.detach()
            rounds.append(Round(self._games[name], side, list(streams[name]), turn.now, turn))
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
        return side == "generator" and bool(self.experiment.loss(game).real_in_generator or self._games[game].symmetric)

    # --- seeds, rates, parameters ---------------------------------------------------------------------------

    def seed_forward(self, turn: Turn, seed: int | None = None) -> int:
        """Seed torch's global generator, which dropout uses, by the turn's key and our part of the batch.

        Returns the seed.
        """
        seed = turn.draws.forward_seed() if seed is None else seed
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        return seed

    def train_only(self, players: set[str]) -> None:
        """Let only these players' parameters require a gradient."""
        wanted = frozenset(players)
        if wanted == self._trained:
            return
        for name, parameters in self.parameters.items():
            if name not in wanted:
                for parameter in parameters:
                    parameter.requires_grad_(False)
        for name in wanted & self.parameters.keys():
            for parameter in self.parameters[name]:
                parameter.requires_grad_(True)
        self._trained = wanted

    def options(self, player: str, step: int) -> dict[str, Any]:
        """What a player's optimiser is given in a step: its rate and what else is scheduled, by entry of its groups."""
        made = self.experiment.optimizers[player]

        def now(value: Scheduled | float) -> float:
            return value_at(value, step, self.clock)

        options = made.options(now) if hasattr(made, "options") else {"lr": now(made.lr)}
        return slowed(options, self.optimizers[player].defaults, self.paces[player])

    def _apply_options(self, player: str, optimizer: torch.optim.Optimizer, step: int) -> None:
        for key, value in self.options(player, step).items():
            for group in optimizer.param_groups:
                if group[key] != value:
                    group[key] = value

    def mean_over_processes(self, tensor: Tensor) -> Tensor:
        """The mean of a tensor over all processes, without a gradient."""
        return self.processes.mean(tensor.detach())


def pace(phases: Sequence[Phase], player: str) -> float:
    """The share of a player's turns that are no regularisation: c = main / (main + lazy), turns a step on average.

    How often a phase with a condition comes is not known, so a player's other phases are counted, if it has some.
    """
    own = [phase for phase in phases if phase.player == player]
    own = (
        [phase for phase in own if phase.when is None]
        if any(phase.when is None and not phase.lazy for phase in own)
        else own
    )
    main = sum(phase.repeats / phase.every for phase in own if not phase.lazy)
    lazy = sum(phase.repeats / phase.every for phase in own if phase.lazy)
    return main / (main + lazy) if main else 1.0


def slowed(options: dict[str, Any], defaults: Mapping[str, Any], c: float) -> dict[str, Any]:
    """Options of an optimiser that takes 1 / c times as many steps: rates times c, decays to the power c."""
    if c == 1:
        return options
    found = {key: defaults[key] for key in ("betas", "alpha", "momentum") if key in defaults} | options
    found["lr"] = c * found["lr"]
    for key in {"alpha", "momentum"} & found.keys():
        found[key] = found[key] ** c
    if "betas" in found:
        found["betas"] = tuple(beta**c for beta in found["betas"])
    return found
