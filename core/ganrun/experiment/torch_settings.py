"""torch's global settings for as long as something of an experiment runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ganrun.distributed import DTYPES
from ganrun.recipe.settings import TrainSettings


@contextmanager
def torch_settings(train: TrainSettings) -> Iterator[None]:
    """The default type, threads and deterministic algorithms that ``train`` asks for; put back afterwards.

    What builds, trains and samples enters it by itself, one within the other: what is set already is left alone.
    """
    before = _now()
    threads, deterministic = train.threads or before[1], train.deterministic or before[2]
    wanted = (DTYPES[train.precision], threads, deterministic, train.deterministic or before[3])
    if wanted == before:
        yield
        return
    _set(*wanted)
    try:
        yield
    finally:
        _set(*before)


def _now() -> tuple[torch.dtype, int, bool, bool]:
    deterministic, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    return torch.get_default_dtype(), torch.get_num_threads(), deterministic, warn_only


def _set(dtype: torch.dtype, threads: int, deterministic: bool, warn_only: bool) -> None:
    torch.set_default_dtype(dtype)
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, cuBLAS is not deterministic
    if _now()[2:] != (deterministic, warn_only):  # even to say what is so already loads torch's compiler, for a second
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
