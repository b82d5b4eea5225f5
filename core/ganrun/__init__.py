"""ganrun: a GAN experiment is a short recipe, and every part of it is a plugin.

``ganrun.run("recipe.yaml")`` trains, ``ganrun.load("runs/x")`` opens a finished run. Plugins import from
``ganrun.plugin``. Importing this package imports no torch.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganrun.api import load as load
    from ganrun.api import run as run

    __version__: str

__all__ = ["__version__", "load", "run"]

# Name that was public here -> the module it is imported from now. It goes in the version after the one that warns.
_RETIRED = {"Component": "ganrun.plugin", "hookimpl": "ganrun.plugin"}


def __getattr__(name: str) -> Any:
    """Import what is slow when it is first asked for."""
    if name in {"run", "load"}:
        return getattr(import_module("ganrun.api"), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("ganrun")
    if name in _RETIRED:
        text = f"ganrun.{name} goes in ganrun 0.2; write `from {_RETIRED[name]} import {name}`"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return getattr(import_module(_RETIRED[name]), name)
    raise AttributeError(f"module 'ganrun' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
