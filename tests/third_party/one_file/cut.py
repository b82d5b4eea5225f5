"""CUT: translation one way, in which each patch of a translation keeps the content of the same patch of the image.

Paper: Park, Efros, Zhang and Zhu, "Contrastive Learning for Unpaired Image-to-Image Translation" (2020), section 3.
Hidden layers of the generator, at some places of a layer, are projected to vectors of length 1: q of the translation, k
of the image. With n(a, b) = exp(a . b / temperature), generator and projector minimise the mean over layers, images and
places s of

    -log n(q_s, k_s) / sum over places t of n(q_s, k_t)

so that a patch is known again among the others of its own image. No gradient flows through k. The projector (``H`` in
the paper) is a perceptron a layer, as wide as the generator's layers are.

Differences from the authors' code: all layers have equally many places, as many as the smallest one has if these are
fewer than ``patches``; no identity term.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

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
    Scheduled,
    Space,
    Stream,
    Term,
    Turn,
    hidden_shapes,
    hookimpl,
)

ADAM = {"adam": {"lr": 0.0002, "betas": [0.5, 0.999]}}


class PatchProjector(nn.Module):
    """Vectors (N, C), and whatever further ones are given (N, C'), -> (N, size): each through a perceptron of its own.

    The results lie side by side, so ``size`` is a multiple of how many there are.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"latent"})
    makes: ClassVar[frozenset[str]] = frozenset({"latent"})

    def __init__(
        self, interface: Interface, *, width: Annotated[int, Field(ge=1, description="of the hidden layer")] = 256
    ) -> None:
        super().__init__()
        assert interface.makes is not None, "a generator's interface says what it makes"
        sizes = [space.size for space in (interface.takes, *interface.given)]
        each, rest = divmod(interface.makes.size, len(sizes))
        if rest:
            raise Refusal(f"{len(sizes)} layers share no {interface.makes.size} numbers evenly", "a multiple of them")
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(size, width), nn.ReLU(), nn.Linear(width, each)) for size in sizes
        )

    def forward(self, x: Tensor, *given: Tensor) -> Tensor:
        return torch.cat([layer(vectors) for layer, vectors in zip(self.layers, (x, *given), strict=True)], 1)


def contrast(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Vectors (B, S, D) of S places each -> the mean cross-entropy of finding a query's own place among the keys'."""
    scores = F.normalize(queries, dim=2) @ F.normalize(keys, dim=2).transpose(1, 2) / temperature  # (B, S, S)
    own = torch.arange(scores.shape[1], device=scores.device).expand(len(scores), -1)  # (B, S)
    return F.cross_entropy(scores.flatten(0, 1), own.flatten())


class CUT:
    """A generator, a projector of its hidden layers, and a discriminator: three players."""

    networks: ClassVar[dict[str, str]] = {"projector": "generator"}
    needs: ClassVar[dict[str, Reason]] = {
        "generator:layers": Reason("patches are compared in hidden layers of the generator", "resnet-translator")
    }
    defaults: ClassVar[dict[str, Any]] = {
        "generator": "resnet-translator",
        "discriminator": "patchgan",
        "projector": "patch-projector",
        "loss": "least-squares",
        "players": {player: {"optimizer": ADAM} for player in ("discriminator", "generator", "projector")},
        "train": {"batch_size": 1},
    }

    def __init__(
        self,
        *,
        contrast: Annotated[Scheduled, Field(ge=0, description="weight of the contrast of patches")] = Scheduled(1.0),
        patches: Annotated[int, Field(ge=2, description="places in each layer")] = 256,
        size: Annotated[int, Field(ge=1, description="numbers of a projected patch")] = 256,
        temperature: Annotated[float, Field(gt=0, description="of the softmax over places")] = 0.07,
    ) -> None:
        self.weight = contrast
        self.patches = patches
        self.size = size
        self.temperature = temperature

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with images ``a`` and ``b``; a becomes b."""
        if not {"a", "b"} <= set(spaces):
            raise Refusal("this variant translates an entry 'a' of the data to 'b'", "dataset: unpaired-folders")
        a, b = spaces["a"], spaces["b"]
        if a.shape != b.shape:
            raise Refusal(f"the generator sees translations as well as images: {b} and {a}", "one size for both")
        generator = Interface(takes=a, makes=b)

        def widths(networks: Mapping[str, nn.Module], interface: Interface) -> None:
            channels = [shape[0] for shape in hidden_shapes(networks["generator"], generator).values()]
            interface.takes, *given = (Space("latent", (count,)) for count in channels)
            interface.given = tuple(given)
            interface.makes = Space("latent", (len(channels) * self.size,))

        return Description(
            networks={
                "generator": Network("generator", generator),
                "projector": Network("projector", Interface(takes=Space("latent")), follows=widths),
                "discriminator": Network("discriminator", Interface(takes=b)),
            },
            players=[Player(name, [name]) for name in ("discriminator", "generator", "projector")],
            phases=[
                Phase("discriminator", "discriminator"),
                Phase("generator", "generator", together="translation"),
                Phase("projector", "projector", together="translation", games=()),
            ],
            games=[Game("b", "discriminator", player="discriminator", against=["generator"], space=b.kind)],
            outputs=("b",),
            shared_batch=True,
            conditional=True,
        )

    def sample(self, turn: Turn) -> None:
        """Nothing is left to chance."""

    def make(self, turn: Turn) -> None:
        turn.made["b"] = turn.modules["generator"](turn.real["a"])

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        real = [Stream(turn.real["b"], "real")] if turn.wants("b", "real") else []
        return {"b": [*real, Stream(turn.made["b"], "fake")] if turn.wants("b", "fake") else real}

    def terms(self, turn: Turn) -> dict[str, Term]:
        if turn.player == "discriminator":
            return {}
        generator = turn.modules["generator"]
        images = generator(turn.real["a"], layers=True).hidden  # name -> (B, C, H, W)
        translations = generator(turn.made["b"], layers=True).hidden
        count = min(self.patches, *(layer.shape[2:].numel() for layer in images.values()))
        rows = {
            name: torch.randperm(layer.shape[2:].numel(), generator=turn.draws.generator(f"patches {name}"))[:count]
            for name, layer in images.items()
        }
        keys, queries = self._project(turn, images, rows), self._project(turn, translations, rows)
        values = [
            contrast(query, key.detach(), self.temperature) for query, key in zip(queries.unbind(2), keys.unbind(2))
        ]
        return {"contrast": Term(torch.stack(values).mean(), turn.now(self.weight))}

    def _project(self, turn: Turn, hidden: Mapping[str, Tensor], rows: Mapping[str, Tensor]) -> Tensor:
        """Layers (B, C, H, W), and S places in each -> (B, S, layers, size)."""
        patches = [layer.flatten(2)[:, :, rows[name].to(layer.device)] for name, layer in hidden.items()]  # (B, C, S)
        batch, _, count = patches[0].shape
        x, *given = (patch.transpose(1, 2).flatten(0, 1) for patch in patches)  # (B * S, C) each
        found: Tensor = turn.modules["projector"](x, *given)  # (B * S, layers * size)
        return found.unflatten(1, (len(patches), self.size)).unflatten(0, (batch, count))

    def panels(self, turn: Turn) -> dict[str, list[Tensor]]:
        return {"translations": [turn.real["a"], turn.made["b"]]}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "patch-projector", PatchProjector)
    yield Component("variant", "cut", CUT)
