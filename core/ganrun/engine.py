"""The training step, for any variant: it takes turns and knows no GAN by name.

    step: the due phases, in moves; of each move first every turn is taken, then every turn's player is updated
    take: phase_start; fakes; rounds; generated; scores of the rounds; terms; losses; backward
    update: average the gradients; gradients; optimiser step; updated
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganrun.calls import discriminate
from ganrun.fakes import Fakes
from ganrun.game import Call, Phase, Round, Stream, Term, Turn
from ganrun.randomness import Draws
from ganrun.readers import Readers

if TYPE_CHECKING:
    from ganrun.build import Experiment


class Engine:
    """Owns the optimisers and the order of events of one experiment on one process.

    ``step(t)`` goes through the due phases. ``take`` runs one turn up to its gradients, ``update`` applies them.
    """

    def __init__(self, experiment: Experiment, *, attempt: int = 0) -> None:
        self.experiment = experiment
        self.processes = experiment.processes
        self.device = experiment.processes.device
        self.settings = experiment.recipe.train
        self.hooks: Any = experiment.hooks
        self.variant: Any = experiment.variant
        self.loss: Any = experiment.loss
        self.sampler: Any = experiment.sampler
        self.clock = experiment.clock
        self.attempt = attempt
        self.parts = self.processes.world * self.settings.accumulate
        self.modules = experiment.modules
        self.callable: dict[str, Any] = {
            name: torch.compile(module) if self.settings.compile else module for name, module in self.modules.items()
        }
        self.parameters = {name: experiment.parameters(player) for name, player in experiment.players.items()}
        self.optimizers = {name: experiment.optimizers[name].make(list(p)) for name, p in self.parameters.items()}
        self.readers = Readers(experiment, self.parts)
        self.fakes = Fakes(self)
        self.terms: dict[str, dict[str, Tensor]] = {}
        self._games = {game.name: game for game in experiment.games}
        self._trained: frozenset[str] | None = None
        self._schedule: dict[str, float] = {}

    # --- the step -------------------------------------------------------------------------------------------

    def step(self, step: int) -> None:
        """Train one step, counted from 0."""
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

    def moves(self, step: int) -> Iterator[list[tuple[Phase, int]]]:
        """The due phases in order; neighbours with one ``together`` name are one move, repeats are moves of their own."""
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
        self._apply_rate(phase.player, optimizer, step)
        logged: dict[str, Tensor] = {}
        for micro in range(self.settings.accumulate):
            part = micro * self.processes.world + self.processes.rank
            draws = Draws((self.settings.seed, self.attempt, step, phase.name, repeat), part, self.parts, self.device)
            turn = Turn(
                self, phase, step=step, repeat=repeat, micro=micro, draws=draws, modules=self.callable, batch_size=self.settings.batch_size
            )
            self.hooks.phase_start(turn=turn)
            if turn.skip and micro == 0:  # a turn is skipped as a whole
                return turn
            with self.processes.autocast():
                self.play(turn, later)
            self.backward(turn)
            for name, term in turn.terms.items():
                share = term.value.detach()
                if self.settings.accumulate > 1:
                    share = share / self.settings.accumulate + logged.get(name, 0.0)
                logged[name] = share
        self.terms[phase.name] = logged
        self.readers.turn_ended()
        return turn

    def play(self, turn: Turn, later: Sequence[Phase]) -> None:
        """Everything of a turn that comes before its backward pass: make, discriminate, collect the terms."""
        self.fakes.fill(turn, later)
        turn.rounds = self.rounds(turn)
        self.hooks.generated(turn=turn)
        if turn.phase.terms is not None:
            for name, term in turn.phase.terms(turn).items():
                turn.terms[name] = Term(term.value, term.weight * turn.phase.every)
            return
        for round in turn.rounds:
            self.score(turn, round)
        turn.terms.update(self.variant.terms(turn))
        self.hooks.losses(turn=turn)

    def update(self, turn: Turn) -> None:
        """Average the gradients of the turn's player and apply them."""
        self.processes.average_gradients(self.parameters[turn.player])
        self.hooks.gradients(turn=turn)
        self.optimizers[turn.player].step()
        self.hooks.updated(turn=turn)

    # --- inside a turn --------------------------------------------------------------------------------------

    def rounds(self, turn: Turn) -> list[Round]:
        """The games this turn's player takes part in, with their streams; cut on the discriminator's side."""
        streams = self.variant.streams(turn) if self._games else {}
        rounds = []
        for name, game in self._games.items():
            side = game.side(turn.player)
            if side is None or name not in streams:
                continue
            if side == "discriminator":
                for stream in streams[name]:
                    stream.x = stream.x.detach()
                    stream.given = tuple(tensor.detach() for tensor in stream.given)
            rounds.append(Round(game, side, list(streams[name])))
        return rounds

    def score(self, turn: Turn, round: Round) -> None:
        """Send a round's streams through its discriminator and turn the loss's values into terms."""
        calls = [Call(round, s.x, s.role, s.given, weight=s.weight) for s in round.streams]
        overrides = turn.overrides.get(round.game.discriminator)
        outputs = discriminate(turn, calls, leaf=[s.leaf for s in round.streams], overrides=overrides)
        for stream, output in zip(round.streams, outputs):
            stream.output = output
        if round.side == "watcher":
            return
        if round.side == "discriminator":
            values = self._discriminator_values(turn, round)
        elif round.game.symmetric:
            values = self.loss.discriminator(_swapped(round, self.loss))
        else:
            values = self.loss.generator(round)
        weight = round.game.weight.get(round.side, 1.0)
        for name, (stream, value) in zip(_names(round, list(values)), values.items()):
            turn.terms[name] = Term(_reduce(value, stream), weight)

    def _discriminator_values(self, turn: Turn, round: Round) -> Mapping[Stream, Tensor]:
        if "targets" in self.loss.provides:
            for stream in round.streams:
                stream.target = torch.full_like(stream.logits, self.loss.targets(stream.role), requires_grad=False)
            self.hooks.targets(turn=turn, round=round)
        values: Mapping[Stream, Tensor] = self.loss.discriminator(round)
        return values

    def backward(self, turn: Turn) -> None:
        """Backpropagate the sum of weight * value. Raises RuntimeError if there is none: the player would learn nothing."""
        if not turn.terms:
            raise RuntimeError(f"phase {turn.phase.name} has no term: the variant, the loss and the tricks gave {turn.player} nothing to minimise")
        values = [t.value if isinstance(t.weight, int | float) and t.weight == 1 else t.weight * t.value for t in turn.terms.values()]
        total = sum(values[1:], start=values[0])
        (total / self.settings.accumulate if self.settings.accumulate > 1 else total).backward()

    def wants(self, turn: Turn, game: str, role: str) -> bool:
        """Whether a turn needs a stream of a role in a game: what its side's loss sees, and what tricks asked for."""
        side = self._games[game].side(turn.player)
        if role in turn.wanted:
            return True
        if turn.phase.terms is not None or side is None:
            return False
        if side == "discriminator" or role == "fake":
            return True
        return side == "generator" and bool(self.loss.real_in_generator or self._games[game].symmetric)

    # --- seeds, rates, parameters ---------------------------------------------------------------------------

    def seed_forward(self, turn: Turn) -> None:
        """Seed torch's global generator, which dropout uses, by the turn's key and our part of the batch."""
        seed = turn.draws.forward_seed()
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

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

    def _apply_rate(self, player: str, optimizer: torch.optim.Optimizer, step: int) -> None:
        rate = self.experiment.optimizers[player].lr.at(step, self.clock)
        if self._schedule.get(player) != rate:
            self._schedule[player] = rate
            for group in optimizer.param_groups:
                group["lr"] = rate

    def mean_over_processes(self, tensor: Tensor) -> Tensor:
        """The mean of a tensor over all processes, without a gradient."""
        return self.processes.mean(tensor.detach())


