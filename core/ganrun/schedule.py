"""Values that change over time, and durations: the one mechanism for learning rates, noise and weights.

A parameter typed :class:`Scheduled` takes a number, or one of::

    {linear: [a, b], from: 10%, until: 50%}              a before `from`, b after `until`
    {cosine: [a, b], until: 100%}                        half a cosine wave from a to b
    {exponential: [a, b], until: 100%}                   by one factor a step from a to b, both above 0
    {exponential: [a, b], factor: 0.99996}               by this factor a step, until it reaches b
    {steps: {0: 2e-4, 100 epochs: 1e-4}}                 a value from each moment on

``every: 1 epochs`` holds the value of all but ``steps`` for that long (a staircase). Moments and durations are ``500``
(steps), ``3 epochs``, ``40 kimg`` (thousands of real images), ``500 images`` or ``50%`` of the run.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ganrun.errors import shortened

_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(%|steps?|epochs?|kimg|images?|minutes?)?\s*$")
_RAMPS = ("linear", "cosine", "exponential")
_RAMP_KEYS = ("from", "until", "every")
_UNITS = {"": "steps", "step": "steps", "epoch": "epochs", "image": "images", "minute": "minutes"}


@dataclass(frozen=True)
class Clock:
    """What durations are measured against: ``total`` steps, ``batch`` real images a step, ``dataset`` images.

    ``percent_of``: how many steps are 100%, by default all of them.
    """

    total: int
    batch: int
    dataset: int
    percent_of: int | None = None


@dataclass(frozen=True)
class Duration:
    """A length of training, as written in a recipe."""

    amount: float
    unit: str = "steps"

    @classmethod
    def parse(cls, value: Any) -> Duration:
        """Read ``500``, ``"3 epochs"``, ``"40 kimg"``, ``"50%"`` or ``"5 minutes"``.

        Raises:
            ValueError: with the accepted forms, if ``value`` is none of them.
        """
        if isinstance(value, Duration):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            if value < 0:
                raise ValueError(f"a duration cannot be negative, got {value}")
            return cls(value)
        match = _DURATION.match(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(
                f"{shortened(repr(value))} is not a duration; write a number of steps (500), '3 epochs', '40 kimg', "
                "'500 images' or '50%'"
            )
        unit = match.group(2) or ""
        return cls(float(match.group(1)), _UNITS.get(unit, unit))

    def steps(self, clock: Clock) -> float:
        """This duration in steps, not rounded: ``1 epochs`` of 1,797 images at batch 64 is 28.08 steps."""
        match self.unit:
            case "steps":
                return self.amount
            case "%":
                return self.amount / 100 * (clock.total if clock.percent_of is None else clock.percent_of)
            case "epochs":
                return self.amount * clock.dataset / clock.batch
            case "kimg":
                return self.amount * 1000 / clock.batch
            case "images":
                return self.amount / clock.batch
        raise ValueError(f"a duration in {self.unit} is not a number of steps")

    def whole_steps(self, clock: Clock) -> int:
        """This duration in whole steps, rounded up, at least 1."""
        return max(1, math.ceil(self.steps(clock) - 1e-9))

    def __str__(self) -> str:
        amount = f"{self.amount:g}" if self.amount < 1e6 else str(int(self.amount))
        return amount if self.unit == "steps" else f"{amount}{'' if self.unit == '%' else ' '}{self.unit}"


class Scheduled:
    """A number that may change over time. ``turn.now(value)`` or :meth:`at` gives its value at a step.

    Comparisons hold if they hold for every value the schedule can take, so that bounds such as ``Field(ge=0)``
    check a schedule as they check a number.
    """

    def __init__(self, spec: Scheduled | float | dict[str, Any]) -> None:
        """Read a number or a mapping as in the module's docstring. Raises ValueError if it is neither."""
        self.spec: Any = spec.spec if isinstance(spec, Scheduled) else spec
        self._at: Callable[[float, Clock], float]
        self.values: tuple[float, ...]
        if isinstance(self.spec, bool) or not isinstance(self.spec, int | float | dict):
            raise ValueError(
                "expected a number or a schedule such as {linear: [0.1, 0], until: 50%}, "
                f"got {shortened(repr(self.spec))}"
            )
        if isinstance(self.spec, dict):
            self._read(dict(self.spec))
        else:
            constant = float(self.spec)
            if not math.isfinite(constant):
                raise ValueError(f"expected a finite number, got {constant}")
            self.values = (constant,)
            self._at = lambda step, clock: constant

    def _read(self, spec: dict[str, Any]) -> None:
        known = (*_RAMPS, "steps")
        shapes = [shape for shape in known if shape in spec]
        if len(shapes) != 1:
            raise ValueError(
                f"a schedule has exactly one of: {', '.join(known)}{_near(spec, known) if not shapes else ''}"
            )
        shape = shapes[0]
        value = spec.pop(shape)
        allowed = () if shape == "steps" else (*_RAMP_KEYS, *(("factor",) if shape == "exponential" else ()))
        if unknown := sorted(set(map(str, spec)) - set(allowed)):
            takes = ", ".join(allowed) or "no other key"
            key = shortened(repr(unknown[0]))
            raise ValueError(f"a {shape} schedule has no key {key}; it takes {takes}{_near(unknown, allowed)}")
        if shape == "steps":
            self._read_steps(value)
        else:
            self._read_ramp(shape, value, spec)

    def _read_steps(self, value: Any) -> None:
        if not isinstance(value, dict) or not value:
            raise ValueError("steps takes a mapping from moments to values, such as {0: 2e-4, 50%: 1e-4}")
        moments = [(Duration.parse(moment), _number(number)) for moment, number in value.items()]
        self.values = tuple(number for _, number in moments)

        def at(step: float, clock: Clock) -> float:
            passed = [(m.steps(clock), v) for m, v in moments if m.steps(clock) <= step]
            return max(passed)[1] if passed else self.values[0]

        self._at = at

    def _read_ramp(self, shape: str, value: Any, spec: dict[str, Any]) -> None:
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise ValueError(f"{shape} takes the first and the last value, such as [0.1, 0]")
        first, last = _number(value[0]), _number(value[1])
        start, end = Duration.parse(spec.get("from", 0)), Duration.parse(spec.get("until", "100%"))
        every = Duration.parse(spec["every"]) if "every" in spec else None
        factor = _factor(first, last, spec) if shape == "exponential" else None
        self.values = (first, last)

        def at(step: float, clock: Clock) -> float:
            if every is not None:
                hold = every.steps(clock)
                step = math.floor(step / hold + 1e-9) * hold
            low, high = start.steps(clock), end.steps(clock)
            if factor is not None:
                high = low + math.log(last / first) / math.log(factor)
            done = min(max((step - low) / (high - low), 0.0), 1.0) if high > low else float(step >= low)
            if shape == "cosine":
                done = (1 - math.cos(math.pi * done)) / 2
            if shape == "exponential":
                return first * math.pow(last / first, done)
            return first + (last - first) * done

        self._at = at

    def at(self, step: float, clock: Clock) -> float:
        """The value at a step, counted from 0."""
        return self._at(step, clock)

    @property
    def constant(self) -> bool:
        """Whether the value never changes."""
        return len(set(self.values)) == 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scheduled) and self.spec == other.spec

    def __hash__(self) -> int:
        return hash(repr(self.spec))

    def __ge__(self, bound: float) -> bool:
        return min(self.values) >= bound

    def __gt__(self, bound: float) -> bool:
        return min(self.values) > bound

    def __le__(self, bound: float) -> bool:
        return max(self.values) <= bound

    def __lt__(self, bound: float) -> bool:
        return max(self.values) < bound

    def __repr__(self) -> str:
        return f"Scheduled({self.spec!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            cls, serialization=core_schema.plain_serializer_function_ser_schema(lambda v: v.spec)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        pair = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
        moment = {"type": ["integer", "string"]}
        ramps: list[dict[str, Any]] = [
            {
                "type": "object",
                "required": [shape],
                "additionalProperties": False,
                "properties": {shape: pair, **dict.fromkeys(_RAMP_KEYS, moment)},
            }
            for shape in _RAMPS
        ]
        ramps[-1]["properties"]["factor"] = {"type": "number", "exclusiveMinimum": 0}
        steps = {
            "type": "object",
            "required": ["steps"],
            "additionalProperties": False,
            "properties": {"steps": {"type": "object"}},
        }
        return {"anyOf": [{"type": "number"}, *ramps, steps]}


