"""The training step, for any variant: it takes turns and knows no GAN by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import functional_call

from ganrun.game import Call, DiscriminatorOutput, Phase, Round, Stream, Term, Turn
from ganrun.randomness import Draws, stable_hash

if TYPE_CHECKING:
    from ganrun.build import Experiment
    from ganrun.data import Reader

STAGES: Mapping[str, Sequence[str]] = {
    "adversarial": ("augment", "corrupt", "pack"),
    "consistency": ("augment", "corrupt", "pack"),
    "unrolling": ("augment", "corrupt", "pack"),
    "penalty": ("pack",),
    "feature": ("pack",),
}


@dataclass
class Fakes:
    """What one turn made, kept for the next player's turn of the same step."""

    latents: dict[str, Tensor]
    made: dict[str, Tensor]
    real: dict[str, Tensor] | None
    copies: int
    served: set[str]
    trains: set[str] = field(default_factory=set)


class Engine:
    """Owns optimisers, readers and the order of events of one experiment on one process.

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
        self.readers: dict[str, Reader] = {}
        self.positions: dict[str, int] = {}
        self.terms: dict[str, dict[str, Tensor]] = {}
        self._games = {game.name: game for game in experiment.games}
        self._fakes: dict[int, Fakes] = {}
        self._read: dict[str, int] = {}
        self._trained: frozenset[str] | None = None
        self._schedule: dict[str, float] = {}

    # --- the step -------------------------------------------------------------------------------------------

    def step(self, step: int) -> None:
        """Train one step, counted from 0."""
        self._fakes.clear()
        moves = list(self.moves(step))
        for number, move in enumerate(moves):
            later = [phase for other in moves[number:] for phase, _ in other]
            turns = [self.take(phase, step, repeat, later[place + 1 :]) for place, (phase, repeat) in enumerate(move)]
            for turn in turns:
                if not turn.skip:
                    self.update(turn)
        self._fakes.clear()
        self._advance_readers()

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
            if turn.skip:
                return turn
            with self.processes.autocast():
                self.play(turn, later)
            self.backward(turn)
            for name, term in turn.terms.items():
                share = term.value.detach() / self.settings.accumulate
                logged[name] = logged[name] + share if name in logged else share
        self.terms[phase.name] = logged
        if not self.experiment.description.shared_batch:
            self._advance_readers()
        return turn

    def play(self, turn: Turn, later: Sequence[Phase]) -> None:
        """Everything of a turn that comes before its backward pass: make, discriminate, collect the terms."""
        self.generate(turn, later)
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

    def generate(self, turn: Turn, later: Sequence[Phase] = ()) -> None:
        """Fill latents and made: this step's fakes if this player has not used them yet, fresh ones otherwise."""
        kept = self._fakes.get(turn.micro)
        if kept is not None and turn.player not in kept.served and turn.copies == kept.copies:
            kept.served.add(turn.player)
            turn.latents, turn._real = kept.latents, turn._real or kept.real
            if turn.player in kept.trains:
                turn.made = kept.made
            elif self._is_scored(turn.player):
                self._make(turn, {turn.player})  # same latents, but these fakes need a graph of their own
            else:
                turn.made = _cut(kept.made)
            return
        if not self._wants_fakes(turn):
            return
        self.variant.sample(turn)
        self.hooks.sample(turn=turn)
        heirs = self._heirs(turn, later)
        self._make(turn, heirs or {turn.player})
        if self.experiment.description.reuse_fakes:
            real = turn._real if self.experiment.description.shared_batch else None
            trains = heirs or {turn.player}
            self._fakes[turn.micro] = Fakes(turn.latents, turn.made, real, turn.copies, {turn.player}, trains)
            if turn.player not in trains:
                turn.made = _cut(turn.made)

    def _make(self, turn: Turn, players: set[str]) -> None:
        """Run the generators with a graph for the given players' parameters."""
        self.train_only(players)
        self.seed_forward(turn)
        self.variant.make(turn)
        self.train_only({turn.player})

    def _heirs(self, turn: Turn, later: Sequence[Phase]) -> set[str]:
        """The player whose turn comes next in this step and trains on these fakes: their graph must be kept for it."""
        if not self.experiment.description.reuse_fakes or self.settings.accumulate > 1:
            return set()
        for phase in later:
            if phase.player != turn.player and phase.terms is None:
                return {phase.player} if self._is_scored(phase.player) else set()
        return set()

    def _is_scored(self, player: str) -> bool:
        return any(game.side(player) == "generator" for game in self.experiment.games)

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
        outputs = self.discriminate(turn, calls, leaf=[s.leaf for s in round.streams], overrides=overrides)
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

    def discriminate(
        self, turn: Turn, calls: Sequence[Call], *, leaf: Sequence[bool], through: Sequence[str] | None = None,
        overrides: Mapping[str, Tensor] | None = None,
    ) -> list[DiscriminatorOutput]:  # fmt: skip
        """See :meth:`Turn.discriminate`. Calls of one round may share one forward (``train.batches: joint``)."""
        leaves: list[Tensor | None] = []
        for call, wanted in zip(calls, leaf):
            if wanted:
                call.x = call.x.detach().requires_grad_()
            leaves.append(call.x if wanted else None)
            for stage in STAGES[call.tag] if through is None else through:
                getattr(self.hooks, stage)(turn=turn, call=call)
        adversarial = calls[0].tag == "adversarial"
        if adversarial and self.settings.batches == "joint" and len(calls) > 1:
            outputs = self._forward_jointly(turn, calls, overrides)
        else:
            outputs = [self._forward(turn, call, overrides, call.x, call.given) for call in calls]
        for call, output, x in zip(calls, outputs, leaves):
            output.x = x
            output.weight = call.weight
            self.hooks.discriminator_output(turn=turn, call=call, output=output)
        return outputs

    def _forward(
        self, turn: Turn, call: Call, overrides: Mapping[str, Tensor] | None, x: Tensor, given: tuple[Tensor, ...]
    ) -> DiscriminatorOutput:
        """One forward of a discriminator. Only adversarial calls may change its buffers; penalties run in full precision."""
        name = call.round.game.discriminator
        self.seed_forward(turn)
        if call.tag == "adversarial" and not overrides:
            output: DiscriminatorOutput = turn.modules[name](x, *given)
            return output
        module = self.modules[name]
        state = {key: buffer.clone() for key, buffer in module.named_buffers()} if call.tag != "adversarial" else {}
        if call.tag != "penalty":
            return functional_call(module, {**state, **(overrides or {})}, (x, *given))  # type: ignore[no-any-return]
        with torch.autocast(self.device.type, enabled=False):
            x = x.to(torch.get_default_dtype())
            return functional_call(module, {**state, **(overrides or {})}, (x, *given))  # type: ignore[no-any-return]

    def _forward_jointly(self, turn: Turn, calls: Sequence[Call], overrides: Mapping[str, Tensor] | None) -> list[DiscriminatorOutput]:
        sizes = [call.x.shape[0] for call in calls]
        x = torch.cat([call.x for call in calls])
        given = tuple(torch.cat(tensors) for tensors in zip(*(call.given for call in calls)))
        output = self._forward(turn, calls[0], overrides, x, given)
        logits = output.logits.split(sizes)
        features = [layer.split(sizes) for layer in output.features]
        heads = {name: head.split(sizes) for name, head in output.heads.items()}
        return [
            DiscriminatorOutput(logits[i], [layer[i] for layer in features], {name: head[i] for name, head in heads.items()})
            for i in range(len(calls))
        ]

    def backward(self, turn: Turn) -> None:
        """Backpropagate the sum of weight * value."""
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

    def _wants_fakes(self, turn: Turn) -> bool:
        return turn.phase.terms is None or "fake" in turn.wanted

    # --- data, seeds, rates ---------------------------------------------------------------------------------

    def read(self, turn: Turn) -> dict[str, Tensor]:
        """The real batch of a turn: this process's rows, from the reader of the phase (or of the step)."""
        description = self.experiment.description
        name = "step" if description.shared_batch else turn.phase.name
        rows = turn.batch_size if description.conditional else turn.rows
        if name not in self.readers:
            self.readers[name] = self.experiment.reader(name, rows)
            self.readers[name].position = self.positions.get(name, 0)
        batch = self.readers[name].get(rows, turn.draws.part, self.parts)
        self._read[name] = rows * self.parts
        if description.conditional and turn.copies > 1:
            batch = {key: tensor.repeat_interleave(turn.copies, 0) for key, tensor in batch.items()}
        return batch

    def _advance_readers(self) -> None:
        for name, count in self._read.items():
            self.readers[name].advance(count)
        self._read.clear()

    def seed_forward(self, turn: Turn) -> None:
        """Seed torch's global generator, which dropout uses, by the turn's key and our part of the batch."""
        count = turn.draws.count("forward")
        seed = stable_hash(*turn.draws.key, turn.draws.part, "forward", count)
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


def _cut(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in tensors.items()}


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

