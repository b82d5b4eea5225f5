"""Several sets of images as one: an item has the labels of its own set, and zeros for those of the others.

Choi et al., "StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation" (2018),
section 3.3, where CelebA knows hair colour, gender and age, and RaFD facial expressions. ``source`` says which set an
item is of; with ``sets: {faces: celeba, moods: ...}`` the labels ``attributes`` of the set ``faces`` are the entry
``attributes_faces``.

An epoch has all items of all sets. The test split mixes them evenly, so that its first items are of all sets. With
``balanced`` small sets come round again until each has as many as the largest: the authors take a batch of each set in
turn, which amounts to the same shares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Part, PartOf, Space, hookimpl
from ganrun.plugin.data import DataDescription, DataError, DataFiles, ItemDraws, fingerprint, label_names, normalised

Sets = Annotated[
    dict[str, Annotated[Part, PartOf("dataset")]],
    Field(min_length=2, description="a name and a data set each, with images x of one shape and one entry of labels"),
]


class Multi:
    """Images ``x``, their set ``source``, and an entry of labels for each set: zeros for items of other sets.

    ``label_names``: entry -> names of its columns (attributes) or of its values. ``known_rows``: entry -> the training
    items that know it.
    """

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        sets: Sets,
        balanced: Annotated[
            bool, Field(description="in training, as many items of each set as of the largest")
        ] = False,
    ) -> None:
        self.sets: list[Any] = [part.make(files, split) for part in sets.values()]
        self.names = list(sets)
        entries = [labels_of(name, data.spaces) for name, data in zip(self.names, self.sets)]
        self.inner = [inner for inner, _ in entries]  # what each set calls its labels
        self.entries = [entry for _, entry in entries]
        self.spaces = spaces_of(dict(zip(self.names, (data.spaces for data in self.sets))))
        self.classes = self.names
        self.in_memory = all(data.in_memory for data in self.sets)
        self.device = torch.device("cpu")
        longest = max(map(len, self.sets))
        counts = [longest if balanced and split == "train" else len(data) for data in self.sets]
        self.starts = np.cumsum([0, *counts])
        named = [label_names(data).get(inner) for data, inner in zip(self.sets, self.inner)]
        self.label_names = {entry: names for entry, names in zip(self.entries, named) if names is not None}
        if split == "train":
            self.known_rows = {entry: range(*ends) for entry, ends in zip(self.entries, pairwise(self.starts.tolist()))}
        self.test_order = None if split == "train" else evenly(counts)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> ``x``, ``source`` (B,) and the labels of every set."""
        rows = draws.indices if self.test_order is None else self.test_order[draws.indices]  # numbered set after set
        source = np.searchsorted(self.starts, rows, side="right") - 1  # (B,)
        pieces = [self._of(i, rows, source, draws) for i in range(len(self.sets))]
        images = [batch["x"] for _, batch in pieces if batch]
        if len({image.dtype for image in images}) > 1:  # one set holds bytes, another floats
            pieces = [(places, normalised(batch, self.device)) for places, batch in pieces]
            images = [batch["x"] for _, batch in pieces if batch]
        x = images[0].new_empty((len(rows), *self.spaces["x"].shape))
        found = {"x": x, "source": torch.from_numpy(source.astype(np.int64)).to(self.device)}
        for (places, batch), inner, entry in zip(pieces, self.inner, self.entries):
            found[entry] = torch.zeros((len(rows), *self.spaces[entry].shape), dtype=torch.int64, device=self.device)
            if batch:
                x[places] = batch["x"]
                found[entry][places] = batch[inner]
        return found

    def _of(self, i: int, rows: np.ndarray, source: np.ndarray, draws: ItemDraws) -> tuple[Tensor, dict[str, Tensor]]:
        """The items of one set: their places in the batch, and what the set returns for them; nothing if none."""
        places = np.flatnonzero(source == i)
        if not len(places):
            return torch.from_numpy(places), {}
        # beyond the set's length where it comes round again, with other crops and flips
        own = rows[places] - self.starts[i]
        epochs = draws.epochs if draws.epochs.ndim == 0 else draws.epochs[places]
        data = self.sets[i]
        items = torch.from_numpy(own % len(data)).to(self.device)
        return torch.from_numpy(places).to(self.device), data.batch(
            items, ItemDraws((*draws.key, self.names[i]), epochs, own)
        )

    def to(self, device: torch.device) -> None:
        """Move the sets to a device. Called only if all of them are in memory."""
        self.device = torch.device(device)
        for data in self.sets:
            if hasattr(data, "to"):
                data.to(device)

    def fingerprint(self) -> str:
        """A hash of the names of the sets and of their own hashes; of those that have none, of their length."""
        marks = [data.fingerprint() if hasattr(data, "fingerprint") else len(data) for data in self.sets]
        return fingerprint(self.names, self.starts, marks)

    @classmethod
    def describe(cls, split: str, *, sets: Mapping[str, Part], balanced: bool) -> DataDescription | None:
        """Spaces and length before a download; None if they are not known of every set."""
        found: dict[str, DataDescription] = {}
        for name, part in sets.items():
            describe = getattr(part.component.factory, "describe", None)
            said = describe(split, **part.parameters) if describe is not None else None
            if said is None:
                return None
            found[name] = said
        lengths = [len(said) for said in found.values()]
        items = max(lengths) * len(lengths) if balanced and split == "train" else sum(lengths)
        return DataDescription(spaces_of({name: said.spaces for name, said in found.items()}), items, list(found))


def evenly(counts: Sequence[int]) -> np.ndarray:
    """The items of several sets, numbered set after set, in an order in which each set is spread over the whole."""
    return np.argsort(np.concatenate([(np.arange(count) + 0.5) / count for count in counts]), kind="stable")


def labels_of(name: str, spaces: Mapping[str, Space]) -> tuple[str, str]:
    """The entry of labels of a set, and what it is called here. Raises DataError unless there is exactly one."""
    labels = [entry for entry, space in spaces.items() if space.kind == "labels"]
    if "x" not in spaces or len(labels) != 1:
        raise DataError(f"multi: the set {name} has to have x and one entry of labels; it has {', '.join(spaces)}")
    return labels[0], f"{labels[0]}_{name}"


def spaces_of(sets: Mapping[str, Mapping[str, Space]]) -> dict[str, Space]:
    """The spaces of all sets together. Raises DataError if their images differ in shape."""
    shapes = {name: spaces["x"] for name, spaces in sets.items() if "x" in spaces}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} has {space}" for name, space in shapes.items())
        raise DataError(f"multi: the sets' x differ: {listed}; give all one size")
    labels = {named: spaces[inner] for name, spaces in sets.items() for inner, named in [labels_of(name, spaces)]}
    return {"x": next(iter(shapes.values())), "source": Space("labels", (), len(sets)), **labels}


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "multi", Multi)
