"""Captions that can be tried offline: digits in four styles, and texts such as "a bold slanted seven".

Every scan of scikit-learn's digits (see ``digits``) is drawn in all styles: thin or bold (strokes grow by a 16th of the
shorter side in each direction), upright or slanted (rows move sideways, those at the top to the right, as in an angle
of 25 degrees). A caption says the style and the number, so there are 40 of them. No scan is in both splits.

``meanings()`` is for evaluators: what each caption asks for, number and style apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganrun.plugin import Component, Space, hookimpl
from ganrun.plugin.data import DataFiles, InMemory, fingerprint
from ganrun_plugins.datasets._fit import image_space
from ganrun_plugins.datasets._resize import Resize, RoomySize
from ganrun_plugins.datasets._scans import SUBJECT, load_scans, only, resized
from ganrun_plugins.datasets._strokes import slanted as strokes_slanted
from ganrun_plugins.datasets._texts import Vocabulary

NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
WEIGHTS, SLANTS = ["thin", "bold"], ["upright", "slanted"]
STYLES = [f"{weight} {slant}" for weight in WEIGHTS for slant in SLANTS]
ANGLE = 25.0  # degrees
LENGTH = 4  # words of a caption
WORDS = Vocabulary(["a", *WEIGHTS, *SLANTS, *NUMBERS])


def styled(digits: Tensor, style: int) -> Tensor:
    """Images (N, 1, H, W) uint8 in a style, numbered as in STYLES."""
    bold, slanted = divmod(style, len(SLANTS))
    x = digits.double()
    if bold:
        reach = max(1, round(min(x.shape[-2:]) / 16))
        x = F.max_pool2d(x, 2 * reach + 1, stride=1, padding=reach)  # (N, 1, H, W)
    if slanted:
        x = strokes_slanted(x, ANGLE)
    return x.round().clamp(0, 255).to(torch.uint8)


class CaptionDigits(InMemory):
    """``x``: images (1, height, width), light on black. ``label``: the digit. ``text``: 4 word numbers.

    Neighbours are one scan in all styles.
    """

    provides = frozenset({"caption-meanings"})
    subjects = {"x": SUBJECT}

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        size: Annotated[
            RoomySize, Field(description="side of the images in pixels, or [height, width]; the scans have 8")
        ] = 16,
        resize: Resize = "squash",
        classes: Annotated[list[str | int] | None, Field(description="digits to keep; all by default")] = None,
    ) -> None:
        scans, label, names = only(*load_scans(split), classes)
        plain = resized(scans, size, resize)
        x = torch.stack([styled(plain, style) for style in range(len(STYLES))], 1).flatten(0, 1)  # (N * 4, 1, H, W)
        self._label = label.repeat_interleave(len(STYLES))
        self._style = torch.arange(len(STYLES)).repeat(len(label))
        self.captions = [
            f"a {STYLES[style]} {NUMBERS[int(names[number])]}"
            for number, style in zip(self._label.tolist(), self._style.tolist())
        ]
        self.words = WORDS.words
        self.label_names = {"text": self.words}
        text = WORDS.encode(self.captions, LENGTH)
        spaces = {
            "x": image_space(1, size),
            "label": Space("labels", (), len(names)),
            "text": Space("labels", (LENGTH,), len(WORDS)),
        }
        super().__init__({"x": x, "label": self._label, "text": text}, spaces, names)

    def meanings(self) -> dict[str, tuple[Tensor, list[str]]]:
        """What captions ask for, item by item: ``number`` and ``style``, each (N,) int64, and the names they count."""
        return {"number": (self._label.clone(), self.classes), "style": (self._style.clone(), STYLES)}

    def fingerprint(self) -> str:
        """A hash of images and texts."""
        return fingerprint(super().fingerprint(), self.words)


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "caption-digits", CaptionDigits)
