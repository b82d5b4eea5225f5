"""Adaptive discriminator augmentation (ADA): augmentation just strong enough that the discriminator does not overfit.

Paper: Karras, Aittala, Hellsten, Laine, Lehtinen and Aila, "Training Generative Adversarial Networks with Limited Data"
(2020). Whatever a discriminator of images sees, real or fake, on both sides' turns, goes through flips, quarter turns,
shifts, geometry and colour changes (``_ada_pipeline.py``), each with probability p per sample. As long as p is clearly
below 1, the generator is not led to imitate augmented samples. p follows how sure the discriminator is of real samples:

    r = E[sign(score(real))]
    p <- p + sign(r - target) * images / (1000 * kimg)    every ``interval`` turns of the discriminator,

with the real images that passed on the run's clock since p changed last, however many turns a step has, so that p needs
``kimg`` thousand images from 0 to 1; p stays in [0, limit]. Each game has a p of its own. Where a loss only compares
real samples with fakes, a score has no zero, and the sign is that of score(real) - mean score(fake), the mean being
that of the turn's fakes. ``target: null`` leaves p at ``limit``, which may be scheduled (R3GAN raises it along a
cosine). ``shares`` are what p is multiplied by for each augmentation; cutout, a box of half of each side in grey, is
off by default, as in the paper. Cutout and colours change the sample alone, geometry what is given with it, too.

Differences from well-known code: NVlabs' has no upper limit; near 1, turns and flips leak into samples, so the default
is 0.8 here (StudioGAN: 1). NVlabs' also collects signs in the discriminator's regularisation phase. The pipeline lists
its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Call, Component, Experiment, Phase, Reason, Role, Round, Scheduled, Turn, hookimpl
from ganrun_plugins.tricks._ada_pipeline import Augmentation, cut, draw, placed, recoloured
from ganrun_plugins.tricks._moments import counted, moment

LIMIT = 0.8  # of p, where a recipe gives none
OF: tuple[Role, Role] = ("real", "fake")
IMAGES = Reason("flips, turns and colours mean nothing for what is no image", "a data set of images, or instance-noise")
SCORES = Reason(
    "no score of this loss means undecided and scores are not compared either, so the sign says nothing about how "
    "sure the discriminator is",
    "diff-augment, or target: null, which leaves p at its limit",
)


class ADA:
    """Augments what a discriminator of images sees with a probability that follows its overfitting."""

    strength: ClassVar[str] = "limit"
    remedies: ClassVar[frozenset[str]] = frozenset({"overfitting-discriminator"})
    provides: ClassVar[frozenset[str]] = frozenset({"augmented"})
    needs: ClassVar[dict[str, Reason]] = {"space:image": IMAGES, "logit:signed|logit:relative": SCORES}
    warns: ClassVar[dict[str, Reason]] = {
        "augmented": Reason(
            "two augmentation pipelines are chained, in the order of the recipe, and each was tuned alone",
            "one of them",
        )
    }

    def __init__(
        self,
        *,
        target: Annotated[
            Scheduled | None, Field(description="r that is aimed at, in -1..1; null: p stays at its limit")
        ] = Scheduled(0.6),
        kimg: Annotated[
            Scheduled, Field(gt=0, description="thousands of images in which p goes from 0 to 1")
        ] = Scheduled(500.0),
        interval: Annotated[int, Field(ge=1, description="turns of the discriminator between two changes of p")] = 4,
        start: Annotated[float, Field(ge=0, le=1, description="p at first")] = 0.0,
        limit: Annotated[
            Scheduled | None,
            Field(
                ge=0,
                le=1,
                description="p is never above it; near 1, augmentations leak into samples; null: 0.8, or `start` if "
                "that is more",
            ),
        ] = None,
        shares: Annotated[
            Mapping[Augmentation, Annotated[float, Field(ge=0, le=1)]],
            Field(description="what p is multiplied by for an augmentation; those left out: 1, and cutout 0"),
        ] = MappingProxyType({}),
    ) -> None:
        self.target = target
        self.kimg = kimg
        self.interval = interval
        self.shares = shares
        self.start = start
        self.limit = Scheduled(max(LIMIT, start)) if limit is None else limit
        self.p: dict[str, Tensor] = {}  # game -> ()
        self.sums: dict[str, Tensor] = {}  # game -> (2,): mean signs of turns and their number since p changed
        self._signs: dict[str, list[Tensor]] = {}  # game -> of this turn's micro-batches
        self.turns: dict[str, int] = {}
        self.last: dict[str, float] = {}  # game -> when p changed last, in steps
        self.phases: list[Phase] = []
        if target is None:
            self.needs = {"space:image": IMAGES}  # type: ignore[misc]  # nothing is read off the scores

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        for game in experiment.games:
            if game.space == "image":
                device = experiment.processes.device
                self.p[game.name] = torch.tensor(float(self.start), device=device, dtype=torch.float32)
                self.sums[game.name] = torch.zeros(2, device=device, dtype=torch.float32)
                self.turns[game.name] = 0
        self.phases = experiment.phases  # later tricks may add some

    @hookimpl
    def augment(self, turn: Turn, call: Call) -> None:
        if call.round.game.name not in self.p:
            return
        size = (call.x.shape[2], call.x.shape[3])
        drawn = draw(turn.draws, len(call.x), self.chance(turn, call.round.game.name), wide(call.x), self.shares)
        with torch.autocast(call.x.device.type, enabled=False):  # bfloat16 has no place for coordinates
            call.x = cut(recoloured(placed(call.x.to(wide(call.x)), drawn, size), drawn), drawn).to(call.x.dtype)
            call.given = tuple(
                placed(given.to(drawn.flip.dtype), drawn, size).to(given.dtype)
                if given.dim() == 4 and given.is_floating_point()
                else given
                for given in call.given
            )

    def chance(self, turn: Turn, game: str) -> Tensor:
        """p of a game in this turn, ()."""
        limit = turn.now(self.limit)
        return torch.full_like(self.p[game], limit) if self.target is None else self.p[game].clamp(max=limit)

    @hookimpl
    def losses(self, turn: Turn) -> None:
        for round in self._played(turn):
            signs = signs_of(turn, round)
            turn.note(f"{round.game.name}.ada", self.chance(turn, round.game.name))
            self._signs.setdefault(round.game.name, []).append(signs.mean())

    @hookimpl
    def updated(self, turn: Turn) -> None:
        for game in [round.game.name for round in self._played(turn)]:
            self.turns[game] += 1
            self.last.setdefault(game, float(turn.step))  # the discriminator's first turn
            sign = torch.stack(self._signs.pop(game)).mean()
            if self.target is None:
                continue
            sign = turn.mean_over_processes(sign)
            self.sums[game] += torch.stack([sign, torch.ones_like(sign)])
            if self.turns[game] % self.interval == 0:
                signs, count = self.sums[game]
                now = moment(turn, counted(self.phases, {turn.player}))
                images = (now - self.last[game]) * turn.clock.batch
                self.last[game] = now
                change = (signs / count - turn.now(self.target)).sign() * images / (1000 * turn.now(self.kimg))
                self.p[game] = (self.p[game] + change).clamp(0, turn.now(self.limit))
                self.sums[game].zero_()

    def _played(self, turn: Turn) -> list[Round]:
        """The rounds in which the turn's player trains a discriminator of images: none in a regularisation phase."""
        played = not turn.phase.lazy
        return [
            round for round in turn.rounds if played and round.side == "discriminator" and round.game.name in self.p
        ]

    def state_dict(self) -> dict[str, Any]:
        """p, sums, turns and the moment of the last change of each game."""
        return {
            game: {"p": self.p[game], "sums": self.sums[game], "turns": self.turns[game]}
            | ({"last": self.last[game]} if game in self.last else {})
            for game in self.p
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` returned. Earlier versions kept no moment: one turn a step is assumed."""
        self.last = {}
        for game, kept in state.items():
            self.p[game] = kept["p"].to(self.p[game].device, copy=True)
            self.turns[game] = int(kept["turns"])
            if self.turns[game]:
                self.last[game] = float(kept.get("last", self.turns[game] - self.turns[game] % self.interval))
            # An earlier version counted the samples of each process: its sums become those of turns.
            turns, count = self.turns[game] % self.interval, max(float(kept["sums"][1]), 1.0)
            self.sums[game] = (kept["sums"] * (turns / count)).to(self.sums[game].device, copy=True)


def wide(x: Tensor) -> torch.dtype:
    """The number format to compute in: that of x, but at least float32."""
    return torch.promote_types(x.dtype, torch.float32)


def signs_of(turn: Turn, round: Round) -> Tensor:
    """Signs of the scores of real samples and patches (N,), float32.

    Of their distance from the fakes' mean if only that means anything.
    """
    outputs = {role: [stream.output for stream in round.of(role)] for role in OF}
    scores = {
        role: torch.cat([turn.score(round, o).detach().flatten() for o in found if o is not None])
        for role, found in outputs.items()
    }
    relative = "logit:relative" in turn.loss(round.game.name).provides
    fake = turn.mean_over_processes(scores["fake"].mean()) if relative else 0.0
    return (scores["real"] - fake).sign().float()


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "ada", ADA)
