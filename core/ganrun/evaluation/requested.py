"""What an evaluator asked for, noted for the provenance of its scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Requested:
    """What one evaluator asked for: the provenance of its scores.

    Real samples and their data by split, extractors by name. given: how many real items there are to make samples from;
    0 if they are not made from any. prepared: split -> the data set, or whatever says how its images were read
    and scaled.
    """

    fakes: set[int] = field(default_factory=set)
    real: dict[str, dict[str, Any]] = field(default_factory=dict)
    features: dict[str, dict[str, Any]] = field(default_factory=dict)
    given: int = 0
    prepared: dict[str, Any] = field(default_factory=dict)

    def real_samples(self, split: str, n: int, data: str, of: int | None = None) -> None:
        """Note that n samples of a split were asked for; the most of several requests stands.

        of: how many there are, None for n.
        """
        most = max(n, self.real.get(split, {}).get("samples", 0))
        self.real[split] = {"samples": most, "data": data} | ({"of": of} if of is not None and most < of else {})

    def preparation(self) -> dict[str, str]:
        """Split -> what was done to its images before they were compared, in words, if that is known."""
        words = {split: getattr(data, "preparation", "") for split, data in self.prepared.items()}
        return {split: said for split, said in words.items() if said}

    def departs(self) -> bool:
        """Whether real images are read otherwise than the code reads them after which scores are called."""
        return any(getattr(data, "departs", False) for data in self.prepared.values())

    def made_from(self) -> dict[str, int]:
        """The real items that samples were made from, if that is some of all; else nothing."""
        most = max(self.fakes, default=0)
        return {"samples": most, "of": self.given} if most < self.given else {}
