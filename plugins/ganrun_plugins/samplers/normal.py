"""Latents from a standard normal distribution.

The usual choice since Radford et al.'s public code (2015); ``uniform`` is the paper's own.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from ganrun.plugin import Component, Draws, Space, hookimpl


class Normal:
    """Independent normal numbers of mean 0 and standard deviation 1."""

    provides = frozenset({"latent:normal"})

    def sample(self, draws: Draws, purpose: str, n: int, space: Space) -> Tensor:
        """n rows, (n, *space.shape)."""
        return draws.normal(purpose, n, *space.shape)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("sampler", "normal", Normal)
