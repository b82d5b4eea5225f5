"""D2GAN: two discriminators, one that rewards real samples and one that rewards fakes, each by a formula of its own.

Paper: Nguyen, Le, Vu and Phung, "Dual Discriminator Generative Adversarial Nets" (2017), equation 1. With l the
logit of a discriminator and D = softplus(l), which is positive and not a probability:

    first:   -alpha log D1 on real samples, D1 on fakes; the generator pays -D1 on fakes
    second:  D2 on real samples, -beta log D2 on fakes; the generator pays beta log D2 on fakes

For a fixed generator the best ones are D1 = alpha p_data / p_generator and D2 = beta p_generator / p_data, and the
generator then minimises alpha KL(data | generator) + beta KL(generator | data).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
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
    Round,
    Space,
    Stream,
    Term,
    Turn,
    hookimpl,
)

Weight = Annotated[float, Field(gt=0, le=1, description="weight of the logarithm")]


def log_softplus(logits: Tensor) -> Tensor:
    """log softplus(l), (B, ...): l itself where softplus(l) is exp(l) to all digits, so that nothing underflows."""
    return torch.where(logits < -15, logits, F.softplus(logits.clamp(min=-15)).log())


class RewardReal:
    """The first discriminator: large on real samples, small on fakes."""

    provides = frozenset({"per-sample-generator"})
    real_in_generator = False

    def __init__(self, *, alpha: Weight = 0.2) -> None:
        self.alpha = alpha

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> -alpha log D of real samples, D of fakes, (B, ...)."""
        real = {s: -self.alpha * log_softplus(s.logits) for s in round.of("real")}
        return real | {s: F.softplus(s.logits) for s in round.of("fake")}

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Fake stream -> -D, (B, ...)."""
        return {s: -F.softplus(s.logits) for s in round.of("fake")}


class RewardFake:
    """The second discriminator: small on real samples, large on fakes."""

    provides = frozenset({"per-sample-generator"})
    real_in_generator = False

    def __init__(self, *, beta: Weight = 0.1) -> None:
        self.beta = beta

    def score(self, round: Round, logits: Tensor) -> Tensor:
        """Minus the logit, (B, ...): large where a sample is taken for real."""
        return -logits

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> D of real samples, -beta log D of fakes, (B, ...)."""
        real = {s: F.softplus(s.logits) for s in round.of("real")}
        return real | {s: -self.beta * log_softplus(s.logits) for s in round.of("fake")}

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Fake stream -> beta log D, (B, ...)."""
        return {s: self.beta * log_softplus(s.logits) for s in round.of("fake")}


class D2GAN:
    """One generator against two discriminators, each with a player and a loss of its own."""

    provides = frozenset({"latent"})
    defaults: ClassVar[dict[str, Any]] = {
        "generator": "mlp",
        "discriminator": "mlp",
        "players": {
            name: {"optimizer": {"adam": {"lr": 2e-4, "betas": [0.5, 0.999]}}}
            for name in ("first", "second", "generator")
        },
    }

    def __init__(self, *, latent: Annotated[int, Field(ge=1, description="size of the latent")] = 100) -> None:
        self.latent = Space("latent", (latent,))

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with an entry ``x``: images or points."""
        if "x" not in spaces:
            raise Refusal("it imitates the entry 'x' of the data", "take a data set of single samples")
        x = spaces["x"]
        losses = {"first": "reward-real", "second": "reward-fake"}
        return Description(
            networks={
                "generator": Network("generator", Interface(takes=self.latent, makes=x)),
                **{f"{game}_discriminator": Network("discriminator", Interface(takes=x)) for game in losses},
            },
            players=[*(Player(game, [f"{game}_discriminator"]) for game in losses), Player("generator", ["generator"])],
            phases=[Phase(name, name) for name in (*losses, "generator")],
            games=[
                Game(game, f"{game}_discriminator", player=game, against=["generator"], space=x.kind, loss=loss)
                for game, loss in losses.items()
            ],
            reuse_fakes=True,
        )

    def sample(self, turn: Turn) -> None:
        turn.draw_latent("z", self.latent)

    def make(self, turn: Turn) -> None:
        turn.made["x"] = turn.modules["generator"](turn.latents["z"])

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        found: dict[str, list[Stream]] = {}
        for game in ("first", "second"):
            found[game] = [Stream(turn.real["x"], "real")] if turn.wants(game, "real") else []
            if turn.wants(game, "fake"):
                found[game].append(Stream(turn.made["x"], "fake", latent=turn.latents["z"]))
        return found

    def terms(self, turn: Turn) -> dict[str, Term]:
        return {}

    def panels(self, turn: Turn) -> dict[str, list[Tensor]]:
        return {"samples": [turn.made["x"]]}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "reward-real", RewardReal)
    yield Component("loss", "reward-fake", RewardFake)
    yield Component("variant", "d2gan", D2GAN)
