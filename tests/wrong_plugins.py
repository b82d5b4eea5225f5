"""Plugins that are looked at, and which checks they fail."""

from collections.abc import Iterator
from types import ModuleType

from ganrun.testing import Plugin, checks_of
from ganrun.words.hooks import Component, hookimpl


def plugin_of(kind, factory, example=None, doc="A wrong plugin. Nobody, 2026."):
    """A plugin of an uninstalled module."""
    module = ModuleType("wrong_plugins")
    module.__doc__ = doc

    def ganrun_components() -> Iterator[Component]:
        yield Component(kind, "wrong", factory)

    module.ganrun_components = hookimpl(ganrun_components)
    return Plugin(f"{kind}.wrong", modules=[module], example=example)


def failing(plugin, *only):
    """The names of the checks that a plugin fails, of some or of all."""
    found = set()
    for check in checks_of(plugin):
        if not only or check.__name__ in only:
            try:
                check(plugin)
            except AssertionError:
                found.add(check.__name__)
    return found


class Loss:
    """Hinge-like values without targets."""

    provides = frozenset({"per-sample-generator"})
    real_in_generator = False

    def targets(self, role):
        return None

    def discriminator(self, round):
        return {s: (1 - s.logits if s.role == "real" else 1 + s.logits).relu() for s in round.streams}

    def generator(self, round):
        return {s: -s.logits for s in round.of("fake")}
