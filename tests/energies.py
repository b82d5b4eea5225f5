"""Streams and rounds of energies that are written down."""

import torch

from ganrun.words.game import DiscriminatorOutput, Game, Round, Stream

GAME = Game("adversarial", "discriminator", "discriminator", ["generator"])
SMALL = {"autoencoder": {"width": 4, "widths": [16], "code": 8}}


def make_stream(role: str, energies) -> Stream:
    logits = torch.as_tensor(energies, dtype=torch.float64).detach().requires_grad_()
    return Stream(torch.zeros(len(logits), 2), role, output=DiscriminatorOutput(logits))


def make_round(side: str, real=None, fake=None, game: Game = GAME) -> Round:
    streams = [
        make_stream(role, energies) for role, energies in (("real", real), ("fake", fake)) if energies is not None
    ]
    return Round(game, side, streams)


def values(loss, side: str, real, fake) -> dict[str, list[float]]:
    round = make_round(side, real, fake)
    return {s.role: value.tolist() for s, value in getattr(loss, side)(round).items()}
