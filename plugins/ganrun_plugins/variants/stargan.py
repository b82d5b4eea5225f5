"""StarGAN: one generator translates between all domains, given the target; a second head predicts domains.

Paper: Choi et al., "StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation"
(2018). With c' the domain of a real x, c a target, and C(x) the discriminator's class logits, the two sides minimise,
beside the loss of their game,

    discriminator: classification * CE(C(x), c')
    generator:     classification * CE(C(G(x, c)), c) + reconstruction * |x - G(G(x, c), c')|

The default game is the paper's: Wasserstein with a gradient penalty of 10 and five discriminator updates to one of the
generator; ``loss: non-saturating`` without that trick is the log form of its equation 1. A label of one of k domains is
one-hot, and CE is cross-entropy; yes-no attributes are 0 and 1 each, and CE is binary cross-entropy, summed over
attributes (authors' code).

Several sets (data with an entry ``source``, such as ``multi``): the generator is given
[labels of set 1 | ... | labels of set n | mask], where the mask says which set's labels are given and those of all
others are zeros. C has the labels of all sets, and an item is classified by those of its own set alone: a mean over the
items of a batch, to the other labels of which no gradient goes.

Targets in training are the labels of the batch (of each process and micro-batch its own) in another order, within each
set (authors' code). ``targets: uniform`` draws them instead, and the set, too; so are they outside training, every
domain (or combination of attributes) as likely as any other.

Differences from the authors' code. A generator's turn has a batch of its own, there it has that of the last
discriminator update. Sets are mixed in a batch, there they take turns. Rates fall to 0 over the second half, as in the
paper; the code subtracts a 100,000th of the rate every 1,000 updates, so that 0.999 of it is left at the end:
``lr: {linear: [1e-4, 9.99e-5], from: 50%}``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ganrun.plugin import (
    Component,
    Description,
    Experiment,
    Game,
    Interface,
    Network,
    Phase,
    Player,
    Reason,
    Refusal,
    Role,
    Scheduled,
    Space,
    Stream,
    Term,
    Turn,
    hookimpl,
)
from ganrun.plugin.data import label_names

SOURCE = "source"  # the entry that says which set an item is of
MOST = 10  # columns of translations in an image
PLAYER = {"optimizer": {"adam": {"lr": {"linear": [1e-4, 0.0], "from": "50%"}, "betas": [0.5, 0.999]}}}


@dataclass(frozen=True)
class Block:
    """The labels of one set: its entry of the data, its space, its columns of the label vector and the class logits."""

    entry: str
    space: Space
    columns: slice

    @property
    def yes_no(self) -> bool:
        """Whether the labels are attributes of 0 and 1, a column each."""
        return bool(self.space.shape) and self.space.classes == 2

    def vector(self, labels: Tensor) -> Tensor:
        """Labels (B,) or (B, A) -> (B, columns) of 0 and 1, int64."""
        return labels if self.yes_no else F.one_hot(labels, self.space.classes).flatten(1)

    def answers(self, logits: Tensor) -> Tensor:
        """Class logits (B, all) -> those of this block: (B, A) of attributes, else (B, K) or (B, A, K)."""
        mine = logits[:, self.columns]
        return mine if self.yes_no else mine.unflatten(1, (*self.space.shape, self.space.classes))

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Class logits (B, all), labels (B,) or (B, A) -> (B,), summed over attributes."""
        found = self.answers(logits)
        if self.yes_no:
            return F.binary_cross_entropy_with_logits(found, labels.to(found.dtype), reduction="none").sum(1)
        each = F.cross_entropy(found.flatten(0, -2), labels.flatten(), reduction="none")  # (B * A,)
        return each.reshape(labels.shape[0], -1).sum(1)


def blocks_of(spaces: Mapping[str, Space], of: str | None) -> list[Block]:
    """The labels that domains go by: those of each set of data with a ``source``, else one entry. Raises Refusal."""
    entries = [name for name, space in spaces.items() if space.kind == "labels" and name != SOURCE]
    if of is not None:
        if of not in entries:
            raise Refusal(
                f"its `of` names the labels {of!r}, and the data has {', '.join(entries) or 'none'}", "name one of them"
            )
        if SOURCE in spaces:
            why = (
                f"its `of` takes the labels {of!r} alone, which are zeros, and not known, "
                "of the items of all other sets"
            )
            raise Refusal(why, "leave `of` out, or train on that set alone")
        entries = [of]
    elif SOURCE in spaces and len(entries) != spaces[SOURCE].classes:
        why = f"the data is of {spaces[SOURCE].classes} sets and has the labels {', '.join(entries)}"
        raise Refusal(why, "one entry of labels for each set")
    elif SOURCE not in spaces and len(entries) != 1:
        raise Refusal(
            "this variant translates between the domains that labels name, "
            f"and the data has {', '.join(entries) or 'no labels'}",
            "set its `of` to one of them" if entries else "a data set with labels, such as styled-digits or attributes",
        )
    blocks, start = [], 0
    for entry in entries:
        space = spaces[entry]
        width = space.size * (1 if space.shape and space.classes == 2 else space.classes)
        blocks.append(Block(entry, space, slice(start, start + width)))
        start += width
    return blocks


