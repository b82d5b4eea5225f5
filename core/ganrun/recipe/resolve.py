"""From a recipe's text to a :class:`Recipe`: read, merge, validate; every problem reported at once.

Layers, lowest first: the core's defaults, the variant's, the base of ``extends`` (and its base), the recipe, ``--set``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.errors import PluginError, nearest
from ganrun.recipe import layers
from ganrun.recipe.errors import Problem, RecipeError, show
from ganrun.recipe.known import known_to
from ganrun.recipe.layers import LISTS, OTHERS, ByGame, Layer
from ganrun.recipe.nodes import DEFAULT, Keys, Node, Origin, from_plain, graft, to_plain
from ganrun.recipe.overrides import Override, apply, of_keys, read_overrides
from ganrun.recipe.parameters import former_names
from ganrun.recipe.parts import EvaluatorPart, Part
from ganrun.recipe.settings import CheckpointSettings, PlayerSettings, StartSettings, TrainSettings
from ganrun.recipe.sources import RecipeText, read_source, without_content
from ganrun.recipe.validate import Validator
from ganrun.words.located import located

if TYPE_CHECKING:
    from ganrun.catalog.catalog import Catalog

SINGLE = ("variant", "dataset", "loss", "sampler")  # keys of one part that is no network; networks stand in the middle
DEFAULTS = {"sampler": "normal", "observers": ["progress", "samples", "metrics-log", "health", "checkpoints"]}


@dataclass
class Recipe:
    """A resolved recipe: parts with validated parameters, and settings.

    ``networks`` maps keys, ``generator``, ``discriminator`` and those that the variant declares, to networks.
    ``losses`` maps games to the losses that the recipe names for them; ``loss`` is that of the others. ``loss_chosen``
    says that it is not the variant's default, so that it goes before what a game proposes.
    ``base`` is the folder that relative paths start from. ``resolved`` is the whole recipe as plain data; loading it
    gives an equal recipe. ``origins`` maps each path in it to where its value comes from.
    """

    name: str = field(compare=False)
    base: Path = field(compare=False)
    variant: Part
    dataset: Part
    loss: Part | None
    losses: dict[str, Part]
    networks: dict[str, Part]
    sampler: Part | None
    tricks: list[Part]
    evaluators: list[EvaluatorPart]
    observers: list[Part]
    players: dict[str, PlayerSettings]
    checkpoint: CheckpointSettings
    train: TrainSettings
    init: StartSettings | None
    resolved: dict[str, Any] = field(repr=False)
    origins: dict[Keys, str] = field(repr=False, compare=False)
    positions: dict[Keys, Node] = field(repr=False, compare=False)
    catalog: Catalog = field(repr=False, compare=False)
    loss_chosen: bool = field(default=False, repr=False, compare=False)

    def problem(self, path: Keys | str, message: str) -> Problem:
        """A problem with the value at a path of the resolved recipe, at the place where that value was written.

        Raise it as ``RecipeError([recipe.problem("players.critic", "...")])``.
        """
        keys: Keys = tuple(int(w) if w.isdecimal() else w for w in path.split(".")) if isinstance(path, str) else path
        for length in range(len(keys), 0, -1):
            node = self.positions.get(keys[:length])
            if node is not None:
                found = node.problem(message)
                return Problem(found.file, found.line, found.column, ".".join(map(str, keys)), message)
        return Problem("", 0, 0, ".".join(map(str, keys)), message)

    def path_of(self, text: str) -> Path:
        """An absolute path for one that the recipe names. Raises UserError for one of Windows that is nowhere here."""
        return located(self.base, text)

    def part(self, entry: Any, kind: str, *, origin: str) -> Part:
        """A part written as in a recipe, of the plugins that this recipe was loaded with; see :func:`load_part`."""
        return load_part(entry, kind, catalog=self.catalog, origin=origin)

    def parts(self) -> list[Part]:
        """Every part that the recipe names: in its sections, of its players, and inside other parts."""
        sections = (self.variant, self.dataset, *self.networks.values(), self.loss, self.sampler)
        top = [part for part in sections if part is not None]
        top += [
            *self.losses.values(),
            *self.tricks,
            *(evaluator.part for evaluator in self.evaluators),
            *self.observers,
        ]
        top += [player.optimizer for player in self.players.values()]
        return [inner for part in top for inner in _with_inner(part)]


def _with_inner(value: Any) -> list[Part]:
    if isinstance(value, Part):
        return [value, *(part for item in value.parameters.values() for part in _with_inner(item))]
    if isinstance(value, Mapping):
        return [part for item in value.values() for part in _with_inner(item)]
    if isinstance(value, list | tuple):
        return [part for item in value for part in _with_inner(item)]
    return []


def load_recipe(
    source: str | Path | Mapping[str, Any], *, catalog: Catalog, overrides: Sequence[str] | Mapping[str, Any] = ()
) -> Recipe:
    """Read, merge and validate a recipe.

    ``source`` is a file, or a recipe as plain data (relative paths then start from the working directory).
    ``overrides`` are texts as after ``--set`` (``train.steps=10``), or a mapping from such paths to values.

    Raises:
        RecipeError: with every problem found, sorted by line.
    """
    check = Validator(catalog)
    changes = read_overrides(overrides, check.problems)
    read = read_source(source, check.problems)
    if read is None:
        raise RecipeError(check.problems)
    check.base = read.base
    _learn_keys(read, changes, check)
    changes = of_keys(changes, check.known, check.problems)
    merged, inherited = _merge(read, changes, check)
    recipe = _build(read, merged, inherited, check)
    if recipe is None or check.problems:
        raise RecipeError(without_content(read, check.known, check.problems))
    return recipe


def load_evaluators(entries: Sequence[Any], *, catalog: Catalog, origin: str) -> list[EvaluatorPart]:
    """Evaluators written as in a recipe's list, outside of one. origin: what an error calls the place.

    Raises:
        RecipeError: with every problem found.
    """
    check = Validator(catalog)
    layer = layers.normalise(
        from_plain({"evaluators": list(entries)}, Origin(origin), (), check.problems), check.known, check.problems
    )
    found = [
        check.evaluator(node, ("evaluators", i))
        for i, node in enumerate(layer["evaluators"].value if "evaluators" in layer else ())
    ]
    if check.problems:
        raise RecipeError(check.problems)
    return [part for part in found if part is not None]


def load_part(entry: Any, kind: str, *, catalog: Catalog, origin: str) -> Part:
    """A part written as in a recipe, ``name`` or ``{name: {parameters}}``, outside of one.

    Raises:
        RecipeError: with every problem found.
    """
    check = Validator(catalog)
    node = layers.part(from_plain(entry, Origin(origin), (kind,), check.problems), kind, check.problems)
    part = check.part(node, kind, (kind,)) if node else None
    if part is None:
        raise RecipeError(check.problems)
    return part


def _learn_keys(read: RecipeText, changes: list[Override], check: Validator) -> None:
    """Which keys this recipe may have: its variant is looked for in all sources first."""
    used = {key for root in read.roots if isinstance(root.value, dict) for key in root.value}
    used |= {change.path[0] for change in changes}
    variant = _variant_layer(read, changes, []).get("variant")
    try:
        check.known = known_to(check.catalog, variant.name if variant else None, used)
    except PluginError as error:
        assert variant is not None
        check.problems.append(variant.problem(str(error)))


def _merge(read: RecipeText, changes: list[Override], check: Validator) -> tuple[Layer, Layer]:
    """All layers merged; and what a recipe of this variant inherits without asking."""
    problems = check.problems
    merged = layers.normalise(from_plain(DEFAULTS, DEFAULT), check.known, problems)
    written = [layers.normalise(root, check.known, problems) for root in read.roots]
    defaults = _variant_defaults(read, changes, check)
    removed: list[Node] = []
    for layer in (defaults, *written, *_without_changes(changes, problems)):
        if "without" in layer:
            removed += layer["without"].value
            merged = layers.remove(merged, layer["without"].value, problems)
        # of a program's list that happens to be empty, nothing was meant
        typed = {key: node for key, node in layer.items() if node.origin.line}
        problems += layers.without_effect(merged, typed)
        merged = layers.merge(merged, layer)
    for change in changes:
        if change.path[0] not in ("without", "variant"):
            merged = apply(merged, change, check.known.losses, problems)
        elif change.path[0] == "variant" and "variant" in (top := _variant_layer(read, changes, [])):
            merged["variant"] = top["variant"]
    if removed:
        merged["without"] = Node(removed, removed[-1].origin, ("without",), removed[-1].origin)
    return merged, layers.merge(layers.normalise(from_plain(DEFAULTS, DEFAULT), check.known, []), defaults)


def _without_changes(changes: list[Override], problems: list[Problem]) -> Iterator[Layer]:
    """What ``--set without=[...]`` removes: applied before the other changes, so that those see what is left."""
    for change in changes:
        if change.path == ("without",):
            names = layers.names(change.value, problems)
            if names is not None:
                yield {"without": names}
        elif change.path[0] == "without":
            change.refuse("write the whole list: --set without=[replay-buffer]", problems)


def _variant_layer(read: RecipeText, changes: list[Override], problems: list[Problem]) -> Layer:
    """The variant alone, merged from the recipe's layers and ``--set``: it decides the defaults."""
    merged: Layer = {}
    for root in read.roots:
        node = root.value.get("variant") if isinstance(root.value, dict) else None
        found = layers.part(node, "variant", []) if node else None
        merged = layers.merge(merged, {"variant": found} if found else {})
    for change in changes:
        if change.path[0] == "variant":
            merged = apply(merged, change, (), problems)
    return merged


