"""The constructor's signature is the schema: keyword-only parameters as a pydantic model, and what people read of it.

Strict: ``true`` is no number, ``"3"`` is no number, infinity and nan are refused; an integer may stand for a float.
"""

from __future__ import annotations

import enum
import inspect
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, Strict, WithJsonSchema, create_model
from pydantic.fields import FieldInfo

from ganrun.errors import shortened
from ganrun.recipe.nodes import to_plain
from ganrun.recipe.parts import Part
from ganrun.schedule import Duration, Scheduled
from ganrun.words.spaces import PartOf, RecipePath

CONFIG = ConfigDict(
    strict=True, extra="forbid", validate_default=True, allow_inf_nan=False, arbitrary_types_allowed=True
)
_DURATION_SCHEMA = {
    "type": ["integer", "string"],
    "minimum": 0,
    "pattern": r"^\s*(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(%|steps?|epochs?|kimg|images?|minutes?)?\s*$",
}


def _duration(value: Any) -> Duration:
    duration = Duration.parse(value)
    if not duration.amount < 2**63:
        raise ValueError(f"{shortened(repr(value))} is longer than any run")
    return duration


DurationField = Annotated[
    Duration, PlainValidator(_duration), PlainSerializer(to_plain), WithJsonSchema(_DURATION_SCHEMA)
]


class SignatureError(ValueError):
    """A constructor that recipes cannot use: which parameter, and why."""


@lru_cache(maxsize=1024)
def parameter_model(factory: Any) -> type[BaseModel]:
    """A pydantic model of what recipes may set, read from the keyword-only parameters of ``factory``.

    Its fields have neutral names and the parameters' names as aliases, because ``copy`` or ``schema`` are names of
    pydantic's own. Raises :class:`SignatureError`.
    """
    try:
        signature = inspect.signature(factory)
        hints = get_type_hints(factory.__init__ if inspect.isclass(factory) else factory, include_extras=True)
    except Exception as error:  # a type hint is any expression, and may fail in any way
        raise SignatureError(f"its parameters cannot be read: {type(error).__name__}: {error}") from error
    for old, new in former_names(factory).items():
        if old in signature.parameters or new not in signature.parameters:
            raise SignatureError(f"its `renamed` maps {old} to {new}; expected a former name and a parameter")
    fields: dict[str, Any] = {}
    for number, (name, parameter) in enumerate(signature.parameters.items()):
        if parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        if name not in hints:
            raise SignatureError(f"parameter {name} has no type; give it one, such as {name}: float = 1.0")
        default: Any = default_part(hints[name]) or ...
        if parameter.default is not parameter.empty:
            try:
                default = to_plain(parameter.default)
            except ValueError as error:
                raise SignatureError(f"the default of parameter {name} is not plain data: {error}") from error
        fields[f"parameter_{number}"] = (prepare(hints[name]), Field(default=default, alias=name))
    try:
        return create_model(getattr(factory, "__name__", "parameters"), __config__=CONFIG, **fields)
    except Exception as error:  # pydantic raises many kinds for types it cannot handle
        raise SignatureError(f"its parameters cannot be validated: {' '.join(str(error).split())[:300]}") from error


def former_names(factory: Any) -> Mapping[str, str]:
    """Former name of a parameter -> its name now: what a plugin's class attribute ``renamed`` says.

    Raises :class:`SignatureError`.
    """
    names = getattr(factory, "renamed", {})
    if not isinstance(names, Mapping):
        raise SignatureError("its `renamed` is not a mapping of former names to parameters")
    return names


def prepare(hint: Any) -> Any:
    """The type, with YAML's forms where strict pydantic refuses them: lists for tuples and sets, text for paths."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Duration:
        return DurationField
    if hint is tuple or hint is set or hint is frozenset or hint is Path:
        return Annotated[hint, Strict(False)]
    if inspect.isclass(hint) and issubclass(hint, enum.Enum | BaseModel):
        return Annotated[hint, Strict(False)]
    if origin is Annotated:
        kind = next((mark.kind for mark in arguments[1:] if isinstance(mark, PartOf)), None)
        members = get_args(arguments[0])
        if kind and Part in members:  # Annotated[Part | None, PartOf(kind)]: only the part is of a kind
            marked = tuple(Annotated[Part, PartOf(kind)] if member is Part else member for member in members)
            others = tuple(mark for mark in arguments[1:] if not isinstance(mark, PartOf))
            union = prepare(Union[marked])  # noqa: UP007
            return Annotated[(union, *others)] if others else union
        extra = [WithJsonSchema({"x-part": kind})] if kind else []
        inner = arguments[0] if kind else prepare(arguments[0])
        return Annotated[(inner, *arguments[1:], *extra)]
    if origin in (Union, types.UnionType):
        return Union[tuple(map(prepare, arguments))]  # noqa: UP007
    if origin in (tuple, set, frozenset):
        return Annotated[origin[tuple(a if a is ... else prepare(a) for a in arguments) or ((),)], Strict(False)]
    if origin in (list, dict):
        return origin[tuple(map(prepare, arguments))]
    return hint


def fields_of(model: type[BaseModel]) -> dict[str, tuple[str, FieldInfo]]:
    """Recipe key -> the field's name in the model, and what pydantic knows of it."""
    return {info.alias or name: (name, info) for name, info in model.model_fields.items()}


