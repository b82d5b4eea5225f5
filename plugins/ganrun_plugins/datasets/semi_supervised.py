"""A labelled data set of which all but a few labels are hidden: for learning from many images and few labels.

The protocol of Salimans et al., "Improved Techniques for Training GANs" (2016), section 6, and Odena, "Semi-Supervised
Learning with Generative Adversarial Networks" (2016): N images of the train split, as many of each class, keep their
labels; all images, these among them, are there without. The test split keeps everything.

Which images are labelled follows from ``seed`` and the labels. Fewer labels are a part of more: the N of one seed are
the first N of one order, which takes the classes in turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Part, PartOf, Space, hookimpl
from ganrun.plugin.data import DataDescription, DataError, DataFiles, ItemDraws, fingerprint, permutation, read_items


def balanced_order(label: Tensor, classes: int, seed: int) -> Tensor:
    """Labels (N,) -> an order of 0..N-1, (N,): one item of each class, then another of each, while there are any."""
    shuffled = torch.from_numpy(permutation(len(label), "semi-supervised", seed))
    round_of = torch.empty_like(label)
    for number in range(classes):
        mine = shuffled[label[shuffled] == number]
        round_of[mine] = torch.arange(len(mine))
    return (round_of * classes + label).argsort(stable=True)  # by round, then by class


class SemiSupervised:
    """``x``: all images. ``labelled``: one of the N labelled images, drawn at random, and ``label``: its class.

    In the test split ``labelled`` is ``x`` and ``label`` its class.
    """

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        dataset: Annotated[
            Part, PartOf("dataset", default="digits"), Field(description="the labelled data set: entries x and label")
        ],
        labels: Annotated[
            int, Field(ge=1, description="images of the train split that keep their labels; all, if there are no more")
        ] = 100,
        seed: Annotated[int, Field(description="chooses the labelled images; not the seed of the run")] = 0,
    ) -> None:
        base: Any = dataset.make(files, split)
        self.base = base
        self.spaces = spaces_of(base.spaces, dataset.name)
        self.classes = list(base.classes)
        self.in_memory = base.in_memory
        self.provides = frozenset(getattr(base, "provides", ())) & {"modes"}
        self.subjects = {name: base.subjects["x"] for name in ("x", "labelled") if "x" in getattr(base, "subjects", {})}
        if "modes" in self.provides:
            self.centres, self.sd = base.centres, base.sd
        self.device = torch.device("cpu")
        self.chosen: Tensor | None = None  # (N,) items that keep their labels; None in the test split
        if split == "train":
            found = torch.cat([batch["label"] for batch in read_items(base, key=("labels",))])
            self.chosen = balanced_order(found, self.spaces["label"].classes, seed)[:labels].sort().values

    @classmethod
    def describe(cls, split: str, *, dataset: Part, labels: int, seed: int) -> DataDescription | None:
        """Spaces and length before a download, if the wrapped data set can tell."""
        describe = getattr(dataset.component.factory, "describe", None)
        found: DataDescription | None = describe(split, **dataset.parameters) if describe is not None else None
        return (
            None if found is None else DataDescription(spaces_of(found.spaces, dataset.name), len(found), found.classes)
        )

    def __len__(self) -> int:
        return len(self.base)

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> ``x``, ``labelled`` (B, ...) and ``label`` (B,).

        Crops and flips of a labelled image are drawn again each time.
        """
        items = self.base.batch(indices.to(self.device), draws)
        if self.chosen is None:
            return {"x": items["x"], "labelled": items["x"], "label": items["label"]}
        drawn = torch.from_numpy(draws.integers("labelled", len(self.chosen))).to(self.chosen.device)  # (B,)
        epochs, own = np.broadcast_to(draws.epochs, draws.indices.shape), (*draws.key, "labelled")
        known = self.base.batch(self.chosen[drawn].to(self.device), ItemDraws(own, epochs, draws.indices))
        return {"x": items["x"], "labelled": known["x"], "label": known["label"]}

    def to(self, device: torch.device) -> None:
        """Move the data to a device, if they can be moved."""
        if hasattr(self.base, "to"):
            self.base.to(device)
            self.device = device
            self.chosen = None if self.chosen is None else self.chosen.to(device)

    def labelled(self, name: str) -> tuple[Tensor, Tensor]:
        """All images of this split, (N, C, H, W) in [-1, 1], and their true classes, (N,). For evaluators only."""
        batches = list(read_items(self.base, key=("labels",)))
        return torch.cat([batch["x"].cpu() for batch in batches]), torch.cat(
            [batch["label"].cpu() for batch in batches]
        )

    def fingerprint(self) -> str:
        """A hash of the wrapped data and of which labels are known."""
        return fingerprint(
            self.base.fingerprint() if hasattr(self.base, "fingerprint") else "",
            [] if self.chosen is None else self.chosen,
        )


def spaces_of(spaces: Any, name: str) -> dict[str, Space]:
    """The entries of a data set that hides labels. Raises DataError if there are none to hide."""
    label = spaces.get("label")
    if "x" not in spaces or label is None or label.kind != "labels" or label.shape:
        raise DataError(
            f"semi-supervised: {name} has the entries {', '.join(sorted(spaces))}; "
            "x and label are wanted, one class each"
        )
    return {"x": spaces["x"], "labelled": spaces["x"], "label": label}


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "semi-supervised", SemiSupervised)
