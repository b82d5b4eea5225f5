"""VAE/GAN: a variational autoencoder that compares images by a discriminator's features instead of pixel by pixel.

Paper: Larsen et al., "Autoencoding beyond pixels using a learned similarity metric" (2016), algorithm 1. The encoder
returns mean m and variance v, z' = m + sqrt(v) * e with e from N(0, I); z is drawn from N(0, I); f are activations of a
hidden layer of the discriminator.

    encoder:         KL(N(m, v) || N(0, I)) + |f(x) - f(G(z'))|^2 / 2
    generator:       gamma * |f(x) - f(G(z'))|^2 / 2  +  the game's terms of G(z) and G(z')
    discriminator:   the game's terms of x (real), G(z) and G(z') (two streams of fakes)

|.|^2 / 2 is the negative logarithm of a normal density of the features, summed over them, up to a constant. The encoder
learns nothing from the game, the discriminator nothing from the similarity, though its features are what is compared.
All gradients are taken before any player moves, on one batch of real images; each player's turn draws latents of its
own, which changes no gradient on average. RMSprop with rate 3e-4 and batches of 64 for all three. How large gamma has
to be depends on how many features there are; the default is a choice of ours.

Features are those of calls without augmentation and noise (``layers: all`` sums over all hidden layers), so that they
differ by the images alone; these calls leave buffers alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

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
    Reason,
    Role,
    Scheduled,
    Space,
    Stream,
    Term,
    Turn,
    hookimpl,
)
from ganrun_plugins.variants._encoders import NORMAL_PRIOR, divergence, entry, gaussian, inside, reparameterised, wide

PLAYER = {"optimizer": {"rmsprop": {"lr": 3e-4}}}


class VAEGAN:
    """A stochastic encoder, a generator and a discriminator, three players; the last measures the reconstruction."""

    provides = frozenset({"latent"})
    wants: ClassVar[dict[str, Reason]] = NORMAL_PRIOR
    needs: ClassVar[dict[str, Reason]] = {
        "discriminator:features": Reason(
            "the discriminator returns no activations of hidden layers, so there is nothing to compare images by",
            "a discriminator that provides features, such as dcgan or mlp",
        )
    }
    networks: ClassVar[dict[str, str]] = {"encoder": "generator"}
    defaults: ClassVar[dict[str, Any]] = {
        "generator": "dcgan",
        "encoder": "conv-encoder",
        "discriminator": "dcgan",
        "loss": "non-saturating",
        "sampler": "normal",
        "players": {"encoder": PLAYER, "generator": PLAYER, "discriminator": PLAYER},
        "train": {"batch_size": 64},
    }

    def __init__(
        self,
        *,
        latent: Annotated[int, Field(ge=1, description="size of the latent")] = 128,
        gamma: Annotated[
            Scheduled, Field(ge=0, description="the generator's weight of the error of features")
        ] = Scheduled(0.01),
        beta: Annotated[
            Scheduled, Field(ge=0, description="the encoder's weight of the divergence from the prior")
        ] = Scheduled(1.0),
        layers: Annotated[
            Literal["last", "all"],
            Field(description="the hidden layers of the discriminator by which images are compared"),
        ] = "last",
    ) -> None:
        self.latent = Space("latent", (latent,))
        self.gamma = gamma
        self.beta = beta
        self.first = -1 if layers == "last" else 0

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with an entry ``x``: images or points."""
        x = entry(spaces)
        names = ("encoder", "generator", "discriminator")
        return Description(
            networks={
                "encoder": Network("encoder", Interface(takes=x, makes=Space("latent", (2 * self.latent.size,)))),
                "generator": Network("generator", Interface(takes=self.latent, makes=x)),
                "discriminator": Network("discriminator", Interface(takes=x)),
            },
            players=[Player(name, [name]) for name in names],
            phases=[Phase(name, name, together="step") for name in names],
            games=[
                Game(
                    "adversarial",
                    "discriminator",
                    player="discriminator",
                    against=["generator"],
                    space=x.kind,
                    watchers=["encoder"],
                )
            ],
            outputs=("x",),
            pairs={"rec": "x"},
            infers={"z": self.latent},
            shared_batch=True,
        )

    def sample(self, turn: Turn) -> None:
        turn.draw_latent("z", self.latent)
        turn.latents["noise"] = turn.draws.normal("posterior", turn.rows, self.latent.size)

    def make(self, turn: Turn) -> None:
        """Samples, where real items are their reconstructions. The encoder's turn needs no samples."""
        generator = turn.modules["generator"]
        if not inside(turn, "encoder"):
            turn.made["x"] = generator(turn.latents["z"])
        if inside(turn, "encoder", "generator", "discriminator"):
            turn.made["mean"], turn.made["log_variance"] = gaussian(turn.modules["encoder"](turn.real["x"]))
            turn.made["rec"] = generator(
                reparameterised(turn.made["mean"], turn.made["log_variance"], turn.latents["noise"])
            )
        elif turn.player:
            turn.made["rec"] = generator(self.infer(turn)["z"])

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        """In the encoder's turn none: it asks the discriminator for features alone."""
        streams = [Stream(turn.real["x"], "real")] if turn.wants("adversarial", "real") else []
        if turn.wants("adversarial", "fake") and not inside(turn, "encoder"):
            streams.append(Stream(turn.made["x"], "fake", latent=turn.latents["z"], name="sample"))
            if "rec" in turn.made:  # outside training there may be no real items
                streams.append(Stream(turn.made["rec"], "fake", name="reconstruction"))
        return {"adversarial": streams}

    def terms(self, turn: Turn) -> dict[str, Term]:
        if inside(turn, "generator"):
            return {"similarity": Term(self._unlikeness(turn), turn.now(self.gamma))}
        if inside(turn, "encoder"):
            away = divergence(turn.made["mean"], turn.made["log_variance"])  # (B,)
            return {"similarity": Term(self._unlikeness(turn)), "divergence": Term(away.mean(), turn.now(self.beta))}
        return {}

    def _unlikeness(self, turn: Turn) -> Tensor:
        """Half the squared distance of features of reconstructions and real images, a mean over samples (or packs)."""
        (round,) = turn.rounds
        pair: list[tuple[Role, Tensor]] = [("real", turn.real["x"]), ("fake", turn.made["rec"])]
        one, other = (turn.discriminate(round, x, role=role, tag="feature").features[self.first :] for role, x in pair)
        each = [0.5 * (wide(a) - wide(b)).flatten(1).square().sum(1).mean() for a, b in zip(one, other, strict=True)]
        return torch.stack(each).sum()

    def infer(self, turn: Turn) -> dict[str, Tensor]:
        """``z``: the means of the encodings of the real items, (B, Z)."""
        return {"z": gaussian(turn.modules["encoder"](turn.real["x"]))[0]}

    def panels(self, turn: Turn) -> dict[str, list[Tensor]]:
        return {"samples": [turn.made["x"]]}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "vaegan", VAEGAN)
