"""Merged nodes -> validated parts and settings; pydantic's errors in plain words, at their lines."""

from __future__ import annotations

import types
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ganrun.errors import BrokenPlugin, PluginError, nearest, shortened
from ganrun.paths import expanded
from ganrun.recipe import layers
from ganrun.recipe.dump import flow
from ganrun.recipe.errors import Problem, show, unknown_key
from ganrun.recipe.known import Known
from ganrun.recipe.nodes import DEFAULT, Keys, Node, from_plain
from ganrun.recipe.parameters import (
    SignatureError,
    annotation,
    fields_of,
    former_names,
    parameter_model,
    part_kind,
    path_mark,
    type_text,
    values_of,
)
from ganrun.recipe.parts import EvaluatorPart, Part
from ganrun.recipe.settings import EvaluatorSettings, StartSettings
from ganrun.words.located import is_there, looks_foreign

if TYPE_CHECKING:
    from ganrun.catalog.catalog import Catalog

Model = TypeVar("Model", bound=BaseModel)

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "null",
    "path_type": "a path",
    "dataclass_type": "a mapping",
    "iterable_type": "a list",
    "is_instance_of": "a part",
}
_BOUNDS = {
    "greater_than": ("gt", ">"),
    "greater_than_equal": ("ge", ">="),
    "less_than": ("lt", "<"),
    "less_than_equal": ("le", "<="),
    "multiple_of": ("multiple_of", "a multiple of"),
}


