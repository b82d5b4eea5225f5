"""Where samples to be scored come from: a run's networks, or pictures that lie in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ganrun.contracts.protocols import Dataset
from ganrun.data.order import sample_rows
from ganrun.data.reader import read_items
from ganrun.data.value_range import level_count, range_of
from ganrun.errors import UserError
from ganrun.sampling.sampling import SampleMaker, between
from ganrun.sampling.turn import chunks
from ganrun.words.game import Description
from ganrun.words.spaces import Space

CHUNK = 256  # samples made, or decoded, at a time
KEY = ("evaluation",)  # of the crops of real items


class SampleSource(Protocol):
    """Makes samples in chunks, any part of them alone, always the same ones."""

    description: Description
    spaces: Mapping[str, Space]
    ranges: Mapping[str, tuple[float, float]]  # entry -> what -1 and 1 stand for, where that is not 0 and 255
    device: torch.device
    data: Mapping[str, Any]  # what they are compared with, as a recipe writes it

    def stream(self, n: int, part: int, parts: int, player: str = "") -> Iterator[tuple[slice, Mapping[str, Tensor]]]:
        """(rows, entry -> samples) of every parts-th chunk of n samples."""

    def describe(self) -> dict[str, Any]:
        """Where the samples are from, for their provenance."""

    def settings(self) -> AbstractContextManager[None]:
        """torch's global settings under which they are made and scored."""


class Generated:
    """Samples of a run's networks, from latents and items that training never draws."""

    def __init__(self, sample_maker: SampleMaker, dataset: Callable[[str], Dataset], seed: int = 0) -> None:
        self.sample_maker = sample_maker
        self.seed = seed
        self.device = sample_maker.engine.device
        self.description = sample_maker.engine.experiment.description
        self.spaces: Mapping[str, Space] = sample_maker.engine.experiment.dataset.spaces
        self.ranges = getattr(sample_maker.engine.experiment.dataset, "ranges", {})
        self.data: Mapping[str, Any] = sample_maker.experiment.recipe.dataset.as_recipe()
        self._dataset = dataset

    def stream(self, n: int, part: int, parts: int, player: str = "") -> Iterator[tuple[slice, Mapping[str, Tensor]]]:
        """Samples of every parts-th chunk.

        Those of a variant that translates, and what a player makes, are made from the first n real test samples.
        """
        real = self._items if self.description.conditional or player else None
        for rows, turn in self.sample_maker.stream(n, self.seed, real=real, part=part, parts=parts, player=player):
            yield rows, turn.made

    def settings(self) -> AbstractContextManager[None]:
        """Those of the run."""
        return self.sample_maker.experiment.settings()

    def describe(self) -> dict[str, Any]:
        """The seed of the latents, and which weights were used."""
        return {"seed": self.seed, "weights": self.sample_maker.weights()}

    def generate(self, real: Mapping[str, Tensor], wanted: str) -> Tensor:
        """What the networks make of given real items; entry ``wanted``, float32 on the CPU."""
        n = len(next(iter(real.values())))
        return self.sample_maker.turn(n, self.seed, real=real).made[wanted].detach().float().cpu()

    def fake_labels(self, n: int, name: str | None = None) -> Tensor | None:
        """The classes requested of n samples, (n,) int64: latents that are labels, None if there are none.

        Or another latent.
        """
        name = name or next(
            (
                name
                for name, space in self.spaces.items()
                if space.kind == "labels" and not space.shape and name in self.description.codes
            ),
            None,
        )
        if name is None:
            return None
        if not self.description.conditional:
            return self.sample_maker.latents(n, self.seed)[name].cpu()
        drawn = [
            self.sample_maker.latents(rows.stop - rows.start, self.seed, real=self._items(rows), start=rows.start)[
                name
            ].cpu()
            for rows in chunks(n, self.sample_maker.chunk)
        ]
        return torch.cat(drawn)

    def between(self, pairs: int, points: int) -> Tensor | None:
        """(pairs, points, *shape): samples of latents between two ends; None if no latent has anything in between."""
        if self.description.conditional:
            return None
        ends = self.sample_maker.latents(2 * pairs, self.seed)
        if not any(latent.is_floating_point() for latent in ends.values()):
            return None
        experiment = self.sample_maker.engine.experiment
        arc = experiment.provides("latent:normal") or experiment.provides("latent:spherical")
        latents = {name: between(latent, points, arc=arc) for name, latent in ends.items()}
        made = self.sample_maker.turn(pairs * points, self.seed, latents=latents).made[self.description.outputs[0]]
        found: Tensor = made.detach().float().cpu().unflatten(0, (pairs, points))
        return found

    def _items(self, rows: slice) -> dict[str, Tensor]:
        dataset = self._dataset("test")
        ((_, items),) = real_rows(dataset, rows.stop, start=rows.start, chunk=rows.stop - rows.start)
        return dict(items)


