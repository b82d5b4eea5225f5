"""An autoencoder: no game, the baseline of GANs with an encoder; an image is encoded and decoded again.

Paper: Hinton and Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks" (2006). With encoder E and
generator G (the decoder),

    minimise  mean over numbers of |x - G(E(x))|^2

(``squared``; ``l1``: the absolute difference; ``cross-entropy``: of grey values).

There is no prior of encodings, so nothing can be sampled: what is made, inside and outside training, is the
reconstruction of a real item, and evaluators compare reconstructions of test items with the data. ``vae`` and ``aae``
are the variants that can sample.

Differences: the paper pretrains layer by layer with restricted Boltzmann machines, which no one needs since ReLU and
Adam.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor

from ganrun.plugin import (
    Component,
    Description,
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
from ganrun_plugins.variants._encoders import Error, entry, errors


class Autoencoder:
    """One encoder, one generator, one player, no game."""

    provides = frozenset({"deterministic-generator"})
    networks: ClassVar[dict[str, str]] = {"encoder": "generator"}
    defaults: ClassVar[dict[str, Any]] = {
        "generator": {"mlp": {"norm": "none"}},
        "encoder": {"mlp": {"widths": [1024, 512, 256, 128], "norm": "none"}},
        "players": {"autoencoder": {"optimizer": {"adam": {"lr": 1e-3, "betas": [0.9, 0.999]}}}},
        "train": {"batch_size": 100},
    }

    def __init__(
        self,
        *,
        latent: Annotated[int, Field(ge=1, description="numbers of an encoding")] = 30,
        error: Annotated[
            Error, Field(description="of the reconstruction, a mean over its numbers; cross-entropy is for images")
        ] = "squared",
    ) -> None:
        self.latent = Space("latent", (latent,))
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
            },
            players=[Player("autoencoder", ["encoder", "generator"])],
            phases=[Phase("reconstruction", "autoencoder", games=())],
            outputs=("x",),
            pairs={"rec": "x"},
            infers={"z": self.latent},
            conditional=True,
        )

    def sample(self, turn: Turn) -> None:
        """There is no latent: a reconstruction is a function of its input."""

    def make(self, turn: Turn) -> None:
        turn.made["x"] = turn.made["rec"] = turn.modules["generator"](turn.modules["encoder"](turn.real["x"]))

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        return {}

    def terms(self, turn: Turn) -> dict[str, Term]:
        return {"reconstruction": Term(errors(turn.made["rec"], turn.real["x"], self.error).mean())}

    def infer(self, turn: Turn) -> dict[str, Tensor]:
        """``z``: encodings (B, Z) of the real items."""
        return {"z": turn.modules["encoder"](turn.real["x"])}

    def panels(self, turn: Turn) -> dict[str, dict[str, Tensor]]:
        return {"reconstructions": {"x": turn.real["x"], "reconstruction": turn.made["rec"]}}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "autoencoder", Autoencoder)
