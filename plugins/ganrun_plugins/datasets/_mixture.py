"""Points drawn around fixed centres: what ring and grid have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ganrun.plugin import Space, stable_hash
from ganrun.plugin.data import DataError, InMemory, fingerprint, selected_classes


class Mixture(InMemory):
    """Equally likely Gaussians of one standard deviation around given centres, (M, D).

    A split's points are drawn once, keyed by the split: ``x`` (count, D), not scaled, and ``label``, the mode of each.
    ``centres`` (M, D) and ``sd`` are what an evaluator needs in order to count the modes that a generator found.
    """

    provides = frozenset({"modes"})

    def __init__(
        self,
        centres: np.ndarray,
        names: Sequence[str],
        split: str,
        *,
        sd: float,
        count: int,
        classes: Sequence[str | int] | None,
    ) -> None:
        if split not in ("train", "test"):
            raise DataError(f"there is no split {split!r}; there are train and test")
        chosen = selected_classes(names, classes)
        centres = centres[chosen]
        random = np.random.Generator(np.random.Philox(key=stable_hash("mixture", split, len(centres), count)))
        label = random.integers(len(centres), size=count)
        x = centres[label] + sd * random.standard_normal((count, centres.shape[1]))  # (count, D)
        self.centres = torch.from_numpy(centres).float()
        self.sd = sd
        super().__init__(
            {"x": torch.from_numpy(x).float(), "label": torch.from_numpy(label).long()},
            {"x": Space("points", (centres.shape[1],)), "label": Space("labels", (), len(centres))},
            [names[i] for i in chosen],
        )

    def fingerprint(self) -> str:
        """A hash of the points and the centres."""
        return fingerprint(super().fingerprint(), self.centres, self.sd)
