"""``--set PATH=VALUE`` and overrides from Python: single values set in the merged recipe."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ganrun.errors import nearest, shortened
from ganrun.recipe import layers
from ganrun.recipe.errors import Problem, RecipeError, show
from ganrun.recipe.known import Known
from ganrun.recipe.layers import LISTS, OTHERS, ByGame, Layer
from ganrun.recipe.nodes import OVERRIDES, Key, Keys, Node, Origin, from_plain
from ganrun.recipe.yaml import read_text


@dataclass(frozen=True)
class Override:
    """One value to set: where, what."""

    path: Keys
    value: Node

    def refuse(self, message: str, problems: list[Problem]) -> None:
        """Report a problem with the path as it was written."""
        problems.append(Node(0, self.value.origin, self.path).problem(message))


def read_overrides(given: Sequence[str] | Mapping[str, Any], problems: list[Problem]) -> list[Override]:
    """Overrides in the order given. What cannot be read is reported and left out."""
    if isinstance(given, Mapping):
        origin = Origin(OVERRIDES)
        paths = ((_path(key), value) for key, value in given.items())
        return _known(((path, from_plain(value, origin, path, problems)) for path, value in paths), problems)
    return _known(_read_texts([given] if isinstance(given, str) else given, problems), problems)


def _read_texts(given: Iterable[str], problems: list[Problem]) -> Iterable[tuple[Keys, Node]]:
    for text in given:
        key, equals, value = text.partition("=")
        origin = Origin(f"--set {shortened(text, 80)}")
        if not equals or not key.strip():
            problems.append(Problem(origin.label, 0, 0, "", "expected PATH=VALUE, such as train.steps=1000"))
            continue
        try:
            yield _path(key), read_text(value, origin, _path(key))
        except RecipeError as error:
            problems += error.problems


def _known(pairs: Iterable[tuple[Keys, Node]], problems: list[Problem]) -> list[Override]:
    found = []
    for path, value in pairs:
        override = Override(path, value)
        if path[0] == "extends":
            override.refuse("a base can only be named in a recipe file", problems)
        elif "" in path:
            override.refuse("a key is missing before, between or after dots", problems)
        else:
            found.append(override)
    return found


def of_keys(overrides: Iterable[Override], known: Known, problems: list[Problem]) -> list[Override]:
    """The overrides of keys that the recipe may have. Others are reported."""
    found = []
    for override in overrides:
        if override.path[0] in known.keys:
            found.append(override)
        else:
            override.refuse(known.unknown(override.path[0]), problems)
    return found


def _path(text: object) -> Keys:
    return tuple(int(word) if word.isdecimal() and word.isascii() else word for word in str(text).strip().split("."))


def apply(layer: Layer, override: Override, losses: Collection[str], problems: list[Problem]) -> Layer:
    """The merged recipe with one value set, by the rules by which layers merge.

    losses: the names of the installed ones.
    """
    top, rest = str(override.path[0]), override.path[1:]
    result = dict(layer)
    new: Node | None
    if top == "loss" and rest:
        new = _in_loss(layer.get(top), rest, override, losses, problems)
    elif layers.is_part(top) and rest:
        new = _in_part(layer.get(top), rest, override, top, problems)
    elif top in LISTS and rest:
        new = _in_list(layer.get(top), top, rest, override, problems)
    elif top == "players" and len(rest) > 1 and rest[1] == "optimizer":
        new = _in_optimizer(layer.get(top), rest, override, problems)
    else:
        whole = _nested(rest, override)
        if top in LISTS and whole.empty:  # below --set, nothing is as explicit as an empty list
            whole = whole.replaced([])
        new = layers.section(top, whole, losses, problems)
        if new is not None:
            problems += layers.without_effect(layer, {top: new})
            return layers.merge(layer, {top: new})
    if new is not None:
        result[top] = new
    return result


def _nested(rest: Keys, override: Override) -> Node:
    """The value below its keys, as the section would have been written."""
    node, origin = override.value, override.value.origin
    for depth in range(len(rest), 0, -1):
        node = Node({rest[depth - 1]: node}, origin, override.path[:depth], origin)
    return node


def _in_part(slot: Node | None, rest: Keys, override: Override, kind: str, problems: list[Problem]) -> Node | None:
    """``slot`` with ``rest`` (name, parameter, deeper keys) set. A part of another name is replaced."""
    value, origin = override.value, override.value.origin
    if not rest:
        upper = layers.part(value, kind, problems)
        return layers.merge_part(slot, upper) if upper else None
    name, *inside = rest
    place = override.path[: len(override.path) - len(inside)]
    parameters: Any = value
    if not inside and slot is not None and slot.name != name and not isinstance(value.value, dict | None):
        where = ".".join(map(str, (*place[:-1], slot.name, name)))
        override.refuse(
            f"{show(name)} is taken for the name of a part; for a parameter of {slot.name} write {where}", problems
        )
        return None
    if inside:
        old = slot.parameters.value.get(inside[0]) if slot and slot.name == name else None
        new = _deep(old, tuple(inside[1:]), override, problems)
        if new is None:
            return None
        parameters = Node({inside[0]: new}, origin, place, origin)
    upper = layers.part(Node({name: parameters}, origin, place[:-1], origin), kind, problems)
    return layers.merge_part(slot, upper) if upper else None


def _in_loss(
    slot: Node | None, rest: Keys, override: Override, losses: Collection[str], problems: list[Problem]
) -> Node | None:
    """``loss`` with the part of one game changed, or with one part for all games."""
    below: Layer = slot.value if isinstance(slot, ByGame) else {OTHERS: slot} if slot else {}
    value = override.value.value
    unknown = len(rest) == 1 and isinstance(value, str) and value not in losses and not nearest(value, losses)
    if unknown or not layers.is_by_game(_nested(rest, override), losses):
        return _in_part(below.get(OTHERS), rest, override, "loss", problems)
    game, *inside = rest
    new = _in_part(below.get(game), tuple(inside), override, "loss", problems)
    return ByGame({**below, game: new}, override.value.origin, ("loss",), override.value.origin) if new else None


def _in_list(slot: Node | None, top: str, rest: Keys, override: Override, problems: list[Problem]) -> Node | None:
    """A list of parts with one of them changed: by its index in the merged list, or by its name."""
    kind, origin = LISTS[top], override.value.origin
    items = list(slot.value) if slot else []
    there = ", ".join(f"{i} {item.name}" for i, item in enumerate(items)) or "nothing"
    place: int | None
    if isinstance(rest[0], int):
        place, inside = rest[0], rest[1:]
        if place >= len(items):
            override.refuse(f"there is no {top}.{place}; the merged recipe has {there}", problems)
            return None
        if inside and inside[0] != items[place].name:
            name = items[place].name
            cure = f"for a parameter of it write {top}.{place}.{name}.{inside[0]}; " if len(inside) == 1 else ""
            override.refuse(
                f"{top}.{place} is {name}, not {show(inside[0])}; {cure}the merged recipe has {there}", problems
            )
            return None
    else:
        places = [i for i, item in enumerate(items) if item.name == rest[0]]
        if len(places) > 1:
            override.refuse(f"there are {len(places)} {rest[0]}; choose one by its number: {there}", problems)
            return None
        place, inside = places[0] if places else None, rest
    new = _in_part(items[place] if place is not None else None, inside, override, kind, problems)
    if new is None:
        return None
    if place is None:
        items.append(new)
    else:
        items[place] = new
    return slot.replaced(items) if slot else Node(items, origin, (top,), origin)


def _in_optimizer(slot: Node | None, rest: Keys, override: Override, problems: list[Problem]) -> Node | None:
    """``players`` with the optimiser of one player changed."""
    origin = override.value.origin
    old = slot.value.get(rest[0]) if slot else None
    optimizer = _in_part(old.value.get("optimizer") if old else None, rest[2:], override, "optimizer", problems)
    if optimizer is None:
        return None
    settings = Node({**(old.value if old else {}), "optimizer": optimizer}, origin, override.path[:2], origin)
    return Node({**(slot.value if slot else {}), rest[0]: settings}, origin, ("players",), origin)


def _deep(old: Node | None, rest: Keys, override: Override, problems: list[Problem]) -> Node | None:
    """A parameter's value with something inside it set: a key of a mapping, an item of a list, a nested part."""
    if not rest:
        return override.value
    key, origin = rest[0], override.value.origin
    place = override.path[: len(override.path) - len(rest)]
    if old is not None and isinstance(old.value, list):
        if not isinstance(key, int) or key >= len(old.value):
            override.refuse(
                f"{show(key)} is not the number of an item; the list has {len(old.value)}, counted from 0", problems
            )
            return None
        new = _deep(old.value[key], rest[1:], override, problems)
        return old.replaced([new if i == key else item for i, item in enumerate(old.value)]) if new else None
    below: dict[Key, Node] = dict(old.value) if old is not None and isinstance(old.value, dict) else {}
    if old is not None and isinstance(old.value, str) and old.value == key:  # a nested part, written as its name alone
        below = {key: Node({}, old.origin, (*place, key), old.origin)}
    new = _deep(below.get(key), rest[1:], override, problems)
    return Node({**below, key: new}, origin, place, origin) if new else None
