"""Image files as items: decoded when asked for, or once and kept. What the folder data sets have in common."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin.data import ItemDraws, files_read_otherwise, fingerprint, track
from ganrun_plugins.datasets._fit import Fit

Channels = Annotated[Literal[1, 3], Field(description="1 grey, 3 RGB")]
InMemory = Annotated[bool, Field(description="decode all images once, at the start, and keep them")]


AS_SHOWN = "turned as EXIF says, transparent parts on white, 16 bits scaled to 8"


class Pictures:
    """Some files and how they are fitted; decoded when asked for, or all at once and kept."""

    def __init__(self, root: Path, paths: Sequence[Path], fit: Fit, *, keep: bool) -> None:
        self.root = root
        self.paths = list(paths)
        self.fit = fit
        self.kept: Tensor | None = None
        if keep:
            read = [
                self.decoded(path) for path in track(self.paths, f"reading pictures of {root.name}", len(self.paths))
            ]
            self.kept = torch.from_numpy(np.stack(read))  # (N, C, H, W)

    def __len__(self) -> int:
        return len(self.paths)

    def decoded(self, path: Path) -> np.ndarray:
        """One of the files as an array, (C, H, W) uint8, scaled but not yet cropped."""
        return self.fit.scaled(path)

    def batch(self, indices: Tensor, draws: ItemDraws, name: str) -> Tensor:
        """(B,) -> (B, C, height, width), uint8 or float32."""
        if self.kept is not None:
            return self.fit.cropped(self.kept.index_select(0, indices.to(self.kept.device)), draws, name)
        return self.fit.cropped([torch.from_numpy(self.decoded(self.paths[i])) for i in indices.tolist()], draws, name)

    @cached_property
    def departs(self) -> bool:
        """Whether some files are read otherwise than the reference code of FID reads them: all their heads are read."""
        return bool(files_read_otherwise(self.paths))

    @property
    def preparation(self) -> str:
        """How files are read, and what is done to the images, in words."""
        return f"{AS_SHOWN}; {self.fit.words()}"

    def to(self, device: torch.device) -> None:
        """Move what is kept to a device."""
        if self.kept is not None:
            self.kept = self.kept.to(device)

    def fingerprint(self) -> str:
        """A hash of names, sizes and beginnings of all files, and of the preprocessing."""
        facts = []
        for path in track(self.paths, f"comparing pictures of {self.root.name} with those of earlier runs", len(self)):
            with path.open("rb") as file:
                facts.append(
                    [
                        path.relative_to(self.root).as_posix(),
                        path.stat().st_size,
                        np.frombuffer(file.read(1 << 14), np.uint8),
                    ]
                )
        return fingerprint(facts, self.fit)
