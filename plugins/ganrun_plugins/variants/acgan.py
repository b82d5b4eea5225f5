"""AC-GAN: the discriminator is not given the class but predicts it, for real samples and fakes alike.

Paper: Odena, Olah and Shlens, "Conditional Image Synthesis with Auxiliary Classifier GANs" (2017). The generator is
given a label, the discriminator has a second output, class logits, and with

    L_S = E log P(real | x) + E log P(fake | G(z, c)),    L_C = E log P(class of x | x) + E log P(c | G(z, c))

it maximises L_S + L_C while the generator maximises L_C - L_S. As terms to be minimised, L_C is three cross-entropies:
on real samples (``class_real``) and on fakes (``class_fake``) for the discriminator, on fakes for the generator
(``class_generator``).

Defaults are the paper's: Adam with rate 2e-4 and first beta 0.5, batch 100, 110 latents; the adversarial loss is the
non-saturating one, as in public code. Networks are those of ``dcgan`` with a head; the paper's own for CIFAR-10 are
generator and discriminator ``acgan``, which the recipe ``acgan_cifar10`` has.

Differences from well-known code: the conditional WGAN-GP of Gulrajani et al. classifies with weight 1 for real samples
and 0.1 for the generator, and does not train the discriminator on the classes of fakes
(``class_real: 1, class_fake: 0, class_generator: 0.1``). A popular course script puts a softmax in front of a
cross-entropy that has one already; the head here gives logits.

A discriminator that judges several samples at once has no single class to predict, so packing is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ganrun.plugin import (
    Component,
    Description,
    Interface,
    Network,
    Reason,
    Scheduled,
    Space,
    Stream,
    Term,
    Turn,
    hookimpl,
)
from ganrun_plugins.variants._conditional import LABEL, Conditional
from ganrun_plugins.variants._dcgan import ADAM, INIT
from ganrun_plugins.variants._game import First, Latent

HEAD = "class"


class ACGAN(Conditional):
    """The game of ``gan`` with a labelled generator, and a discriminator with a head for the class."""

    refuses: ClassVar[dict[str, Reason]] = {
        "packed": Reason(
            "the discriminator predicts the class of each sample, and a pack of several has one output for "
            "all of their classes",
            "variant: cgan, whose discriminator is given the labels of a pack",
        )
    }
    defaults: ClassVar[dict[str, Any]] = {
        "generator": "dcgan",
        "discriminator": "dcgan",
        "loss": "non-saturating",
        "sampler": "normal",
        "players": {"discriminator": {"optimizer": ADAM, "init": INIT}, "generator": {"optimizer": ADAM, "init": INIT}},
        "train": {"batch_size": 100},
    }

    def __init__(
        self,
        *,
        latent: Latent = 110,
        first: First = "discriminator",
        class_real: Annotated[
            Scheduled, Field(ge=0, description="discriminator's weight of the classes of real samples")
        ] = Scheduled(1.0),
        class_fake: Annotated[
            Scheduled, Field(ge=0, description="discriminator's weight of the classes of fakes")
        ] = Scheduled(1.0),
        class_generator: Annotated[
            Scheduled, Field(ge=0, description="generator's weight of the classes of fakes")
        ] = Scheduled(1.0),
    ) -> None:
        super().__init__(latent=latent, first=first)
        self.class_real = class_real
        self.class_fake = class_fake
        self.class_generator = class_generator

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with entries ``x`` and ``label``."""
        description = super().describe(spaces)
        heads = {HEAD: self.labels.size * self.labels.classes}
        description.networks["discriminator"] = Network("discriminator", Interface(takes=spaces["x"], heads=heads))
        description.games[0].heads = (HEAD,)
        if not self.labels.shape:
            description.infers = {LABEL: self.labels}
        return description

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        streams = (
            [Stream(turn.real["x"], "real", metadata={LABEL: turn.real[LABEL]})]
            if turn.wants("adversarial", "real")
            else []
        )
        if turn.wants("adversarial", "fake"):
            streams.append(
                Stream(turn.made["x"], "fake", latent=turn.latents["z"], metadata={LABEL: turn.latents[LABEL]})
            )
        return {"adversarial": streams}

    def terms(self, turn: Turn) -> dict[str, Term]:
        terms: dict[str, Term] = {}
        for round in turn.rounds:
            if round.side == "discriminator":
                terms["class_real"] = Term(self.cross_entropy(round.real), turn.now(self.class_real))
                terms["class_fake"] = Term(self.cross_entropy(round.fake), turn.now(self.class_fake))
            else:
                terms["class_generator"] = Term(self.cross_entropy(round.fake), turn.now(self.class_generator))
        return terms

    def cross_entropy(self, stream: Stream) -> Tensor:
        """-log P(label | x), the mean over a stream's samples: a scalar."""
        assert stream.output is not None, "terms come after the rounds"
        logits = stream.output.heads[HEAD]  # (B, K), or (B, A * K) for A labels each
        return F.cross_entropy(logits.reshape(-1, self.labels.classes), stream.metadata[LABEL].reshape(-1))

    def infer(self, turn: Turn) -> dict[str, Tensor]:
        """Class logits (B, K) of real items."""
        return {LABEL: turn.modules["discriminator"](turn.real["x"]).heads[HEAD]}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "acgan", ACGAN)
