"""Recipe data that remembers where each value was written."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ganrun.recipe.errors import Problem, dotted
from ganrun.schedule import Duration, Scheduled

Key = str | int
Keys = tuple[Key, ...]
OVERRIDES = "overrides"  # the label of what Python overrides
DEPTH = 40  # no sensible recipe is nested deeper; Python's recursion limit is far above


@dataclass(frozen=True)
class Origin:
    """Where a value was written.

    ``label`` is a file, ``variant NAME``, ``default``, ``overrides`` or ``--set KEY=VALUE``.
    """

    label: str
    line: int = 0
    column: int = 0

    @property
    def typed(self) -> bool:
        """Whether it was given beside a recipe, after ``--set`` or as an override from Python."""
        return self.label.startswith("--set ") or self.label == OVERRIDES

    def __str__(self) -> str:
        if self.line:
            return f"{self.label}:{self.line}"
        return "--set" if self.label.startswith("--set ") else self.label or "recipe"


DEFAULT = Origin("default")


@dataclass
class Node:
    """A value with its origin: a scalar, a dict of nodes or a list of nodes.

    ``path`` is where it stands in the source it was written in; ``key`` is the origin of its key, None for list items.
    """

    value: Any
    origin: Origin
    path: Keys = ()
    key: Origin | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing was written."""
        return self.value is None

    @property
    def name(self) -> str:
        """The plugin's name, if this node is a part in its long form."""
        return str(next(iter(self.value)))

    @property
    def parameters(self) -> Node:
        """The parameters, if this node is a part in its long form."""
        node: Node = next(iter(self.value.values()))
        return node

    def replaced(self, value: Any) -> Node:
        """The same place with another value."""
        return replace(self, value=value)

    def plain(self) -> Any:
        """The value as plain data."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def walk(self, path: Keys = ()) -> Iterator[tuple[Keys, Node]]:
        """Every node below and with this one, with its path in this tree."""
        yield path, self
        items = (
            self.value.items()
            if isinstance(self.value, dict)
            else enumerate(self.value)
            if isinstance(self.value, list)
            else ()
        )
        for key, node in items:
            yield from node.walk((*path, key))

    def problem(self, message: str, *below: Key, at_key: bool = False) -> Problem:
        """A problem with this value, or with its key; ``below`` are keys that are not there."""
        scalar = not isinstance(self.value, dict | list) and self.value is not None
        origin = self.key if self.key and (at_key or not scalar) else self.origin
        label = "" if origin.label == "recipe" else origin.label
        return Problem(label, origin.line, origin.column, dotted((*self.path, *below)), message)


def to_plain(value: Any) -> Any:
    """A validated value as data that YAML can hold. Raises ValueError for anything else."""
    if value is None or (isinstance(value, bool | str) and not isinstance(value, enum.Enum)):
        return value
    if isinstance(value, Scheduled):
        return to_plain(value.spec)
    if isinstance(value, Duration):
        return _duration(value)
    if isinstance(value, enum.Enum):
        return to_plain(value.value)
    if isinstance(value, int) and abs(value) >= 10**300:
        raise ValueError("a number with more than 300 digits")
    if isinstance(value, int | float):
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {
            key if isinstance(key, int) and not isinstance(key, bool) else str(key): to_plain(item)
            for key, item in value.items()
        }
    if isinstance(value, set | frozenset):
        return sorted((to_plain(item) for item in value), key=str)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [to_plain(item) for item in value]
    if hasattr(value, "as_recipe"):
        return value.as_recipe()
    raise ValueError(f"a {type(value).__name__} cannot be written in a recipe")


def _duration(value: Duration) -> int | str:
    amount = int(value.amount) if float(value.amount).is_integer() else value.amount
    if value.unit == "steps":
        return amount if isinstance(amount, int) else f"{amount!r} steps"
    return f"{amount!r}{'' if value.unit == '%' else ' '}{value.unit}"


def from_plain(data: Any, origin: Origin, path: Keys = (), problems: list[Problem] | None = None) -> Node:
    """Plain data as nodes of one origin.

    What a recipe cannot hold is reported, or raised as ValueError without ``problems``.
    """

    def refuse(message: str) -> Node:
        if problems is None:
            raise ValueError(f"{dotted(path)}: {message}")
        node = Node(None, origin, path, origin)
        problems.append(node.problem(message))
        return node

    if len(path) > DEPTH:
        return refuse(f"nested deeper than {DEPTH} levels")
    if isinstance(data, Mapping):
        value = {}
        for key, item in data.items():
            if not isinstance(key, str | int) or isinstance(key, bool):
                refuse(f"a key must be text, got {key!r}")
                continue
            value[key] = from_plain(item, origin, (*path, key), problems)
        return Node(value, origin, path, origin)
    if isinstance(data, list | tuple):
        return Node(
            [from_plain(item, origin, (*path, i), problems) for i, item in enumerate(data)], origin, path, origin
        )
    try:
        plain = to_plain(data)
    except (ValueError, RecursionError) as error:
        return refuse(str(error))
    if isinstance(plain, list | dict):  # a set, a Scheduled, a part
        return from_plain(plain, origin, path, problems)
    return Node(plain, origin, path, origin)


def graft(plain: Any, node: Node | None, path: Keys = ()) -> Node:
    """``plain`` with the origins of ``node`` where the two agree; what ``node`` does not have is a default."""
    origin = node.origin if node else DEFAULT
    key = node.key if node else DEFAULT
    value = node.value if node else None
    if isinstance(plain, dict):
        if isinstance(value, str):  # a nested part, written as its name alone
            value = {name: Node({}, origin, path, key) for name in plain}
        below = value if isinstance(value, dict) else {}
        return Node(
            {name: graft(item, below.get(name), (*path, name)) for name, item in plain.items()}, origin, path, key
        )
    if isinstance(plain, list):
        items = value if isinstance(value, list) and len(value) == len(plain) else [node] * len(plain)
        return Node(
            [graft(item, below, (*path, i)) for i, (item, below) in enumerate(zip(plain, items))], origin, path, key
        )
    return Node(plain, origin, path, key)