class StarGAN:
    """One generator for k domains, one game, and the way back."""

    provides = frozenset({"deterministic-generator"})
    refuses = {
        "packed": Reason(
            "the discriminator also says which domain each sample is of, and a pack has samples of several",
            "leave packing out",
        )
    }
    warns: ClassVar[dict[str, Reason]] = dict.fromkeys(
        ("several-processes", "accumulated"),
        Reason("targets are the labels of the same part of the batch, in another order", "targets: uniform"),
    )
    defaults: ClassVar[dict[str, Any]] = {
        "generator": "stargan",
        "discriminator": "stargan",
        "loss": "wasserstein",
        "tricks": [{"gradient-penalty": {"weight": 10}}],
        "players": {"discriminator": {**PLAYER, "updates": 5}, "generator": PLAYER},
        "train": {"batch_size": 16, "steps": 40_000},
    }

    def __init__(
        self,
        *,
        classification: Annotated[
            Scheduled, Field(ge=0, description="weight of the domain classification, on both sides")
        ] = Scheduled(1.0),
        reconstruction: Annotated[
            Scheduled, Field(ge=0, description="weight of the L1 distance after translating there and back")
        ] = Scheduled(10.0),
        targets: Annotated[
            Literal["permuted", "uniform"],
            Field(description="in training: the batch's own labels in another order, or drawn, every domain as likely"),
        ] = "permuted",
        of: Annotated[
            str | None, Field(description="the entry of labels that names the domains; null: the only one")
        ] = None,
    ) -> None:
        self.classification = classification
        self.reconstruction = reconstruction
        self.targets = targets
        self.of = of
        self.blocks: list[Block] = []
        self.source: Space | None = None

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For images ``x`` and labels; with several sets, an entry of labels for each and the entry ``source``."""
        if "x" not in spaces:
            raise Refusal(
                "this variant translates the entry 'x' of the data, "
                f"and the data set has {', '.join(sorted(spaces)) or 'no entry'}",
                "a data set of labelled images, such as styled-digits or attributes",
            )
        self.blocks = blocks_of(spaces, self.of)
        self.source = spaces.get(SOURCE)
        x, width = spaces["x"], self.blocks[-1].columns.stop
        given = Space("latent", (width + (self.source.classes if self.source else 0),))
        labels = {block.entry: block.space for block in self.blocks}
        return Description(
            networks={
                "generator": Network("generator", Interface(takes=x, makes=x, given=(given,))),
                "discriminator": Network("discriminator", Interface(takes=x, heads={"class": width})),
            },
            players=[Player("discriminator", ["discriminator"]), Player("generator", ["generator"])],
            phases=[Phase("discriminator", "discriminator"), Phase("generator", "generator")],
            games=[
                Game(
                    "adversarial",
                    "discriminator",
                    player="discriminator",
                    against=["generator"],
                    space=x.kind,
                    heads=("class",),
                )
            ],
            outputs=("x",),
            pairs={"rec": "x"},
            codes=labels,
            infers=dict(labels),
            conditional=True,
        )

    # --- labels -------------------------------------------------------------------------------------------------

    def known(self, labels: Mapping[str, Tensor], block: int) -> Tensor | float:
        """Which items (B,) know the labels of a block: those of its own set; all of them if there is one set."""
        return 1.0 if self.source is None else labels[SOURCE] == block

    def vector(self, labels: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """What the generator is given, (B, D) of 0 and 1, of the type of ``like``.

        Labels, those not known as zeros, and the mask.
        """
        parts = [block.vector(labels[block.entry]) for block in self.blocks]
        if self.source is not None:
            mask = F.one_hot(labels[SOURCE], self.source.classes)  # (B, n)
            parts = [part * mask[:, i : i + 1] for i, part in enumerate(parts)] + [mask]
        return torch.cat(parts, 1).to(like.dtype)

    def classify(self, logits: Tensor, labels: Mapping[str, Tensor]) -> Tensor:
        """Class logits (B, all) -> scalar: the mean over items of the cross-entropy of the labels they know."""
        each = [
            block.cross_entropy(logits, labels[block.entry]) * self.known(labels, i)
            for i, block in enumerate(self.blocks)
        ]
        return torch.stack(each).sum(0).mean()

    def labels_of(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The labels among the entries of a batch, or among latents."""
        return {
            name: tensors[name] for name in [block.entry for block in self.blocks] + ([SOURCE] if self.source else [])
        }

    # --- a turn -------------------------------------------------------------------------------------------------

    def sample(self, turn: Turn) -> None:
        """The targets: the labels of the same batch in another order, or drawn."""
        if turn.player and self.targets == "permuted":
            # copies of an item share theirs
            labels = {name: tensor[:: turn.copies] for name, tensor in self.labels_of(turn.real).items()}
            order = shuffled_within(labels.get(SOURCE), turn.draws.permutation("targets", turn.batch_size))
            turn.latents |= {name: tensor[order].repeat_interleave(turn.copies, 0) for name, tensor in labels.items()}
            return
        if self.source is not None:
            turn.draw_labels(SOURCE, self.source)
        for i, block in enumerate(self.blocks):
            drawn = turn.draw_labels(block.entry, block.space)
            if self.source is not None:
                known = turn.latents[SOURCE] == i  # (B,)
                turn.latents[block.entry] = drawn * known.reshape(-1, *[1] * (drawn.dim() - 1))

    def make(self, turn: Turn) -> None:
        x = turn.real["x"]
        turn.made["x"] = turn.modules["generator"](x, self.vector(turn.latents, x))
        if turn.player == "generator":  # the way back; the discriminator needs the fakes alone
            source = self.vector(turn.real, x)
            turn.made["rec"] = turn.modules["generator"](turn.made["x"], source)

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        roles: list[Role] = ["real", "fake"]
        samples = {"real": (turn.real, turn.real), "fake": (turn.made, turn.latents)}
        wanted = [role for role in roles if turn.wants("adversarial", role)]
        return {
            "adversarial": [
                Stream(samples[role][0]["x"], role, metadata=self.labels_of(samples[role][1])) for role in wanted
            ]
        }

    def terms(self, turn: Turn) -> dict[str, Term]:
        (game,) = turn.rounds
        judged = game.real if turn.player == "discriminator" else game.fake
        assert judged.output is not None, "this stream has been through the discriminator"
        weight = turn.now(self.classification)
        terms = {"classification": Term(self.classify(judged.output.heads["class"], judged.metadata), weight)}
        if turn.player == "generator":
            terms["reconstruction"] = Term(F.l1_loss(turn.made["rec"], turn.real["x"]), turn.now(self.reconstruction))
        return terms

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        self.label_names = label_names(experiment.dataset)

    def ask(self, labels: dict[str, Tensor]) -> dict[str, Tensor]:
        """Labels to ask for, and of several sets the one whose labels they are.

        Raises Refusal for labels of two sets.
        """
        sets = [place for place, block in enumerate(self.blocks) if block.entry in labels]
        if self.source is None or not sets:
            return labels
        if len(sets) > 1:
            raise Refusal(
                f"{' and '.join(labels)} are labels of two sets, and a translation is given those of one",
                "ask for one of them",
            )
        return {**labels, SOURCE: torch.tensor(sets[0])}

    def infer(self, turn: Turn) -> dict[str, Tensor]:
        """What the discriminator takes real items for: class logits, or one logit an attribute."""
        logits = turn.modules["discriminator"](turn.real["x"]).heads["class"]
        return {block.entry: block.answers(logits) for block in self.blocks}

    def panels(self, turn: Turn) -> dict[str, dict[str, Tensor]]:
        """Each item beside its translations: into every domain, or with one attribute the other way round."""
        x = turn.real["x"]
        columns = {"x": x}
        for name, labels in islice(self._every_target(turn), MOST):
            name = name if name not in columns else f"{name} ({len(columns)})"  # two sets may share a name
            columns[name] = turn.modules["generator"](x, self.vector(labels, x))
        return {"every domain": columns}

    def _every_target(self, turn: Turn) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Labels to ask all items for, one after the other, with a name of what becomes of them."""
        own = self.labels_of(turn.real)
        for i, block in enumerate(self.blocks):
            source = {SOURCE: torch.full_like(own[SOURCE], i)} if self.source else {}
            labels, names = own[block.entry], self.label_names.get(block.entry, [])
            if not block.space.shape:
                for value in range(block.space.classes):
                    name = names[value] if names else f"{block.entry} {value}"
                    yield name, {**own, **source, block.entry: torch.full_like(labels, value)}
                continue
            for column in range(block.space.size):
                changed = labels.clone()
                changed[:, column] = (changed[:, column] + 1) % block.space.classes
                name = names[column] if names else f"{block.entry} {column}"
                yield f"other {name}", {**own, **source, block.entry: changed}


def shuffled_within(source: Tensor | None, order: Tensor) -> Tensor:
    """A random order (B,) of items -> one in which every place has an item of its own set.

    ``source``: (B,), None for one set.
    """
    if source is None:
        return order
    places = source.argsort(stable=True)  # the places of set 0, those of set 1, ...
    items = order[source[order].argsort(stable=True)]  # the items of set 0 in random order, those of set 1, ...
    found = torch.empty_like(order)
    found[places] = items
    return found


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "stargan", StarGAN)
