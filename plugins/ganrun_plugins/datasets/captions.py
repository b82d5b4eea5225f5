"""Images with captions: a folder of images, and one text file that says what they show.

The form in which Reed et al., "Generative Adversarial Text to Image Synthesis" (2016), need the sets of birds and
flowers: several captions for an image, of which training takes one at random in each epoch and tests take the first;
images scaled to 76 pixels (short side), cropped at a random place to 64 and mirrored half of the time.

Every line of the text file is an image's path below ``root``, a tab and a caption; an image with several captions has
several lines, and an image without a line is left out. The test split is a fixed part of the images, chosen by their
names, or with ``unseen`` all images of a fixed part of the first-level folders, so that no bird of a test species was
ever seen (the paper's zero-shot split).

The vocabulary is the most frequent words of the train split's captions, in small letters; 0 fills up short captions, 1
is any other word.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, RecipePath, Space, hookimpl, stable_hash
from ganrun.plugin.data import DataError, DataFiles, FileList, ImageReading, ItemDraws, fingerprint
from ganrun_plugins.datasets._fit import Fit, LoadSize, Pad, Resize, Size, image_space, load_sides, sides_of
from ganrun_plugins.datasets._images import Cache, Channels, ranges_of, read_as_items
from ganrun_plugins.datasets._reading import BadImages, Frames, Range
from ganrun_plugins.datasets._texts import Vocabulary

Root = Annotated[
    str, Field(min_length=1, description="the folder of the images; a relative path starts at the recipe"), RecipePath()
]
Unseen = Annotated[
    bool,
    Field(description=("split by first-level folders, so that test images are of folders that training never sees")),
]
Flip = Annotated[
    bool, Field(description="mirror half of the training images; captions that say left or right become wrong")
]


class Captions:
    """``x``: images (channels, height, width). ``text``: (length,) word numbers. ``words[number]`` is the word."""

    classes: tuple[str, ...] = ()

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        root: Root,
        file: Annotated[
            str, Field(min_length=1, description="the text file; a relative path starts at root")
        ] = "captions.txt",
        size: Size = 64,
        resize: Resize = "crop",
        load_size: Annotated[
            LoadSize, Field(description="as of other data sets, but null: 76 / 64 of the size")
        ] = None,
        pad: Pad = "black",
        flip: Flip = True,
        channels: Channels = 3,
        length: Annotated[int, Field(ge=1, le=1024, description="words of a caption; further ones are dropped")] = 32,
        vocabulary: Annotated[int, Field(ge=1, description="words that are known, the most frequent ones")] = 5000,
        test_fraction: Annotated[float, Field(gt=0, lt=1, description="share of the test split")] = 0.1,
        unseen: Unseen = False,
        cache: Cache = False,
        range: Range = None,
        frames: Frames = "first",
        bad_images: BadImages = "fail",
    ) -> None:
        if split not in ("train", "test"):
            raise DataError(f"there is no split {split!r}; captions has train and test")
        load = load_sides("captions: ", size, load_size, resize, 76 / 64)
        base = files.path(root)
        found = read_captions(base, base / file)
        held = held_out(list(found), test_fraction, unseen)
        mine = [name for name in found if (name in held) == (split == "test")]
        known = Vocabulary.of(
            (caption for name, captions in found.items() if name not in held for caption in captions), vocabulary
        )
        training = split == "train"
        self.training = training
        self.in_memory = cache
        self.words = known.words
        self.label_names = {"text": self.words}
        random = training and sides_of(load) != sides_of(size)
        fit = Fit(channels, size, load if training else size, resize, random=random, flip=flip and training, pad=pad)
        paths = FileList(base, (PurePath(name).as_posix() for name in mine))
        trained = FileList(base, (PurePath(name).as_posix() for name in found if name not in held))
        kept = files.cache if cache else None
        reading = ImageReading(range, frames, bad_images)
        (self.pictures,) = read_as_items(reading, [(paths, fit, trained)], keep=False, cache=kept, root=base)
        mine = [mine[row] for row in self.pictures.rows.tolist()]
        self.counts = np.array([len(found[name]) for name in mine])  # captions of each image
        self.first = np.concatenate([[0], np.cumsum(self.counts)[:-1]])  # the row of its first one
        self.text = known.encode([caption for name in mine for caption in found[name]], length)  # (captions, length)
        self.spaces = {"x": image_space(channels, size), "text": Space("labels", (length,), len(known))}

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> ``x`` (B, C, height, width) uint8 and ``text`` (B, length) int64."""
        chosen = indices.numpy()
        which = (draws.uniform("caption")[:, 0] * self.counts[chosen]).astype(np.int64) if self.training else 0
        rows = torch.from_numpy(self.first[chosen] + np.minimum(which, self.counts[chosen] - 1))
        return {"x": self.pictures.batch(indices, draws, "x"), "text": self.text.index_select(0, rows)}

    @property
    def paths(self) -> list[Path]:
        """The files that items are read from."""
        return self.pictures.all_paths()

    @property
    def preparation(self) -> str:
        """How files are read, and what is done to the images, in words."""
        return self.pictures.preparation

    @property
    def skipped(self) -> dict[Path, str]:
        """Files that cannot be read and were left out, and why."""
        return self.pictures.skipped

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """What -1 and 1 of ``x`` stand for, if that is not 0 and 255."""
        return ranges_of({"x": self.pictures})

    @property
    def departs(self) -> bool:
        """Whether some files are read otherwise than the reference code of FID reads them."""
        return self.pictures.departs

    def fingerprint(self) -> str:
        """A hash of the files, the captions and the preprocessing."""
        return fingerprint(self.pictures.fingerprint(), self.text, self.counts, self.words)


def read_captions(root: Path, file: Path) -> dict[str, list[str]]:
    """An image's path below root -> its captions, in the order of the file.

    DataError naming the line that is wrong.
    """
    if not file.is_file():
        raise DataError(f"{file}: there is no such file; it has to hold the captions")
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{file}: the captions cannot be read ({error}); each of its lines is an image's path, "
            "a tab and a caption, in UTF-8"
        ) from None
    found: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, tab, caption = line.partition("\t")
        if not tab or not caption.strip():
            raise DataError(f"{file}:{number}: expected an image's path, a tab and a caption")
        if name not in found and not (root / name).is_file():
            # the line is not shown: the file may be another than captions, and private
            raise DataError(f"{file}:{number}: there is no image of the name before the tab in {root}")
        found.setdefault(name, []).append(caption)
    if not found:
        raise DataError(f"{file}: there is no caption in it")
    return found


def held_out(names: list[str], share: float, unseen: bool) -> set[str]:
    """The images of the test split: those whose names hash to the smallest numbers.

    Of all images, or of all first-level folders.
    """
    groups = sorted(
        {Path(name).parts[0] if unseen else name for name in names}, key=lambda group: stable_hash("captions", group)
    )
    if len(groups) < 2 or (unseen and any(len(Path(name).parts) < 2 for name in names)):
        what = "images in at least two folders" if unseen else "at least two images"
        raise DataError(f"captions: both splits need images, so there have to be {what}")
    chosen = set(groups[: min(len(groups) - 1, max(1, round(share * len(groups))))])
    return {name for name in names if (Path(name).parts[0] if unseen else name) in chosen}


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "captions", Captions)
