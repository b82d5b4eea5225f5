"""Loss balance: what a player minimises is weighted so that every part of it pulls on the weights alike.

Papers: Esser, Rombach and Ommer, "Taming Transformers for High-Resolution Image Synthesis" (VQGAN, 2021), equation 7:
the adversarial term's weight is |gradient of the reconstruction| / |gradient of the adversarial term|, at the last
layer; Chen et al., "GradNorm" (2018): the norms of all tasks' gradients are led to their mean. Here, with g_i the
gradient of the i-th part, its weight applied:

    weight_i <- weight_i * (mean norm / |g_i|)^power,   the factor within [1 / limit, limit]

Norms are those of the player's parameters together, averaged over processes, and constants: no gradient goes through a
factor. A part is all terms of one game, whose balance of real and fake is the game's own; or any other term. A part
without a gradient counts for nothing, and a turn of one part is left alone: its factor is exactly 1. With a power of 1
the recipe's weights no longer decide how strong a part is against another; with one between 0 and 1 they do in part.

Players that a game scores are balanced, unless ``players`` names others: a penalty beside the discriminator's loss is
usually meant to be as strong as it is. Cost: a backward pass for each part; ``at: last`` measures at the last weight of
each network of the player, as VQGAN does, and saves the part of each pass that lies before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Experiment, Reason, Refusal, Scheduled, Term, Turn, hookimpl


class LossBalance:
    """Multiplies the weights of terms by ratios of gradient norms."""

    strength: ClassVar[str] = "power"
    remedies: ClassVar[frozenset[str]] = frozenset({"vanishing-gradient", "exploding"})
    warns: ClassVar[dict[str, Reason]] = dict.fromkeys(
        ("several-processes", "accumulated"),
        Reason(
            "norms are those of the gradients of parts of the batch, which are longer than that of the whole",
            "larger parts: fewer processes, and train.accumulate: 1",
        ),
    )

    def __init__(
        self,
        *,
        power: Annotated[
            Scheduled, Field(ge=0, description="exponent of the ratio: 1 makes all norms equal, 0 none")
        ] = Scheduled(1.0),
        limit: Annotated[Scheduled, Field(ge=1, description="largest factor, and one over the smallest")] = Scheduled(
            1e4
        ),
        at: Annotated[Literal["all", "last"], Field(description="the parameters whose gradients are measured")] = "all",
        players: Annotated[
            list[str] | None, Field(description="whose turns; null: those of the players that a game scores")
        ] = None,
    ) -> None:
        self.power = power
        self.limit = limit
        self.at = at
        self.players = players
        self.chosen: set[str] = set()

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        scored = {player for game in experiment.games for player in game.against}
        # Where no game is played there is no generator's side to prefer.
        chosen = set(self.players) if self.players is not None else scored or set(experiment.players)
        for name in sorted(chosen):
            if name not in experiment.players:
                raise Refusal(
                    f"there is no player {name!r} whose terms could be balanced",
                    f"players: [{', '.join(experiment.players)}]",
                )
        self.chosen = chosen

    @hookimpl(trylast=True)  # after every trick that adds a term
    def losses(self, turn: Turn) -> None:
        if turn.player not in self.chosen:
            return
        parts = parts_of(turn.terms)
        parameters = self._parameters(turn)
        norms = turn.mean_over_processes(torch.stack([norm_of(terms, parameters) for terms in parts]))  # (parts,)
        pulling = (norms > 0) & norms.isfinite()
        mean = torch.where(pulling, norms, 0.0).sum() / pulling.sum().clamp(min=1)
        limit = turn.now(self.limit)
        factors = torch.where(pulling, (mean / norms) ** turn.now(self.power), 1.0).clamp(1 / limit, limit)
        for terms, factor in zip(parts, factors):
            for term in terms:
                term.weight = factor.to(term.value.dtype) * term.weight

    def _parameters(self, turn: Turn) -> list[nn.Parameter]:
        """The player's parameters; with ``at: last`` the last weight, of two axes or more, of each of its networks."""
        own = turn.trained()
        if self.at == "all":
            return own
        ids = {id(parameter) for parameter in own}
        names = [name.partition(".") for name in turn.players[turn.player].modules]
        modules = [turn.networks[network].get_submodule(rest) for network, _, rest in names]
        weights = [[p for p in module.parameters() if id(p) in ids and p.dim() >= 2] for module in modules]
        return [found[-1] for found in weights if found] or own


def parts_of(terms: dict[str, Term]) -> list[list[Term]]:
    """The terms of a turn: those of one game together, each other one alone."""
    found: dict[tuple[str, str], list[Term]] = {}
    for name, term in terms.items():
        found.setdefault(("game", term.game) if term.game else ("term", name), []).append(term)
    return list(found.values())


def norm_of(terms: list[Term], parameters: list[nn.Parameter]) -> Tensor:
    """The norm, (), of the gradient of some weighted terms' sum; 0 if they have none."""
    values = [term.weight * term.value for term in terms if term.value.requires_grad]
    if not values:
        return torch.zeros_like(terms[0].value, dtype=parameters[0].dtype)
    with torch.autocast(values[0].device.type, enabled=False):
        total = torch.stack([value.to(parameters[0].dtype) for value in values]).sum()
        gradients = torch.autograd.grad(total, parameters, retain_graph=True, allow_unused=True)
    found = [gradient for gradient in gradients if gradient is not None]
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(found))) if found else torch.zeros_like(total)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "loss-balance", LossBalance)
