"""The words of a training step: players, phases, games, turns, rounds and streams.

A *step* goes through the variant's *phases*. A phase, once, is a *turn* of one *player*: its modules are
trained, everything else is frozen. In a turn each *game* the player takes part in is a *round*: *streams* of real
and fake samples go through the game's discriminator, the loss turns outputs into values, and the values become
*terms*, whose weighted sum is minimised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from ganrun.contracts.protocols import Because, Interface, Space
from ganrun.randomness import Draws

if TYPE_CHECKING:
    from ganrun.engine.engine import Engine
    from ganrun.schedule import Scheduled

Role = Literal["real", "fake"]
Side = Literal["discriminator", "generator", "watcher"]


# --- what a variant describes ---------------------------------------------------------------------------------


@dataclass
class Network:
    """A network the variant asks for. ``kind`` is the recipe key that fills it: ``generator``, ``discriminator`` or ``encoder``."""

    kind: str
    interface: Interface


@dataclass
class Player:
    """Modules that share one optimiser. Dotted names reach submodules; ``without`` leaves some of them out.

    A module may belong to several players, each with an optimiser of its own.
    """

    name: str
    modules: Sequence[str]
    without: Sequence[str] = ()


@dataclass
class Phase:
    """An entry of the schedule: one move of one player.

    It is due every ``every`` steps, and if ``when(step)`` holds; it happens ``repeats`` times. Neighbouring phases
    with one ``together`` name take all their gradients before the first optimiser step. ``games`` names the games that are
    played, None is all of the player's; in a phase of none, such as pretraining, there are the variant's terms alone. A phase
    with ``terms`` is a regularisation phase: it carries its own terms, weighted by ``every``, and no game is played in it.
    """

    name: str
    player: str
    every: int = 1
    repeats: int = 1
    when: Callable[[int], bool] | None = None
    together: str = ""
    games: Sequence[str] | None = None
    terms: Callable[[Turn], dict[str, Term]] | None = None

    def due(self, step: int) -> bool:
        """Whether this phase happens in step ``step``, counted from 0."""
        return step % self.every == 0 and (self.when is None or self.when(step))

    def plays(self, game: str) -> bool:
        """Whether a game is played in this phase, if its player takes part in it."""
        return self.terms is None and (self.games is None or game in self.games)


@dataclass
class Game:
    """A discriminator, the player that trains it, and the players it scores, for the whole run.

    ``space`` is the kind of space the streams' ``x`` lives in. ``weight`` scales the loss's terms by side, and
    ``heads`` names extra outputs of the discriminator. ``logits`` makes the game's logits (B, ...) of a discriminator's
    output where they are not its main one, such as the log of a sum over classes. A ``symmetric`` game (ALI) has no generator's loss of its
    own: it is the discriminator's with the roles swapped.
    """

    name: str
    discriminator: str
    player: str
    against: Sequence[str] = ()
    space: str = "image"
    heads: Sequence[str] = ()
    weight: Mapping[str, float | Scheduled] = field(default_factory=dict)
    logits: Callable[[DiscriminatorOutput], Tensor] | None = None
    symmetric: bool = False
    watchers: Sequence[str] = ()

    def side(self, player: str) -> Side | None:
        """Which side of this game a player is on, None if it takes no part."""
        if player == self.player:
            return "discriminator"
        if player in self.against:
            return "generator"
        return "watcher" if player in self.watchers else None


@dataclass
class Description:
    """What a variant is made of. ``describe`` returns it before anything is built.

    ``networks`` maps a module's name to what is asked of it. ``outputs`` names the entries of ``turn.made`` that
    imitate an entry of the data of the same name: ``("x",)``, or ``("b", "a")`` for a translation both ways.
    ``pairs`` maps entries of ``turn.made`` to the entries of ``turn.real`` that they ought to equal, such as a translation
    there and back: what image distances compare. ``codes`` are the latents that mean something by themselves: labels that a
    generator is asked for, codes to traverse. ``infers`` names what ``infer`` says of real items: class logits (a space of
    labels) or encodings. ``shared_batch`` says that all phases of a step see one real batch. ``reuse_fakes`` says that the
    fakes made in one turn of a step serve the next player's turn, too. ``conditional`` says that fakes are made from real items, so that
    several copies of a sample repeat the item instead of reading more of them.
    """

    networks: dict[str, Network]
    players: list[Player]
    phases: list[Phase]
    games: list[Game] = field(default_factory=list)
    outputs: tuple[str, ...] = ("x",)
    pairs: dict[str, str] = field(default_factory=dict)
    codes: dict[str, Space] = field(default_factory=dict)
    infers: dict[str, Space] = field(default_factory=dict)
    shared_batch: bool = False
    reuse_fakes: bool = False
    conditional: bool = False


def first_value(value: Scheduled | float) -> float:
    """The value a scheduled number begins with: its value outside a run."""
    return float(value) if isinstance(value, int | float) else value.values[0]


# --- what happens in a turn -----------------------------------------------------------------------------------


@dataclass(eq=False)
class DiscriminatorOutput:
    """What a discriminator returns.

    logits: (B, ...) never probabilities: (B,) or (B, 1, H, W) for a patch map. If the loss asks for K > 1 numbers, they lie on
    axis 1: (B, K) or (B, K, H, W).
    features: activations of hidden layers, early ones first.
    heads: further outputs by name, such as class logits (B, K).
    weight: per sample (B,), or one number for all.
    x: the leaf on which a gradient is wanted, if the call asked for one.
    """

    logits: Tensor
    features: Sequence[Tensor] = ()
    heads: dict[str, Tensor] = field(default_factory=dict)
    weight: Tensor | float = 1.0
    x: Tensor | None = None


@dataclass(eq=False)
class Stream:
    """Samples of one role on their way to a discriminator.

    x: what augmentation and noise act on, such as images (B, C, H, W) in [-1, 1].
    given: whatever else the discriminator sees: a condition, a label, the z of ALI.
    weight: per sample (B,), or one number. latent: what a fake was made from; None after a swap from a pool.
    about: what is known of the samples and not shown to the discriminator, such as the label asked for; goes where they go.
    leaf: whether a gradient at x is wanted. output and target are filled in by the engine.
    """

    x: Tensor
    role: Role
    given: tuple[Tensor, ...] = ()
    weight: Tensor | float = 1.0
    latent: Tensor | None = None
    about: dict[str, Tensor] = field(default_factory=dict)
    leaf: bool = False
    name: str = ""
    output: DiscriminatorOutput | None = None
    target: Tensor | None = None

    @property
    def logits(self) -> Tensor:
        """The discriminator's logits for this stream."""
        assert self.output is not None, "this stream has not been through a discriminator yet"
        return self.output.logits


