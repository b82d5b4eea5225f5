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

    def halvings(self, who: str) -> int:
        """How many times the side of these square images is halved on the way down to 4 pixels.

        Raises :class:`Refusal`, in the name of ``who``, unless the side is a power of two from 8 up.
        """
        height, width = self.shape[1:]
        if height != width or height < 8 or height & (height - 1):
            raise Refusal(
                f"{who} halves a square image down to 4 x 4, so its side must be a power of two from 8 up; "
                f"this is {height} x {width}",
                "resize the data to 8, 16, 32, 64, ... pixels",
            )
        return height.bit_length() - 3

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
    """Marks a parameter that is a path, or a list of paths: ``Annotated[str, RecipePath()]``.

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
