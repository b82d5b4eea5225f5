"""The words of a training step: players, phases, games, turns, rounds and streams.

A *step* goes through the variant's *phases*. A phase, once, is a *turn* of one *player*: its modules are
trained, everything else is frozen. In a turn each *game* the player takes part in is a *round*: *streams* of real
and fake samples go through the game's discriminator, the loss turns outputs into values, and the values become
*terms*, whose weighted sum is minimised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn

from ganrun.schedule import first_value
from ganrun.words.spaces import Interface, Space

if TYPE_CHECKING:
    from ganrun.contracts.protocols import Loss
    from ganrun.engine.turn import Turn
    from ganrun.schedule import Scheduled

Role = Literal["real", "fake"]
Side = Literal["discriminator", "generator", "watcher"]


# --- what a variant describes ---------------------------------------------------------------------------------


@dataclass
class Network:
    """A network the variant asks for.

    ``kind`` is the recipe key that fills it: ``generator``, ``discriminator`` or one that the variant's ``networks``
    declares. Networks are built in the order of the description. ``follows(networks, interface)`` is for one whose
    shape follows from others: it is called when those before it are built, with their copies on torch's meta device by
    name, and fills in the ``interface``.
    """

    kind: str
    interface: Interface
    follows: Callable[[Mapping[str, nn.Module], Interface], None] | None = field(default=None, compare=False)


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
    """An entry of the schedule: when, how often and on what one player is trained.

    It is due every ``every`` steps, and if ``when(step)`` holds; it happens ``repeats`` times. Neighbouring phases
    with one ``together`` name take all their gradients before the first optimiser step. ``games`` names the games that
    are played, None is all of the player's; in a phase of none, such as pretraining, there are the variant's terms
    alone. A phase with ``terms`` is a regularisation phase: it carries its own terms, weighted by the number of
    turns that its player has from one to the next, and no game is played in it.
    """

    name: str
    player: str
    every: int = 1
    repeats: int = 1
    when: Callable[[int], bool] | None = None
    together: str = ""
    games: Sequence[str] | None = None
    terms: Callable[[Turn], dict[str, Term]] | None = None

    @property
    def lazy(self) -> bool:
        """Whether this is a regularisation phase: it has terms of its own, and no game is played in it."""
        return self.terms is not None

    def due(self, step: int) -> bool:
        """Whether this phase happens in step ``step``, counted from 0."""
        return step % self.every == 0 and (self.when is None or self.when(step))

    def plays(self, game: str) -> bool:
        """Whether a game is played in this phase, if its player takes part in it."""
        return not self.lazy and (self.games is None or game in self.games)


@dataclass
class Game:
    """A discriminator, the player that trains it, and the players it scores, for the whole run.

    ``space`` is the kind of space the streams' ``x`` lives in. ``weight`` scales the loss's terms by side, and
    ``heads`` names extra outputs of the discriminator. ``logits`` makes the game's logits (B, ...) of a discriminator's
    output where they are not its main one, such as the log of a sum over classes. A ``symmetric`` game (ALI) has no
    generator's loss of its own: it is the discriminator's with the roles swapped. ``loss`` is what the variant proposes
    for this game, written as in a recipe: a name, or {name: {parameters}}. It goes before the variant's default loss; a
    recipe that names another loss, for this game or for all, goes before it. ``watchers`` are players in whose turns
    the fakes go through the discriminator, too, and no loss is applied: the variant makes terms of the outputs.
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
    loss: str | Mapping[str, Any] | None = None

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
    imitate an entry of the data of the same name: ``("x",)``, or ``("b", "a")`` for a translation both ways. ``pairs``
    maps entries of ``turn.made`` to the entries of ``turn.real`` that they ought to equal, such as a translation there
    and back: what image distances compare. ``codes`` are the latents that mean something by themselves: labels that a
    generator is asked for, codes to traverse. ``infers`` names what ``infer`` says of real items: class logits (a space
    of labels) or encodings. ``shared_batch`` says that all phases of a step see one real batch. ``reuse_fakes`` says
    that the fakes made in one turn of a step serve the next player's turn, too. ``conditional`` says that fakes are
    made from real items, so that several copies of a sample repeat the item instead of reading more of them.
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

    def roles(self, network: str) -> set[str]:
        """What a network is to others: its recipe key, and ``discriminator`` for whatever judges in a game."""
        judges = any(game.discriminator == network for game in self.games)
        return {self.networks[network].kind} | ({"discriminator"} if judges else set())


