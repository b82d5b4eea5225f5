"""Two generators and one discriminator, which is shown the fakes of each as a stream of its own (after MAD-GAN).

Paper: Ghosh, Kulharia, Namboodiri, Torr and Dokania, "Multi-Agent Diverse Generative Adversarial Networks" (2018), of
which this is the game without its discriminator's further classes. Both generators start from one latent; every other
sample is of the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import (
    Component,
    Description,
    Game,
    Interface,
    Network,
    Phase,
    Player,
    Refusal,
    Space,
    Stream,
    Term,
    Turn,
    hookimpl,
)

NAMES = ("first", "second")


class TwoGenerators:
    """``made``: the samples of each generator by its name, and ``x``, in turns of the one and the other."""

    provides = frozenset({"latent"})
    defaults: ClassVar[dict[str, Any]] = {
        "generator": "mlp",
        "discriminator": "mlp",
        "loss": "non-saturating",
        "players": {"discriminator": {"optimizer": "adam"}, "generators": {"optimizer": "adam"}},
    }

    def __init__(self, *, latent: Annotated[int, Field(ge=1, description="size of the latent")] = 4) -> None:
        self.latent = Space("latent", (latent,))

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        if "x" not in spaces:
            raise Refusal("this variant imitates the entry 'x' of the data", "a data set of single samples")
        x = spaces["x"]
        generators = {name: Network("generator", Interface(takes=self.latent, makes=x)) for name in NAMES}
        return Description(
            networks={**generators, "discriminator": Network("discriminator", Interface(takes=x))},
            players=[Player("discriminator", ["discriminator"]), Player("generators", list(NAMES))],
            phases=[Phase("discriminator", "discriminator"), Phase("generators", "generators")],
            games=[Game("adversarial", "discriminator", player="discriminator", against=["generators"], space=x.kind)],
        )

    def sample(self, turn: Turn) -> None:
        turn.draw_latent("z", self.latent)

    def make(self, turn: Turn) -> None:
        for name in NAMES:
            turn.made[name] = turn.modules[name](turn.latents["z"])
        first, second = (turn.made[name] for name in NAMES)
        odd = torch.arange(len(first), device=first.device) % 2 == 1  # (B,)
        turn.made["x"] = torch.where(odd.reshape(-1, *[1] * (first.dim() - 1)), second, first)

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        streams = [Stream(turn.real["x"], "real")] if turn.wants("adversarial", "real") else []
        if turn.wants("adversarial", "fake"):
            z = turn.latents["z"]
            streams += [Stream(turn.made[name], "fake", weight=0.5, latent=z, name=name) for name in NAMES]
        return {"adversarial": streams}

    def terms(self, turn: Turn) -> dict[str, Term]:
        return {}

    def panels(self, turn: Turn) -> dict[str, list[Tensor]]:
        return {"samples": [turn.made["x"]]}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "two-generators", TwoGenerators)
