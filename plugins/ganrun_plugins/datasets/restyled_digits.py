"""Unpaired translation that can be measured offline: digits, and other digits in another style.

A holds scikit-learn's scans (see ``digits``); B holds *other* scans thickened, sheared by 15 degrees and inverted (dark
on light). No scan is in both, so training never sees a pair. Evaluators do: ``hidden_pairs`` restyles every test scan,
and the error of a translation is measured against its true counterpart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, hookimpl
from ganrun.plugin.data import DataFiles, InMemory, ItemDraws, fingerprint, permutation
from ganrun_plugins.datasets._fit import image_space
from ganrun_plugins.datasets._resize import Resize, RoomySize
from ganrun_plugins.datasets._scans import SUBJECT, load_scans, only, resized
from ganrun_plugins.datasets._strokes import slanted, thickened


def restyled(digits: Tensor, angle: float = 15.0) -> Tensor:
    """The style of B for images of A: (N, 1, H, W) uint8 -> the same shape and type.

    Strokes grow by 1/32 of the shorter side in each direction (the maximum over a window); rows move sideways, those at
    the top to the right, by tan(angle) times their distance from the middle; then black and white change places.
    """
    slant = slanted(thickened(digits.double()), angle)
    return (255 - slant).round().clamp(0, 255).to(torch.uint8)


class RestyledDigits(InMemory):
    """``a``: digits, ``b``: other digits restyled; both (1, height, width). Half of a split's scans each."""

    provides = frozenset({"hidden-pairs"})
    subjects = dict.fromkeys("ab", SUBJECT)

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        size: Annotated[
            RoomySize, Field(description="side of the images in pixels, or [height, width]; the scans have 8")
        ] = 32,
        resize: Resize = "squash",
        classes: Annotated[list[str | int] | None, Field(description="digits to keep; all by default")] = None,
    ) -> None:
        scans, self._label, names = only(*load_scans(split), classes)
        self._digits = resized(scans, size, resize)
        self.training = split == "train"
        shuffled = torch.from_numpy(permutation(len(scans), "restyled-digits", split))
        order = shuffled[self._label[shuffled].argsort(stable=True)]  # by class, so that A and B hold as many of each
        of_a, of_b = order[0::2].sort().values, order[1::2].sort().values
        halves = {"a": self._digits[of_a], "b": restyled(self._digits[of_b])}
        self._labels = {"a": self._label[of_a], "b": self._label[of_b]}
        super().__init__(halves, {name: image_space(1, size) for name in halves}, names)
        self.sizes = {name: len(half) for name, half in halves.items()}

    def __len__(self) -> int:
        return max(self.sizes.values())

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,): image i of A (counted round) with a random image of B in training, image i in tests."""
        indices = indices.to(self.device)
        of_b = (
            torch.from_numpy(draws.integers("b", self.sizes["b"])).to(self.device)
            if self.training
            else indices % self.sizes["b"]
        )
        chosen = {"a": indices % self.sizes["a"], "b": of_b}
        return {name: tensor.index_select(0, chosen[name]) for name, tensor in self.tensors.items()}

    def labelled(self, name: str) -> tuple[Tensor, Tensor]:
        """The images of ``a`` or ``b`` in this split, (N, 1, H, W) uint8, and their digits, (N,).

        For evaluators only.
        """
        return self.tensors[name].cpu(), self._labels[name].clone()

    def hidden_pairs(self) -> dict[str, Tensor]:
        """All scans of this split, on the CPU.

        ``a`` (N, 1, H, W) uint8 digits, ``b`` their true restyled versions, ``label`` (N,).

        A translation of ``a`` is compared with ``b``, and a translation of ``b`` with ``a``. For evaluators only.
        """
        return {"a": self._digits.clone(), "b": restyled(self._digits), "label": self._label.clone()}

    def fingerprint(self) -> str:
        """A hash of the images."""
        return fingerprint(super().fingerprint(), self._digits)


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "restyled-digits", RestyledDigits)