class Stored:
    """Samples that lie there, such as the pictures of a folder: an entry of a data set, mixed as real samples are."""

    def __init__(self, dataset: Dataset, where: str, *, entry: str = "x") -> None:
        self.dataset = dataset
        self.description = Description({}, [], [], outputs=(entry,))
        self.spaces: Mapping[str, Space] = {entry: dataset.spaces[entry]}
        self.ranges = getattr(dataset, "ranges", {})
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.where = where
        self.departs = bool(getattr(dataset, "departs", False))
        self.data: Mapping[str, Any] = {}

    def stream(self, n: int, part: int, parts: int, player: str = "") -> Iterator[tuple[slice, Mapping[str, Tensor]]]:
        """The first n samples. Raises UserError if there are fewer."""
        if n > len(self.dataset):
            raise UserError(
                f"{self.where} holds {len(self.dataset)} pictures, fewer than the {n} to be scored; "
                "ask for at most as many"
            )
        for rows, items in real_rows(self.dataset, n, part, parts):
            yield rows, {name: items[name] for name in self.spaces}

    def settings(self) -> AbstractContextManager[None]:
        """Whatever is set."""
        return nullcontext()

    def describe(self) -> dict[str, Any]:
        """The folder, and what was done to its images."""
        preparation = getattr(self.dataset, "preparation", "")
        return {"folder": self.where} | ({"read": preparation} if preparation else {})


def stored(x: Tensor, whose: Any, entry: str) -> Tensor:
    """Samples of an entry as they are kept: images in the levels that they have when they are saved, 256 as uint8.

    Points, images with a range of values that no 16 bits hold, and images that are not finite are float32.

    whose: a data set, or a source of samples, whose ``spaces`` and ``ranges`` say what the entry is.
    """
    values = range_of(whose, entry)
    x = x.detach().float().cpu()
    if whose.spaces[entry].kind != "image" or not bool(x.isfinite().all()):
        return x
    if values is None:
        return x.add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
    count = level_count(values)
    x = x.clamp(-1, 1)
    return x if count is None else x.add_(1).mul_((count - 1) / 2).round_().mul_(2 / (count - 1)).sub_(1)


def loaded(x: Tensor) -> Tensor:
    """The inverse of :func:`stored`: float32, images in [-1, 1]."""
    return x.float().div_(127.5).sub_(1) if x.dtype == torch.uint8 else x


def real_rows(
    dataset: Dataset, n: int, part: int = 0, parts: int = 1, *, start: int = 0, chunk: int = CHUNK
) -> Iterator[tuple[slice, Mapping[str, Tensor]]]:
    """(rows, entry -> samples) of the samples ``start`` to n of a data set: see :func:`sample_rows`."""
    for place in chunks(n - start, chunk, part, parts):
        rows = slice(start + place.start, start + place.stop)
        wanted = sample_rows(dataset, np.arange(rows.start, rows.stop))
        (items,) = read_items(dataset, wanted, rows=chunk, key=KEY)
        yield rows, items
