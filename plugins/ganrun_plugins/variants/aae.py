"""Adversarial autoencoder: a discriminator of latents pulls the encodings of the data to a prior.

Paper: Makhzani et al., "Adversarial Autoencoders" (2015). Each step has two parts. Reconstruction: encoder E and
generator G (the decoder) minimise the error of G(E(x)). Regularisation: a discriminator of latents tells draws z of the
prior (real) from encodings E(x) (fake), then the encoder learns to fool it. With the non-saturating loss and l the
logit,

    autoencoder (E, G):   mean over numbers of |x - G(E(x))|^2
    discriminator:        softplus(-l(z)) + softplus(l(E(x)))
    encoder:              softplus(-l(E(x)))

The encoder belongs to two players, each with an optimiser of its own: SGD with rate 0.01 and momentum 0.9 for the
reconstruction, rate 0.1 and momentum 0.1 for both sides of the game. The prior is the recipe's sampler times ``sd``:
N(0, 5^2) in 8 dimensions in the paper (MNIST). Samples are decoded draws of it. Held against neither the paper nor
code: two layers of 1000, batches of 100, rates of a tenth from epoch 50 on and of a hundredth from epoch 1000 on.

Differences from well-known code: a script of PyTorch-GAN minimises 0.001 of the game and 0.999 of an absolute error in
one step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

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
    Reason,
    Refusal,
    Space,
    Stream,
    Term,
    Turn,
    hookimpl,
)
from ganrun_plugins.variants._encoders import Error, entry, errors, inside

RATES = [{"steps": {0: rate, "50 epochs": rate / 10, "1000 epochs": rate / 100}} for rate in (0.01, 0.1)]
GAME = {"optimizer": {"sgd": {"lr": RATES[1], "momentum": 0.1}}}


class AAE:
    """Encoder and generator as an autoencoder, encoder against a discriminator of latents."""

    provides = frozenset({"latent"})
    refuses: ClassVar[dict[str, Reason]] = {
        "latent-response": Reason(
            "its discriminator scores latents and no sample, and its game is played against the encoder, "
            "in whose turns no sample is made from a latent: there is no sample of a latent to compare or to score",
            "a variant whose generator plays the game, such as vaegan or bigan",
        )
    }
    networks: ClassVar[dict[str, str]] = {"encoder": "generator"}
    defaults: ClassVar[dict[str, Any]] = {
        "generator": {"mlp": {"widths": [1000, 1000], "norm": "none", "activation": "relu"}},
        "encoder": {"mlp": {"widths": [1000, 1000], "norm": "none", "activation": "relu"}},
        "discriminator": {"mlp": {"widths": [1000, 1000], "activation": "relu"}},
        "loss": "non-saturating",
        "sampler": "normal",
        "players": {
            "autoencoder": {"optimizer": {"sgd": {"lr": RATES[0], "momentum": 0.9}}},
            "discriminator": GAME,
            "encoder": GAME,
        },
        "train": {"batch_size": 100},
    }

    def __init__(
        self,
        *,
        latent: Annotated[int, Field(ge=1, description="size of the latent")] = 8,
        sd: Annotated[float, Field(gt=0, description="the prior is the sampler's distribution times this")] = 5.0,
        error: Annotated[
            Error, Field(description="of the reconstruction, a mean over its numbers; cross-entropy is for images")
        ] = "squared",
    ) -> None:
        self.latent = Space("latent", (latent,))
        self.sd = sd
        self.error: Error = error

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with an entry ``x``: images or points."""
        x = entry(spaces)
        if self.error == "cross-entropy" and x.kind != "image":
            raise Refusal(
                f"cross-entropy takes numbers in [-1, 1] as grey values, and {x} has no such limits",
                "error: squared or l1",
            )
        return Description(
            networks={
                "encoder": Network("encoder", Interface(takes=x, makes=self.latent)),
                "generator": Network("generator", Interface(takes=self.latent, makes=x)),
                "discriminator": Network("discriminator", Interface(takes=self.latent)),
            },
            players=[
                Player("autoencoder", ["encoder", "generator"]),
                Player("discriminator", ["discriminator"]),
                Player("encoder", ["encoder"]),
            ],
            phases=[
                Phase("reconstruction", "autoencoder", games=()),
                Phase("discriminator", "discriminator"),
                Phase("encoder", "encoder"),
            ],
            games=[Game("prior", "discriminator", player="discriminator", against=["encoder"], space="latent")],
            outputs=("x",),
            pairs={"rec": "x"},
            infers={"z": self.latent},
            shared_batch=True,
        )

    def sample(self, turn: Turn) -> None:
        turn.draw_latent("z", self.latent)

    def prior(self, turn: Turn) -> Tensor:
        """Draws of the prior, (B, Z); made now in a phase for which no latent was drawn."""
        if "z" not in turn.latents:
            self.sample(turn)
        return self.sd * turn.latents["z"]

    def make(self, turn: Turn) -> None:
        """Encodings in the game, reconstructions in the autoencoder's phase.

        Outside training samples, and with real items all three.
        """
        generator = turn.modules["generator"]
        if turn.player:
            turn.made["encoding"] = turn.modules["encoder"](turn.real["x"])
        if inside(turn, "discriminator", "encoder"):
            return
        if turn.player:
            turn.made["rec"] = generator(turn.made["encoding"])
        # in the autoencoder's phase a reconstruction stands in the place of a real image, as a sample does outside
        # training
        turn.made["x"] = turn.made["rec"] if inside(turn, "reconstruction") else generator(self.prior(turn))

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        streams = [Stream(self.prior(turn), "real")] if turn.wants("prior", "real") else []
        if turn.wants("prior", "fake"):
            streams.append(Stream(turn.made["encoding"], "fake"))
        return {"prior": streams}

    def terms(self, turn: Turn) -> dict[str, Term]:
        if not inside(turn, "reconstruction"):
            return {}
        return {"reconstruction": Term(errors(turn.made["rec"], turn.real["x"], self.error).mean())}

    def infer(self, turn: Turn) -> dict[str, Tensor]:
        """``z``: encodings (B, Z) of the real items."""
        return {"z": turn.modules["encoder"](turn.real["x"])}

    def panels(self, turn: Turn) -> dict[str, list[Tensor]]:
        return {"samples": [turn.made["x"]]}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "aae", AAE)
