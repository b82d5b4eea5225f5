"""What an evaluator asked for, noted for the provenance of its scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Requested:
    """What one evaluator asked for: the provenance of its scores.

    Real samples and their data by split, extractors by name.
    """

    fakes: set[int] = field(default_factory=set)
    real: dict[str, dict[str, Any]] = field(default_factory=dict)
    features: dict[str, dict[str, Any]] = field(default_factory=dict)

    def real_samples(self, split: str, n: int, data: str) -> None:
        """Note that n samples of a split were asked for; the most of several requests stands."""
        self.real[split] = {"samples": max(n, self.real.get(split, {}).get("samples", 0)), "data": data}
