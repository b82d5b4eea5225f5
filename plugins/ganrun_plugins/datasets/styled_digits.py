"""Translation between several domains that can be measured offline: digits, each in one of several styles.

scikit-learn's scans (see ``digits``) as they are (``plain``), with thick strokes (``bold``), sheared (``slanted``),
dark on light (``inverted``), or as the edges of their strokes (``outlined``). Every scan is shown in one style only, so
that training never sees a scan in two: which one is drawn once and for all by a key, every style as often as any other.

By default ``label`` is the style. With ``attributes: true`` the styles are yes-no attributes that go together, such as
bold and inverted, each with probability 1/2. Some of the styles of other sets may be left out: with ``scans: even`` and
``scans: odd`` two sets share no scan, each with attributes that the other does not know, as CelebA and RaFD in Choi et
al., "StarGAN" (2018), section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganrun.plugin import Component, Space, hookimpl
from ganrun.plugin.data import DataError, DataFiles, InMemory, permutation
from ganrun_plugins.datasets._fit import image_space
from ganrun_plugins.datasets._resize import Resize, RoomySize
from ganrun_plugins.datasets._scans import load_scans, only, resized
from ganrun_plugins.datasets._strokes import slanted, thickened

Style = Literal["plain", "bold", "slanted", "inverted", "outlined"]
ANGLE = 25.0  # degrees: further than handwriting leans


def outlined(digits: Tensor) -> Tensor:
    """What a stroke gains when it grows by a pixel in each direction: (N, 1, H, W) floats -> the same shape."""
    return F.max_pool2d(digits, 3, stride=1, padding=1) - digits


# In the order in which styles that go together are applied: black and white change places last.
STYLES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda digits: digits,
    "bold": thickened,
    "outlined": outlined,
    "slanted": lambda digits: slanted(digits, ANGLE),
    "inverted": lambda digits: 255 - digits,
}


def styled(digits: Tensor, styles: Iterable[str]) -> Tensor:
    """Images (N, 1, H, W) uint8 in all of some styles, the same shape and type."""
    x, wanted = digits.double(), set(styles)
    for name, change in STYLES.items():
        x = change(x) if name in wanted else x
    return x.round().clamp(0, 255).to(torch.uint8)


class StyledDigits(InMemory):
    """``x``: images (1, height, width); ``label``: the style, or ``attributes``: its styles, (A,) of 0 and 1.

    ``label_names``: entry -> the names of its values, or of its columns.
    """

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        size: Annotated[
            RoomySize, Field(description="side of the images in pixels, or [height, width]; the scans have 8")
        ] = 32,
        resize: Resize = "squash",
        styles: Annotated[Sequence[Style], Field(min_length=1, description="the domains, or the attributes")] = (
            "plain",
            "bold",
            "slanted",
            "inverted",
        ),
        attributes: Annotated[
            bool, Field(description="the styles are attributes, of which an image may have any number")
        ] = False,
        scans: Annotated[
            Literal["all", "even", "odd"], Field(description="which scans: all, or every other one")
        ] = "all",
        digits: Annotated[list[str | int] | None, Field(description="digits to keep; all by default")] = None,
        limit: Annotated[
            int | None, Field(ge=1, description="images of the train split to keep, evenly spread; all by default")
        ] = None,
    ) -> None:
        if len(set(styles)) < len(styles):
            raise DataError(f"styled-digits: a style is named twice: {', '.join(styles)}")
        if attributes and "plain" in styles:
            raise DataError(
                "styled-digits: plain is an image without any attribute, not one of them; leave it out of `styles`"
            )
        found, _, _ = only(*load_scans(split), digits)
        first, step = {"all": (0, 1), "even": (0, 2), "odd": (1, 2)}[scans]
        kept = found[first::step]
        if limit is not None and split == "train" and limit < len(kept):
            kept = kept[torch.arange(limit) * len(kept) // limit]
        pictures = resized(kept, size, resize)  # (N, 1, H, W)
        codes = 2 ** len(styles) if attributes else len(styles)
        # (N,): each equally often
        code = torch.from_numpy(permutation(len(pictures), "styled-digits", split, scans)) % codes
        bits = (code[:, None] >> torch.arange(len(styles))) & 1  # (N, A)
        x = pictures.clone()
        for number in range(codes):
            mine = code == number
            these = (
                [style for place, style in enumerate(styles) if number >> place & 1] if attributes else [styles[number]]
            )
            if mine.any():
                x[mine] = styled(pictures[mine], these)
        self.label_names = {"attributes" if attributes else "label": list(styles)}
        spaces = {"x": image_space(1, size)}
        if attributes:
            spaces["attributes"] = Space("labels", (len(styles),), 2)
            super().__init__({"x": x, "attributes": bits}, spaces, ["no", "yes"])
        else:
            spaces["label"] = Space("labels", (), len(styles))
            super().__init__({"x": x, "label": code}, spaces, list(styles))


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "styled-digits", StyledDigits)
