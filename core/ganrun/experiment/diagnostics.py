"""What an experiment is refused for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ganrun.errors import UserError
from ganrun.recipe import Part, Recipe
from ganrun.recipe.places import place
from ganrun.words.game import Network


@dataclass(frozen=True)
class Diagnostic:
    """One reason why a recipe cannot be trained, or should not: which part, why, and a way out."""

    part: str
    why: str
    instead: str

    def __str__(self) -> str:
        return f"{self.part}: {self.why}" + (f"\n    instead: {self.instead}" if self.instead else "")


def label(part: Part | None) -> str:
    """How a part is named to people: its kind and name."""
    return f"{part.kind} {part.name}" if part else ""


class RefusedError(UserError):
    """A recipe was refused before training. ``refusals`` lists every reason.

    networks: those that the variant asks for; each is built from what the recipe has under its key.
    """

    def __init__(self, refusals: list[Diagnostic], recipe: Recipe, networks: Mapping[str, Network]) -> None:
        places = _places(recipe, networks)
        lines = [f"{_place(refusal.part, places)}{refusal}" for refusal in refusals]
        super().__init__("this recipe is refused before training:\n  " + "\n  ".join(lines))
        self.refusals = refusals


def _places(recipe: Recipe, networks: Mapping[str, Network]) -> dict[str, list[str]]:
    """How a part is named to people -> where it was written; several places for parts of one name."""
    paths = [(label(part), part.path) for part in recipe.parts()]
    paths += [(f"players.{name}", ("players", name)) for name in recipe.players]
    paths += [(f"network {name}", (network.kind,)) for name, network in networks.items()]
    found: dict[str, list[str]] = {}
    for name, path in paths:
        found.setdefault(name, []).append(place(recipe, path))
    return found


def _place(part: str, places: Mapping[str, list[str]]) -> str:
    """Where the part of a refusal was written, as the beginning of a line; empty for a default."""
    names = [name for name in places if part == name or part.startswith((f"{name} ", f"{name}."))]
    there = dict.fromkeys(filter(None, places[max(names, key=len)])) if names else {}
    return f"{', '.join(there)}: " if there else ""
