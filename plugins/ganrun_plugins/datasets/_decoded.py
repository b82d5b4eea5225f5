"""Images that are decoded once and kept in a file of the data cache, which is mapped into memory."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganrun.plugin.data import (
    DataError,
    batch_memory,
    computed_in_workers,
    file_lock,
    remove_unfinished,
    say,
    track,
    written_whole,
)

FORMAT = 1
ALIGNED = 64  # bytes, of which the place of the shapes is a multiple
CHECKED = 64  # images, after which what all of them will take is compared with what is free


class Decoded:
    """N arrays (C, H, W) of one type: uint8 or float32.

    The file holds their values one after the other, their shapes (N, 3) int32, a description in JSON, and its length in
    8 bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(size - 8)
            length = int.from_bytes(file.read(8), "little")
            file.seek(size - 8 - length)
            about = json.loads(file.read(length))
            place = int(about["shapes"])
            if size != place + 12 * int(about["items"]) + length + 8:
                raise ValueError("it has another length than it says")
            file.seek(place)
            shapes = np.frombuffer(file.read(12 * int(about["items"])), np.int32).reshape(-1, 3)
        self.nbytes = size
        self.dtype = np.dtype(about["dtype"])
        self._count = len(shapes)
        self._shape = tuple(shapes[0].tolist()) if (shapes == shapes[0]).all() else None  # None: of several shapes
        self._shapes = shapes if self._shape is None else shapes[:1]
        self._ends = None if self._shape else np.cumsum(np.prod(shapes.astype(np.int64), 1))

    def __len__(self) -> int:
        return self._count

    def __getstate__(self) -> dict[str, Any]:
        """Without the map, which would be sent to a worker process as a copy."""
        return {name: value for name, value in self.__dict__.items() if name != "_values"}

    def take(self, rows: np.ndarray) -> Tensor | list[Tensor]:
        """Images (n,), copied from the file: (n, C, H, W), or a list where they are of several shapes."""
        if self._shape is not None:
            found = batch_memory((len(rows), *self._shape), _torch_type(self.dtype))
            # any mode but "raise" writes to `out` itself; the rows are those of a data set, which has checked them
            np.take(self._values.reshape(self._count, *self._shape), rows, 0, found.numpy(), mode="clip")
            return found
        return [torch.from_numpy(np.array(self._one(row))) for row in rows.tolist()]

    def _one(self, row: int) -> np.ndarray:
        assert self._ends is not None
        end, shape = self._ends[row], self._shapes[row]
        return self._values[end - np.prod(shape, dtype=np.int64) : end].reshape(shape)

    @cached_property
    def _values(self) -> np.ndarray:
        count = self._count * math.prod(self._shape) if self._shape else int(self._ends[-1])  # type: ignore[index]
        return np.memmap(self.path, self.dtype, "r", shape=(count,))


def decoded(path: Path, compute: Callable[[int], np.ndarray], count: int, what: str) -> Decoded:
    """The images kept in a file, which is made if it is not there: by one process, while others wait.

    compute: row -> (C, H, W). what: such as ``images of zoo``, for messages.

    Raises:
        DataError: if there is no room for it, or what ``compute`` raises.
    """
    with file_lock(path, f"another process decodes the {what}"):
        found = _opened(path)
        made = "" if found else "decoded and "
        if found is None or len(found) != count:
            try:
                _make(path, compute, count, what)
            except OSError as error:
                raise DataError(
                    f"{path}: the decoded {what} cannot be kept ({error.strerror or error}); "
                    "set GANRUN_DATA to another folder, or leave `cache` out"
                ) from None
            found = Decoded(path)
        else:
            remove_unfinished(path.parent)
    say(f"{what}: {made}kept as {path} ({_megabytes(found.nbytes)})")
    return found


def _opened(path: Path) -> Decoded | None:
    """What is kept, None if there is nothing that can be read."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return Decoded(path)
    return None


def _make(path: Path, compute: Callable[[int], np.ndarray], count: int, what: str) -> None:
    shapes = np.empty((count, 3), np.int32)
    size, dtype = 0, np.dtype(np.uint8)
    with written_whole(path) as unfinished, unfinished.open("wb") as file:
        for row, image in enumerate(track(computed_in_workers(compute, count), f"decoding the {what}", count)):
            if row == 0:
                dtype = image.dtype
            shapes[row] = image.shape
            if image.dtype != dtype:
                raise TypeError(f"images of {dtype} and {image.dtype} cannot be kept together")
            file.write(np.ascontiguousarray(image).data)
            size += image.nbytes
            if row + 1 == CHECKED:
                _check_room(path, size * count // CHECKED, what)
        file.write(b"\0" * (-size % ALIGNED))
        place = size + -size % ALIGNED
        about = json.dumps({"format": FORMAT, "dtype": dtype.str, "items": count, "shapes": place}).encode()
        file.write(shapes.tobytes() + about + len(about).to_bytes(8, "little"))
        file.flush()
        os.fsync(file.fileno())  # after a power failure the name must not stand for what was never written


def _check_room(path: Path, wanted: int, what: str) -> None:
    free = shutil.disk_usage(path.parent).free
    if wanted > free:
        raise DataError(
            f"{path.parent}: the decoded {what} take {_megabytes(wanted)}, and {_megabytes(free)} are free; "
            "set GANRUN_DATA to a folder with room, or leave `cache` out"
        )


def _torch_type(dtype: np.dtype[Any]) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
