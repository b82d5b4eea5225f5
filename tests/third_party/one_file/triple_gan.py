"""Triple-GAN: a classifier labels images, a generator makes images of labels, a discriminator judges the pairs of both.

Paper: Li, Xu, Zhu and Zhang, "Triple Generative Adversarial Nets" (2017), equations 3 to 5. Real are pairs of an image
and its label. Fake are pairs (x, C(x)), of a real image and the classifier's label, and (G(z, y), y):

    discriminator:  log D(x, y) + alpha log(1 - D(x, C(x))) + (1 - alpha) log(1 - D(G(z, y), y))     to be maximised
    classifier:     alpha p(C(x) | x) log(1 - D(x, C(x))), cross-entropy on labelled images, and on generated ones
    generator:      (1 - alpha) log(1 - D(G(z, y), y))

A label is discrete, so that no gradient flows through it: as in the paper the classifier's part is weighted by the
probability that it gave to its label. The loss is a part: ``minimax`` is the paper's. Differences from the authors'
code: the classifier minimises p softplus(-l), the non-saturating form; the cross-entropy on generated images has its
full weight from the start.
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
    Game,
    Interface,
    Network,
    Phase,
    Player,
    Refusal,
    Scheduled,
    Space,
    Stream,
    Term,
    Turn,
    hookimpl,
)

ADAM = {"adam": {"lr": 0.0003, "betas": [0.5, 0.999]}}


class TripleGAN:
    """Three players: the classifier is a network of its own key, with one logit a class."""

    provides: ClassVar[frozenset[str]] = frozenset({"latent"})
    networks: ClassVar[dict[str, str]] = {"classifier": "discriminator"}
    defaults: ClassVar[dict[str, Any]] = {
        "generator": "dcgan",
        "discriminator": {"dcgan": {"norm": "none"}},
        "classifier": {"dcgan": {"norm": "none"}},
        "loss": "non-saturating",
        "players": {player: {"optimizer": ADAM} for player in ("discriminator", "generator", "classifier")},
        "train": {"batch_size": 64},
    }

    def __init__(
        self,
        *,
        latent: Annotated[int, Field(ge=1, description="size of the latent")] = 100,
        alpha: Annotated[float, Field(ge=0, le=1, description="share of the classifier's pairs among fakes")] = 0.5,
        generated: Annotated[Scheduled, Field(ge=0, description="weight of the labels of fakes")] = Scheduled(0.1),
    ) -> None:
        self.latent = Space("latent", (latent,))
        self.alpha = alpha
        self.generated = generated
        self.label = Space("labels", (), 0)

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For images ``x`` with one ``label`` each."""
        if not {"x", "label"} <= set(spaces) or spaces["label"].shape:
            raise Refusal("this variant learns from images 'x' with one 'label' each", "dataset: digits")
        x, self.label = spaces["x"], spaces["label"]
        return Description(
            networks={
                "generator": Network("generator", Interface(takes=self.latent, makes=x, given=(self.label,))),
                "classifier": Network("classifier", Interface(takes=x, logits=self.label.classes)),
                "discriminator": Network("discriminator", Interface(takes=x, given=(self.label,))),
            },
            players=[Player(name, [name]) for name in ("discriminator", "generator", "classifier")],
            phases=[Phase(name, name) for name in ("discriminator", "generator", "classifier")],
            games=[
                Game("generated", "discriminator", player="discriminator", against=["generator"], space=x.kind),
                Game("labelled", "discriminator", player="discriminator", watchers=["classifier"], space=x.kind),
            ],
            codes={"label": self.label},
            infers={"label": self.label},
        )

    def sample(self, turn: Turn) -> None:
        turn.draw_latent("z", self.latent)
        turn.draw_labels("label", self.label)

    def make(self, turn: Turn) -> None:
        turn.made["x"] = turn.modules["generator"](turn.latents["z"], turn.latents["label"])

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        """Real pairs are in the game of generated ones alone; alpha weighs the fakes."""
        streams: dict[str, list[Stream]] = {"generated": [], "labelled": []}
        if turn.wants("generated", "real"):
            streams["generated"].append(Stream(turn.real["x"], "real", (turn.real["label"],)))
        if turn.wants("generated", "fake"):
            fake = Stream(
                turn.made["x"], "fake", (turn.latents["label"],), weight=1 - self.alpha, latent=turn.latents["z"]
            )
            streams["generated"].append(fake)
        if turn.wants("labelled", "fake"):
            labels = self._logits(turn, turn.real["x"]).argmax(1)  # (B,)
            streams["labelled"].append(Stream(turn.real["x"], "fake", (labels,), weight=self.alpha))
        return streams

    def terms(self, turn: Turn) -> dict[str, Term]:
        if turn.player != "classifier":
            return {}
        logits = self._logits(turn, turn.real["x"])  # (B, K)
        terms = {"labelled": Term(F.cross_entropy(logits, turn.real["label"]))}
        fake = self._logits(turn, turn.made["x"].detach())
        terms["of_fakes"] = Term(F.cross_entropy(fake, turn.latents["label"]), turn.now(self.generated))
        (judged,) = [round for round in turn.rounds if round.game.name == "labelled"]
        label = logits.argmax(1)
        output = turn.discriminate(judged, turn.real["x"], (label,), role="fake", tag="feature")
        p = logits.softmax(1).gather(1, label[:, None]).squeeze(1)  # (B,)
        opinion = output.logits.reshape(len(p), -1).mean(1)  # (B,)
        fooled = F.softplus(-opinion).detach()  # (B,), small where the pair looks real
        terms["fools"] = Term((p * fooled).mean(), self.alpha)
        return terms

    def infer(self, turn: Turn) -> dict[str, Tensor]:
        """Class logits (B, K) of real items."""
        return {"label": self._logits(turn, turn.real["x"])}

    @staticmethod
    def _logits(turn: Turn, x: Tensor) -> Tensor:
        """Images (B, C, H, W) -> class logits (B, K)."""
        found: Tensor = turn.modules["classifier"](x).logits
        return found

    def panels(self, turn: Turn) -> dict[str, list[Tensor]]:
        return {"samples": [turn.made["x"]]}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "triple-gan", TripleGAN)
