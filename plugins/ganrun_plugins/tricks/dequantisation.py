"""Dequantisation: uniform noise on real images fills the gaps between the grey values of 8 bits.

Theis, van den Oord and Bethge, "A note on the evaluation of generative models" (2016), section 3.1, say why; the public
code of Gulrajani et al., "Improved Training of Wasserstein GANs" (2017) and of Miyato et al., "Spectral Normalization
for Generative Adversarial Networks" (2018) trains on such images: v in 0..255, u from U(0, 1) for each number,

    (v + u) / 128 - 1,    which with x = v / 127.5 - 1 and width = 1/128 is    x + width * (u - (x + 1) / 2)

in [-1, 1). A generator's images take any value, so a discriminator could otherwise tell real ones by their steps. The
noise is new whenever an image is read, and lies on it before anything else sees it: pools, augmentations and penalties
have the noisy image, but for real images that ``feature-matching`` and ``unrolling`` read for themselves. Fakes and
images that are given as a condition are left alone. For n grey values ``width`` is 2 / n. Images that were scaled after
they were stored have no steps and need none of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from ganrun.plugin import Component, Reason, Scheduled, Turn, hookimpl


class Dequantisation:
    """Adds uniform noise, as wide as one grey value, to the real images of every game."""

    strength: ClassVar[str] = "width"
    needs: ClassVar[dict[str, Reason]] = {
        "space:image": Reason("only images are stored as grey values", "a data set of images, or instance-noise")
    }

    def __init__(
        self,
        *,
        width: Annotated[
            Scheduled, Field(ge=0, le=1, description="of the noise, for images in [-1, 1]: 2 / number of grey values")
        ] = Scheduled(1 / 128),
    ) -> None:
        self.width = width

    @hookimpl(tryfirst=True)  # it belongs to the data: other tricks see images with it
    def generated(self, turn: Turn) -> None:
        for round in turn.rounds:
            for stream in round.of("real") if round.game.space == "image" else []:
                u = turn.draws.uniform("dequantisation", *stream.x.shape).to(stream.x.dtype)  # (B, C, H, W) in [0, 1)
                stream.x = stream.x + turn.now(self.width) * (u - (stream.x + 1) / 2)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "dequantisation", Dequantisation)
