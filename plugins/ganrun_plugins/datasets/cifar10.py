"""Small colour photographs of ten classes: 50,000 to train on and 10,000 to test, 32 x 32, downloaded once (170 MB).

Krizhevsky 2009. The publisher's files are pickles: the archive is verified before it is unpacked, and each file before
it is opened, by torchvision's MD5 sums.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field

from ganrun.plugin import Component, RecipePath, hookimpl
from ganrun.plugin.data import DataError, DataFiles, fetch, selected_classes, unpack
from ganrun_plugins.datasets._classes import PublishedClasses
from ganrun_plugins.datasets._resize import Resize, Size


class Cifar10(PublishedClasses):
    """``x``: RGB images (3, height, width). ``label``: the class."""

    channels = 3
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    per_class = {"train": 5000, "test": 1000}

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        root: Annotated[
            str | None,
            Field(description="folder that holds cifar-10-batches-py; by default it is downloaded"),
            RecipePath(),
        ] = None,
        size: Annotated[
            Size, Field(description="side of the images in pixels, or [height, width]; other than 32, they are resized")
        ] = 32,
        resize: Resize = "squash",
        classes: Annotated[
            list[str | int] | None, Field(description="classes to keep, by name or number; all by default")
        ] = None,
    ) -> None:
        if split not in ("train", "test"):
            raise DataError(f"there is no split {split!r}; cifar10 has train and test")
        selected_classes(self.names, classes)  # an unknown class is refused before the download
        images, label = _load(files, split, root)
        super().__init__(images, label, size=size, resize=resize, classes=classes, mode="bicubic")


def _load(files: DataFiles, split: str, root: str | None) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 3, 32, 32) uint8 and (N,) int64."""
    from torchvision.datasets import CIFAR10  # takes a second: only when this data is wanted

    base = files.cache if root is None else files.path(root)
    folder = base / CIFAR10.base_folder
    if root is None and not folder.is_dir():
        archive = fetch(CIFAR10.url, base / CIFAR10.filename, size=None, sha256=None, md5=CIFAR10.tgz_md5)
        unpack(archive, folder, inner=CIFAR10.base_folder, limit=1 << 30)
    try:
        data = CIFAR10(str(base), train=split == "train", download=False)  # checks every file's MD5 first
    except RuntimeError as error:
        why = (
            "a file in it is missing or not the published one, so none is opened"
            if folder.is_dir()
            else "there is no such folder"
        )
        raise DataError(
            f"{folder}: {why}; delete the folder to have it downloaded again, or set `root` to an intact one"
        ) from error
    images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()  # (N, 3, 32, 32)
    return images, torch.tensor(data.targets)


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "cifar10", Cifar10)
