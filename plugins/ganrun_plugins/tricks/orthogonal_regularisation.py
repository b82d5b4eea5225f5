"""Orthogonal regularisation: the rows of every weight matrix are pushed towards right angles.

Papers: Brock et al., "Neural Photo Editing with Introspective Adversarial Networks" (2016); without the diagonal:
Brock, Donahue and Simonyan, "Large Scale GAN Training for High Fidelity Natural Image Synthesis" (BigGAN, 2018),
section 3.1. With W a parameter of at least two axes, flattened behind the first, o the product entry by entry, and
1 - I a matrix of ones but for its diagonal:

    gradient <- gradient + beta * 2 * (W W' o (1 - I)) W

which is the gradient of beta / 2 * |W W' o (1 - I)|^2. It is added to the averaged gradients before the optimiser's
step, to the parameters themselves where weights are computed from others. Embeddings are left out, and so are rows of
one number, such as the lengths of weight normalisation: there is no angle between them, and only zeros would do.

Differences from well-known code: this is BigGAN's public code. The paper writes beta * |...|^2, whose gradient is twice
that (beta: 2e-4 here); it is written for columns, the code takes rows. Rows are the first axis of the tensor: the
outputs of a layer, the inputs of a transposed convolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Experiment, Refusal, Scheduled, Turn, hookimpl


class OrthogonalRegularisation:
    """Adds the gradient of the squared cosines between rows to that of the players' weights."""

    strength: ClassVar[str] = "beta"
    remedies: ClassVar[frozenset[str]] = frozenset({"exploding", "missing-diversity"})

    def __init__(
        self,
        *,
        beta: Annotated[Scheduled, Field(ge=0, description="factor of the gradient")] = Scheduled(1e-4),
        players: Annotated[
            list[str] | None, Field(description="whose weights; null: the players' that a game scores")
        ] = None,
    ) -> None:
        self.beta = beta
        self.players = players
        self.chosen: set[str] = set()

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        scored = {player for game in experiment.games for player in game.against}
        # Where no game is played there is no generator's side to prefer.
        self.chosen = set(self.players) if self.players is not None else scored or set(experiment.players)
        for name in sorted(self.chosen):
            if name not in experiment.players:
                raise Refusal(
                    f"there is no player {name!r} with weights to regularise",
                    f"players: [{', '.join(experiment.players)}]",
                )

    @hookimpl
    def gradients(self, turn: Turn) -> None:
        if turn.player not in self.chosen or turn.phase.lazy:
            return
        beta = turn.now(self.beta)
        modules = [module for network in turn.networks.values() for module in network.modules()]
        embeddings = {
            id(p)
            for module in modules
            if isinstance(module, nn.Embedding | nn.EmbeddingBag)
            for p in module.parameters()
        }
        for parameter in turn.parameters():
            has_rows = parameter.dim() >= 2 and parameter.shape[1:].numel() > 1
            if parameter.grad is not None and has_rows and id(parameter) not in embeddings:
                parameter.grad.add_(2 * overlap(parameter.detach()), alpha=beta)


def overlap(weight: Tensor) -> Tensor:
    """(W W' o (1 - I)) W for W (rows, ...) flattened behind its first axis; shaped as the weight."""
    rows = weight.flatten(1)  # (R, C)
    products = rows @ rows.T  # (R, R)
    return ((products - torch.diag(products.diagonal())) @ rows).view(weight.shape)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "orthogonal-regularisation", OrthogonalRegularisation)