def _variant_defaults(read: RecipeText, changes: list[Override], check: Validator) -> Layer:
    """The recipe fragment that the variant's class holds."""
    node = _variant_layer(read, changes, check.problems).get("variant")
    component = check.load(node, "variant") if node else None
    fragment = getattr(component.factory, "defaults", None) if component else None
    if not node or not fragment:
        return {}
    written = from_plain(fragment, Origin(f"variant {node.name}"), (), check.problems)
    layer = layers.normalise(written, check.known, check.problems)
    for key in ("extends", "variant"):
        if key in layer:
            check.problems.append(
                layer.pop(key).problem("the defaults of a variant cannot name this; remove it from the plugin")
            )
    if isinstance(layer.get("loss"), ByGame):
        message = "the defaults of a variant name one loss for all games; that of a single game is its Game(loss=...)"
        check.problems.append(layer.pop("loss").problem(message))
    return layer


def _build(read: RecipeText, merged: Layer, inherited: Layer, check: Validator) -> Recipe | None:
    """The validated recipe; None if something that every recipe needs is missing."""
    empty = Node({}, DEFAULT)
    sections: dict[str, Any] = {"losses": {}, "networks": {}}
    for key, kind in check.known.networks.items():
        if key in merged:
            sections["networks"][key] = check.part(merged[key], kind, (key,))
    by_game = merged.get("loss")
    if isinstance(by_game, ByGame):
        merged, named = _split(merged, by_game)
        sections["losses"] = {game: check.part(node, "loss", ("loss", game)) for game, node in named.items()}
    for key in SINGLE:
        path = (key, OTHERS) if key == "loss" and sections["losses"] else (key,)
        sections[key] = check.part(merged[key], key, path) if key in merged else None
        missing = key in ("variant", "dataset") and key not in merged and key not in read.root.value and read.whole
        if missing and not _told(key, check.problems):
            message = f"missing; every recipe needs it, such as {key}: {'dcgan' if key == 'variant' else 'digits'}"
            check.problems.append(read.root.problem(message, key))
    for key, kind in LISTS.items():
        nodes = enumerate(merged[key].value) if key in merged else ()
        build: Any = (
            check.evaluator if kind == "evaluator" else lambda node, path, kind=kind: check.part(node, kind, path)
        )
        sections[key] = [build(node, (key, i)) for i, node in nodes]
    nodes = merged.get("players", empty).value.items()
    players = {str(name): check.values(PlayerSettings, node, "a player", ("players", name)) for name, node in nodes}
    train = check.values(TrainSettings, merged.get("train", empty), "train", ("train",))
    checkpoint = check.values(CheckpointSettings, merged.get("checkpoint", empty), "checkpoint", ("checkpoint",))
    written = merged.get("init")
    init = None if written is None or written.empty else check.start(written)
    if checkpoint and checkpoint.best:
        _check_best(checkpoint.best.evaluator, merged, sections["evaluators"], check)
    if check.problems or train is None or checkpoint is None:
        return None
    names = {key: [item.name for item in inherited[key].value] for key in LISTS if key in inherited}
    plain = _resolved(sections, players, train, checkpoint, init, names)
    tree = graft(plain, Node(merged | ({"loss": by_game} if by_game and sections["losses"] else {}), DEFAULT))
    positions = {path: node for path, node in tree.walk() if path}
    return Recipe(
        name=read.name or f"{sections['variant'].name}-{sections['dataset'].name}",
        base=read.base,
        **sections,
        players={name: settings for name, settings in players.items() if settings},
        checkpoint=checkpoint,
        train=train,
        init=init,
        resolved=plain,
        origins={path: str(node.origin) for path, node in positions.items()},
        positions=positions,
        catalog=check.catalog,
        loss_chosen=sections["loss"] is not None and sections["loss"] != _default_loss(inherited, check),
    )