def value_at(value: Scheduled | float, step: float, clock: Clock) -> float:
    """The value of a scheduled number at a step, counted from 0; a plain number is its own."""
    return float(value) if isinstance(value, int | float) else value.at(step, clock)


def first_value(value: Scheduled | float) -> float:
    """The value a scheduled number begins with: its value outside a run."""
    return float(value) if isinstance(value, int | float) else value.values[0]


def _near(written: Iterable[Any], known: Sequence[str]) -> str:
    """A guess at what one of the written keys was meant to be, to end a message with."""
    guesses = [guess for key in written for guess in difflib.get_close_matches(str(key), known, 1)]
    return f'; did you mean "{guesses[0]}"?' if guesses else ""


def _factor(first: float, last: float, spec: dict[str, Any]) -> float | None:
    """The factor of a step of an exponential schedule, None if it follows from the moments.

    Raises ValueError for values that one factor cannot lead from one to the other.
    """
    if first <= 0 or last <= 0:
        raise ValueError("exponential multiplies by a factor, so both its values lie above 0; linear can reach 0")
    if "factor" not in spec:
        return None
    factor = _number(spec["factor"])
    if "until" in spec:
        raise ValueError("an exponential schedule takes `factor` or `until`: each says when the last value is reached")
    if factor <= 0 or first == last or (factor - 1) * (last - first) <= 0:
        raise ValueError(f"no power of the factor {factor:g} leads from {first:g} to {last:g}")
    return factor


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"expected a finite number in a schedule, got {shortened(repr(value))}")
    return float(value)
