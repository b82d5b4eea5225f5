"""What most variants are built on: a generator and a discriminator in one game."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Description, Game, Interface, Network, Phase, Player, Refusal, Space, Stream, Term, Turn

Latent = Annotated[int, Field(ge=1, description="size of the latent")]
First = Annotated[Literal["discriminator", "generator"], Field(description="which player moves first in a step")]

PERCEPTRONS: dict[str, Any] = {
    "generator": "mlp",
    "discriminator": "mlp",
    "loss": "non-saturating",
    "players": {
        "discriminator": {"optimizer": {"adam": {"lr": 2e-4, "betas": [0.5, 0.999]}}},
        "generator": {"optimizer": {"adam": {"lr": 2e-4, "betas": [0.5, 0.999]}}},
    },
}


class OneGame:
    """One generator, one discriminator, one game. The fakes of a step serve both players."""

    provides = frozenset({"latent"})

    def __init__(self, *, latent: Latent = 100, first: First = "discriminator") -> None:
        self.latent = Space("latent", (latent,))
        self.first = first

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with an entry ``x``: images or points."""
        if "x" not in spaces:
            raise Refusal(
                f"this variant imitates the entry 'x' of the data, and the data set has {', '.join(sorted(spaces))}",
                "take a data set of single samples, or a variant that translates between domains",
            )
        x = spaces["x"]
        phases = [Phase("discriminator", "discriminator"), Phase("generator", "generator")]
        return Description(
            networks={
                "generator": Network("generator", Interface(takes=self.latent, makes=x)),
                "discriminator": Network("discriminator", Interface(takes=x)),
            },
            players=[Player("discriminator", ["discriminator"]), Player("generator", ["generator"])],
            phases=phases if self.first == "discriminator" else phases[::-1],
            games=[Game("adversarial", "discriminator", player="discriminator", against=["generator"], space=x.kind)],
            outputs=("x",),
            reuse_fakes=True,
        )

    def sample(self, turn: Turn) -> None:
        turn.draw_latent("z", self.latent)

    def make(self, turn: Turn) -> None:
        turn.made["x"] = turn.modules["generator"](turn.latents["z"])

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        streams = [Stream(turn.real["x"], "real")] if turn.wants("adversarial", "real") else []
        if turn.wants("adversarial", "fake"):
            streams.append(Stream(turn.made["x"], "fake", latent=turn.latents["z"]))
        return {"adversarial": streams}

    def terms(self, turn: Turn) -> dict[str, Term]:
        return {}

    def panels(self, turn: Turn) -> dict[str, list[Tensor]]:
        return {"samples": [turn.made["x"]]}
