"""What data sets of attributes share: images, and yes or no for each attribute."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganrun.plugin import Space
from ganrun.plugin.data import DataError, FileList, ImageReading, ItemDraws, fingerprint
from ganrun_plugins.datasets._centre import CentreFit
from ganrun_plugins.datasets._fit import Sides, image_space
from ganrun_plugins.datasets._images import ranges_of, read_as_items


class AttributePictures:
    """``x``: images (channels, height, width). ``attributes``: (A,) of 0 and 1.

    ``label_names``: entry -> names of its columns. trained: the files of the training split, on whose values a range is
    measured.
    """

    classes = ("no", "yes")

    def __init__(
        self,
        root: Path,
        paths: FileList,
        values: Tensor,
        names: Sequence[str],
        fit: CentreFit,
        *,
        keep: bool = False,
        cache: Path | None = None,
        reading: ImageReading | None = None,
        trained: FileList | None = None,
    ) -> None:
        if not paths:
            raise DataError(f"{root}: no images remain in this split")
        self.in_memory = keep or cache is not None
        (self.pictures,) = read_as_items(
            reading or ImageReading(),
            [(paths, fit, paths if trained is None else trained)],
            keep=keep,
            cache=cache,
            root=root,
        )
        self.values = values[self.pictures.rows]  # (N, A) int64
        self.label_names = {"attributes": list(names)}
        self.spaces = self.known_spaces(attributes=names, size=fit.size, channels=fit.channels)

    @classmethod
    def known_spaces(cls, *, attributes: Sequence[str], size: Sides, channels: int = 3, **_: Any) -> dict[str, Space]:
        """Entries, which follow from the parameters: networks are built where the files are not."""
        return {"x": image_space(channels, size), "attributes": Space("labels", (len(attributes),), 2)}

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> ``x`` (B, C, height, width) uint8 and ``attributes`` (B, A) int64."""
        return {
            "x": self.pictures.batch(indices, draws, "x"),
            "attributes": self.values.index_select(0, indices.to(self.values.device)),
        }

    def known_labels(self) -> dict[str, Tensor]:
        """``attributes`` -> those of all items, (N, A)."""
        return {"attributes": self.values}

    def to(self, device: torch.device) -> None:
        """Move what is in memory to a device."""
        self.pictures.to(device)
        self.values = self.values.to(device)

    @property
    def paths(self) -> list[Path]:
        """The files that items are read from."""
        return self.pictures.all_paths()

    @property
    def preparation(self) -> str:
        """How files are read, and what is done to the images, in words."""
        return self.pictures.preparation

    @property
    def skipped(self) -> dict[Path, str]:
        """Files that cannot be read and were left out, and why."""
        return self.pictures.skipped

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """What -1 and 1 of ``x`` stand for, if that is not 0 and 255."""
        return ranges_of({"x": self.pictures})

    @property
    def departs(self) -> bool:
        """Whether some files are read otherwise than the reference code of FID reads them."""
        return self.pictures.departs

    def fingerprint(self) -> str:
        """A hash of the files, the preprocessing and the attributes."""
        return fingerprint(self.pictures.fingerprint(), self.values, self.label_names)
