"""How a plugin module says what it brings. This file imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pluggy

KINDS = (
    "variant",
    "generator",
    "discriminator",
    "loss",
    "trick",
    "sampler",
    "optimizer",
    "evaluator",
    "features",
    "dataset",
    "observer",
)

hookspec = pluggy.HookspecMarker("ganrun")
hookimpl = pluggy.HookimplMarker("ganrun")


@dataclass(frozen=True, eq=False)
class Component:
    """What a plugin module yields: a class (or function) of one kind under one name.

    ``kind`` is one of :data:`KINDS`, ``name`` is kebab-case, and the entry point is called ``kind.name``.
    The keyword-only parameters of ``factory`` are what a recipe may set.
    """

    kind: str
    name: str
    factory: Any


class ComponentHooks:
    """Called once on a plugin module, when the catalogue loads it."""

    @hookspec
    def ganrun_components(self) -> Iterable[Component]:  # type: ignore[empty-body]
        """Yield every component of this module."""
