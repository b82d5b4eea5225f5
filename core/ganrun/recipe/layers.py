"""Layers of a recipe: each source brought to one form, and merged over the one below it.

In that form a part is ``{name: {parameters}}``, ``players`` is a mapping of mappings, and lists are lists, whatever the
short form was. Parameters merge only under the same name. In lists of parts the k-th of a name merges with the k-th
of that name below; others are appended. ``loss`` is one part, which replaces whatever is below it, or a mapping from
games to parts, which merges game by game.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from ganrun.errors import nearest, shortened, some
from ganrun.recipe.errors import Problem, show
from ganrun.recipe.known import Known
from ganrun.recipe.nodes import Key, Node

LISTS = {"tricks": "trick", "evaluators": "evaluator", "observers": "observer"}
SETTINGS = ("checkpoint", "train")
TEXTS = ("extends", "init")
PLAYER_KEYS = ("optimizer", "updates", "init", "freeze")

OTHERS = "others"  # in a ``loss`` by game: the games that it does not name

Layer = dict[Key, Node]


@dataclass
class ByGame(Node):
    """``loss`` as a mapping: game, or ``others``, -> part."""


def is_part(key: Key) -> bool:
    """Whether a legal key of the top level holds one part."""
    return key not in (*LISTS, *SETTINGS, *TEXTS, "players", "without")


def normalise(root: Node, known: Known, problems: list[Problem]) -> Layer:
    """The top level of one source, every section in its one form. What is wrong is reported and left out."""
    if not isinstance(root.value, dict):
        problems.append(
            root.problem(f"a recipe is a mapping of keys such as variant: and dataset:, got {show(root.plain())}")
        )
        return {}
    layer: Layer = {}
    above: Node | None = None  # an empty section, below which the next keys may have been meant
    accused: list[Node] = []
    for key, node in root.value.items():
        if key not in known.keys:
            problems.append(node.problem(_unknown_top(key, known, above), at_key=True))
            accused += [above] if above else []
        elif above and _is_player(above, key, node):
            problems.append(node.problem(_outdented(str(key), above), at_key=True))
        else:
            layer[key] = node
            above = node if node.empty and (node.key or node.origin).line else None
    for key in [key for key, node in layer.items() if any(node is other for other in accused)]:
        del layer[key]  # its emptiness is explained already
    sections = {key: section(str(key), node, known.losses, problems) for key, node in layer.items()}
    return {key: node for key, node in sections.items() if node is not None}


def _unknown_top(key: Key, known: Known, above: Node | None) -> str:
    if nearest(key, (*known.keys, *known.elsewhere)) or above is None:
        return known.unknown(key)
    return f"unknown key; {_outdented(str(key), above)}"


def _outdented(key: str, above: Node) -> str:
    """The hint for a key that stands beside an empty one instead of below it."""
    line = (above.key or above.origin).line
    key = shortened(key)
    return f'if "{key}" belongs to "{above.path[-1]}" (line {line}), indent it further than "{above.path[-1]}"'


def _is_player(above: Node, key: Key, node: Node) -> bool:
    """Whether a part such as ``generator:`` was meant as a player, below an empty ``players:``."""
    return (
        above.path[-1:] == ("players",)
        and is_part(key)
        and isinstance(node.value, dict)
        and set(node.value) <= set(PLAYER_KEYS)
    )


def section(key: str, node: Node, losses: Collection[str], problems: list[Problem]) -> Node | None:
    """One top-level section in its one form."""
    if key == "loss" and is_by_game(node, losses):
        return loss_by_game(node, problems)
    if key in LISTS:
        return part_list(node, LISTS[key], problems)
    if key == "players":
        return players(node, problems)
    if key in SETTINGS:
        return mapping(node, problems)
    if key == "without":
        return names(node, problems)
    if is_part(key):
        return part(node, key, problems)
    if key == "init" and (node.empty or isinstance(node.value, dict)):
        return node
    if not isinstance(node.value, str):
        expected = "the folder of a run, or a mapping" if key == "init" else "text"
        problems.append(node.problem(f"expected {expected}, got {show(node.plain())}"))
        return None
    return node


def mapping(node: Node, problems: list[Problem]) -> Node | None:
    """A mapping; nothing at all is an empty one."""
    if node.empty:
        return node.replaced({})
    if not isinstance(node.value, dict):
        problems.append(node.problem(f"expected a mapping, got {show(node.plain())}"))
        return None
    return node


def names(node: Node, problems: list[Problem]) -> Node | None:
    """A list of plugin names; nothing at all is an empty one."""
    if node.empty:
        return node.replaced([])
    if not isinstance(node.value, list):
        problems.append(node.problem(f"expected a list of names, such as [replay-buffer], got {show(node.plain())}"))
        return None
    for item in node.value:
        if not isinstance(item.value, str):
            problems.append(item.problem(f"expected the name of a part, got {show(item.plain())}"))
    return node.replaced([item for item in node.value if isinstance(item.value, str)])


def part(node: Node, kind: str, problems: list[Problem]) -> Node | None:
    """A part as ``{name: {parameters}}``."""
    value = node.value
    if isinstance(value, str) and value:
        empty = Node({}, node.origin, (*node.path, value), node.origin)
        return node.replaced({value: empty})
    if not isinstance(value, dict) or not value:
        got = "an empty mapping" if value == {} else show(node.plain())
        article = "an" if kind[0] in "aeiou" else "a"
        problems.append(node.problem(f"expected {article} {kind}: its name, or {{name: {{parameters}}}}; got {got}"))
        return None
    (name, first), *others = value.items()
    if not isinstance(name, str):
        problems.append(first.problem(f"expected the name of a {kind}, got {show(name)}", at_key=True))
        return None
    given = first.value
    if others and first.empty:
        stray = some(show(str(key)) for key, _ in others)
        verb, them = ("stands", "it") if len(others) == 1 else ("stand", "them")
        message = (
            f"{stray} {verb} beside {show(name)}, not below it; to make {them} part of {show(name)}, "
            f"indent {them} further than {show(name)}"
        )
        problems.append(others[0][1].problem(message, at_key=True))
        given = dict(others)  # read it as it was meant, to find the other mistakes
    elif others:
        found = some(show(str(key)) for key in value)
        problems.append(
            others[0][1].problem(f"a {kind} is one part with one name, found {found}; keep one of them", at_key=True)
        )
        return None
    if given is not None and not isinstance(given, dict):
        problems.append(
            first.problem(f"expected the parameters of {show(name)} as a mapping, got {show(first.plain())}")
        )
        return None
    return node.replaced({name: first.replaced(given or {})})


def is_by_game(node: Node, losses: Collection[str]) -> bool:
    """Whether a ``loss`` is a mapping of games: one of which no key is the name of a loss.

    Where no value names one either, because it is misspelt or not installed, what looks like parts is taken for them.
    """
    if not isinstance(node.value, dict) or any(key in losses for key in node.value):
        return False
    below = list(node.value.values())
    if any(_name_of(item) in losses for item in below):
        return True
    misspelt = len(below) == 1 and isinstance(below[0].value, dict) and nearest(next(iter(node.value)), losses)
    return bool(below) and not misspelt and all(_looks_like_a_part(item, losses) for item in below)


def _name_of(node: Node) -> object:
    """The name of a part in its short or long form; None if the node is neither."""
    if isinstance(node.value, dict) and len(node.value) == 1:
        return node.name
    return node.value if isinstance(node.value, str) else None


def _looks_like_a_part(node: Node, losses: Collection[str]) -> bool:
    if not isinstance(node.value, dict):
        return isinstance(node.value, str)
    return len(node.value) == 1 and (isinstance(node.parameters.value, dict | None) or bool(nearest(node.name, losses)))


def loss_by_game(node: Node, problems: list[Problem]) -> ByGame:
    """``loss`` as game -> part, each part in its one form."""
    value: Layer = {}
    for game, below in node.value.items():
        if not isinstance(game, str):
            problems.append(below.problem(f"expected the name of a game, got {show(game)}", at_key=True))
            continue
        found = part(below, "loss", problems)
        if found is not None:
            value[game] = found
    return ByGame(value, node.origin, node.path, node.key)


def part_list(node: Node, kind: str, problems: list[Problem]) -> Node | None:
    """A list of parts; None for nothing at all, which is no list."""
    if node.empty:
        return None
    if not isinstance(node.value, list):
        got = show(node.plain())
        hint = f"; write it as [{shortened(node.value)}]" if isinstance(node.value, str) else ""
        hint = f'; put "- " before each {kind}' if isinstance(node.value, dict) else hint
        problems.append(node.problem(f"expected a list, got {got}{hint}"))
        return None
    items = [part(item, kind, problems) for item in node.value]
    return node.replaced([item for item in items if item is not None])


def players(node: Node, problems: list[Problem]) -> Node | None:
    """``players``: name -> settings, the optimiser in its one form."""
    found = mapping(node, problems)
    if found is None:
        return None
    value: Layer = {}
    above: Node | None = None
    for name, below in found.value.items():
        if name in PLAYER_KEYS and above is not None:
            problems.append(below.problem(_outdented(str(name), above), at_key=True))
            continue
        above = below if below.empty and (below.key or below.origin).line else None
        settings = mapping(below, problems)
        if settings is not None:
            value[name] = player(settings, problems)
    return found.replaced(value)


def player(settings: Node, problems: list[Problem]) -> Node:
    """The settings of one player, the optimiser in its one form, and ``freeze`` as a mapping."""
    below = dict(settings.value)
    if "optimizer" in below:
        optimizer = part(below.pop("optimizer"), "optimizer", problems)
        below |= {"optimizer": optimizer} if optimizer else {}
    freeze = below.get("freeze")
    if freeze is not None and isinstance(freeze.value, int) and not isinstance(freeze.value, bool):
        below["freeze"] = freeze.replaced({"layers": freeze})
    elif freeze is not None and not isinstance(freeze.value, dict | None):
        problems.append(freeze.problem(f"expected a number of layers, or a mapping, got {show(freeze.plain())}"))
        del below["freeze"]
    return settings.replaced(below)


# --- merging --------------------------------------------------------------------------------------------------


def merge(lower: Layer, upper: Layer) -> Layer:
    """``upper`` over ``lower``, section by section; ``without`` is not merged but applied by :func:`remove`."""
    merged = dict(lower)
    for key, node in upper.items():
        below = merged.get(key)
        if key in ("extends", "without"):
            continue
        if below is None:
            merged[key] = node
        elif key == "loss":
            merged[key] = merge_losses(below, node)
        elif is_part(key):
            merged[key] = merge_part(below, node)
        elif key in LISTS:
            merged[key] = merge_list(below, node)
        elif key == "players":
            merged[key] = merge_players(below, node)
        elif key == "init":
            merged[key] = merge_start(below, node)
        else:
            merged[key] = merge_mappings(below, node)
    return merged


def merge_part(lower: Node | None, upper: Node) -> Node:
    """Parameters merge under the same name, those of the upper layer last; another name replaces the part."""
    if lower is None or lower.name != upper.name:
        return upper
    kept = {key: node for key, node in lower.parameters.value.items() if key not in upper.parameters.value}
    parameters = upper.parameters.replaced(kept | upper.parameters.value)
    return upper.replaced({upper.name: parameters})


def merge_losses(lower: Node, upper: Node) -> Node:
    """One loss replaces whatever is below it; a mapping merges game by game.

    Parameters of one loss merge with those of the part below that is for all games, or for those that are not named.
    """
    below: Layer = lower.value if isinstance(lower, ByGame) else {OTHERS: lower}
    if not isinstance(upper, ByGame):
        return merge_part(below.get(OTHERS), upper)
    return upper.replaced(below | {game: merge_part(below.get(game), node) for game, node in upper.value.items()})


def merge_list(lower: Node, upper: Node) -> Node:
    """The k-th part of a name merges with the k-th of that name below, else it is appended."""
    merged = list(lower.value)
    used: set[int] = set()
    for item in upper.value:
        place = next((i for i, below in enumerate(lower.value) if below.name == item.name and i not in used), None)
        if place is None:
            merged.append(item)
        else:
            used.add(place)
            merged[place] = merge_part(merged[place], item)
    return upper.replaced(merged)


def without_effect(lower: Layer, upper: Layer) -> Iterator[Problem]:
    """A problem for each empty list over one that is not: meant to remove what is there, it would change nothing."""
    for key in LISTS:
        there = [item.name for item in lower[key].value] if key in lower else []
        if there and key in upper and not upper[key].value:
            names = ", ".join(dict.fromkeys(there))
            message = f"an empty list changes nothing, because lists are added up; `without` removes parts: [{names}]"
            yield upper[key].problem(message)


def merge_players(lower: Node, upper: Node) -> Node:
    """Player by player; the optimiser as a part, the rest key by key."""
    merged = dict(lower.value)
    for name, settings in upper.value.items():
        below = merged.get(name)
        if below is None:
            merged[name] = settings
            continue
        both = merge_mappings(below, settings)
        if "optimizer" in settings.value:
            both.value["optimizer"] = merge_part(below.value.get("optimizer"), settings.value["optimizer"])
        merged[name] = both
    return upper.replaced(merged)


def merge_start(lower: Node, upper: Node) -> Node:
    """``init`` key by key, of which a text is the run; nothing at all takes away what is below it."""
    return merge_mappings(start(lower), start(upper)) if not (lower.empty or upper.empty) else upper


def start(node: Node) -> Node:
    """``init`` as a mapping."""
    return node.replaced({"run": node}) if isinstance(node.value, str) else node


def merge_mappings(lower: Node, upper: Node) -> Node:
    """Mappings key by key, at every depth; anything else is replaced."""
    if not isinstance(lower.value, dict) or not isinstance(upper.value, dict):
        return upper
    merged = dict(lower.value)
    for key, node in upper.value.items():
        merged[key] = merge_mappings(merged[key], node) if key in merged else node
    return upper.replaced(merged)


def remove(inherited: Layer, without: Sequence[Node], problems: list[Problem]) -> Layer:
    """``inherited`` without the parts of these names, in all lists. A name that is not there is a problem."""
    wanted = {node.value for node in without}
    there = {item.name for key in LISTS if key in inherited for item in inherited[key].value}
    for node in without:
        if node.value not in there:
            what = ", ".join(sorted(there)) or "nothing"
            near = nearest(node.value, there) or f"; inherited are {what}"
            problems.append(node.problem(f"{show(node.value)} is not inherited, so it cannot be removed{near}"))
    left = dict(inherited)
    for key in LISTS:
        if key in left:
            left[key] = left[key].replaced([item for item in left[key].value if item.name not in wanted])
    return left
