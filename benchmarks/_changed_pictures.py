"""Real pictures in three parts, and the known ways in which some of them, or all, are changed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ganrun.catalog.catalog import Catalog
from ganrun.contracts.protocols import Dataset
from ganrun.data.order import permutation
from ganrun.data.reader import InMemory, fingerprint
from ganrun.data.splits import datasets_of_part
from ganrun.errors import UserError
from ganrun.randomness import stable_hash
from ganrun.recipe import load_part

SIDE = 32
TEACHING = 10_000  # images that teach the classifier of data without a shipped one; they are in no other part


@dataclass(frozen=True)
class Change:
    """A way to spoil images. strengths: growing, after 0; unit: what they are."""

    strengths: tuple[float, ...]
    unit: str


CHANGES = {
    "noise": Change((0.02, 0.05, 0.2, 0.5), "share of the samples that are uniform noise"),
    "drop": Change((1, 3, 6, 9), "classes that are left out, the last ones"),
    "memorise": Change((0.1, 0.25, 0.5, 1.0), "share of the samples that are images of the train split"),
    "blur": Change((0.5, 1, 2, 4), "standard deviation of a Gaussian blur in pixels"),
    "shift": Change((1, 2, 4), "pixels that all samples are moved to the right"),
}
State = tuple[str, float]  # a change and its strength; ("fewer", n): the first n samples without change
UNCHANGED: State = ("none", 0)


# --- data -------------------------------------------------------------------------------------------------------


class Pictures(InMemory):
    """Images and their classes.

    teaching: others, (N, C, H, W) uint8 and (N,) int64, that a classifier is to be trained on.
    """

    def __init__(self, x: Tensor, label: Tensor, like: Dataset, teaching: tuple[Tensor, Tensor] | None = None) -> None:
        super().__init__({"x": x, "label": label}, like.spaces, like.classes)
        self.subjects = getattr(like, "subjects", {})
        self.teaching = teaching
        if teaching is not None:
            self.labelled = lambda name: teaching

    def fingerprint(self) -> str:
        """A hash of all images, those that teach included."""
        return fingerprint(super().fingerprint(), *(self.teaching or ()))


@dataclass(frozen=True)
class Parts:
    """train: what may be memorised; test: the reference; both of n images.

    pool: the first n of it are the samples without change.
    """

    train: Pictures
    test: Pictures
    pool: Pictures
    n: int

    def split(self, name: str) -> Pictures:
        """The real images of a split."""
        return self.train if name == "train" else self.test


def parts(name: str, root: str | None, wanted: int | None, seed: int) -> Parts:
    """Three parts of a data set that have no image in common, and for mnist a fourth, for its classifier.

    The shipped classifier of digits was trained on their train split, so only what may be memorised is from there.
    """
    parameters = {"size": SIDE} | ({} if root is None else {"root": str(Path(root).absolute())})
    dataset = datasets_of_part(load_part({name: parameters}, "dataset", catalog=Catalog(), origin="--data"), Path())
    shipped = name == "digits"
    first, other = dataset("train"), dataset("test" if shipped else "train")
    n = wanted or (449 if shipped else 2000)
    seen = 0 if shipped else n  # rows at the beginning of ``other`` that are in the first part
    taught = 0 if shipped else TEACHING
    order, rest = (torch.from_numpy(permutation(len(data), "notices", seed)) for data in (first, other))
    if min(len(order) - n, len(rest) - seen - taught - 2 * n) < 0:
        most = min(len(order), (len(rest) - taught) // (2 if shipped else 3))
        raise UserError(f"--samples {n}: {name} has too few images for parts of so many; ask for at most {most}")
    bounds = [seen, seen + n, seen + n + taught, len(rest)]
    reference, teaching, pool = (rest[start:stop] for start, stop in pairwise(bounds))
    teachers = (other.tensors["x"][teaching], other.tensors["label"][teaching]) if taught else None
    return Parts(picked(first, order[:n], teachers), picked(other, reference, teachers), picked(other, pool), n)


def picked(data: Any, rows: Tensor, teaching: tuple[Tensor, Tensor] | None = None) -> Pictures:
    """Some rows of a data set in memory."""
    return Pictures(data.tensors["x"][rows], data.tensors["label"][rows], data, teaching)


# --- changes ----------------------------------------------------------------------------------------------------


def changed(of: Parts, state: State) -> Tensor:
    """The samples (n, C, H, W) uint8 of a state. A larger share holds all that a smaller one holds."""
    change, strength = state
    x: Tensor = of.pool.tensors["x"][: of.n]
    some = torch.from_numpy(permutation(of.n, "notices", "replaced"))[: round(strength * of.n)]
    if change == "fewer":
        return x[: int(strength)]
    if change == "drop":
        label = of.pool.tensors["label"]
        return of.pool.tensors["x"][label < int(label.max()) + 1 - strength][: of.n]
    if change == "noise":
        noise = torch.randint(
            0, 256, x.shape, generator=torch.Generator().manual_seed(stable_hash("notices", "noise")), dtype=torch.uint8
        )
        return x.index_copy(0, some, noise[some])
    if change == "memorise":
        return x.index_copy(0, some, of.train.tensors["x"][some])
    if change == "blur":
        return blurred(x, strength)
    if change == "shift":
        return F.pad(x, (int(strength), 0))[..., : x.shape[-1]]
    return x


def made(of: Parts, state: State) -> InMemory:
    """The samples of a state as a data set; their classes are not known."""
    return InMemory({"x": changed(of, state)}, {"x": of.test.spaces["x"]})


def blurred(x: Tensor, sd: float) -> Tensor:
    """Images (n, C, H, W) uint8 under a Gaussian of ``sd`` pixels, truncated at 4 of them; outside is black."""
    radius = math.ceil(4 * sd)
    kernel = torch.exp(-torch.arange(-radius, radius + 1).double().square() / (2 * sd**2))
    kernel = (kernel / kernel.sum()).float()
    planes = x.float().flatten(0, 1)[:, None]  # (n * C, 1, H, W)
    for weight, padding in ((kernel[None, None, :, None], (radius, 0)), (kernel[None, None, None, :], (0, radius))):
        planes = F.conv2d(planes, weight, padding=padding)
    return planes.view(x.shape).round().clamp(0, 255).to(torch.uint8)


def control(of: Parts, state: State) -> State:
    """The state that a change is compared with: unchanged samples, equally many."""
    left = len(changed(of, state))
    return UNCHANGED if left == of.n else ("fewer", left)
