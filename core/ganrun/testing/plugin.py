"""What a check is given: one plugin, and how it is put into a small recipe."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ganrun.catalog.catalog import Catalog, Entry
from ganrun.preflight.stages import LIST_OF_KIND, STAGES, placed
from ganrun.recipe import Part, Recipe, load_recipe
from ganrun.recipe.parameters import parameter_model, values_of
from ganrun.testing import probe
from ganrun.training.build import RefusedError
from ganrun.words.hooks import Component


@dataclass(frozen=True)
class Example:
    """What a plugin needs in order to be tried: its own ``parameters``, and keys of the ``recipe`` around it.

    ``place`` is the recipe key that a network fills, such as ``projector``, if it is not that of its kind.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    place: str = ""


def made(factory: Any, *positional: Any, **parameters: Any) -> Any:
    """What a recipe with these parameters makes of a plugin's class: they are validated, numbers become schedules.

    Positional arguments are what the core hands in. A parameter that is a part takes a :class:`Part`.
    """
    return factory(*positional, **values_of(parameter_model(factory)(**parameters)))


Examples = Mapping[str, Example | Callable[[Path], Example]]


class Plugin:
    """A plugin under test. ``example`` may be a function of a folder in which it writes the files it needs."""

    def __init__(
        self, qualified: str, *, modules: Iterable[Any] = (), example: Example | Callable[[Path], Example] | None = None
    ) -> None:
        self.qualified = qualified
        self.kind, _, self.name = qualified.partition(".")
        self.modules = tuple(modules)
        self._example = example or Example()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __repr__(self) -> str:
        return self.qualified

    @cached_property
    def catalog(self) -> Catalog:
        """The installed plugins, the uninstalled modules handed in, and the probe of the checks."""
        return Catalog(modules=[*self.modules, probe])

    @cached_property
    def component(self) -> Component:
        """The loaded component."""
        return self.catalog.load(self.kind, self.name)

    @property
    def factory(self) -> Any:
        """The class under test."""
        return self.component.factory

    @property
    def place(self) -> str:
        """The key of a recipe that it fills: its kind, or ``encoder`` for a generator that makes latents alone."""
        if self.example.place:
            return self.example.place
        makes = set(getattr(self.factory, "makes", ()))
        return "encoder" if self.kind == "generator" and makes == {"latent"} else self.kind

    @cached_property
    def entry(self) -> Entry:
        """The line of the catalogue."""
        return self.catalog.entry(self.kind, self.name)

    @cached_property
    def example(self) -> Example:
        """Parameters and recipe of the smallest instance."""
        return self._example(self.folder) if callable(self._example) else self._example

    @cached_property
    def folder(self) -> Path:
        """A folder of this plugin's own, removed with it."""
        self._folder = tempfile.TemporaryDirectory(prefix="ganrun-check-")
        return Path(self._folder.name)

    # --- recipes with it ------------------------------------------------------------------------------------------

    def put(self, recipe: Mapping[str, Any], *, times: int = 1, **changes: Any) -> dict[str, Any]:
        """A recipe with the plugin in it, ``times`` times where it is in a list; ``changes`` are its parameters."""
        part = {self.name: {**self.example.parameters, **changes}}
        found = dict(recipe)
        for _ in range(times):
            found = placed(found, self.place, part)
        return found

    def without(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """A recipe of :meth:`put`, with the plugin taken off its list again."""
        key = LIST_OF_KIND[self.kind]
        return {**recipe, key: [part for part in recipe[key] if self.name not in part]}

    def load(self, recipe: Mapping[str, Any]) -> Recipe:
        """The resolved recipe."""
        return load_recipe(recipe, catalog=self.catalog)

    @cached_property
    def part(self) -> Part:
        """The plugin with its example's parameters, validated, as a recipe hands it to the core."""
        resolved = self.load(self.put({**next(iter(STAGES.values())), **self.example.recipe}))
        if self.kind == "features":
            found: Part = resolved.evaluators[-1].part.parameters["features"]
            return found
        if self.kind == "optimizer":
            return next(iter(resolved.players.values())).optimizer
        if self.kind == "evaluator":
            return resolved.evaluators[-1].part
        if self.kind in LIST_OF_KIND:
            part: Part = getattr(resolved, LIST_OF_KIND[self.kind])[-1]
            return part
        if self.place in resolved.networks:
            return resolved.networks[self.place]
        single: Part = getattr(resolved, self.place)
        return single

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """The first small experiment that does not refuse the plugin, with the plugin in it.

        AssertionError if all do.
        """
        from ganrun.testing.runs import build_run

        reasons = []
        for stage in self.stages():
            recipe = self.put(stage)
            try:
                build_run(self, recipe)
            except RefusedError as error:
                reasons += [str(refused) for refused in error.refusals]
            else:
                return recipe
        listed = "\n  ".join(dict.fromkeys(reasons))
        raise AssertionError(
            f"every small experiment refuses {self}; give one that works, as an Example(recipe=...):\n  {listed}"
        )

    def stages(self) -> Iterator[dict[str, Any]]:
        """Small experiments to try, the simplest first; then with each loss and each discriminator there is."""
        around = self.example.recipe
        if self.kind == "variant":  # with the networks of its own defaults, if they fit any of the small data sets
            for stage in STAGES.values():
                yield {
                    **{key: value for key, value in stage.items() if key not in ("generator", "discriminator")},
                    **around,
                }
        for stage in STAGES.values():
            yield {**stage, **around}
        for kind in ("loss", "discriminator"):
            if kind != self.kind and kind not in around:
                for name in self.catalog.names(kind):
                    for stage in STAGES.values():
                        yield {**stage, **around, kind: name}