def _split(merged: Layer, by_game: ByGame) -> tuple[Layer, Layer]:
    """The merged recipe with the one loss of all games that are not named, if there is one; and game -> loss."""
    others = by_game.value.get(OTHERS)
    rest = {key: node for key, node in merged.items() if key != "loss"}
    named = {game: node for game, node in by_game.value.items() if game != OTHERS}
    return rest | ({"loss": others} if others else {}), named


def _default_loss(inherited: Layer, check: Validator) -> Part | None:
    """The loss of all games by the variant's defaults."""
    return Validator(check.catalog).part(inherited["loss"], "loss", ("loss",)) if "loss" in inherited else None


def _told(key: str, problems: list[Problem]) -> bool:
    """Whether a problem with this section is known, so that its absence is not reported."""
    return any(problem.path.partition(".")[0] == key for problem in problems)


def _check_best(wanted: str, merged: Layer, evaluators: Sequence[EvaluatorPart | None], check: Validator) -> None:
    """``checkpoint.best`` must name an evaluator of the recipe, no score by a former name, or it would never choose."""
    there = [item.name for item in merged["evaluators"].value] if "evaluators" in merged else []
    node = merged["checkpoint"].value["best"].value["evaluator"]
    evaluator, (score, _, key) = re.split(r"[.\[]", wanted)[0], wanted.rpartition(".")
    for part in evaluators:
        if part is not None and part.name == evaluator and key in (now := former_names(part.part.component.factory)):
            check.problems.append(node.problem(f'this score is called "{score}.{now[key]}" now; write that'))
    if evaluator not in there:
        what = (
            f"the recipe's evaluators are {', '.join(there)}"
            if there
            else "the recipe has no evaluators; add one under evaluators:"
        )
        check.problems.append(
            node.problem(f"no evaluator {show(wanted)} in this recipe{nearest(wanted, there) or '; ' + what}")
        )


