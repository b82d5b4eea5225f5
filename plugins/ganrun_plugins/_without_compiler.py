"""torch's optimisers without what loads torch's compiler, which takes as long as loading torch."""

from __future__ import annotations

import inspect
from typing import TypeVar

import torch
from torch.optim import Optimizer

Kind = TypeVar("Kind", bound=Optimizer)


def without_compiler(kind: type[Kind]) -> type[Kind]:
    """A subclass of one of torch's optimisers that calculates the same.

    torch wraps these methods so that its compiler passes over them, and the wrappers import it, used or not. ganrun
    compiles networks (``train.compile``), never an optimiser, so this class has the methods inside the wrappers.
    """
    names = ("add_param_group", "state_dict", "load_state_dict", "zero_grad")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    step = torch.no_grad()(inspect.unwrap(kind.step))  # the wrapper of `step` turns gradients off, too
    return type(kind.__name__, (kind,), {**methods, "step": step, "__doc__": kind.__doc__})
