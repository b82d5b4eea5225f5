"""Resolved recipes as readable text: each value with its origin, and what differs between two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ganrun.recipe.dump import flow, lines
from ganrun.recipe.layers import LISTS

if TYPE_CHECKING:
    from ganrun.recipe.resolve import Recipe


def explain(recipe: Recipe) -> str:
    """The resolved recipe as YAML, with the origin of each value as a comment. It loads as a recipe, too."""
    named = {part.path for part in recipe.parts()}
    found = [
        (line, recipe.origins.get(path, "default"), line.endswith(":") and path not in named)
        for line, path in lines(recipe.resolved)
    ]
    width = min(max((len(line) for line, _, container in found if not container), default=0), 60)
    return "".join(
        f"{line}\n" if container else f"{line:<{width}}  # {_comment(origin)}\n" for line, origin, container in found
    )


def _comment(origin: str) -> str:
    return " ".join(origin.split())


@dataclass(frozen=True)
class Difference:
    """One value that differs: ``left`` or ``right`` is None where the path is missing, else the value as YAML."""

    path: str
    left: str | None
    right: str | None

    def __str__(self) -> str:
        if self.left is None:
            return f"+ {self.path}: {self.right}"
        if self.right is None:
            return f"- {self.path}: {self.left}"
        return f"  {self.path}: {self.left} -> {self.right}"


def diff(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[Difference]:
    """What differs between two resolved recipes.

    Parts of lists are matched by name, so moving one changes its order only.
    """
    first, second = dict(_flat(left)), dict(_flat(right))
    paths = [*first, *(path for path in second if path not in first)]
    return [
        Difference(path, first.get(path), second.get(path)) for path in paths if first.get(path) != second.get(path)
    ]


def diff_text(left: Mapping[str, Any], right: Mapping[str, Any]) -> str:
    """:func:`diff` as lines: ``+`` added, ``-`` removed, ``->`` changed; empty if nothing differs."""
    return "".join(f"{difference}\n" for difference in diff(left, right))


def _flat(data: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Path -> value as YAML, for every leaf. Parts in lists are named; repeated ones are numbered from 2."""
    if isinstance(data, Mapping) and data:
        for key, value in data.items():
            yield from (
                _flat_list(value, key)
                if key in LISTS and not path
                else _flat(value, f"{path}.{key}" if path else str(key))
            )
    else:
        yield path, flow(data)


def _flat_list(items: Any, path: str) -> Iterator[tuple[str, str]]:
    names = [next(iter(item)) for item in items]
    for index, (name, item) in enumerate(zip(names, items)):
        earlier = names[:index].count(name)
        yield from _flat(item[name], f"{path}.{name}{f'#{earlier + 1}' if earlier else ''}")
    if len(names) > 1:
        yield f"{path} (order)", flow(names)
