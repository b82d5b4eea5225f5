"""What BiGAN, ALI and VEEGAN share: a discriminator that sees samples together with their latents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from ganrun.plugin import (
    Description,
    Game,
    Interface,
    Network,
    Phase,
    Player,
    Reason,
    Scheduled,
    Space,
    Stream,
    Term,
    Turn,
)
from ganrun_plugins.variants._encoders import entry, errors, inside

NOT_RECONSTRUCTED = {
    "compares-pairs": Reason(
        "in training nothing is reconstructed from a real sample, so its term has nothing to compare and does nothing",
        "the variant's `reconstruction` above 0",
    )
}


class Joint:
    """Generator and encoder against a discriminator of pairs, in a symmetric game."""

    provides = frozenset({"latent", "discriminator-sees-latent"})
    warns: dict[str, Reason] = {}
    networks: ClassVar[dict[str, str]] = {"encoder": "generator"}

    def __init__(self, latent: int, reconstruction: Scheduled) -> None:
        self.latent = Space("latent", (latent,))
        self.reconstruction = reconstruction
        self.reconstructs = any(value > 0 for value in self.reconstruction.values)
        self.warns = {} if self.reconstructs else NOT_RECONSTRUCTED

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with an entry ``x``: images or points."""
        x = entry(spaces)
        return Description(
            networks={
                "generator": Network("generator", Interface(takes=self.latent, makes=x)),
                "encoder": Network("encoder", Interface(takes=x, makes=self.latent)),
                "discriminator": Network("discriminator", Interface(takes=x, given=(self.latent,))),
            },
            players=[Player("discriminator", ["discriminator"]), Player("generator", ["generator", "encoder"])],
            phases=[Phase("discriminator", "discriminator"), Phase("generator", "generator")],
            games=[
                Game(
                    "adversarial",
                    "discriminator",
                    player="discriminator",
                    against=["generator"],
                    space=x.kind,
                    weight={"discriminator": 0.5, "generator": 0.5},
                    symmetric=True,
                )
            ],
            outputs=("x",),
            pairs={"rec": "x"},
            infers={"z": self.latent},
            shared_batch=True,
            reuse_fakes=True,
        )

    def sample(self, turn: Turn) -> None:
        turn.draw_latent("z", self.latent)

    def make(self, turn: Turn) -> None:
        """Samples, and wherever there are real items their encodings. Outside training those are decoded, too."""
        turn.made["x"] = turn.modules["generator"](turn.latents["z"])
        if not turn.player:
            return
        turn.made["encoding"] = self.encode(turn)
        if not inside(turn, "discriminator", "generator"):
            turn.made["rec"] = turn.modules["generator"](self.infer(turn)["z"])

    def encode(self, turn: Turn) -> Tensor:
        """What the discriminator sees beside the real samples, (B, Z)."""
        z: Tensor = turn.modules["encoder"](turn.real["x"])
        return z

    def encoding(self, turn: Turn) -> Tensor:
        """The same, made now if it was not: in a phase that asks for real samples alone nothing was made."""
        if "encoding" not in turn.made:
            turn.made["encoding"] = self.encode(turn)
        return turn.made["encoding"]

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        streams = (
            [Stream(turn.real["x"], "real", given=(self.encoding(turn),))] if turn.wants("adversarial", "real") else []
        )
        if turn.wants("adversarial", "fake"):
            streams.append(Stream(turn.made["x"], "fake", given=(turn.latents["z"],), latent=turn.latents["z"]))
        return {"adversarial": streams}

    def terms(self, turn: Turn) -> dict[str, Term]:
        if not (self.reconstructs and inside(turn, "generator")):
            return {}
        turn.made["rec"] = turn.modules["generator"](self.encoding(turn))
        return {
            "reconstruction": Term(
                errors(turn.made["rec"], turn.real["x"], "squared").mean(), turn.now(self.reconstruction)
            )
        }

    def infer(self, turn: Turn) -> dict[str, Tensor]:
        """``z``: encodings (B, Z) of the real items."""
        return {"z": turn.modules["encoder"](turn.real["x"])}

    def panels(self, turn: Turn) -> dict[str, list[Tensor]]:
        return {"samples": [turn.made["x"]]}
