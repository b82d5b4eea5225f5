"""What the unpaired data sets of the CycleGAN paper share: an archive on the authors' server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import Field

from ganrun.plugin import RecipePath
from ganrun.plugin.data import DataDescription, DataFiles, fetch, unpack
from ganrun_plugins.datasets._fit import Draft, LoadSize, Pad, Resize, Sides, Size, image_space
from ganrun_plugins.datasets._images import Cache, InMemory
from ganrun_plugins.datasets._two_sides import Side, TwoChannels, of_both
from ganrun_plugins.datasets._unpaired import Unpaired

SERVER = "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets/"


class Archive(NamedTuple):
    """A zip of ``name/{trainA,trainB,testA,testB}``, and what is known of it before the download.

    size: in bytes. train, test: the images in the larger folder of each split.
    """

    name: str
    size: int
    sha256: str
    train: int
    test: int


class PublishedArchive(Unpaired):
    """Two folders of an ``archive`` that is downloaded once. A data set is a subclass that says which archive."""

    offline = False
    archive: ClassVar[Archive]

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        root: Annotated[
            str | None,
            Field(description="a folder with trainA, trainB, testA and testB; by default the archive is downloaded"),
            RecipePath(),
        ] = None,
        size: Size = 256,
        resize: Resize = "squash",
        load_size: LoadSize = None,
        pad: Pad = "black",
        flip: Annotated[bool, Field(description="mirror half of the training images")] = True,
        channels: TwoChannels = 3,
        in_memory: InMemory = False,
        cache: Cache = False,
        draft: Draft = False,
    ) -> None:
        super().__init__(
            files,
            split,
            root=str(self._fetched(files)) if root is None else root,
            size=size,
            resize=resize,
            load_size=load_size,
            pad=pad,
            flip=flip,
            channels=channels,
            in_memory=in_memory,
            cache=cache,
            draft=draft,
        )

    @classmethod
    def describe(
        cls, split: str, *, root: str | None, size: Sides, channels: int | Mapping[Side, int], **_: Any
    ) -> DataDescription | None:
        """Spaces and length before the download; None for a folder of one's own."""
        spaces = {side: image_space(count, size) for side, count in of_both(channels, "channels").items()}
        return (
            None
            if root is not None
            else DataDescription(spaces, cls.archive.train if split == "train" else cls.archive.test)
        )

    def _fetched(self, files: DataFiles) -> str:
        name, size, sha256 = self.archive[:3]
        folder = files.cache / name
        if not folder.is_dir():
            zipped = fetch(f"{SERVER}{name}.zip", files.cache / f"{name}.zip", size=size, sha256=sha256)
            unpack(zipped, folder, inner=name, limit=10 * size)  # photographs hardly shrink
        return str(folder)
