"""GAN-INT-CLS: images from texts, against a discriminator that also sees real images with wrong texts.

Paper: Reed et al., "Generative Adversarial Text to Image Synthesis" (2016), algorithm 1 and equation 5. With t the
embedding of the text of a real image x, w a real image whose text is another one, and t' one of another item, the
discriminator's side is

    loss(D(x, t), real) + wrong * loss(D(w, t), fake) + (1 - wrong) * loss(D(G(z, t), t), fake),   wrong = 1/2,

(CLS: it learns whether image and text match), and the generator's side is the mean over as many fakes as there are
items and half as many fakes of texts in between, D(G(z, (t + t') / 2), (t + t') / 2), the latter weighted by
``interpolation`` (INT). ``wrong: 0`` is a plain conditional GAN, ``interpolation: 0`` GAN-CLS.

The entry ``text`` of the data is word numbers or a ready embedding. Word numbers get an embedding of their own: until
``pretraining`` is over a text encoder and an image encoder (both from the recipe's ``encoder``) learn to match, by the
loss of Reed et al., "Learning Deep Representations of Fine-Grained Visual Descriptions" (2016); then the text encoder
stays as it is, and only then the game begins.

Differences from the authors' code: a wrong image is that of the next item of the batch that has another text, there one
of another class; an item without such a neighbour shows its fake a second time instead. The generator's turn makes as
many fakes in between as others and counts each half, there half as many. Their fixed middle of two texts is kept; their
option of drawing other weights is not here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import (
    Component,
    Description,
    Duration,
    Experiment,
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
    hookimpl,
)

RATE = {"steps": {0: 2e-4} | {f"{100 * k} epochs": 2e-4 / 2**k for k in range(1, 6)}}
PLAYER = {"optimizer": {"adam": {"lr": RATE, "betas": [0.5, 0.999]}}, "init": {"scheme": "normal", "gain": 0.02}}


class GANCLS:
    """One generator and one discriminator that are given a text, and encoders that learn before the game begins."""

    provides = frozenset({"latent"})
    networks: ClassVar[dict[str, str]] = {"encoder": "generator"}
    defaults: ClassVar[dict[str, Any]] = {
        "generator": "gan-cls",
        "discriminator": "gan-cls",
        "encoder": "joint-embedding",
        "loss": "non-saturating",
        "players": {
            "discriminator": PLAYER,
            "generator": PLAYER,
            "encoder": {"optimizer": {"adam": {"lr": 1e-3, "betas": [0.9, 0.999]}}},
        },
        "train": {"batch_size": 64, "steps": "600 epochs"},
    }
    warns: ClassVar[dict[str, Reason]] = {
        **dict.fromkeys(
            ("several-processes", "accumulated"),
            Reason(
                "texts are told from, and blended with, those of the same part of the batch: fewer others",
                "larger batches",
            ),
        ),
        "single-sample": Reason(
            "wrong images are those of other items of the batch, and there are none",
            "train.batch_size of two packs or more",
        ),
    }

    def __init__(
        self,
        *,
        latent: Annotated[int, Field(ge=1, description="size of the latent")] = 100,
        embedding: Annotated[
            int, Field(ge=1, description="size of the embedding of a text; ready embeddings keep theirs")
        ] = 1024,
        pretraining: Annotated[
            Duration, Field(description="until then only the encoders train; none for ready embeddings")
        ] = Duration(10, "%"),
        wrong: Annotated[
            Scheduled,
            Field(ge=0, le=1, description="share of real images with a wrong text among what is to be told from real"),
        ] = Scheduled(0.5),
        interpolation: Annotated[
            Scheduled, Field(ge=0, description="weight of a fake of a text in between, beside that of others")
        ] = Scheduled(1.0),
    ) -> None:
        self.latent = Space("latent", (latent,))
        self.embedding = Space("latent", (embedding,))
        self.pretraining = Duration.parse(pretraining)
        self.wrong = wrong
        self.interpolation = interpolation
        self._pretraining_steps = 0.0

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with entries ``x``, images, and ``text``, word numbers (T,) or an embedding (E,)."""
        text = spaces.get("text")
        if "x" not in spaces or text is None or (text.kind, len(text.shape)) not in (("labels", 1), ("latent", 1)):
            raise Refusal(
                "this variant makes 'x' of 'text', word numbers or an embedding, "
                f"and the data set has {', '.join(sorted(spaces)) or 'no entries'}",
                "a data set of images and texts, such as caption-digits",
            )
        x, words = spaces["x"], text.kind == "labels"
        given = self.embedding if words else text
        networks = {
            "generator": Network("generator", Interface(takes=self.latent, makes=x, given=(given,))),
            "discriminator": Network("discriminator", Interface(takes=x, given=(given,))),
        }
        players = [Player("discriminator", ["discriminator"]), Player("generator", ["generator"])]
        phases = [Phase("discriminator", "discriminator"), Phase("generator", "generator")]
        if words:
            networks["text_encoder"] = Network("encoder", Interface(takes=text, makes=given))
            networks["image_encoder"] = Network("encoder", Interface(takes=x, makes=given))
            players.append(Player("encoder", ["text_encoder", "image_encoder"]))
            for phase in phases:
                phase.when = self._plays
            phases.insert(0, Phase("pretraining", "encoder", when=self._pretrains, games=()))
        return Description(
            networks=networks,
            players=players,
            phases=phases,
            games=[Game("adversarial", "discriminator", player="discriminator", against=["generator"], space=x.kind)],
            outputs=("x",),
            shared_batch=True,
            conditional=True,
            codes={"text": text} if words else {},
        )

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        self._pretraining_steps = self.pretraining.steps(experiment.clock)

    def _pretrains(self, step: int) -> bool:
        return step < self._pretraining_steps

    def _plays(self, step: int) -> bool:
        return not self._pretrains(step)

    # --- fakes --------------------------------------------------------------------------------------------------

    def sample(self, turn: Turn) -> None:
        turn.draw_latent("z", self.latent)
        turn.latents["text"] = turn.real["text"]
        if turn.phase.name == "generator" and turn.now(self.interpolation) > 0:
            turn.draw_latent("z_between", self.latent)

    def make(self, turn: Turn) -> None:
        if turn.phase.name == "pretraining":
            return
        text = self._embedding(turn)  # (B, E)
        turn.made["x"] = turn.modules["generator"](turn.latents["z"], text)
        if "z_between" in turn.latents:
            turn.made["text_between"] = (text + text.roll(len(text) // 2, 0)) / 2
            turn.made["x_between"] = turn.modules["generator"](turn.latents["z_between"], turn.made["text_between"])

    def _embedding(self, turn: Turn) -> Tensor:
        """The embedding of the texts that images are made of, in training those of the real items, (B, E)."""
        if "text" not in turn.made:
            text = turn.latents["text"]
            turn.made["text"] = turn.modules["text_encoder"](text) if "text_encoder" in turn.modules else text
        return turn.made["text"]

    # --- games --------------------------------------------------------------------------------------------------

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        given = (self._embedding(turn),)
        streams = [Stream(turn.real["x"], "real", given)] if turn.wants("adversarial", "real") else []
        if not turn.wants("adversarial", "fake"):
            return {"adversarial": streams}
        fake = Stream(turn.made["x"], "fake", given, latent=turn.latents.get("z"))
        streams.append(fake)
        wrong, between = turn.now(self.wrong), turn.now(self.interpolation)
        if turn.phase.name == "discriminator" and wrong > 0:
            fake.weight = 1 - wrong
            streams.append(Stream(self._wrong_images(turn), "fake", given, weight=wrong, name="wrong"))
        if "x_between" in turn.made:
            fake.weight = 2 / 3  # of one and a half times as many samples
            given = (turn.made["text_between"],)
            latent = turn.latents["z_between"]
            streams.append(
                Stream(turn.made["x_between"], "fake", given, weight=between / 3, latent=latent, name="between")
            )
        return {"adversarial": streams}

    def _wrong_images(self, turn: Turn) -> Tensor:
        """For each item an image (B, C, H, W) that does not show its text."""
        other, found = next_unlike(alike(turn.real["text"]))
        return torch.where(found[:, None, None, None], turn.real["x"][other], turn.made["x"].to(turn.real["x"].dtype))

    def terms(self, turn: Turn) -> dict[str, Term]:
        if turn.phase.name != "pretraining":
            return {}
        images = turn.modules["image_encoder"](turn.real["x"])  # (B, E)
        return {"matching": Term(matching(images, self._embedding(turn), alike(turn.real["text"])))}

    def panels(self, turn: Turn) -> dict[str, dict[str, Tensor]]:
        return {"made, the image of the text": {"made": turn.made["x"], "of the text": turn.real["x"]}}


def matching(images: Tensor, texts: Tensor, alike: Tensor) -> Tensor:
    """The symmetric structured loss of a batch: images and texts (B, size), row by row a pair.

    alike (B, B) bool: which rows' texts are equal.

    With scores s(i, j) = images_i . texts_j, the mean over all i, j with unequal texts of

        max(0, 1 + s(i, j) - s(i, i)) + max(0, 1 + s(i, j) - s(j, j)):

    an image scores its own text higher than another one by 1, and a text its own image. 0 if all texts are equal.
    """
    scores = images @ texts.T  # (B, B)
    own = scores.diagonal()  # (B,)
    excess = (1 + scores - own[:, None]).relu() + (1 + scores - own[None, :]).relu()
    return torch.where(alike, 0.0, excess).sum() / (~alike).sum().clamp(min=1)


def alike(text: Tensor) -> Tensor:
    """Which rows are equal: (B, ...) -> (B, B) bool."""
    rows = text.flatten(1)
    equal: Tensor = (rows[:, None] == rows[None]).all(2)
    return equal


def next_unlike(alike: Tensor) -> tuple[Tensor, Tensor]:
    """For each row the next one, counted round, that is not alike, (B,) int64, and whether there is one, (B,) bool."""
    rows = len(alike)
    place = torch.arange(rows, device=alike.device)
    following = (place[:, None] + place) % rows  # (B, B): row i is i, i + 1, ..., i - 1
    unlike = ~alike.gather(1, following)
    other = following.gather(1, unlike.int().argmax(1, keepdim=True)).squeeze(1)  # argmax: the first
    return other, unlike.any(1)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "gan-cls", GANCLS)
