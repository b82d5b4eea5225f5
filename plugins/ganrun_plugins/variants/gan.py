"""The original GAN: perceptrons that turn latents into samples, against perceptrons that tell them from real ones.

Paper: Goodfellow et al., "Generative Adversarial Nets" (2014), algorithm 1 with one discriminator update a step.

The default loss is ``non-saturating``, with which the paper trains; ``loss: minimax`` is the value its theorems are
about. The fakes of a step are made once: the discriminator sees them first, then the generator learns from the updated
discriminator's opinion of the same fakes, as in most public code (algorithm 1 draws fresh latents for the generator).
With ``first: generator`` it is the other way round: the discriminator learns from the fakes on which the generator has
just learned, made before it moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

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

Latent = Annotated[int, Field(ge=1, description="size of the latent")]
First = Annotated[Literal["discriminator", "generator"], Field(description="which player moves first in a step")]


class GAN:
    """One generator, one discriminator, one game."""

    provides = frozenset({"latent"})
    defaults: ClassVar[dict[str, Any]] = {
        "generator": "mlp",
        "discriminator": "mlp",
        "loss": "non-saturating",
        "players": {
            "discriminator": {"optimizer": {"adam": {"lr": 2e-4, "betas": [0.5, 0.999]}}},
            "generator": {"optimizer": {"adam": {"lr": 2e-4, "betas": [0.5, 0.999]}}},
        },
    }

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


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "gan", GAN)
