"""Horses and zebras, the unpaired pictures of the CycleGAN paper, downloaded once (117 MB).

Zhu et al. 2017; photographs from ImageNet: 1,067 horses (A) and 1,334 zebras (B) to train on, 120 and 140 to test. The
archive comes from the authors' server; its size and SHA-256 are those that TensorFlow Datasets recorded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from ganrun.plugin import Component, Space, hookimpl
from ganrun.plugin.data import Announced, DataFiles, fetch, unpack
from ganrun_plugins.datasets.unpaired_folders import UnpairedFolders

SERVER = "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets/"


class Archive(NamedTuple):
    """A zip of ``name/{trainA,trainB,testA,testB}``.

    Its size in bytes, its SHA-256, and the pictures in the larger folder of each split.
    """

    name: str
    size: int
    sha256: str
    train: int
    test: int


class Horse2Zebra(UnpairedFolders):
    """``a``: horses, ``b``: zebras.

    A data set from another archive of the paper is a subclass with its own ``archive``.
    """

    offline = False
    archive: ClassVar[Archive] = Archive(
        "horse2zebra", 116867962, "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1", 1334, 140
    )

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        root: Annotated[
            str | None,
            Field(description="a folder with trainA, trainB, testA and testB; by default the archive is downloaded"),
        ] = None,
        size: Annotated[int, Field(ge=4, le=4096, description="side of the pictures in pixels")] = 256,
        load_size: Annotated[
            int,
            Field(ge=4, le=4096, description="side that training pictures are stretched to before they are cropped"),
        ] = 286,
        flip: Annotated[bool, Field(description="mirror half of the training pictures")] = True,
        channels: Annotated[Literal[1, 3], Field(description="1 grey, 3 RGB")] = 3,
        in_memory: Annotated[bool, Field(description="decode all pictures once, at the start, and keep them")] = False,
    ) -> None:
        folder = str(self._fetched(files)) if root is None else root
        super().__init__(
            files, split, root=folder, size=size, load_size=load_size, flip=flip, channels=channels, in_memory=in_memory
        )

    @classmethod
    def announced(cls, split: str, *, root: str | None, size: int, channels: int, **_: Any) -> Announced | None:
        """Spaces and length before the download; None for a folder of one's own."""
        spaces = {name: Space("image", (channels, size, size)) for name in ("a", "b")}
        return (
            None if root is not None else Announced(spaces, cls.archive.train if split == "train" else cls.archive.test)
        )

    def _fetched(self, files: DataFiles) -> str:
        name, size, sha256 = self.archive[:3]
        folder = files.cache / name
        if not folder.is_dir():
            zipped = fetch(f"{SERVER}{name}.zip", files.cache / f"{name}.zip", size=size, sha256=sha256)
            unpack(zipped, folder, inner=name, limit=10 * size)  # photographs hardly shrink
        return str(folder)


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "horse2zebra", Horse2Zebra)