def annotation(info: FieldInfo) -> Any:
    """A field's type, with the marks that pydantic keeps apart."""
    return Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation


def values_of(instance: BaseModel) -> dict[str, Any]:
    """Recipe key -> validated value."""
    return {key: getattr(instance, name) for key, (name, _) in fields_of(type(instance)).items()}


def default_part(hint: Any) -> str:
    """The plugin that a parameter's mark names as its default, empty if there is none."""
    return next((mark.default for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, PartOf)), "")


def part_kind(hint: Any) -> str | None:
    """The kind of part that a type holds at any depth, None if it holds none."""
    for mark in getattr(hint, "__metadata__", ()):
        if isinstance(mark, PartOf):
            return mark.kind
    return next((kind for kind in map(part_kind, get_args(hint)) if kind), None)


def path_mark(hint: Any) -> RecipePath | None:
    """The mark of a type that is a path, at any depth; None if it is none."""
    if hint is Path:
        return RecipePath()
    mark = next((mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, RecipePath)), None)
    return mark or next((found for found in map(path_mark, get_args(hint)) if found), None)


# --- for people -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ParameterRow:
    """One parameter as ``ganrun show`` prints it. ``default`` is empty if the parameter must be given."""

    name: str
    type: str
    default: str
    bounds: str
    description: str


def describe_parameters(component: Any) -> list[ParameterRow]:
    """What a recipe may set of a component. Raises :class:`SignatureError`."""
    return describe_model(parameter_model(component.factory))


def describe_model(model: type[BaseModel]) -> list[ParameterRow]:
    """The rows of any model: of a component's parameters, or of settings."""
    from ganrun.recipe.dump import flow

    rows = []
    for key, (_, info) in fields_of(model).items():
        default = "" if info.is_required() else flow(to_plain(info.default))
        hint = annotation(info)
        rows.append(ParameterRow(key, type_text(hint), default, bounds_text(hint), info.description or ""))
    return rows


_WORDS = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    Scheduled: "number or schedule",
    Duration: "duration",
    type(None): "null",
    list: "list",
    tuple: "list",
    set: "list",
    dict: "mapping",
    Any: "anything",
}


def type_text(hint: Any) -> str:
    """A type in plain words: ``number``, ``[number, number]``, ``one of "min", "max"``."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        kind = next((mark.kind for mark in arguments[1:] if isinstance(mark, PartOf)), None)
        return f"{kind} part" if kind else type_text(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(type_text, arguments)))
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin is tuple and ... not in arguments:
        return f"[{', '.join(map(type_text, arguments))}]"
    if origin in (list, tuple, set, frozenset) or getattr(origin, "__name__", "") in ("Sequence", "Iterable"):
        return f"list of {type_text(arguments[0])}"
    if origin is dict or getattr(origin, "__name__", "") == "Mapping":
        return f"mapping from {type_text(arguments[0])} to {type_text(arguments[1])}"
    if inspect.isclass(hint) and issubclass(hint, enum.Enum):
        return f"one of {', '.join(str(member.value) for member in hint)}"
    if inspect.isclass(hint) and issubclass(hint, BaseModel):
        return f"mapping of {', '.join(fields_of(hint))}"
    if hint is Part:
        return "part"
    return _WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def bounds_text(hint: Any) -> str:
    """The bounds of a type: ``>= 0, < 1``; empty if it has none."""
    return ", ".join(dict.fromkeys(_bounds(hint)))


_SIGNS = (("gt", "> {}"), ("ge", ">= {}"), ("lt", "< {}"), ("le", "<= {}"), ("multiple_of", "a multiple of {}"))
_LENGTHS = (("min_length", "at least {} long"), ("max_length", "at most {} long"))


def _bounds(hint: Any) -> Iterator[str]:
    for mark in getattr(hint, "__metadata__", ()):
        marks = mark.metadata if isinstance(mark, FieldInfo) else [mark]
        for one in marks:
            for name, sign in (*_SIGNS, *_LENGTHS):
                bound = getattr(one, name, None)
                if bound is not None:
                    yield sign.format(bound)
    for argument in get_args(hint):
        yield from _bounds(argument)
