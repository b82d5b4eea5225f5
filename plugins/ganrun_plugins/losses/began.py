"""The boundary equilibrium loss: an autoencoder's errors on real samples and fakes, kept in a chosen proportion.

Paper: Berthelot, Schumm and Metz, "BEGAN: Boundary Equilibrium Generative Adversarial Networks" (2017), section 3.4.
With L(v) the reconstruction error that the discriminator gives a sample:

    discriminator: L(x) - k L(G(z))
    generator:     L(G(z))
    k <- clip(k + lambda_k (gamma L(x) - L(G(z))), 0, 1)

The proportional control keeps E L(G(z)) near gamma E L(x): a lower gamma gives better and less diverse samples. k moves
after each update of a discriminator, by the mean errors of that turn over all micro-batches and processes; each game
has its own. Their distance from the balance, M = L(x) + |gamma L(x) - L(G(z))|, is the paper's measure of convergence;
it is logged of the same mean errors, as is k.

Differences from well-known code: the authors update both networks from one graph, which is a matter of the variant's
phases; where the discriminator moves first, as in most variants, it is the newer one that scores the generator's fakes.
With pools of older fakes k follows the errors of those.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Reason, Round, Scheduled, Stream, Turn, hookimpl


class BEGAN:
    """Energies as they are; those of fakes count k times on the discriminator's side."""

    provides = frozenset({"per-sample-generator", "logit:energy"})
    needs: ClassVar[dict[str, Reason]] = {
        "discriminator:energy": Reason(
            "it keeps the logits of fakes at a share gamma of those of real samples, "
            "which has a meaning for energies, which have a zero",
            "discriminator: autoencoder",
        )
    }
    real_in_generator = False

    def __init__(
        self,
        *,
        gamma: Annotated[
            Scheduled, Field(gt=0, le=1, description="E L(G(z)) / E L(x) in balance; 0.3 to 0.7 in the paper")
        ] = Scheduled(0.5),
        lambda_k: Annotated[Scheduled, Field(ge=0, description="how fast k follows the balance")] = Scheduled(0.001),
        k: Annotated[float, Field(ge=0, le=1, description="k at the start")] = 0.0,
    ) -> None:
        self.gamma = gamma
        self.lambda_k = lambda_k
        self.start = k
        self.k: dict[str, Tensor] = {}  # game -> (), on the device
        self._errors: dict[str, list[Tensor]] = {}  # game -> (L(x), L(G(z))) of each micro-batch of a turn

    def score(self, round: Round, logits: Tensor) -> Tensor:
        """Minus the energy, (B, ...)."""
        return -logits

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> energy of real samples, -k times that of fakes, (B, ...)."""
        k = self.k.get(round.game.name, self.start)
        return {s: s.logits if s.role == "real" else -_beside(k, s.logits) * s.logits for s in round.streams}

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Fake stream -> energy, (B, ...)."""
        return {s: s.logits for s in round.of("fake")}

    @hookimpl
    def losses(self, turn: Turn) -> None:
        for round in turn.rounds:
            if round.side == "discriminator" and turn.loss(round.game.name) is self:
                game = round.game.name
                real, fake = _mean_energy(round.of("real")), _mean_energy(round.of("fake"))
                self._errors.setdefault(game, []).append(torch.stack([real, fake]))
                turn.note(f"{game}.k", torch.as_tensor(self.k.get(game, self.start)))

    @hookimpl
    def updated(self, turn: Turn) -> None:
        for game in [round.game.name for round in turn.rounds if round.side == "discriminator"]:
            if game in self._errors:  # a regularisation phase has none
                self._balance(turn, game, torch.stack(self._errors.pop(game)).mean(0))

    def _balance(self, turn: Turn, game: str, errors: Tensor) -> None:
        """Note M and move a game's k by one turn's mean errors of real samples and fakes, (2,)."""
        real, fake = turn.mean_over_processes(errors)
        balance = turn.now(self.gamma) * real - fake
        turn.note(f"{game}.convergence", real + balance.abs())
        k = _beside(self.k.get(game, self.start), real)
        self.k[game] = torch.clamp(k + turn.now(self.lambda_k) * balance, 0, 1)

    def state_dict(self) -> dict[str, Any]:
        """Game -> k."""
        return {"k": dict(self.k)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` returned."""
        self.k = dict(state["k"])


def _beside(k: Tensor | float, other: Tensor) -> Tensor | float:
    """k where another tensor is: after a resume it may lie elsewhere."""
    return k.to(other.device) if isinstance(k, Tensor) else k


def _mean_energy(streams: list[Stream]) -> Tensor:
    """Over all samples of some streams, without a gradient."""
    return torch.cat([stream.logits.detach().flatten() for stream in streams]).mean()


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "began", BEGAN)
