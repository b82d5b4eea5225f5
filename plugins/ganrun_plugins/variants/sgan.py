"""SGAN: a discriminator of K + 1 classes, one of them "fake", that learns K classes from few labels and many images.

Papers: Odena, "Semi-Supervised Learning with Generative Adversarial Networks" (2016); Salimans et al., "Improved
Techniques for Training GANs" (2016), section 5. With class logits l_1..l_K, a logit l_fake, and one softmax over all of
them,

    1 - p(fake | x) = sigmoid(logsumexp(l_1..l_K) - l_fake)

so that the difference on the right is the logit of a game like any other: the loss sees nothing else. The class logits
are the discriminator's head ``class``, and its main output is -l_fake. With ``loss: non-saturating`` the terms are
Odena's,

    discriminator:  -log p(y | x) on labelled images  -log(1 - p(fake | x)) on all images  -log p(fake | G(z))
    generator:      -log(1 - p(fake | G(z)))

``form: improved`` is Salimans et al.'s: l_fake is fixed at 0 (a softmax has one logit too many), which leaves the main
output unused; the labelled term is -log p(y | x, not fake), of K classes; the discriminator's terms of the game have
weight 1/2. Their generator matches features instead of playing: ``tricks: [{feature-matching: {adversarial: 0}}]``.

Labelled images go through the discriminator for the labelled term alone, without augmentation and noise, which need not
keep a label true (the tag ``feature``); they are no part of the game and change no running statistics. Those of
BatchNorm would come from real images and fakes in turn, and class logits would be inferred with them, so the
discriminator has none by default.

``unlabelled: 0`` leaves the discriminator the labels alone: the baseline, the same network in the same steps. The
generator still plays, and nothing of it reaches the discriminator, unless through the running statistics of BatchNorm.

Differences from well-known code: PyTorch-GAN puts a softmax before a cross-entropy that has one of its own, and keeps a
sigmoid of its own for real and fake beside the K + 1 classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ganrun.plugin import (
    Component,
    Description,
    DiscriminatorOutput,
    Reason,
    Refusal,
    Scheduled,
    Space,
    Term,
    Turn,
    hookimpl,
)
from ganrun_plugins.variants._game import OneGame

ADAM = {"adam": {"lr": 2e-4, "betas": [0.5, 0.999]}}
INIT = {"scheme": "normal", "gain": 0.02}


def against_fake(output: DiscriminatorOutput) -> Tensor:
    """logsumexp(l_1..l_K) - l_fake, (B, ...); for a patch map the sum is the same in every place."""
    any_class = against_zero(output)  # (B,)
    return any_class.reshape(-1, *[1] * (output.logits.dim() - 1)) + output.logits


def against_zero(output: DiscriminatorOutput) -> Tensor:
    """The same with l_fake = 0, (B,). In float32 at least, also under autocast."""
    classes = output.heads["class"]
    return classes.to(torch.promote_types(classes.dtype, torch.float32)).logsumexp(1)


class SGAN(OneGame):
    """The game of ``gan``, played with class logits, and a term on the labelled images."""

    refuses: ClassVar[dict[str, Reason]] = {
        "packed": Reason(
            "a pack of several images has one row of class logits and several labels", "leave packing out"
        ),
        "logit:energy": Reason(
            "the game's logit is made of class logits and has no lower bound at 0 as an energy has, "
            "so the loss would push it down without limit",
            "a loss on logits, such as non-saturating",
        ),
    }
    defaults: ClassVar[dict[str, Any]] = {
        "generator": "dcgan",
        "discriminator": {"dcgan": {"norm": "none"}},
        "loss": "non-saturating",
        "players": {"discriminator": {"optimizer": ADAM, "init": INIT}, "generator": {"optimizer": ADAM, "init": INIT}},
        "train": {"batch_size": 64},
    }

    def __init__(
        self,
        *,
        latent: Annotated[int, Field(ge=1, description="size of the latent")] = 100,
        form: Annotated[
            Literal["odena", "improved"], Field(description="K + 1 logits, or K with the logit of fake fixed at 0")
        ] = "odena",
        labelled: Annotated[Scheduled, Field(ge=0, description="weight of the term on labelled images")] = Scheduled(
            1.0
        ),
        unlabelled: Annotated[
            Scheduled | None,
            Field(
                ge=0, description="weight of the discriminator's terms of the game; null: 1, in the improved form 1/2"
            ),
        ] = None,
    ) -> None:
        super().__init__(latent=latent)
        self.improved = form == "improved"
        self.labelled = labelled
        self.unlabelled = Scheduled((0.5 if self.improved else 1.0) if unlabelled is None else unlabelled)
        self.images = "x"  # the entry that the labels belong to

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For entries ``x``, ``labelled`` and ``label``; without ``labelled`` the labels are those of ``x``."""
        label = spaces.get("label")
        if label is None or label.kind != "labels" or label.shape or label.classes < 2:
            raise Refusal(
                "this variant learns from an entry 'label' of the data, one class each, "
                f"and the data set has {', '.join(sorted(spaces))}",
                "dataset: {semi-supervised: {dataset: digits}}, or a data set with labels",
            )
        description = super().describe(spaces)
        self.images = "labelled" if "labelled" in spaces else "x"
        description.networks["discriminator"].interface.heads = {"class": label.classes}
        (game,) = description.games
        game.heads = ("class",)
        game.logits = against_zero if self.improved else against_fake
        game.weight = {"discriminator": self.unlabelled}
        description.infers = {"label": label}
        return description

    def terms(self, turn: Turn) -> dict[str, Term]:
        """In the discriminator's turns, cross-entropy of the labels: over K + 1 classes, or K in the improved form."""
        if turn.player != "discriminator" or not turn.rounds:
            return {}
        output = turn.discriminate(turn.rounds[0], turn.real[self.images], role="real", tag="feature")
        classes, logits = (
            x.to(torch.promote_types(x.dtype, torch.float32)) for x in (output.heads["class"], output.logits)
        )
        value = F.cross_entropy(classes, turn.real["label"])
        if not self.improved:  # p(y) = p(y | not fake) (1 - p(fake))
            value = value + F.softplus(-logits).mean()
        return {"labelled": Term(value, turn.now(self.labelled))}

    def infer(self, turn: Turn) -> dict[str, Tensor]:
        """Class logits (B, K) of real items."""
        return {"label": turn.modules["discriminator"](turn.real["x"]).heads["class"]}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "sgan", SGAN)
