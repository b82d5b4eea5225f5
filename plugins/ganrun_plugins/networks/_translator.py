"""What generators share that keep an image's size and work at a quarter of its side."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from ganrun.plugin import Interface, Layers, Refusal
from ganrun_plugins.networks._given import append_planes, plane_count
from ganrun_plugins.networks._hidden import through


class Translator(nn.Module):
    """(B, C, H, W) -> (B, C', H, W). Whatever is given is joined to the channels of its input, a label as planes.

    A subclass has its layers, from ``planes`` channels to ``colours``, under the name ``inside``, which is that of the
    authors' code, and says which of them are ``activations``.
    """

    inside: ClassVar[str]
    activations: tuple[str, ...]
    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    makes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"layers", "any-size"})
    multiple: ClassVar[int] = 4

    def __init__(self, interface: Interface, who: str) -> None:
        super().__init__()
        assert interface.makes is not None, "the interface of a generator says what it makes"
        channels, *side = interface.takes.shape
        if interface.makes.shape[1:] != interface.takes.shape[1:]:
            raise Refusal(
                f"{who} keeps the size of an image; it takes {interface.takes} and is to make {interface.makes}",
                "resize both to one size",
            )
        if any(length % 4 or length < 8 for length in side):
            raise Refusal(
                f"{who} halves an image twice, so its sides must be multiples of 4 from 8 up; "
                f"this is {side[0]} x {side[1]}",
                f"{max(8, side[0] // 4 * 4)} x {max(8, side[1] // 4 * 4)}, or "
                f"{max(8, -(-side[0] // 4) * 4)} x {max(8, -(-side[1] // 4) * 4)}",
            )
        self.given = interface.given
        self.planes = channels + plane_count(interface.given, side, who)
        self.colours = interface.makes.shape[0]

    def forward(self, x: Tensor, *given: Tensor, layers: bool = False) -> Tensor | Layers:
        h = append_planes(x, given, self.given)  # (B, C + planes, H, W)
        inside = getattr(self, self.inside)
        if layers:
            hidden: dict[str, Tensor] = {}
            return Layers(through(inside, h, self.activations, self.inside, hidden), hidden)
        image: Tensor = inside(h)  # (B, C', H, W)
        return image
