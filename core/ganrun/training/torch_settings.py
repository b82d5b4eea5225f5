"""torch's global settings for the time of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ganrun.distributed import DTYPES
from ganrun.recipe import Recipe


@contextmanager
def settings_of_torch(recipe: Recipe) -> Iterator[None]:
    """torch's global settings for the time of a run, put back afterwards."""
    before = (torch.get_default_dtype(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    torch.set_default_dtype(DTYPES[recipe.train.precision])
    if recipe.train.threads:
        torch.set_num_threads(recipe.train.threads)
    if recipe.train.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, cuBLAS is not deterministic
    torch.use_deterministic_algorithms(recipe.train.deterministic or before[2], warn_only=True)
    try:
        yield
    finally:
        torch.set_default_dtype(before[0])
        torch.set_num_threads(before[1])
        torch.use_deterministic_algorithms(before[2])
