"""Articles of clothing in MNIST's format: 60,000 to train on and 10,000 to test, 28 x 28 grey, downloaded once (31 MB).

Xiao, Rasul and Vollgraf 2017. The files come from torchvision's mirrors and are verified by its MD5 sums.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from ganrun.plugin import Component, RecipePath, hookimpl
from ganrun.plugin.data import DataFiles
from ganrun_plugins.datasets._idx import IdxImages
from ganrun_plugins.datasets._resize import Resize, Size


class FashionMnist(IdxImages):
    """``x``: bright clothes on black, (1, height, width). ``label``: the article."""

    published = "FashionMNIST"
    names = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"]

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        root: Annotated[
            str | None,
            Field(description="folder that holds the four IDX files; by default they are downloaded"),
            RecipePath(),
        ] = None,
        size: Annotated[
            Size, Field(description="side of the images in pixels, or [height, width]; other than 28, they are resized")
        ] = 28,
        resize: Resize = "squash",
        classes: Annotated[
            list[str | int] | None, Field(description="articles to keep, by name or number; all by default")
        ] = None,
    ) -> None:
        super().__init__(files, split, root=root, size=size, resize=resize, classes=classes)


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "fashion-mnist", FashionMnist)