@dataclass
class Validator:
    """Builds the parts of one recipe and collects every problem on the way."""

    catalog: Catalog
    problems: list[Problem] = field(default_factory=list)
    known: Known = field(default_factory=Known)
    base: Path = Path()  # the recipe's folder

    def part(self, node: Node, kind: str, path: Keys) -> Part | None:
        """The part of a node in its long form; None if problems were reported."""
        component = self.load(node, kind)
        if component is None:
            return None
        model = self.model(node, kind, component)
        if model is None:
            return None
        self.take_former_names(node.parameters, component)
        values = self.values(model, node.parameters, f'{kind} "{node.name}"', (*path, node.name))
        return None if values is None else Part(kind, node.name, values_of(values), component, (*path, node.name))

    def evaluator(self, node: Node, path: Keys) -> EvaluatorPart | None:
        """An evaluator: its own parameters, and ``every`` and ``samples``, which the core reads."""
        component = self.load(node, "evaluator")
        model = self.model(node, "evaluator", component) if component else None
        if model is None:
            return None
        common, own = fields_of(EvaluatorSettings), fields_of(model)
        if clash := sorted(set(common) & {*own, *former_names(component.factory)}):
            self.problems.append(
                node.problem(f"evaluator {node.name} has a parameter {clash[0]}, which the core reads; rename it there")
            )
            return None
        self.take_former_names(node.parameters, component)
        given = node.parameters
        known, here = [*own, *common], (*path, node.name)
        shared = self.values(
            EvaluatorSettings, given.replaced({k: v for k, v in given.value.items() if k in common}), node.name, here
        )
        rest = given.replaced({k: v for k, v in given.value.items() if k not in common})
        values = self.values(model, rest, f'evaluator "{node.name}"', here, known)
        if shared is None or values is None:
            return None
        part = Part("evaluator", node.name, values_of(values), component, here)
        return EvaluatorPart(part, shared.every, shared.samples)

    def start(self, node: Node) -> StartSettings | None:
        """``init``: a run, or a mapping that says more."""
        return self.values(StartSettings, layers.start(node), "init", ("init",))

    def load(self, node: Node, kind: str) -> Any:
        """The component of a part's name, None if there is none or it is broken."""
        try:
            return self.catalog.load(kind, node.name)
        except BrokenPlugin:
            raise  # no mistake of the recipe's
        except PluginError as error:
            # The mistake is the name: a scalar of its own, or the key above the parameters.
            self.problems.append(Node(0, node.parameters.key or node.origin, node.path).problem(str(error)))
            return None

    def model(self, node: Node, kind: str, component: Any) -> type[BaseModel] | None:
        """The model of a component's parameters."""
        try:
            return parameter_model(component.factory)
        except SignatureError as error:
            self.problems.append(node.parameters.problem(f"{kind}.{node.name} cannot be used: {error}"))
            return None

    def take_former_names(self, parameters: Node, component: Any) -> None:
        """Put parameters that are written under former names under the new ones, in this tree, and warn.

        Of two layers that name a parameter in both ways the upper one counts; one source that does is a problem.
        """
        written = parameters.value
        for old, new in former_names(component.factory).items():
            if old not in written:
                continue
            order, other = list(written), written.get(new)
            value = written.pop(old)
            if other is not None and other.origin.label == value.origin.label:
                message = f'a former name of "{new}", which is given, too; leave this one out'
                self.problems.append(value.problem(message, at_key=True))
                continue
            problem = value.problem(f'this parameter is called "{new}" now; the former name will go', at_key=True)
            warnings.warn(str(problem), FutureWarning, stacklevel=2)
            if other is None or order.index(old) > order.index(new):
                written[new] = value

    def values(
        self, model: type[Model], node: Node, whose: str, path: Keys, known: list[str] | None = None
    ) -> Model | None:
        """A mapping, validated; None if problems were reported. ``path`` is its place in the resolved recipe."""
        before = len(self.problems)
        fields, data = fields_of(model), {}
        for key, child in node.value.items():
            if key not in fields:
                self.problems.append(child.problem(unknown_key(key, known or list(fields), whose), at_key=True))
        for key, (_, info) in fields.items():
            child, hint = node.value.get(key), annotation(info)
            if child is None and part_kind(hint) and not info.is_required():
                child = from_plain(info.default, DEFAULT, (*node.path, key))
            if child is not None:
                data[key] = self.typed_path(hint, self.read(hint, child, (*path, key)), child)
        wrong = {problem.path for problem in self.problems[before:]}
        try:
            values = model.model_validate(data)
        except ValidationError as error:
            found = [problem for problem in translate(error, node, model, whose) if not _below(problem.path, wrong)]
            self.problems += found
            if not found and not wrong:
                raise
        except Exception as error:  # a plugin's own validator may raise anything
            self.problems.append(node.problem(f"{whose} cannot check its parameters: {type(error).__name__}: {error}"))
        return None if len(self.problems) > before else values

    def read(self, hint: Any, node: Node, path: Keys) -> Any:
        """A node as plain data, with parts built where the type asks for parts."""
        kind = part_kind(hint)
        if kind is None:
            return node.plain()
        origin, arguments = get_origin(hint), get_args(hint)
        if hint is Part or (origin is Annotated and arguments[0] is Part):
            return self.nested(node, kind, path)
        if origin is Annotated:
            return self.read(arguments[0], node, path)
        if origin in (Union, types.UnionType):
            if node.empty and type(None) in arguments:
                return None
            return self.read(next(argument for argument in arguments if part_kind(argument)), node, path)
        if origin is dict and isinstance(node.value, dict):
            return {key: self.read(arguments[1], item, (*path, key)) for key, item in node.value.items()}
        if isinstance(node.value, list):
            return [self.read(arguments[0], item, (*path, i)) for i, item in enumerate(node.value)]
        return node.plain()

    def typed_path(self, hint: Any, value: Any, node: Node) -> Any:
        """The value, or, of a path that was typed as an override, what it is from the working directory."""
        mark = path_mark(hint)
        if mark is None or not node.origin.typed or not isinstance(value, str | list | dict):
            return value
        if isinstance(value, dict):
            return {key: self.typed_path(hint, item, node) for key, item in value.items()}
        if isinstance(value, list):
            return [self.typed_path(hint, item, node) for item in value]
        if is_there(Path.cwd(), value):
            return str(Path.cwd() / expanded(value))
        if is_there(self.base, value):
            warnings.warn(
                f"{node.origin}: {value} is not in the working directory, and is taken for the one beside the recipe, "
                f"{self.base / expanded(value)}",
                stacklevel=2,
            )
            return value
        return value if mark.or_name or looks_foreign(value) else str(Path.cwd() / expanded(value))

    def nested(self, node: Node, kind: str, path: Keys) -> Part | None:
        """A part that is a parameter of another."""
        long = layers.part(node, kind, self.problems)
        return self.part(long, kind, path) if long else None


def _below(path: str, wrong: set[str]) -> bool:
    """Whether a problem only repeats one that is known of the same place."""
    return any(other == path or other.startswith(f"{path}.") for other in wrong)


# --- pydantic's errors ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    """One error of pydantic: at which node, which keys below it are missing, and whether in a branch of a union."""

    error: Mapping[str, Any]
    node: Node
    depth: int
    union: bool
    top: Any

    @property
    def expected(self) -> str:
        """What type was expected; empty if the type is not what is wrong."""
        schedule = self.union and str(self.error.get("ctx", {}).get("error", "")).startswith(
            "expected a number or a schedule"
        )
        return "a number or a schedule" if schedule else _EXPECTED.get(self.error["type"], "")


def translate(error: ValidationError, node: Node, model: type[BaseModel], whose: str) -> Iterator[Problem]:
    """The problems that a validation error stands for, one for each mistake."""
    groups: dict[Any, list[_Found]] = {}
    for one in error.errors(include_url=False):
        found = _locate(one, node)
        groups.setdefault(found.top, []).append(found)
    for group in groups.values():
        yield from _translate_group(group, node, model, whose)


def _locate(error: Any, root: Node) -> _Found:
    """Follow an error's location through the nodes; what is left over names branches of unions."""
    node, depth, skipped = root, 0, 0
    for step in error["loc"]:
        value = node.value
        in_list = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if in_list or (isinstance(value, dict) and step in value):
            node, depth = value[step], depth + 1
        else:
            skipped += 1
    return _Found(
        error, node, depth, skipped > 0 and error["type"] not in ("missing",), error["loc"][0] if error["loc"] else ""
    )


