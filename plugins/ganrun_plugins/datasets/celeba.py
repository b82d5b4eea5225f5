"""Faces of celebrities with forty yes-no attributes: 202,599 images, 178 x 218 (CelebA; 1.4 GB).

Liu et al., "Deep Learning Face Attributes in the Wild" (2015). torchvision gets the files from the authors' Google
Drive, which needs the package ``gdown`` and fails after too many requests; it checks the MD5 sums of the
lists. If the files are elsewhere, set ``root`` to the folder that holds ``celeba/img_align_celeba`` and the lists
beside it, or take the data set ``attributes``, which needs the images and one list.

The splits are the published ones (162,770 and 19,962; the validation part is left out) unless ``held_out`` says how
many images are for tests, which a key chooses, as in ``attributes``. A square of 178 pixels scaled to 128 is what Choi
et al., "StarGAN" (2018), take; their code scales it with ``interpolation: bilinear``. Karras et al., "Progressive
Growing of GANs" (2018), take ``size: 128, crop: 128, centre: [89, 121]``, which is not scaled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from ganrun.plugin import Component, RecipePath, Space, hookimpl
from ganrun.plugin.data import DataDescription, DataError, DataFiles, FileList, file_lock
from ganrun_plugins.datasets._attributes import AttributePictures
from ganrun_plugins.datasets._centre import (
    FACES,
    PAPER,
    Centre,
    CentreFit,
    Crop,
    Flip,
    Interpolation,
    Names,
    check_held_out,
    chosen,
    columns_of,
)
from ganrun_plugins.datasets._fit import Pad, Resize, Sides, Size, image_space
from ganrun_plugins.datasets._images import Cache

PICTURES = 202_599
PUBLISHED = {"train": 162_770, "test": 19_962}


class CelebA(AttributePictures):
    """``x``: RGB images (3, height, width). ``attributes``: (A,) of 0 and 1."""

    offline = False

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        root: Annotated[
            str | None, Field(description="the folder that holds `celeba`; by default it is downloaded"), RecipePath()
        ] = None,
        attributes: Names = PAPER,
        held_out: Annotated[
            int | None,
            Field(ge=1, description="images of the test split, all others to train on; null: the published splits"),
        ] = None,
        size: Size = 128,
        resize: Resize = "crop",
        pad: Pad = "black",
        crop: Crop = FACES,
        centre: Centre = None,
        interpolation: Interpolation = "bicubic",
        flip: Flip = True,
        cache: Cache = False,
    ) -> None:
        if split not in PUBLISHED:
            raise DataError(f"there is no split {split!r}; celeba has train and test")
        flip = flip and split == "train"
        fit = CentreFit(
            3, size, size, resize, flip=flip, pad=pad, crop=crop, centre=centre, interpolation=interpolation
        )
        base = files.cache if root is None else files.path(root)
        data = _opened(base, "all" if held_out else split, download=root is None)
        columns = columns_of(attributes, [name for name in data.attr_names if name], "celeba")
        rows = chosen(len(data.filename), held_out, split, "celeba") if held_out else list(range(len(data.filename)))
        folder = base / data.base_folder / "img_align_celeba"
        values = data.attr[torch.tensor(rows, dtype=torch.int64)][:, columns].long()
        paths = FileList(folder, (data.filename[row] for row in rows))
        super().__init__(folder, paths, values, attributes, fit, cache=files.cache if cache else None)

    @classmethod
    def describe(
        cls,
        split: str,
        *,
        root: str | None,
        attributes: Sequence[str],
        held_out: int | None,
        size: Sides,
        crop: Sides | None = FACES,
        centre: tuple[int, int] | None = None,
        **_: Any,
    ) -> DataDescription | None:
        """Spaces and length before the download; None for a folder of one's own."""
        CentreFit(3, size, size, crop=crop, centre=centre)  # refuses what does not go together before the download
        spaces = {"x": image_space(3, size), "attributes": Space("labels", (len(attributes),), 2)}
        if held_out is not None:
            check_held_out(PICTURES, held_out, "celeba")
        items = PUBLISHED[split] if held_out is None else held_out if split == "test" else PICTURES - held_out
        return DataDescription(spaces, items, cls.classes) if root is None else None


def _opened(base: Path, split: str, *, download: bool) -> Any:
    """torchvision's data set: its lists, read and verified; no image is opened."""
    from torchvision import datasets  # takes a second: only when this data is wanted

    try:
        with file_lock(base / "celeba", "another process downloads celeba") if download else nullcontext():
            return datasets.CelebA(str(base), split, target_type="attr", download=download)
    except Exception as error:  # torchvision and gdown raise many kinds
        cause = " ".join(str(error).split()) or type(error).__name__
        if download:
            raise DataError(
                f"celeba could not be downloaded ({cause}). Get img_align_celeba.zip and the five lists from the "
                "authors' page (mmlab.ie.cuhk.edu.hk/projects/CelebA.html), put them, unpacked, "
                f"into {base / 'celeba'}, and try again; with the images and list_attr_celeba.txt alone, "
                "use the data set `attributes`"
            ) from error
        raise DataError(
            f"{base / 'celeba'}: it has to hold img_align_celeba and the five published lists, unchanged ({cause}); "
            "with the images and list_attr_celeba.txt alone, use the data set `attributes`"
        ) from error


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "celeba", CelebA)