@dataclass(eq=False)
class Call:
    """One call of a discriminator, on its way through augment, corrupt and pack.

    ``tag`` says what the call is for: ``adversarial``, ``consistency``, ``unrolling``, ``penalty`` or ``feature``.
    """

    round: Round
    x: Tensor
    role: Role
    given: tuple[Tensor, ...] = ()
    tag: str = "adversarial"
    weight: Tensor | float = 1.0


@dataclass(eq=False)
class Term:
    """A scalar to be minimised, its denominator applied, and its weight in the sum.

    game: the game whose loss it is from; empty for terms of the variant and of tricks.
    """

    value: Tensor
    weight: float | Tensor = 1.0
    game: str = ""


@dataclass(eq=False)
class Round:
    """One game in one turn, seen from the side that the turn's player is on. ``now`` gives a scheduled number's value."""

    game: Game
    side: Side
    streams: list[Stream]
    now: Callable[[Scheduled | float], float] = first_value

    def of(self, role: Role) -> list[Stream]:
        """The streams of one role, in their order."""
        return [stream for stream in self.streams if stream.role == role]

    @property
    def real(self) -> Stream:
        """The only real stream. Raises ValueError if there are none or several."""
        (stream,) = self.of("real")
        return stream

    @property
    def fake(self) -> Stream:
        """The only fake stream. Raises ValueError if there are none or several."""
        (stream,) = self.of("fake")
        return stream


class Turn:
    """One phase, once: what every event of training is given.

    step, repeat, micro: where in the run. player, phase: whose turn it is; no player ("") outside training.
    modules: name -> module, to be called with samples.
    draws: the keyed random numbers of this turn. latents: what ``sample`` drew; drawn: the names of those that are the
    recipe's sampler's. made: what ``make`` generated.
    rounds: the games of this turn. terms: name -> :class:`Term`. notes: what is logged beside them. overrides: parameter tensors that stand in for
    a discriminator's own in this turn's rounds, by module name.
    A trick may set skip, copies (samples per item) and wanted (roles that no loss asks for) at ``phase_start``.
    """

    def __init__(
        self, engine: Engine, phase: Phase, *, step: int, draws: Draws, modules: Mapping[str, torch.nn.Module],
        batch_size: int, repeat: int = 0, micro: int = 0, real: dict[str, Tensor] | None = None,
    ) -> None:  # fmt: skip
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
        return float(value) if isinstance(value, int | float) else value.at(self.step, self.engine.clock)

    def add(self, name: str, value: Tensor, weight: float | Tensor = 1.0, *, game: str = "") -> None:
        """Add a term under a name, numbered from 2 on if it is taken: two instances of a trick have a term each."""
        free, number = name, 1
        while free in self.terms:
            number += 1
            free = f"{name}{number}"
        self.terms[free] = Term(value, weight, game)

    def draw_latent(self, name: str, space: Space) -> Tensor:
        """Draw latents (rows, \\*shape) from the recipe's sampler, and keep them as ``latents[name]``."""
        self.latents[name] = self.engine.sampler.sample(self.draws, name, self.rows, space)
        self.drawn.add(name)
        return self.latents[name]

    def draw_labels(self, name: str, space: Space) -> Tensor:
        """Draw labels (rows, \\*shape) int64, and keep them as ``latents[name]``. Copies of an item share theirs.

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
        self, round: Round, x: Tensor, given: tuple[Tensor, ...] = (), *, role: Role, tag: str = "adversarial",
        leaf: bool = False, through: Sequence[str] | None = None, overrides: Mapping[str, Tensor] | None = None,
    ) -> DiscriminatorOutput:  # fmt: skip
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
        """Log a scalar beside the terms, such as a probability that adapts. It is not minimised. Not later than ``losses``."""
        self.notes[name] = value.detach().to(torch.get_default_dtype())

    def score(self, round: Round, output: DiscriminatorOutput) -> Tensor:
        """The discriminator's opinion in the terms of the loss, (B, ...): one number a sample or patch, larger is more real."""
        from ganrun.engine.rounds import score

        return score(self, round, output)

    def discriminator_loss(self, round: Round, *, overrides: Mapping[str, Tensor] | None = None) -> Tensor:
        """What the discriminator's side would minimise on this round's streams; differentiable in overrides and streams.

        Real streams are added if the round has none. No buffer and no stream of the round is changed. The calls have the tag
        ``unrolling``.
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


__all__ = [
    "Because", "Call", "Description", "DiscriminatorOutput", "Game", "Interface", "Network", "Phase", "Player",
    "Role", "Round", "Side", "Space", "Stream", "Term", "Turn",
]  # fmt: skip