def _reduce(values: Tensor, stream: Stream) -> Tensor:
    """(B, ...) -> scalar: the weighted sum over samples, each the mean of its patches, divided by the number of rows."""
    assert stream.output is not None
    weight = stream.output.weight
    if isinstance(weight, int | float) and weight == 1:
        return values.mean()
    per_sample = values.flatten(1).mean(1) if values.dim() > 1 else values  # (B,)
    return (per_sample * weight).sum() / per_sample.shape[0]


def _names(round: Round, streams: list[Stream]) -> list[str]:
    """A term's name for each stream: game.role, or game.name, numbered where a name comes twice."""
    names: list[str] = []
    for stream in streams:
        name = f"{round.game.name}.{stream.name or stream.role}"
        names.append(name if name not in names else f"{name}{len(names)}")
    return names


def _swapped(round: Round, loss: Any) -> Round:
    """The round of a symmetric game as the other side sees it: real and fake change places, targets are made anew."""
    opposite = {"real": "fake", "fake": "real"}
    streams = [
        Stream(s.x, opposite[s.role], s.given, s.weight, s.latent, s.leaf, s.name, s.output)  # type: ignore[arg-type]
        for s in round.streams
    ]
    for stream in streams:
        if (target := loss.targets(stream.role)) is not None:
            stream.target = torch.full_like(stream.logits, target, requires_grad=False)
    return Round(round.game, round.side, streams)
