"""A catalogue of small plugins, so that recipes are tested without torch and without installed plugins."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from ganrun.errors import PluginError, nearest, shortened
from ganrun.recipe import Part, Recipe, RecipeError, load_recipe
from ganrun.schedule import Duration, Scheduled
from ganrun.words.hooks import Component
from ganrun.words.spaces import PartOf


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Toy:
    """A variant with defaults for every part."""

    defaults = {
        "generator": "mlp",
        "discriminator": {"mlp": {"widths": [8, 4]}},
        "loss": {"wasserstein": {"clip": 0.05}},
        "tricks": [{"replay-buffer": {"size": 10}}],
        "players": {
            "generator": {"optimizer": {"adam": {"lr": 2e-4, "betas": [0.5, 0.999]}}},
            "discriminator": {"optimizer": {"adam": {"lr": 2e-4}}, "updates": 5, "init": {"scheme": "normal"}},
        },
    }

    def __init__(self, *, latent: Annotated[int, Field(ge=1)] = 100) -> None:
        self.latent = latent


class Bare:
    """A variant without defaults."""

    def __init__(self) -> None: ...


class Wasserstein:
    def __init__(
        self,
        *,
        clip: Annotated[float, Field(ge=0, le=1, description="bound of the weights")] = 0.01,
        drift: float = 0.0,
    ) -> None:
        self.clip, self.drift = clip, drift


class Hinge:
    renamed = {"bound": "margin"}

    def __init__(self, *, margin: float = 1.0) -> None:
        self.margin = margin


class Mlp:
    def __init__(
        self, interface: Any, *, widths: tuple[int, ...] = (16,), norm: Literal["batch", "none"] = "none"
    ) -> None:
        self.interface, self.widths, self.norm = interface, widths, norm


class Digits:
    def __init__(
        self, files: Any, split: str, *, size: Annotated[int, Field(ge=1)] = 28, classes: list[int | str] | None = None
    ) -> None:
        self.files, self.split, self.size, self.classes = files, split, size, classes


class Folder:
    def __init__(self, files: Any, split: str, *, path: Path, shift: bool = False) -> None:
        self.files, self.split, self.path, self.shift = files, split, path, shift


class Adam:
    def __init__(
        self,
        *,
        lr: Annotated[Scheduled, Field(ge=0)] = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),  # type: ignore[assignment]
    ) -> None:
        self.lr, self.betas = lr, betas


class Rmsprop:
    def __init__(self, *, lr: Scheduled = 1e-3) -> None:  # type: ignore[assignment]
        self.lr = lr


class Buffer:
    def __init__(self, *, size: Annotated[int, Field(ge=1)] = 50) -> None:
        self.size = size


class Smoothing:
    def __init__(
        self,
        *,
        real: Annotated[float, Field(ge=0, le=1)] | tuple[float, float] = 0.9,
        fake: Annotated[Scheduled, Field(ge=0)] | tuple[float, float] | None = None,
        fade: Duration = Duration(50, "%"),
    ) -> None:
        self.real, self.fake, self.fade = real, fake, fade


class Awkward:
    """Names that pydantic uses itself, and types that strict pydantic would refuse."""

    def __init__(
        self,
        *,
        copy: bool = True,
        schema: str = "a",
        json: dict[str, float] | None = None,
        model_config: int = 1,
        colour: Colour = Colour.RED,
        seen: set[int] = frozenset({2, 1}),  # type: ignore[assignment]
    ) -> None:
        self.values = (copy, schema, json, model_config, colour, seen)


class Distance:
    renamed = {"second": "other"}

    def __init__(
        self,
        *,
        features: Annotated[Part, PartOf("features", default="pixels")],
        other: Annotated[Part, PartOf("features")] | None = None,
        several: list[Annotated[Part, PartOf("features")]] = (),  # type: ignore[assignment]
    ) -> None:
        self.features, self.other, self.several = features, other, several


class Classifier:
    def __init__(self, context: Any, *, width: Annotated[int, Field(ge=1)] = 16) -> None:
        self.context, self.width = context, width


class Nothing:
    def __init__(self) -> None: ...


class Untyped:
    def __init__(self, *, strength=1.0) -> None:  # type: ignore[no-untyped-def]
        self.strength = strength


class Unreadable:
    def __init__(self, *, strength: "Missing" = 1.0) -> None:  # type: ignore[name-defined]  # noqa: F821, UP037
        self.strength = strength


COMPONENTS = {
    ("variant", "toy"): Toy,
    ("variant", "bare"): Bare,
    ("loss", "wasserstein"): Wasserstein,
    ("loss", "hinge"): Hinge,
    ("generator", "mlp"): Mlp,
    ("discriminator", "mlp"): Mlp,
    ("dataset", "digits"): Digits,
    ("dataset", "folder"): Folder,
    ("optimizer", "adam"): Adam,
    ("optimizer", "rmsprop"): Rmsprop,
    ("sampler", "normal"): Nothing,
    ("trick", "replay-buffer"): Buffer,
    ("trick", "label-smoothing"): Smoothing,
    ("trick", "awkward"): Awkward,
    ("trick", "untyped"): Untyped,
    ("trick", "unreadable"): Unreadable,
    ("evaluator", "distance"): Distance,
    ("features", "pixels"): Nothing,
    ("features", "classifier"): Classifier,
    ("observer", "progress"): Nothing,
    ("observer", "samples"): Nothing,
    ("observer", "metrics-log"): Nothing,
    ("observer", "checkpoints"): Nothing,
    ("observer", "health"): Nothing,
}


class FakeCatalog:
    """The contract of ganrun.catalog.catalog.Catalog that recipes rely on."""

    def __init__(self) -> None:
        self.components = {key: Component(*key, factory) for key, factory in COMPONENTS.items()}
        self.broken = {"loss.broken": "loss.broken (third-party 1.0, module broken): ImportError: no module named x"}

    def names(self, kind: str) -> list[str]:
        return sorted(name for other, name in self.components if other == kind)

    def load(self, kind: str, name: str) -> Component:
        if f"{kind}.{name}" in self.broken:
            raise PluginError(self.broken[f"{kind}.{name}"])
        if (kind, name) not in self.components:
            raise PluginError(f'no {kind} is called "{shortened(name)}"{nearest(name, self.names(kind))}')
        return self.components[kind, name]


@pytest.fixture
def catalog() -> FakeCatalog:
    return FakeCatalog()


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file in an empty working directory, and return its name."""
    monkeypatch.chdir(tmp_path)

    def write(text: str | bytes, name: str = "a.yaml") -> str:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return write


@pytest.fixture
def load(catalog, write):
    """Load a recipe given as text, with overrides."""

    def load(text: str | dict[str, Any], *overrides: str, **keywords: Any) -> Recipe:
        source = text if isinstance(text, dict) else write(text)
        return load_recipe(source, catalog=catalog, overrides=keywords.get("overrides", overrides))

    return load


@pytest.fixture
def problems(load):
    """The problems of a recipe, as the lines that a user sees."""

    def problems(text: str | dict[str, Any], *overrides: str, **keywords: Any) -> list[str]:
        with pytest.raises(RecipeError) as caught:
            load(text, *overrides, **keywords)
        assert str(caught.value) == "\n".join(map(str, caught.value.problems))
        return [str(problem) for problem in caught.value.problems]

    return problems
