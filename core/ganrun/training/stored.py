"""The shapes of what a run's folder holds as JSON, to tell what was damaged, or made by somebody else.

What is not mentioned here is free: a later version may keep more.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from ganrun.words.spaces import SpaceKind

Whole = Annotated[int, Field(ge=0, le=2**62)]
Positive = Annotated[int, Field(ge=1, le=2**31)]


def _space(value: list[Any]) -> list[Any]:
    """Kind, shape and classes of a space."""
    kind, shape, classes = value if len(value) == 3 else (None, None, None)
    whole = [*shape, classes] if isinstance(shape, list) else [None]
    if kind not in get_args(SpaceKind) or not all(type(number) is int and 0 <= number < 2**31 for number in whole):
        raise ValueError("expected a kind of space, its shape and its classes")
    return value


class StoredShape(BaseModel):
    """JSON of a known shape, whose values are of exactly the types that are said here."""

    model_config = ConfigDict(strict=True, arbitrary_types_allowed=True, protected_namespaces=())


class StoredFile(StoredShape):
    """One file of a checkpoint."""

    bytes: Whole
    sha256: str


class StoredManifest(StoredShape):
    """``manifest.json`` of a checkpoint."""

    format: int
    step: Whole
    files: dict[str, StoredFile]


class StoredOptimizer(StoredShape):
    """An optimiser's state: number of the parameter -> name -> value."""

    state: dict[int, dict[str, Any]]


class StoredState(StoredShape):
    """What a checkpoint holds of a run."""

    step: Whole
    steps: Whole
    attempt: Whole
    rollbacks: list[dict[str, Any]] = []
    world: Positive
    batch: Positive = 1
    threads: Positive
    modules: dict[str, dict[str, Tensor]]
    buffers: list[dict[str, dict[str, Tensor]]]
    optimizers: dict[str, StoredOptimizer]
    positions: dict[str, Whole]
    components: list[dict[str, Any]]
    scores: dict[str, float]
    terms: dict[str, dict[str, Tensor | float]]


class StoredBest(StoredShape):
    """``best.json`` beside the checkpoints."""

    step: Whole
    metric: str
    value: float


class StoredData(StoredShape):
    """What ``versions.json`` keeps of the data set. ``spaces``: kind, shape and classes of each entry.

    ranges: entry -> what its -1 and 1 stand for, where that is not 0 and 255.
    """

    spaces: dict[str, Annotated[list[Any], AfterValidator(_space)]]
    items: Whole
    provides: list[str]
    label_names: dict[str, list[str]] = {}
    ranges: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] = {}
    fingerprint: str = ""


class StoredPart(StoredShape):
    """What ``versions.json`` keeps of a part that acts in training only."""

    parameters: list[str]
    events: list[str] = []
    provides: list[str]
    logits: Positive


class StoredResume(StoredShape):
    """What ``versions.json`` keeps of a resume at which something changed."""

    step: Whole
    changed: list[str]


class StoredVersions(StoredShape):
    """``versions.json`` of a run."""

    plugins: dict[str, dict[str, Any]]
    libraries: dict[str, str]
    base: str = ""
    processes: Positive = 1
    files: list[str] = []
    started: bool = True
    resumed: list[StoredResume] = []
    init: dict[str, Any] = {}
    data: StoredData | None = None
    kept_parts: dict[str, StoredPart] = {}


def checked(kind: type[StoredShape], value: Any) -> dict[str, Any]:
    """The value, as it is. Raises ValueError with the place of the first thing that has another shape."""
    try:
        kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(key) for key in first["loc"])
        what = first["msg"].removeprefix("Value error, ").partition(" or instance of ")[0]
        raise ValueError(f"{f'{place}: ' if place else ''}{what[0].lower()}{what[1:]}") from error
    found: dict[str, Any] = value
    return found