def _resolved(
    sections: dict[str, Any],
    players: Any,
    train: Any,
    checkpoint: Any,
    init: StartSettings | None,
    inherited: dict[str, list[str]],
) -> dict[str, Any]:
    """The complete recipe as plain data, in the order in which people write it."""
    plain: dict[str, Any] = {key: sections[key].as_recipe() for key in SINGLE[:2]}
    plain |= {key: part.as_recipe() for key, part in sections["networks"].items()}
    plain |= {key: sections[key].as_recipe() for key in SINGLE[2:] if sections[key] is not None}
    if sections["losses"]:
        named = {game: part.as_recipe() for game, part in sections["losses"].items()}
        plain["loss"] = named | ({OTHERS: plain["loss"]} if "loss" in plain else {})
    for key in LISTS:
        plain[key] = [item.as_recipe() for item in sections[key]]
    without = _without(inherited, {key: [name for item in plain[key] for name in item] for key in LISTS})
    if without:
        plain["without"] = without
    plain["players"] = {name: _settings(settings) for name, settings in players.items()}
    plain |= {"checkpoint": _settings(checkpoint), "train": _settings(train)}
    if init is not None:
        plain["init"] = init.run if init == StartSettings(run=init.run or "") else _settings(init)
    return plain


def _without(inherited: dict[str, list[str]], chosen: dict[str, list[str]]) -> list[str]:
    """What a resolved recipe has to remove from the defaults, so that loading it adds and reorders nothing."""
    removed: set[str] = set()
    for _ in LISTS:  # a name removed from one list is removed from all, which may concern another list in turn
        for key, names in inherited.items():
            merged = [name for name in names if name not in removed]
            left = list(merged)
            for name in chosen[key]:
                if name in left:
                    left.remove(name)
                else:
                    merged.append(name)
            if merged != chosen[key]:
                removed |= set(names)
    return sorted(removed)


def _settings(settings: Any) -> Any:
    """Settings as plain data, every value included."""
    return {
        key: _settings(value) if hasattr(type(value), "model_fields") else to_plain(value) for key, value in settings
    }
