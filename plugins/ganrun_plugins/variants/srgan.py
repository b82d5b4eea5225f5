"""SRGAN: enlarges images so that they look real; first by the distance of pixels alone, then against a discriminator.

Paper: Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network" (2016). From
the entry ``low`` the generator makes the entry ``x``. Until ``pretraining`` is over it minimises the mean squared error
of pixels alone (this is SRResNet; ``pretraining: 100%`` is nothing else); then discriminator and generator take turns
on the same items, and the generator minimises

    content + adversarial * its loss in the game,   adversarial = 1e-3

The content is the mean squared error of pixels (the paper's SRGAN-MSE; ``pixels``), which needs no other network. For
the paper's SRGAN-VGG54 set ``pixels: 0`` and take the distance of VGG-19's features instead, by the trick
``perceptual`` with features ``torchvision``, model vgg19, layer features.35 (conv5_4 after its ReLU). The paper divides
features by 12.75, so that their squares count 0.006. The trick acts in all turns of the generator; a scheduled weight
leaves it out of pretraining: ``{steps: {0: 0, 83.3333%: 0.006}}``.

Differences: the paper's 1,000,000 steps of pretraining and 200,000 others are shares of the run here, so that a shorter
run is divided alike; the optimiser of the adversarial steps keeps its moments from pretraining.
Well-known code differs more: five residual blocks, no pretraining, features of VGG-16 after a pooling, pixels and total
variation besides, mean probabilities in place of mean logarithms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ganrun.plugin import (
    Component,
    Description,
    Duration,
    Experiment,
    Game,
    Interface,
    Network,
    Phase,
    Player,
    Refusal,
    Scheduled,
    Space,
    Stream,
    Term,
    Turn,
    hookimpl,
)

PRETRAINING = Duration(83.3333, "%")  # the first 1,000,000 of 1,200,000 steps
RATE = {"steps": {0: 1e-4, "91.66666%": 1e-5}}  # the smaller one for the last 100,000 of them


class SRGAN:
    """One generator, one discriminator, and a pretraining in which no game is played."""

    provides = frozenset({"deterministic-generator"})
    defaults: ClassVar[dict[str, Any]] = {
        "generator": "srresnet",
        "discriminator": "srgan",
        "loss": "non-saturating",
        "players": {
            "generator": {"optimizer": {"adam": {"lr": RATE, "betas": [0.9, 0.999]}}},
            "discriminator": {"optimizer": {"adam": {"lr": RATE, "betas": [0.9, 0.999]}}},
        },
        "train": {"batch_size": 16, "steps": 1_200_000},
    }

    def __init__(
        self,
        *,
        pretraining: Annotated[
            Duration, Field(description="until then only the generator trains, on the distance of pixels")
        ] = PRETRAINING,
        content: Annotated[
            Scheduled, Field(ge=0, description="weight of the mean squared error of pixels in pretraining")
        ] = Scheduled(1.0),
        pixels: Annotated[
            Scheduled, Field(ge=0, description="weight of the mean squared error of pixels after it")
        ] = Scheduled(1.0),
        adversarial: Annotated[
            Scheduled, Field(ge=0, description="weight of the generator's loss in the game")
        ] = Scheduled(1e-3),
    ) -> None:
        self.pretraining = Duration.parse(pretraining)
        self.content = content
        self.pixels = pixels
        self.adversarial = adversarial
        self._pretraining_steps = 0.0

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with entries ``low`` and ``x``: the small images and the large ones."""
        if not {"low", "x"} <= set(spaces) or not spaces["low"].kind == spaces["x"].kind == "image":
            raise Refusal(
                "this variant makes images 'x' of smaller images 'low', "
                f"and the data set has {', '.join(sorted(spaces)) or 'no entries'}",
                "a data set for super-resolution, such as super-resolution-digits",
            )
        low, x = spaces["low"], spaces["x"]
        weight = {"generator": self.adversarial}
        return Description(
            networks={
                "generator": Network("generator", Interface(takes=low, makes=x)),
                "discriminator": Network("discriminator", Interface(takes=x)),
            },
            players=[Player("generator", ["generator"]), Player("discriminator", ["discriminator"])],
            phases=[
                Phase("pretraining", "generator", when=self._pretrains, games=()),
                Phase("discriminator", "discriminator", when=self._plays),
                Phase("generator", "generator", when=self._plays),
            ],
            games=[
                Game(
                    "adversarial",
                    "discriminator",
                    player="discriminator",
                    against=["generator"],
                    space=x.kind,
                    weight=weight,
                )
            ],
            outputs=("x",),
            pairs={"x": "x"},
            shared_batch=True,
            conditional=True,
        )

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        self._pretraining_steps = self.pretraining.steps(experiment.clock)

    def _pretrains(self, step: int) -> bool:
        return step < self._pretraining_steps

    def _plays(self, step: int) -> bool:
        return not self._pretrains(step)

    def sample(self, turn: Turn) -> None:
        """There is no latent: the large image is a function of the small one."""

    def make(self, turn: Turn) -> None:
        turn.made["x"] = turn.modules["generator"](turn.real["low"])  # (B, C, s H, s W)

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        streams = [Stream(turn.real["x"], "real")] if turn.wants("adversarial", "real") else []
        if turn.wants("adversarial", "fake"):
            streams.append(Stream(turn.made["x"], "fake"))
        return {"adversarial": streams}

    def terms(self, turn: Turn) -> dict[str, Term]:
        if turn.player != "generator":
            return {}
        weight = self.content if turn.phase.name == "pretraining" else self.pixels
        return {"content": Term(F.mse_loss(turn.made["x"], turn.real["x"]), turn.now(weight))}

    def panels(self, turn: Turn) -> dict[str, dict[str, Tensor]]:
        x = turn.real["x"]
        bicubic = (
            F.interpolate(turn.real["low"].float(), x.shape[-2:], mode="bicubic", antialias=True)
            .clamp(-1, 1)
            .to(x.dtype)
        )
        return {"bicubic, made, true": {"bicubic": bicubic, "made": turn.made["x"], "true": x}}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "srgan", SRGAN)