# --- what happens in a turn -----------------------------------------------------------------------------------


@dataclass(eq=False)
class DiscriminatorOutput:
    """What a discriminator returns.

    logits: (B, ...) never probabilities: (B,) or (B, 1, H, W) for a patch map. If the loss asks for K > 1 numbers, they
    lie on axis 1: (B, K) or (B, K, H, W).
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
class Layers:
    """What a generator returns that is called with ``layers=True``.

    output: what it returns otherwise, (B, *makes.shape).
    hidden: name of a hidden layer -> its activations (B, ...), early ones first; the output is not among them.
    """

    output: Tensor
    hidden: dict[str, Tensor]


@dataclass(eq=False)
class Stream:
    """Samples of one role on their way to a discriminator.

    x: what augmentation and noise act on, such as images (B, C, H, W) in [-1, 1].
    given: whatever else the discriminator sees: a condition, a label, the z of ALI.
    weight: per sample (B,), or one number. latent: what a fake was made from; None after a swap from a pool.
    metadata: what is known of the samples and not shown to the discriminator, such as the requested label; replaced
    with them, as by a pool.
    leaf: whether a gradient at x is wanted. entry: the entry of ``turn.made`` that a fake shows; filled in where x is
    that very tensor. output and target are filled in by the engine.
    """

    x: Tensor
    role: Role
    given: tuple[Tensor, ...] = ()
    weight: Tensor | float = 1.0
    latent: Tensor | None = None
    metadata: dict[str, Tensor] = field(default_factory=dict)
    leaf: bool = False
    name: str = ""
    entry: str = ""
    output: DiscriminatorOutput | None = None
    target: Tensor | None = None

    @property
    def logits(self) -> Tensor:
        """The discriminator's logits for this stream."""
        assert self.output is not None, "this stream has not been through a discriminator yet"
        return self.output.logits

    def detach(self) -> None:
        """Detach x and what is given: a discriminator's side trains no generator."""
        self.x = self.x.detach()
        self.given = tuple(tensor.detach() for tensor in self.given)


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
    """One game in one turn, seen from the side that the turn's player is on.

    ``now`` gives a scheduled number's value. ``turn()`` is the turn it belongs to, None for a round made by hand. It is
    referred to weakly, so that a turn and its graph do not wait for Python's garbage collector.
    """

    game: Game
    side: Side
    streams: list[Stream]
    now: Callable[[Scheduled | float], float] = first_value
    turn: Callable[[], Turn | None] = field(default=lambda: None, repr=False)

    @property
    def loss(self) -> Loss:
        """The loss that this game is played with. A round that was made by hand, without a turn, has none."""
        return self._of_turn().loss(self.game.name)

    def of(self, role: Role) -> list[Stream]:
        """The streams of one role, in their order."""
        return [stream for stream in self.streams if stream.role == role]

    @property
    def real(self) -> Stream:
        """The only real stream. Raises ValueError if there are none or several."""
        return self._only("real")

    @property
    def fake(self) -> Stream:
        """The only fake stream. Raises ValueError if there are none or several."""
        return self._only("fake")

    def remade(self, latents: Mapping[str, Tensor]) -> list[Stream]:
        """The round's fakes if the turn had other latents (by name, the rest stay), in the order of ``of("fake")``.

        They have no output yet. As in the round, gradients reach the generators on their side alone. No buffer changes.
        """
        streams = self._of_turn().with_latents(latents).streams(self.game.name, "fake")
        for stream in streams if self.side == "discriminator" else ():
            stream.detach()
        return streams

    def _of_turn(self) -> Turn:
        turn = self.turn()
        assert turn is not None, (
            f"this round of game {self.game.name!r} has no turn: it was made by hand, or kept longer"
        )
        return turn

    def _only(self, role: Role) -> Stream:
        found = self.of(role)
        if len(found) != 1:
            there = [f"{s.role} {s.name or s.entry}".strip() for s in self.streams]
            raise ValueError(
                f"round.{role} is the only {role} stream of a game, and game {self.game.name!r} has {len(found)} here "
                f'(streams: {", ".join(there) or "none"}); round.of("{role}") gives all of them'
            )
        return found[0]


__all__ = [
    "Call",
    "Description",
    "DiscriminatorOutput",
    "Game",
    "Interface",
    "Layers",
    "Network",
    "Phase",
    "Player",
    "Role",
    "Round",
    "Side",
    "Space",
    "Stream",
    "Term",
    "Turn",
]
