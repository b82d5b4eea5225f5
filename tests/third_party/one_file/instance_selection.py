"""Instance selection: training on the typical part of the data, by density in a feature space.

DeVries, Drozdzal and Taylor, "Instance Selection for GANs" (2020): a Gaussian is fitted to the features of all training
items, and the share of them with the highest likelihood is kept. The test split stays whole.
"""

from typing import Annotated

import torch
from pydantic import Field

from ganrun.plugin import Component, Part, PartOf, hookimpl
from ganrun.plugin.data import DataDescription, ItemDraws, fingerprint, item_features


def densest(features, share):
    """Features (N, d) -> the rows, in their order, of the share with the highest likelihood under their Gaussian.

    By Mahalanobis distance, which orders rows as the likelihood does. Directions without spread count for nothing.
    """
    centred = features.double() - features.double().mean(0)
    inverse = torch.linalg.pinv(centred.T @ centred / len(centred), hermitian=True)
    distance = (centred @ inverse * centred).sum(1)
    return distance.argsort(stable=True)[: kept(len(features), share)].sort().values


def kept(count, share):
    """How many of ``count`` items a share is: at least one."""
    return max(1, round(count * share))


class InstanceSelection:
    """The entries of another data set, of its densest items only."""

    def __init__(
        self,
        files,
        split,
        *,
        dataset: Annotated[Part, PartOf("dataset"), Field(description="the data to choose from")],
        features: Annotated[Part, PartOf("features", default="pixels"), Field(description="where density is measured")],
        share: Annotated[float, Field(gt=0, le=1, description="of the training items to keep")] = 0.5,
    ) -> None:
        self.base = dataset.make(files, split)
        self.spaces, self.classes, self.in_memory = self.base.spaces, self.base.classes, self.base.in_memory
        if split == "train":
            self.rows = densest(item_features(features, self.base, files), share)
        else:
            self.rows = torch.arange(len(self.base))

    @classmethod
    def describe(cls, split, *, dataset, features, share):
        """What the other data set says of itself, if it does, with fewer items."""
        describe = getattr(dataset.component.factory, "describe", None)
        found = describe(split, **dataset.parameters) if describe else None
        if found is None:
            return None
        count = kept(len(found), share) if split == "train" else len(found)
        return DataDescription(found.spaces, count, found.classes)

    def __len__(self):
        return len(self.rows)

    def batch(self, indices, draws):
        """Items (B,) -> the entries of the other data set; crops and flips are those of its own items."""
        rows = self.rows[indices]
        return self.base.batch(rows, ItemDraws(draws.key, draws.epochs, rows.numpy()))

    def fingerprint(self):
        """A hash of the other data set and of which items are kept."""
        return fingerprint(self.base.fingerprint() if hasattr(self.base, "fingerprint") else "", self.rows)


@hookimpl
def ganrun_components():
    yield Component("dataset", "instance-selection", InstanceSelection)
