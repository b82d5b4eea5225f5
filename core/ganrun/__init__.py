"""ganrun: a GAN experiment is a short recipe, and every part of it is a plugin.

``ganrun.run("recipe.yaml")`` trains, ``ganrun.load("runs/x")`` opens a finished run. Plugins import :data:`hookimpl`
and :class:`Component` from here; importing this package imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganrun.words.hooks import Component, hookimpl

if TYPE_CHECKING:
    from ganrun.api import load as load
    from ganrun.api import run as run

    __version__: str

__all__ = ["Component", "__version__", "hookimpl", "load", "run"]


def __getattr__(name: str) -> Any:
    """Import what is slow when it is first asked for."""
    if name in {"run", "load"}:
        from ganrun import api

        return getattr(api, name)
    if name == "__version__":
        from importlib.metadata import version

        return version("ganrun")
    raise AttributeError(f"module 'ganrun' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
