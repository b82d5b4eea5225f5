"""Ways out of a refusal for the parts that a recipe has: what can be pasted into it, nothing that a part lacks."""

from __future__ import annotations

import re
from typing import Any, Literal, get_args, get_origin

from ganrun.recipe import Part, Recipe
from ganrun.recipe.parameters import fields_of, parameter_model

# "a discriminator with norm: none or layer"
WITH = re.compile(r"\ba (?P<key>[a-z]+) with (?P<parameter>\w+): (?P<values>[\w-]+(?:(?:, (?!or )| or )[\w-]+)*)")


def followable(instead: str, recipe: Recipe) -> str:
    """A way out of a refusal, of which ``a NETWORK with PARAMETER: VALUES`` is said of the network that the recipe has.

    ``a discriminator with norm: none or layer`` becomes ``discriminator: {dcgan: {norm: none}}`` for a network that has
    this one of the values, and ``another discriminator, with norm: none or layer`` for one that has none of them.
    """

    def said(match: re.Match[str]) -> str:
        part = recipe.networks.get(match["key"])
        if part is None:
            return match[0]
        known = choices(part, match["parameter"])
        fitting = [value for value in re.split(", | or ", match["values"]) if value in known]
        if not fitting:
            return f"another {match['key']}, with {match['parameter']}: {match['values']}"
        return f"{match['key']}: {{{part.name}: {{{match['parameter']}: {' or '.join(fitting)}}}}}"

    return WITH.sub(said, instead)


def choices(part: Part, parameter: str) -> list[str]:
    """The values by name that a parameter of a part may have; none if it has no such parameter, or takes others."""
    field = fields_of(parameter_model(part.component.factory)).get(parameter)
    return [] if field is None else [str(value) for value in _literals(field[1].annotation)]


def _literals(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(value for inner in get_args(hint) for value in _literals(inner))
