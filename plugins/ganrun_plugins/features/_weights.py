"""What features with weights from a file share: finding and checking the file, running a frozen network."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ganrun.plugin import Refusal
from ganrun.plugin.data import DataError, DownloadError, fetch
from ganrun.plugin.evaluation import FeatureContext
from ganrun_plugins._classifier_network import Rounded, to_bytes

AT_ONCE = 32  # images that a large network gets at a time: 256 images of 299 pixels would take gigabytes
COUNTS = "num_batches_tracked"  # of BatchNorm: decides nothing, and old files lack it
Digits = Annotated[
    str | None,
    Field(pattern="^[0-9a-fA-F]{8,64}$", description="SHA-256 the file has to have, or at least its first 8 digits"),
]
Network = TypeVar("Network", bound=nn.Module)


# --- the file ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Published:
    """A published file of weights.

    names: under which it is found, that of a download first; sha256: all of it, or its beginning.
    """

    names: tuple[str, ...]
    url: str
    sha256: str
    size: int | None = None

    def places(self, cache: Path) -> list[Path]:
        """Where it may lie: in the folder of torch.hub, which most packages share, or in ganrun's."""
        folders = (Path(torch.hub.get_dir()) / "checkpoints", cache / "weights")
        return [folder / name for folder in folders for name in self.names]

    def found(self, cache: Path) -> Path | None:
        """The first place where it lies."""
        return next((place for place in self.places(cache) if place.is_file()), None)


class Weights:
    """A state dict in a file, and the file's SHA-256. Nothing is read before one of them is asked for.

    who: whose weights they are, for messages. find: gives the file. sha256: the hash, or its beginning, that it has to
    have.
    """

    def __init__(self, who: str, find: Callable[[], Path], sha256: str | None = None) -> None:
        self.who = who
        self._find = find
        self._expected = sha256

    @cached_property
    def path(self) -> Path:
        """The file."""
        return self._find()

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file, 64 digits. DataError if another one is expected."""
        with self._open() as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # mypy wants more than it takes
        if self._expected is not None and not found.startswith(self._expected.lower()):
            raise DataError(
                f"{self.who}: {self.path} is not the expected file: its SHA-256 is {found}, "
                f"and not {self._expected}{'...' if len(self._expected) < 64 else ''}; delete it and get it again, "
                "or set `weights` and `sha256`"
            )
        return found

    def read(self) -> Mapping[str, Tensor]:
        """The state dict, on the CPU, verified first. Nothing in the file is executed. DataError if it is none."""
        _ = self.sha256  # verified first
        try:
            with self._open() as file:
                state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a file that is something else, or damaged, may fail in any way
            raise DataError(
                f"{self.who}: {self.path} holds no weights that can be read without executing what is in it "
                f"({type(error).__name__}); save a state dict: torch.save(network.state_dict(), PATH)"
            ) from None
        if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
            inner = ", ".join(str(key) for key in state)[:100] if isinstance(state, Mapping) else type(state).__name__
            raise DataError(
                f"{self.who}: {self.path} is no state dict, name -> tensor, but holds {inner}; "
                "save the state dict alone"
            )
        return state

    def _open(self) -> IO[bytes]:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise DataError(f"{self.who}: {self.path} cannot be read ({error.strerror})") from None


def own(who: str, file: Path, sha256: str | None) -> Weights:
    """The weights that a recipe names. DataError if there is no such file."""
    if not file.is_file():
        raise DataError(f"{who}: weights: there is no file {file}")
    return Weights(who, lambda: file, sha256)


def published(who: str, file: Published, cache: Path) -> Weights:
    """Published weights: from a cache of this machine, else downloaded into ganrun's, once."""

    def find() -> Path:
        found = file.found(cache)
        if found is not None:
            return found
        target = cache / "weights" / file.names[0]
        try:
            return fetch(file.url, target, size=file.size, sha256=file.sha256)
        except DownloadError as error:
            places = "\n  ".join(str(place) for place in file.places(cache))
            raise DownloadError(
                f"{who}: its weights, {file.names[0]}, are not on this machine and could not be downloaded. {error}\n"
                f"Any of these files would do, too:\n  {places}\nor any other that the recipe gives: weights: PATH"
            ) from None

    return Weights(who, find, file.sha256)


