"""Mean and covariance of features, in blocks: any number of float32 samples, float64 sums."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ganrun.errors import UserError

BLOCK = 2048  # rows that are float64 at a time


@dataclass(eq=False)
class Statistics:
    """count samples with this mean (d,) and unbiased covariance (d, d), both float64 on the CPU."""

    count: int
    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, x: Tensor, rows: Tensor | None = None) -> Statistics:
        """The statistics of features x (n, d), or of some of its rows. One sample has a covariance of 0.

        Raises:
            UserError: for no samples, or values that are not finite.
        """
        n = len(x) if rows is None else len(rows)
        if x.ndim != 2 or n == 0:
            raise UserError(
                f"features have to be (samples, features) with at least one sample, and these are {tuple(x.shape)}; "
                "ask for more samples"
            )
        blocks = range(0, n, BLOCK)

        def block(start: int) -> Tensor:
            some = x[start : start + BLOCK] if rows is None else x[rows[start : start + BLOCK]]
            return some.detach().cpu().double()

        total = sum((block(start).sum(0) for start in blocks), start=torch.zeros(x.shape[1], dtype=torch.float64))
        mean = total / n
        if not bool(mean.isfinite().all()):
            bad = not_finite(x if rows is None else x[rows])
            raise UserError(
                f"{bad} of the {n} samples have features that are not finite numbers; "
                "mend the samples, or the training that made them"
            )
        scatter = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64)
        for start in blocks:
            centred = block(start) - mean
            scatter.addmm_(centred.T, centred)
        return cls(n, mean, scatter / max(n - 1, 1))

    def without(self, part: Statistics) -> Statistics:
        """The statistics of all samples but those of ``part``, which are among them (Chan, Golub and LeVeque 1979)."""
        n = self.count - part.count
        mean = (self.count * self.mean - part.count * part.mean) / n
        shift = part.mean - mean
        scatter = (self.count - 1) * self.covariance - max(part.count - 1, 0) * part.covariance
        scatter.addr_(shift, shift, alpha=-n * part.count / self.count)
        return Statistics(n, mean, scatter / max(n - 1, 1))

    @cached_property
    def root(self) -> Tensor:
        """The symmetric square root of the covariance, (d, d). Rounding may leave eigenvalues just below 0."""
        values, vectors = torch.linalg.eigh(self.covariance)
        root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
        return root

    def tensors(self) -> dict[str, Tensor]:
        """Everything, with the root, to be kept in a file."""
        return {
            "count": torch.tensor(self.count),
            "mean": self.mean,
            "covariance": self.covariance,
            "root": self.root.contiguous(),
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> Statistics:
        """The inverse of :meth:`tensors`."""
        found = cls(int(tensors["count"]), tensors["mean"], tensors["covariance"])
        found.__dict__["root"] = tensors["root"]  # where cached_property looks
        return found


def not_finite(x: Tensor) -> int:
    """How many rows of x (n, ...) hold a number that is not finite.

    The test takes as much memory as its input, so it is done in blocks.
    """
    return sum(int((~some.flatten(1).isfinite()).any(1).sum()) for some in x.split(BLOCK))
