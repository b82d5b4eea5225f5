"""pix2pix: translation learned from pairs, by an L1 distance and a discriminator that sees the input beside the answer.

Paper: Isola, Zhu, Zhou and Efros, "Image-to-Image Translation with Conditional Adversarial Networks" (2016). For pairs
(a, b) the discriminator minimises half the sum of -log D(a, b) and -log(1 - D(a, G(a))), the generator

    adversarial * -log D(a, G(a)) + l1 * |G(a) - b|,   l1 = 100

One update of D, then one of G with the same fakes; Adam 2e-4 (0.5, 0.999), batches of one pair, 200 epochs at a
constant rate (the authors' PyTorch code: constant for 100, then linearly to 0 over 100). ``adversarial: 0`` is the
paper's L1-only network: its discriminator still learns, without effect. ``direction: ba`` makes a from b, as the
paper does with facades.

There is no latent: dropout in the generator is the noise, and the paper leaves it on when testing
(``dropout_at_test``). It also normalises by the statistics of the test batch (``bn_at_test``), which for batches of one
is what training saw. Samples are then made in batches of ``train.batch_size``, and running statistics stay as they are.
Both are switches of their own, because later versions of the authors' code differ in them. Neither matters to a
generator without dropout or BatchNorm.

The discriminators ``patchgan`` and ``pixelgan`` (the paper's 1 x 1) have the channels (input, answer), as the authors'
code does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import (
    Component,
    Description,
    Experiment,
    Game,
    Interface,
    Network,
    Phase,
    Player,
    Refusal,
    Role,
    Sampling,
    Scheduled,
    Space,
    Stream,
    Term,
    Turn,
    hookimpl,
)

PLAYER = {"optimizer": {"adam": {"lr": 2e-4, "betas": [0.5, 0.999]}}, "init": {"scheme": "normal", "gain": 0.02}}


class Pix2pix:
    """One generator from images to images, one discriminator of pairs, one game, and the L1 distance to the answer."""

    provides = frozenset({"paired-image-condition"})
    defaults: ClassVar[dict[str, Any]] = {
        "generator": "unet",
        "discriminator": {"patchgan": {"norm": "batch"}},
        "loss": "non-saturating",
        "players": {"generator": PLAYER, "discriminator": PLAYER},
        "train": {"batch_size": 1, "steps": "200 epochs"},
    }

    def __init__(
        self,
        *,
        direction: Annotated[Literal["ab", "ba"], Field(description="ab: make b from a; ba: make a from b")] = "ab",
        l1: Annotated[Scheduled, Field(ge=0, description="weight of the L1 distance to the answer")] = Scheduled(100.0),
        adversarial: Annotated[
            Scheduled, Field(ge=0, description="weight of the game in the generator's turns; 0: L1 alone")
        ] = Scheduled(1.0),
        dropout_at_test: Annotated[
            bool, Field(description="keep the generator's dropout on when sampling, as the paper does")
        ] = True,
        bn_at_test: Annotated[
            bool, Field(description="BatchNorm by the statistics of the batch when sampling, as the paper does")
        ] = True,
    ) -> None:
        self.source, self.target = direction
        self.l1 = l1
        self.adversarial = adversarial
        self.kept_on: tuple[type[nn.Module], ...] = ((nn.modules.dropout._DropoutNd,) if dropout_at_test else ()) + (
            (nn.modules.batchnorm._BatchNorm,) if bn_at_test else ()
        )
        self.bn_at_test = bn_at_test

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with entries ``a`` and ``b`` that are pairs of images, row by row."""
        if not {"a", "b"} <= set(spaces):
            raise Refusal(
                "this variant learns from pairs, the entries 'a' and 'b' of the data, "
                f"and the data set has {', '.join(sorted(spaces)) or 'none'}",
                "take a data set of pairs, such as paired-folders or paired-digits",
            )
        given, made = spaces[self.source], spaces[self.target]
        if not (given.kind == made.kind == "image"):
            raise Refusal(
                f"it translates images, and the entries of the data are {given} and {made}",
                "a data set of pairs of images",
            )
        return Description(
            networks={
                "generator": Network("generator", Interface(takes=given, makes=made)),
                "discriminator": Network("discriminator", Interface(takes=made, given=(given,))),
            },
            players=[Player("discriminator", ["discriminator"]), Player("generator", ["generator"])],
            phases=[Phase("discriminator", "discriminator"), Phase("generator", "generator")],
            games=[
                Game(
                    "adversarial",
                    "discriminator",
                    player="discriminator",
                    against=["generator"],
                    space=made.kind,
                    weight={"discriminator": 0.5, "generator": self.adversarial},
                )
            ],
            outputs=(self.target,),
            pairs={self.target: self.target},
            shared_batch=True,
            reuse_fakes=True,
            conditional=True,
        )

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        self.batch_size = experiment.recipe.train.batch_size

    @hookimpl
    def sampling(self, sampling: Sampling) -> None:
        sampling.active.extend(
            layer for layer in sampling.modules["generator"].modules() if isinstance(layer, self.kept_on)
        )

    def sample(self, turn: Turn) -> None:
        """There is no latent: the noise is the generator's dropout."""

    def make(self, turn: Turn) -> None:
        generator, x = turn.modules["generator"], turn.real[self.source]
        outside = not turn.in_training and self.bn_at_test
        turn.made[self.target] = self._as_in_training(turn.keeping_buffers("generator"), x) if outside else generator(x)

    def _as_in_training(self, generator: Callable[..., Tensor], x: Tensor) -> Tensor:
        """Images (B, C, H, W) translated in batches as training sees them; running statistics stay as they are."""
        pieces = list(x.split(self.batch_size))
        if len(pieces) > 1 and len(pieces[-1]) == 1 < self.batch_size:  # one row need not have statistics
            pieces[-2:] = [torch.cat(pieces[-2:])]
        return torch.cat([generator(piece) for piece in pieces])

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        roles: list[Role] = ["real", "fake"]
        samples, given = {"real": turn.real, "fake": turn.made}, (turn.real[self.source],)
        return {
            "adversarial": [
                Stream(samples[role][self.target], role, given) for role in roles if turn.wants("adversarial", role)
            ]
        }

    def terms(self, turn: Turn) -> dict[str, Term]:
        if turn.player != "generator":
            return {}
        return {"l1": Term(F.l1_loss(turn.made[self.target], turn.real[self.target]), turn.now(self.l1))}

    def panels(self, turn: Turn) -> dict[str, dict[str, Tensor]]:
        source, target = self.source, self.target
        columns = {source: turn.real[source], f"to {target}": turn.made[target], f"true {target}": turn.real[target]}
        return {f"{source} to {target}": columns}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "pix2pix", Pix2pix)
