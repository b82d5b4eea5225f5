"""From plugins and checks to a pytest parametrisation, in the manner of scikit-learn."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

from ganrun.catalog.attribution import DEBUG, broken
from ganrun.errors import UserError
from ganrun.testing import (
    datasets,
    evaluators,
    every_kind,
    features,
    losses,
    networks,
    observers,
    optimizers,
    samplers,
    training,
    tricks,
    variants,
)
from ganrun.testing.plugin import Examples, Plugin

Check = Callable[[Plugin], None]
# They read no data and train nothing, but for losses with state.
QUICK = (every_kind, losses, networks, optimizers, samplers)

MODULES: dict[str, tuple[ModuleType, ...]] = {
    "variant": (every_kind, variants, training),
    "generator": (every_kind, networks, training),
    "discriminator": (every_kind, networks, training),
    "loss": (every_kind, losses, training),
    "trick": (every_kind, tricks, training),
    "sampler": (every_kind, samplers, training),
    "optimizer": (every_kind, optimizers, training),
    "evaluator": (every_kind, evaluators),
    "features": (every_kind, features),
    "dataset": (every_kind, datasets, training),
    "observer": (every_kind, observers),
}


def checks_of(plugin: Plugin) -> list[Check]:
    """The checks that apply to a plugin, in the order of the files. Loads the plugin."""
    found: list[Check] = []
    for module in MODULES[plugin.kind]:
        for name, value in vars(module).items():
            if name.startswith("check_") and inspect.isfunction(value) and value.__module__ == module.__name__:
                applies = getattr(value, "applies", None)
                if applies is None or applies(plugin):
                    found.append(value)
    return found


def quick_problems(plugin: Plugin) -> list[str]:
    """What the quick checks find wrong with a plugin, one line each: what ``list-plugins --check`` prints.

    A plugin that has to be given parameters is tried as far as it can be without them.
    """
    found = []
    for check in checks_of(plugin):
        if check.__module__ not in {module.__name__ for module in QUICK} or not getattr(check, "quick", True):
            continue
        try:
            check(plugin)
        except UserError:
            continue
        except AssertionError as error:
            found.append(f"{check.__name__}: {' '.join(str(error).split())}")
        except (Exception, SystemExit) as error:  # any plugin may fail in any way
            text = broken(error) or f"{type(error).__name__}: {error}"
            found.append(f"{check.__name__}: {' '.join(str(text).removesuffix(DEBUG).split())}")
    return found


def parametrize_with_checks(
    plugins: Sequence[str],
    *,
    expected_failures: Mapping[str, str] | None = None,
    examples: Examples | None = None,
    modules: Iterable[Any] = (),
) -> Any:
    """A pytest decorator: the test function takes ``plugin`` and ``check``, and calls ``check(plugin)``.

    plugins: ``kind.name`` of each. expected_failures: ``check`` or ``kind.name:check`` -> why it fails; such a check
    has to fail, with AssertionError, or the test does. examples: ``kind.name`` -> :class:`Example`, or a function of a
    folder that returns one, for plugins that cannot be tried with their defaults alone. modules: uninstalled plugin
    modules.

    Raises:
        PluginError: for a plugin that cannot be loaded.
        ValueError: for an expected failure that names no check of these plugins.
    """
    import pytest

    reasons, given = dict(expected_failures or {}), dict(examples or {})
    modules = tuple(modules)
    cases, names = [], set()
    for qualified in plugins:
        plugin = Plugin(qualified, modules=modules, example=given.get(qualified))
        for check in checks_of(plugin):
            name = check.__name__
            names |= {name, f"{qualified}:{name}"}
            reason = reasons.get(f"{qualified}:{name}", reasons.get(name))
            marks = [pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError)] if reason is not None else []
            cases.append(pytest.param(plugin, check, id=f"{qualified}-{name}", marks=marks))
    for wrong in sorted(set(reasons) - names):
        near = difflib.get_close_matches(wrong, names, n=1)
        raise ValueError(
            f"expected_failures: there is no check {wrong!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        )
    return pytest.mark.parametrize(("plugin", "check"), cases)