def filled(network: Network, weights: Weights, state: Mapping[str, Tensor]) -> Network:
    """The network with the weights of a state dict in float32, frozen, in evaluation mode.

    DataError if they do not fit.
    """
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    missing = [name for name in wanted if name not in state and not name.endswith(COUNTS)]
    surplus = [name for name in state if name not in wanted]
    other = [
        f"{name} {tuple(state[name].shape)}" for name in wanted if name in state and state[name].shape != wanted[name]
    ]
    problems = (("it lacks", missing), ("it has besides", surplus), ("another shape have", other))
    differences = "; ".join(
        f"{what} {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
        for what, names in problems
        if names
    )
    if differences:
        raise DataError(f"{weights.who}: {weights.path} is not of this network: {differences}")
    full: OrderedDict[str, Tensor] = OrderedDict(
        (
            name,
            (state[name].float() if state[name].is_floating_point() else state[name])
            if name in state
            else torch.zeros((), dtype=torch.int64),
        )
        for name in wanted
    )
    if hasattr(state, "_metadata"):
        full._metadata = state._metadata  # type: ignore[attr-defined]  # by it, torch knows the layout of older files
    network.load_state_dict(full, assign=True)
    return network.requires_grad_(False).eval()


# --- the images ------------------------------------------------------------------------------------------------


def check_pictures(who: str, context: FeatureContext) -> None:
    """Refuse what is no image, or neither grey nor coloured."""
    if context.space.kind != "image":
        raise Refusal(f"{who} takes images, and {context.name} is {context.space}", "features: pixels")
    if context.space.shape[0] not in (1, 3):
        raise Refusal(
            f"{who} takes images with 3 channels, and {context.name} has {context.space.shape[0]}; "
            "only grey ones can be repeated",
            "features: random-conv, or pixels",
        )


def run_on(x: Tensor, device: torch.device, function: Callable[[Tensor], Tensor]) -> Tensor:
    """function(images (b, C, H, W), their 256 levels as float32 in 0 to 255) for a few at a time, in exact float32.

    x: (B, C, H, W) in [-1, 1]. The result is on x's device; gradients pass as if nothing had been rounded.
    """
    with exact(device):
        out = torch.cat([function(to_bytes(part.to(device).float())) for part in torch.split(x, AT_ONCE)])
    return out.to(x.device)


def maps_on(x: Tensor, device: torch.device, function: Callable[[Tensor], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """As ``run_on``, for a function that returns maps (b, C, H, W) by name."""
    with exact(device):
        parts = [function(to_bytes(part.to(device).float())) for part in torch.split(x, AT_ONCE)]
        return {name: torch.cat([part[name] for part in parts]).to(x.device) for name in parts[0]}


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """In this context a device computes in float32, and does so exactly and repeatably."""
    flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.autocast(device.type, enabled=False), flags:
        yield


def coloured(levels: Tensor) -> Tensor:
    """(B, 1 or 3, H, W) -> (B, 3, H, W): grey is repeated."""
    return levels.expand(-1, 3, -1, -1)


class HalfUp(Rounded):
    """Rounding of positive numbers as Pillow does it, 0.5 up; its gradient is 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return (x + 0.5).floor()


def resized(levels: Tensor, height: int, width: int, mode: str) -> Tensor:
    """(B, C, H, W) in 0 to 255 -> (B, C, height, width), as Pillow resizes.

    Antialiased, along rows, then columns, rounded after each.
    """
    for size in ((levels.shape[-2], width), (height, width)):
        if levels.shape[-2:] != size:
            levels = HalfUp.apply(
                F.interpolate(levels, size, mode=mode, antialias=True, align_corners=False).clamp(0, 255)
            )
    return levels
