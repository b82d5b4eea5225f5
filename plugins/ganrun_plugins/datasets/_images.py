"""Image files as items: decoded when asked for, or once and kept. What the folder data sets have in common."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import PIL
import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin.data import (
    DataError,
    FileList,
    ImageReading,
    ItemDraws,
    ValueRange,
    computed_in_workers,
    files_read_otherwise,
    fingerprint,
    is_plain,
    read_array,
    track,
)
from ganrun_plugins.datasets._decoded import Decoded, decoded
from ganrun_plugins.datasets._fit import Fit

Channels = Annotated[
    int, Field(ge=1, le=1024, description="1 grey, 3 RGB, 4 RGB and alpha; others of files that have as many")
]
Cache = Annotated[
    bool,
    Field(
        description="decode all images once, into a file of the data cache (its folder `decoded`), and read that: so "
        "fast that no workers are started"
    ),
]
InMemory = Annotated[bool, Field(description="decode all images once, at the start, and keep them")]


AS_SHOWN = "turned as EXIF says, transparent parts on white, 16 bits scaled to 8"


class Pictures:
    """Some files and how they are fitted: decoded when asked for, or all at once and kept.

    paths: a list of paths, or a :class:`FileList`, which takes less memory. keep: in memory. cache: the data cache, to
    keep them in a file there; None: nowhere. frames: which frame of its file each image is; None: the first. values:
    which values become -1 and 1; None: bytes stay as they are. rows: which of the files that there were each image is.
    skipped: files that were left out, and why.
    """

    def __init__(
        self,
        root: Path,
        paths: Sequence[Path] | FileList,
        fit: Fit,
        *,
        keep: bool,
        cache: Path | None = None,
        frames: np.ndarray | None = None,
        values: ValueRange | None = None,
        rows: np.ndarray | None = None,
        skipped: Mapping[Path, str] | None = None,
    ) -> None:
        self.root = root
        self.paths = paths if isinstance(paths, FileList) else file_list(root, paths)
        self.fit = fit
        self.frames = frames
        self.values = values
        self.rows = np.arange(len(self.paths)) if rows is None else rows
        self.skipped = dict(skipped or {})
        self.what = f"images of {root.name}"
        self.cached: Decoded | None = None
        if cache is not None:
            place = cache / "decoded" / f"{root.name}-{self._cache_key()}.images"
            self.cached = decoded(place, self.decoded, len(self), self.what)
        self.kept = self._kept() if keep else None  # (N, C, H, W)

    def __len__(self) -> int:
        return len(self.paths)

    def files(self) -> Sequence[FileList]:
        """All files that are read, in lists of the same length."""
        return [self.paths]

    def all_paths(self) -> list[Path]:
        """All files that are read."""
        return [path for files in self.files() for path in files]

    def decoded(self, row: int) -> np.ndarray:
        """One of the images as an array, (C, H, W), scaled but not yet cropped."""
        return self.scaled(self.fit, row)

    def scaled(self, fit: Fit, row: int) -> np.ndarray:
        """The same by a given fit. Raises DataError naming the file."""
        path, frame = self.paths[row], self.frame(row)
        if self.values is None and is_plain(path, fit.channels):
            return fit.scaled(path, frame=frame)
        array = read_array(path, fit.channels, self.values, frame=frame)
        try:
            return fit.scaled_array(array)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None

    def frame(self, row: int) -> int:
        """Which frame of its file an image is."""
        return 0 if self.frames is None else int(self.frames[row])

    def batch(self, indices: Tensor, draws: ItemDraws, name: str) -> Tensor:
        """(B,) -> (B, C, height, width), uint8 or float32."""
        if self.kept is not None:
            return self.fit.cropped(self.kept.index_select(0, indices.to(self.kept.device)), draws, name)
        if self.cached is not None:
            return self.fit.cropped(self.cached.take(indices.cpu().numpy()), draws, name)
        return self.fit.cropped([torch.from_numpy(self.decoded(i)) for i in indices.tolist()], draws, name)

    @cached_property
    def departs(self) -> bool:
        """Whether files are read otherwise than the reference code of FID reads them; their heads are read for it."""
        if self.values is not None or self.frames is not None:
            return True
        return self.fit.draft or any(files_read_otherwise(files) for files in self.files())

    @property
    def preparation(self) -> str:
        """How files are read, and what is done to the images, in words."""
        return f"{self.reading_words()}; {self.fit.words()}"

    def reading_words(self) -> str:
        """How files are read, in words."""
        if self.values is None:
            return AS_SHOWN
        return f"{AS_SHOWN.rpartition(',')[0]}, {self.values.low:g} to {self.values.high:g} become -1 to 1"

    def to(self, device: torch.device) -> None:
        """Move what is kept to a device."""
        if self.kept is not None:
            self.kept = self.kept.to(device)

    def fingerprint(self) -> str:
        """A hash of names, sizes and beginnings of all files, and of the preprocessing."""
        more = [] if self.values is None and self.frames is None else [self.values, self.frames]
        marks = [fingerprint(Beginnings(self.root, files), self.fit, *more) for files in self.files()]
        return marks[0] if len(marks) == 1 else fingerprint(*marks)

    def _kept(self) -> Tensor:
        rows = np.arange(len(self))
        if self.cached is not None:
            return torch.as_tensor(self.cached.take(rows))
        read = track(computed_in_workers(self.decoded, len(rows)), f"reading {self.what}", len(rows))
        return torch.from_numpy(np.stack(list(read)))

    def _cache_key(self) -> str:
        """A hash of names, sizes and times of all files, of the preprocessing, and of what decodes."""
        facts: list[object] = []
        for files in self.files():
            states = np.empty((len(files), 2), np.int64)
            for row, path in enumerate(track(files, f"looking for changes in {self.root.name}", len(files))):
                state = os.stat(path)
                states[row] = state.st_size, state.st_mtime_ns
            facts += ["\n".join(files.names()), states]
        return fingerprint(facts, self.fit, type(self).__name__, PIL.__version__, self.values, self.frames)


class Beginnings(Sequence[list[object]]):
    """Path below ``root``, size and first bytes of each file, read when it is asked for."""

    def __init__(self, root: Path, files: FileList) -> None:
        self.root = root
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: Any) -> Any:
        """Of one file."""
        path = self.files[row]
        with path.open("rb") as file:
            beginning = np.frombuffer(file.read(1 << 14), np.uint8)
            return [below(self.root, path), os.fstat(file.fileno()).st_size, beginning]

    def __iter__(self) -> Iterator[list[object]]:
        what = f"comparing pictures of {self.root.name} with those of earlier runs"
        yield from track(map(self.__getitem__, range(len(self))), what, len(self))


def file_list(root: Path, paths: Iterable[Path]) -> FileList:
    """Paths that lie below ``root``, or anywhere."""
    return FileList(root, (below(root, path) for path in paths))


def below(root: Path, path: Path) -> str:
    """A path as it is named below ``root``, with slashes; one that lies elsewhere as it is."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def read_as_items(
    reading: ImageReading,
    lists: Sequence[tuple[FileList, Fit, FileList]],
    *,
    ranges: Sequence[tuple[float, float] | None] = (),
    keep: bool,
    cache: Path | None,
    root: Path | None = None,
) -> list[Pictures]:
    """Pictures of lists of files that belong together row by row, of which what cannot be read is left out of all.

    lists: files, how they are fitted, and those on whose values a range is measured. ranges: of each list, if they have
    others than ``reading``. root: whose name is shown.

    Raises DataError.
    """
    rows, frames, skipped = reading.items([files for files, _, _ in lists])
    readings = [dataclasses.replace(reading, range=each) for each in ranges] or [reading] * len(lists)
    return [
        Pictures(
            root or files.root,
            files.take(rows),
            fit,
            keep=keep,
            cache=cache,
            frames=frames,
            values=own.values(measured),
            rows=rows,
            skipped=skipped,
        )
        for own, (files, fit, measured) in zip(readings, lists)
    ]


def ranges_of(pictures: Mapping[str, Pictures]) -> dict[str, tuple[float, float]]:
    """Entry -> what its -1 and 1 stand for, of those that do not stand for 0 and 255."""
    found = {name: each.values for name, each in pictures.items()}
    return {name: (values.low, values.high) for name, values in found.items() if values is not None}
