"""Opening a run where plugins that it was trained with are not installed, or its data are not there."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ganrun.catalog.catalog import Catalog
from ganrun.contracts.protocols import Dataset
from ganrun.errors import UserError
from ganrun.words.hooks import Component
from ganrun.words.spaces import Space


def with_stand_ins(catalog: Catalog, folder: Path, versions: Mapping[str, Any]) -> Catalog:
    """The catalogue with a stand-in for each absent plugin that does not affect a run's samples. Warns of them.

    versions: the run's versions.json, which says what each part does.
    """
    absent = {name: kept for name, kept in versions.get("kept_parts", {}).items() if not _is_there(catalog, name)}
    if not absent:
        return catalog
    described = {name: f"{name}{_origin(versions.get('plugins', {}).get(name, {}))}" for name in absent}
    listed = ", ".join(described.values())
    warnings.warn(f"{folder}: left out, not installed here and not needed to make samples: {listed}", stacklevel=3)
    return catalog.with_components(_stand_in(name, absent[name], described[name]) for name in absent)


def came_from(error: Exception, catalog: Catalog, versions: Mapping[str, Any]) -> list[str]:
    """Where each plugin of a run came from that an error misses, and how to get it: one line each."""
    lines = []
    for name, kept in versions.get("plugins", {}).items():
        if not _is_there(catalog, name) and f'"{name.partition(".")[2]}"' in str(error):
            if kept.get("distribution"):
                where = f"{kept['distribution']} {kept.get('version') or ''}".strip()
                lines.append(f"{name} came from {where}: pip install {kept['distribution']}")
            elif kept.get("file"):
                lines.append(f"{name} came from {kept['file']}: add --plugin FILE")
    return lines


def _is_there(catalog: Catalog, qualified: str) -> bool:
    kind, _, name = qualified.partition(".")
    return name in catalog.names(kind)


def _origin(kept: Mapping[str, Any]) -> str:
    where = " ".join(str(kept[key]) for key in ("distribution", "version", "file") if kept.get(key))
    return f" ({where})" if where else ""


def _stand_in(qualified: str, kept: Mapping[str, Any], described: str) -> Component:
    """A component that takes the parameters of an absent one, and is an error where it would be needed."""
    kind, _, name = qualified.partition(".")

    def factory(*handed_in: Any, **parameters: Any) -> Any:
        if kind == "dataset":
            raise UserError(f"{described} is needed for this, and it is not installed")
        return _Optimizer() if kind == "optimizer" else _Absent(described, kept)

    names = [inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, annotation=Any) for key in kept["parameters"]]
    factory.__signature__ = inspect.Signature(names)  # type: ignore[attr-defined]
    factory.__annotations__ = dict.fromkeys(kept["parameters"], Any)
    return Component(kind, name, factory)


class _Absent:
    """Stands in for a trick, which then does nothing, or for a loss, which cannot be asked."""

    real_in_generator = False

    def __init__(self, described: str, kept: Mapping[str, Any]) -> None:
        self.provides = frozenset(kept["provides"])
        self.logits = kept["logits"]
        self._described = described

    def score(self, round: Any, logits: Any) -> Any:
        """Raises UserError: the score of a loss that is not here."""
        raise UserError(f"{self._described} is needed for this, and it is not installed")


class _Optimizer:
    """Stands in for an optimiser of networks that are not trained."""

    lr = 0.0

    def make(self, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """One that changes nothing."""
        return torch.optim.SGD(parameters, lr=0.0)


class LazyDataset:
    """Stands in for the data set of a run, described by what the run kept; the real one is opened when it is needed."""

    def __init__(self, kept: Mapping[str, Any], open_it: Callable[[], Dataset]) -> None:
        self.spaces = {
            name: Space(kind, tuple(shape), classes) for name, (kind, shape, classes) in kept["spaces"].items()
        }
        self.provides = frozenset(kept["provides"])
        self.label_names: dict[str, list[str]] = kept.get("label_names", {})
        self.classes = self.label_names.get("label", [])
        # entry -> the values that -1 and 1 stand for
        self.ranges = {name: (float(low), float(high)) for name, (low, high) in kept.get("ranges", {}).items()}
        self.in_memory = True
        self._length = int(kept["items"])
        self._open = open_it

    def __len__(self) -> int:
        return self._length

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._open(), name)
