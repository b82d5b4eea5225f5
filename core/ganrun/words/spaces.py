"""What samples and networks are, and why something cannot be: spaces, interfaces, reasons."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from ganrun.words.located import located

if TYPE_CHECKING:
    import torch
    from torch import Tensor


SpaceKind = Literal["image", "points", "latent", "labels"]
LEAST_BASE = 4  # pixels of the shorter side from which an image is grown


class Halvings(NamedTuple):
    """How an image is reached from a small one: ``base`` (h, w), doubled ``times`` times."""

    times: int
    base: tuple[int, int]


def nearest_sizes(side: tuple[int, int], least: int = 1) -> list[tuple[int, int]]:
    """The two heights and widths nearest to ``side`` that can be halved down to a base; of a square, squares."""
    found = set()
    for times in range(least, max(side).bit_length() + 1):
        for more in ((0, 0), (0, 1), (1, 0), (1, 1)):
            base = [max(LEAST_BASE, (length >> times) + up) for length, up in zip(side, more)]
            if min(base) < 2 * LEAST_BASE and (side[0] != side[1] or base[0] == base[1]):
                found.add((base[0] << times, base[1] << times))
    return sorted(found, key=lambda size: (abs(size[0] - side[0]) + abs(size[1] - side[1]), size))[:2]


@dataclass(frozen=True)
class Space:
    """What one sample is: its kind and its shape without the batch axis.

    ``image``: (C, H, W) in [-1, 1]. ``points``: (D,), unscaled. ``latent``: (D,), whatever the sampler draws.
    ``labels``: int64 with ``classes`` different values: () for one label, (A,) for A of them, such as attributes or
    words.
    """

    kind: SpaceKind
    shape: tuple[int, ...] = ()
    classes: int = 0

    @property
    def size(self) -> int:
        """How many numbers one sample holds."""
        return math.prod(self.shape)

    def halvings(self, who: str, least: int = 1) -> Halvings:
        """How many times both sides of these images are halved on the way down to a base of 4 to 7 pixels.

        The shorter side decides: 28 x 28 is 7 x 7 doubled twice, 64 x 96 is 4 x 6 doubled four times.

        Raises :class:`Refusal`, in the name of ``who``, where there is no such way of ``least`` halvings or more.
        """
        height, width = self.shape[1:]
        for times in range(least, max(height, width).bit_length()):
            base = height >> times, width >> times
            if (base[0] << times, base[1] << times) == (height, width) and LEAST_BASE <= min(base) < 2 * LEAST_BASE:
                return Halvings(times, base)
        near = " or ".join(f"{h} x {w}" for h, w in nearest_sizes((height, width), least))
        raise Refusal(
            f"{who} doubles a base of {LEAST_BASE} to {2 * LEAST_BASE - 1} pixels (its shorter side); "
            f"{height} x {width} cannot be reached so",
            f"resize the data to {near}",
        )

    def __str__(self) -> str:
        if self.kind == "labels" and self.shape:
            return f"{self.size} labels of {self.classes} classes each"
        return f"labels of {self.classes} classes" if self.kind == "labels" else f"{self.kind} of shape {self.shape}"


@dataclass
class Interface:
    """What a network is asked to be: handed to its constructor as the only positional argument.

    takes: the space of its input. makes: the space of its output (generators). given: what else it is passed, after
    its input. heads: name -> size of further outputs (discriminators). logits: numbers per sample that a
    discriminator's main output holds. pack: how many samples are joined along the channels of ``takes``.
    """

    takes: Space
    makes: Space | None = None
    given: tuple[Space, ...] = ()
    heads: dict[str, int] = field(default_factory=dict)
    logits: int = 1
    pack: int = 1

    def example(self, rows: int = 2, device: str = "meta", dtype: torch.dtype | None = None) -> tuple[Tensor, ...]:
        """Zeros that such a network takes, to run it once: its input, then whatever it is given.

        In a pack of m samples images are joined along channels, vectors along their axis, and labels are (rows, m).
        """
        return tuple(_zeros(space, self.pack, rows, device, dtype) for space in (self.takes, *self.given))


def _zeros(space: Space, pack: int, rows: int, device: str, dtype: torch.dtype | None) -> Tensor:
    import torch  # what reads recipes and lists plugins does without it

    if space.kind == "labels":
        shape = (rows, pack * space.size) if pack > 1 else (rows, *space.shape)
        return torch.zeros(shape, dtype=torch.long, device=device)
    first, *rest = space.shape
    return torch.zeros(rows, pack * first, *rest, dtype=dtype, device=device)


class Reason(NamedTuple):
    """Why a part cannot do with, or without, a capability: the mathematics that fails, and a way out."""

    why: str
    instead: str


class PartOf(NamedTuple):
    """Marks a parameter that is itself a part: ``Annotated[Part, PartOf("features", default="classifier")]``.

    ``default`` names the plugin that is taken if a recipe names none; without it, the parameter must be given.
    """

    kind: str
    default: str = ""


@dataclass(frozen=True)
class RecipePath:
    """Marks a parameter that is a path, or a list or mapping of paths: ``Annotated[str, RecipePath()]``.

    Relative ones start at the recipe; what ``--set`` gives starts at the working directory, and is kept as an absolute
    path. or_name: the text may also be a name of something that is no file.
    """

    or_name: bool = False


class Refusal(ValueError):
    """Raised by a part that cannot work in this experiment; becomes a refusal before training, never a traceback."""

    def __init__(self, why: str, instead: str = "") -> None:
        super().__init__(f"{why}{'; ' + instead if instead else ''}")
        self.reason = Reason(why, instead)


@dataclass(frozen=True)
class DataFiles:
    """Where a data set finds files: relative paths start at ``base``, the recipe's folder, ``cache`` has downloads."""

    base: Path
    cache: Path

    def path(self, path: str | Path) -> Path:
        """An absolute path for one written in a recipe. Raises UserError for one of Windows that is nowhere here."""
        return located(self.base, path)
