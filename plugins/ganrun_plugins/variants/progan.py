"""Progressive growing: training begins at 4 x 4 pixels, and levels of twice the side are faded in.

Paper: Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation" (2018), section 2,
appendix A. Each level is trained for ``stage`` real images, then the next is faded in over ``fade`` images, and so on
to the full side:

    grown(n) = j + max(0, m - stage) / fade,   at most the number of levels,
    j, m     = quotient and remainder of n by (stage + fade)

While a level fades in by a, real images are mixed, too: (1 - a) x at the level below + a x at the new level, where x at
a level is x averaged down to it and its pixels repeated. Wherever grown passes a whole number, and where it leaves one
(the authors' code: where its floor or its ceiling changes), the state of all optimisers is forgotten.

The paper's settings are the defaults: WGAN-GP with weight 10, 0.001 times the squared logit of real images, Adam (0,
0.99) with rate 0.001, an average of the generator with decay 0.999 after each update of the discriminator, 600,000
images a stage and a fade. Fresh latents for each player.

Differences from the authors' code: it sets growth every 4 batches only, since that cost time there; here it is set
every step. The batch has one size at all levels; they make it smaller where memory ends. Any networks train, those that
cannot grow at their full size from the start, on the same real images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ganrun.plugin import (
    Clock,
    Component,
    Description,
    Duration,
    Experiment,
    Reason,
    Refusal,
    Space,
    Stream,
    Term,
    Turn,
    hookimpl,
)
from ganrun_plugins.variants._game import OneGame

ADAM = {"adam": {"lr": 1e-3, "betas": [0.0, 0.99], "eps": 1e-8}}


class ProGAN(OneGame):
    """The game of ``gan`` between networks that grow. Its state is which levels were in use in the last step."""

    wants: ClassVar[dict[str, Reason]] = {
        f"{kind}:growing": Reason(
            f"this {kind} has no levels, so it works at the full side from the start and only the real images grow",
            f"{kind}: progan",
        )
        for kind in ("generator", "discriminator")
    }
    defaults: ClassVar[dict[str, Any]] = {
        "generator": "progan",
        "discriminator": "progan",
        "loss": {"wasserstein": {"drift": 0.001}},
        "sampler": "normal",
        "tricks": [{"gradient-penalty": {"weight": 10.0}}, {"ema": {"decay": 0.999, "after": "discriminator"}}],
        "players": {"discriminator": {"optimizer": ADAM}, "generator": {"optimizer": ADAM}},
        "train": {"batch_size": 16},
    }

    def __init__(
        self,
        *,
        latent: Annotated[int, Field(ge=1, description="size of the latent")] = 512,
        stage: Annotated[
            Duration, Field(description="how long a level is trained before the next is faded in")
        ] = Duration(600, "kimg"),
        fade: Annotated[
            Duration | None, Field(description="how long a level is faded in; null: as long as a stage")
        ] = None,
    ) -> None:
        super().__init__(latent=latent)
        self.stage = Duration.parse(stage)
        self.fade = self.stage if fade is None else Duration.parse(fade)
        self.top = 0
        self.levels = (-1, -1)  # floor and ceiling of the growth in the last step

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with an entry ``x``: images that are a base of 4 to 7 pixels, doubled at least once."""
        description = super().describe(spaces)
        if spaces["x"].kind != "image":
            raise Refusal(
                f"it grows images, and the entry 'x' of the data is {spaces['x']}",
                "a data set of images, or variant: gan",
            )
        spaces["x"].halvings("variant progan")
        description.reuse_fakes = False
        return description

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        self.top = experiment.dataset.spaces["x"].halvings("variant progan").times

    def grown(self, step: int, clock: Clock) -> float:
        """The growth in a step, counted from 0: a number of levels from 0 to ``top``."""
        stage, fade = self.stage.steps(clock), self.fade.steps(clock)
        if stage + fade == 0:
            return float(self.top)
        done, rest = divmod(step, stage + fade)
        part = max(0.0, rest - stage) / fade if fade > 0 else 0.0
        # rounded, so that networks see the same whole numbers in float32
        return min(round(done + part, 6), float(self.top))

    @hookimpl
    def phase_start(self, turn: Turn) -> None:
        grown = self.grown(turn.step, turn.clock)
        module: Any
        for module in turn.networks.values():
            if hasattr(module, "grow"):
                module.grow(grown)
        levels = (math.floor(grown), math.ceil(grown))
        if levels != self.levels:
            for player in turn.players:
                turn.optimizer(player).torch.state.clear()
            self.levels = levels

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        streams = super().streams(turn)
        grown = self.grown(turn.step, turn.clock)
        for stream in streams["adversarial"]:
            if stream.role == "real":
                stream.x = at_growth(stream.x, grown, self.top)
        return streams

    def terms(self, turn: Turn) -> dict[str, Term]:
        grown = self.grown(turn.step, turn.clock)
        turn.note("grown", torch.full((), grown, device=turn.device))
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The levels in use in the last step: optimisers forget when these change."""
        return {"below": self.levels[0], "above": self.levels[1]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` returned."""
        self.levels = (int(state["below"]), int(state["above"]))


def at_growth(x: Tensor, grown: float, top: int) -> Tensor:
    """Full-size images (B, C, S, S) as a network of this growth shows them, full size again; untouched at ``top``."""
    below = int(grown)
    share = grown - below
    above = below + 1 if share > 0 else below
    x = pixelated(x, 2 ** (top - above))
    if share == 0:
        return x
    coarse = pixelated(x, 2 ** (top - below))
    return coarse + share * (x - coarse)


def pixelated(x: Tensor, size: int) -> Tensor:
    """(B, C, S, S) -> the same shape: each block of size x size pixels becomes its mean."""
    return x if size == 1 else F.interpolate(F.avg_pool2d(x, size), scale_factor=size, mode="nearest")


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "progan", ProGAN)
