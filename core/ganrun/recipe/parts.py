"""A part of a recipe: a plugin by name, with validated parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ganrun.catalog.attribution import owned
from ganrun.contracts.mistakes import hook_mistakes
from ganrun.errors import BrokenPlugin
from ganrun.recipe.nodes import Keys, to_plain
from ganrun.words.hooks import Component


@dataclass(eq=False)
class Part:
    """A plugin of one ``kind`` by ``name``. ``parameters`` are its constructor's keyword arguments, defaults filled in.

    ``path`` is where the part stands in the resolved recipe: ``Recipe.problem`` turns it into file and line.
    Two parts are equal if kind, name and parameters are.
    """

    kind: str
    name: str
    parameters: dict[str, Any]
    component: Component = field(repr=False)
    path: Keys = ()

    def make(self, *positional: Any) -> Any:
        """Call the plugin's factory with what the core hands in, and the recipe's parameters.

        Raises BrokenPlugin, before the call, for a method that resembles a hook: it would never be called.
        """
        if mistakes := hook_mistakes(self.component):
            raise BrokenPlugin("\n  ".join([f"{owned(self.component)} cannot be used:", *mistakes]))
        return self.component.factory(*positional, **self.parameters)

    def as_recipe(self) -> dict[str, Any]:
        """The part as a recipe writes it, complete: ``{name: {parameters}}``."""
        return {self.name: to_plain(self.parameters)}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Part):
            return NotImplemented
        return (self.kind, self.name, self.parameters) == (other.kind, other.name, other.parameters)

    def __hash__(self) -> int:
        return hash((self.kind, self.name))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.is_instance_schema(cls)


@dataclass
class EvaluatorPart:
    """An evaluator, how often it runs (None: at the end only) and on how many samples (None: its own choice)."""

    part: Part
    every: Any = None
    samples: int | None = None

    @property
    def name(self) -> str:
        """The evaluator's name."""
        return self.part.name

    def as_recipe(self) -> dict[str, Any]:
        """The evaluator as a recipe writes it, complete."""
        return {self.name: {**to_plain(self.part.parameters), "every": to_plain(self.every), "samples": self.samples}}