def _translate_group(group: list[_Found], root: Node, model: type[BaseModel], whose: str) -> Iterator[Problem]:
    """The errors of one parameter. Of a union's branches only those that matched furthest are reported."""
    if any(found.union for found in group):
        deepest = max(found.depth for found in group)
        group = [found for found in group if found.depth == deepest]
        group = [found for found in group if not found.expected] or group
    types = [found for found in group if found.expected]
    places: dict[int, list[_Found]] = {}
    for found in types:
        places.setdefault(id(found.node), []).append(found)
    for same in places.values():
        expected = " or ".join(dict.fromkeys(found.expected for found in same))
        if "[key]" in same[0].error["loc"]:
            name = same[0].error["loc"][-2]
            yield same[0].node.problem(f"a key here must be {expected}, got {show(name)}", at_key=True)
            continue
        yield _placed(same[0], root, f"expected {expected}, got {show(_given(same[0], root))}")
    for found in group:
        if not found.expected:
            yield _problem_of(found, root, model, whose)


def _at(found: _Found, model: type[BaseModel]) -> str:
    """The type of the parameter in which an error was found, in plain words."""
    field_info = fields_of(model).get(str(found.top), ("", None))[1]
    return type_text(annotation(field_info)) if field_info else "another form"


def _given(found: _Found, root: Node) -> Any:
    return found.error.get("input") if found.node is root else found.node.plain()


def _placed(found: _Found, root: Node, message: str) -> Problem:
    if found.node is root and found.top not in root.value and found.top:
        return root.problem(f"{message} (its default)", found.top)
    return found.node.problem(message)


def _problem_of(found: _Found, root: Node, model: type[BaseModel], whose: str) -> Problem:
    """One error that is not about a type."""
    error, context = found.error, found.error.get("ctx", {})
    kind, name = error["type"], error["loc"][-1] if error["loc"] else ""
    given = show(_given(found, root))
    if kind == "missing":
        if isinstance(found.node.value, list):
            return found.node.problem(f"expected {_at(found, model)}, got {shortened(flow(found.node.plain()))}")
        if found.node is not root:
            return found.node.problem(f"missing; give it a value, such as {name}: ...", name)
        info = fields_of(model)[name][1]
        about = f", {info.description}" if info.description else ""
        return root.problem(f"missing; {whose} needs it ({type_text(annotation(info))}{about})", name)
    if kind == "extra_forbidden":
        near = nearest(name, _siblings(error, model))
        return found.node.problem(
            f"unknown key{near or '; it takes ' + ', '.join(_siblings(error, model))}", at_key=True
        )
    if kind in _BOUNDS:
        bound, sign = _BOUNDS[kind]
        changing = isinstance(found.node.value, dict) and found.node is not root  # a schedule
        text = (
            f"every value must be {sign} {context.get(bound)}, got {shortened(flow(found.node.plain()))}"
            if changing
            else ""
        )
        return _placed(found, root, text or f"must be {sign} {context.get(bound)}, got {given}")
    if kind in ("literal_error", "enum"):
        wanted = str(context.get("expected", "")).replace("'", '"')
        near = nearest(_given(found, root), [word.strip('"') for word in wanted.replace(" or ", ", ").split(", ")])
        return _placed(found, root, f"expected {wanted}, got {given}{near}")
    if kind == "value_error":
        return _placed(found, root, str(context.get("error", error["msg"])))
    if kind == "finite_number":
        return _placed(found, root, f"expected a finite number, got {given}")
    if kind in ("too_short", "too_long", "string_too_short", "string_too_long"):
        least = "at least" if kind.endswith("short") else "at most"
        length = context.get("min_length" if kind.endswith("short") else "max_length")
        unit = "characters" if kind.startswith("string") else "items"
        return _placed(found, root, f"expected {least} {length} {unit}, got {context.get('actual_length', given)}")
    if kind == "string_pattern_mismatch":
        field_info = fields_of(model).get(str(found.top), ("", None))[1]
        form = (field_info.description if field_info else None) or f"text of the form {context.get('pattern')}"
        return _placed(found, root, f"expected {form}; got {given}")
    return _placed(found, root, f"{error['msg'][:1].lower()}{error['msg'][1:]}, got {given}")


def _siblings(error: Mapping[str, Any], model: type[BaseModel]) -> list[str]:
    """The keys of the nested settings in which an unknown key was found."""
    info = fields_of(model).get(str(error["loc"][0]), ("", None))[1]
    pending, known = [info.annotation if info else None], list[str]()
    while pending:
        hint = pending.pop()
        if isinstance(hint, type) and issubclass(hint, BaseModel):
            known += fields_of(hint)
        pending += get_args(hint)
    return known
