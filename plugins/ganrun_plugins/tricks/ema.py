"""EMA: samples are made with a running average of the generators' weights, which training itself never uses.

Papers: Yazici et al., "The Unusual Effectiveness of Averaging in GAN Training" (2018); Karras et al., "Progressive
Growing of GANs" (2017), appendix A. After each update of a generator's player (``after: discriminator``: of the player
it is scored by, as in the second paper):

    average <- b average + (1 - b) weights,   b = decay, 0 before ``start``,
                                              and at most 0.5^(1 / (warmup * t)) at the t-th update since then

``decay: 0`` is the newest weights. A decay b has a half-life of log(0.5) / log(b) updates: 692 for 0.999.
``warmup: 0.05`` keeps the half-life below a twentieth of the updates so far, as StyleGAN2 does; ``start`` is BigGAN's
way (Brock et al. 2018). Without either, samples show the initial network for the first few half-lives: what share of
the average is still the initial weights stands below the pictures and with every score.

``half_life`` is one in real images of the run's clock, however many updates a step has: b is at most 0.5^(images since
the last update / half_life), the updates of a step dividing its images among them. R3GAN lets it grow from 0,
``half_life: {cosine: [0, 5e6]}``. It may stand alone, or beside a decay; then the smaller b counts. With neither,
``decay`` is 0.999 and ``warmup`` 0.05; a recipe that gives one of them has a warm-up only if it says so.

Where the players take turns, discriminator first, ``after: discriminator`` gives the same averages one step later; with
several updates of one player a step it averages more, or less, often. A generator that plays no game is averaged after
its own updates. The updates of regularisation phases do not count.

Buffers: the running statistics of normalisation layers belong to weights, so they are averaged with them (BigGAN), or
with ``buffers: copy`` are the newest ones (StyleGAN2). All other buffers, such as the vectors of spectral
normalisation, are the newest ones. If two of these are in one recipe, the last one's weights make the samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Duration, Experiment, Phase, Reason, Sampling, Scheduled, Turn, hookimpl
from ganrun_plugins.tricks._moments import counted, moment, warn_of_late

DECAY, WARMUP = Scheduled(0.999), Scheduled(0.05)  # of a recipe that gives neither a decay nor a half-life
NONE, OFF = Scheduled(1.0), Scheduled(0.0)  # no decay of its own, no warm-up
SAID = 0.01  # the share of initial weights from which on samples are said to show them
STATISTICS = ("running_mean", "running_var")


class EMA:
    """Keeps an average of every generator and encoder, and samples with it."""

    strength: ClassVar[str] = "decay"
    remedies: ClassVar[frozenset[str]] = frozenset({"oscillation"})
    provides: ClassVar[frozenset[str]] = frozenset({"averaged-weights"})
    needs: ClassVar[dict[str, Reason]] = {}

    def __init__(
        self,
        *,
        decay: Annotated[
            Scheduled | None,
            Field(
                ge=0, le=1, description="share of the old average kept at an update; null: 0.999, or as half_life says"
            ),
        ] = None,
        start: Annotated[Duration, Field(description="until then the average is the newest weights")] = Duration(0),
        warmup: Annotated[
            Scheduled | None,
            Field(
                ge=0,
                description="largest half-life as a share of the updates so far; 0: no limit; null: 0.05 where neither "
                "decay nor half_life is given, else 0",
            ),
        ] = None,
        half_life: Annotated[
            Scheduled | None, Field(ge=0, description="largest half-life in real images; null: no limit")
        ] = None,
        buffers: Annotated[
            Literal["average", "copy"], Field(description="running statistics of normalisation layers")
        ] = "average",
        after: Annotated[
            Literal["generator", "discriminator"],
            Field(description="whose updates are counted: the generator's own, or its discriminator's"),
        ] = "generator",
    ) -> None:
        chosen = decay is not None or half_life is not None
        self.decay = decay if decay is not None else NONE if chosen else DECAY
        self.start = Duration.parse(start)
        self.warmup = warmup if warmup is not None else OFF if chosen else WARMUP
        self.half_life = half_life
        self.average_statistics = buffers == "average"
        self.after = after
        self.networks: dict[str, nn.Module] = {}
        self.players: dict[str, set[str]] = {}
        self.phases: list[Phase] = []
        self.averages: dict[str, dict[str, Tensor]] = {}
        self.updates: dict[str, int] = {}
        self.counted: dict[str, list[Phase]] = {}  # generator -> the phases after whose turns it is averaged
        self.last: dict[str, float] = {}  # generator -> when it was averaged last, in steps
        self.initial: dict[str, float] = {}  # generator -> the share of its average that is the initial weights

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        self.networks = {name: network for name, network in experiment.modules.items() if experiment.is_generator(name)}
        owned = {
            player.name: {name.partition(".")[0] for name in player.modules} & self.networks.keys()
            for player in experiment.players.values()
        }
        self.players = {name: set() for name in owned}
        for name, networks in owned.items():
            scored_by = {game.player for game in experiment.games if name in game.against}
            for player in scored_by if self.after == "discriminator" and scored_by else {name}:
                self.players[player] |= networks
        self.phases = experiment.phases  # later tricks may add some
        warn_of_late(experiment, "ema", self.start)

    @hookimpl
    def phase_start(self, turn: Turn) -> None:
        # Not in `build`: later parts may still rename parameters, and another run's weights may still be loaded.
        for name, network in self.networks.items():
            if name not in self.averages:
                self.averages[name] = {key: tensor.detach().clone() for key, tensor in tensors_of(network)}
                self.updates[name], self.initial[name] = 0, 1.0

    @hookimpl
    def updated(self, turn: Turn) -> None:
        for name in sorted(self.players[turn.player]) if not turn.phase.lazy else ():
            self._average(turn, name)

    def _average(self, turn: Turn, name: str) -> None:
        started = turn.step >= self.start.steps(turn.clock)
        self.updates[name] += started
        decay = min(turn.now(self.decay), *self._limits(turn, name, self._passed(turn, name))) if started else 0.0
        self.initial[name] *= decay
        averaged: tuple[list[Tensor], list[Tensor]] = ([], [])
        copied: tuple[list[Tensor], list[Tensor]] = ([], [])
        for key, tensor in tensors_of(self.networks[name]):
            group = averaged if self._is_averaged(key, tensor) else copied
            group[0].append(self._average_of(name, key, tensor))
            group[1].append(tensor.detach())
        torch._foreach_lerp_(averaged[0], averaged[1], 1.0 - decay)
        if copied[0]:
            torch._foreach_copy_(copied[0], copied[1])

    def _passed(self, turn: Turn, name: str) -> float:
        """How many steps passed since a generator was averaged last; for the first time, of this step alone."""
        if name not in self.counted:
            players = {player for player, networks in self.players.items() if name in networks}
            self.counted[name] = counted(self.phases, players)
        now = moment(turn, self.counted[name])
        passed = max(0.0, now - self.last.get(name, turn.step))
        self.last[name] = now
        return passed

    def _limits(self, turn: Turn, name: str, passed: float) -> Iterator[float]:
        """What the decay must not exceed: 1, and what a half-life in updates or in images allows."""
        yield 1.0
        warmup = turn.now(self.warmup)
        if warmup > 0:
            yield 0.5 ** (1 / (warmup * self.updates[name]))
        if self.half_life is not None:
            steps = turn.now(self.half_life) / turn.clock.batch
            yield 0.5 ** (passed / steps) if steps > 0 else 0.0

    def _is_averaged(self, key: str, tensor: Tensor) -> bool:
        statistics = key.rpartition(".")[2] in STATISTICS
        return isinstance(tensor, nn.Parameter) or (statistics and self.average_statistics)

    def _average_of(self, name: str, key: str, like: Tensor) -> Tensor:
        average = self.averages[name][key]
        if average.device != like.device or average.stride() != like.stride():  # after a resume
            average = self.averages[name][key] = torch.empty_like(like, requires_grad=False).copy_(average)
        return average

    @hookimpl
    def sampling(self, sampling: Sampling) -> None:
        for name, averages in self.averages.items():
            network = self.networks[name]
            tensors = {
                key: self._average_of(name, key, tensor) for key, tensor in tensors_of(network) if key in averages
            }
            share = self.initial[name]
            said = f"average, {share:.0%} of it the initial weights" if share >= SAID else "average"
            sampling.use(name, tensors, said)

    def state_dict(self) -> dict[str, Any]:
        """Generator -> averages by tensor name, the number of updates and the last one's moment, the initial share."""
        return {
            name: {
                "updates": self.updates[name],
                "average": dict(average),
                "initial": self.initial[name],
                **({"last": self.last[name]} if name in self.last else {}),
            }
            for name, average in self.averages.items()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` returned. Of earlier versions: without the last update and the initial share."""
        self.averages = {
            name: {key: tensor.clone() for key, tensor in saved["average"].items()} for name, saved in state.items()
        }
        self.updates = {name: int(saved["updates"]) for name, saved in state.items()}
        self.initial = {name: float(saved.get("initial", 0.0)) for name, saved in state.items()}
        self.last = {name: float(saved["last"]) for name, saved in state.items() if "last" in saved}

    def merge_states(self, states: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Of the states of several processes one for all: running statistics, which each has of its own, averaged."""
        return {
            name: {
                "updates": saved["updates"],
                "average": {key: mean([state[name]["average"][key] for state in states]) for key in saved["average"]},
            }
            for name, saved in states[0].items()
        }


def mean(tensors: Sequence[Tensor]) -> Tensor:
    """The mean of tensors of one shape; the first one if all are equal, or of integers."""
    if all(torch.equal(other, tensors[0]) for other in tensors) or not tensors[0].is_floating_point():
        return tensors[0]
    return torch.stack(list(tensors)).mean(0)


def tensors_of(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, then buffers, by name."""
    yield from network.named_parameters()
    yield from network.named_buffers()


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "ema", EMA)
