"""Many files of a folder, by names that lie in one piece of memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np

from ganrun.randomness import stable_hash


class FileList(Sequence[Path]):
    """Files below a folder, in the bytes of their names and 12 more for each.

    Objects of Python would take several hundred bytes a file, and as many again in every worker process: counting
    references writes to them, so that pages of memory that processes share are copied.

    names: paths relative to ``root``, with slashes.
    """

    def __init__(self, root: Path, names: Iterable[str]) -> None:
        text, ends = bytearray(), []
        count = 0
        block = np.empty(1 << 16, np.int64)  # filled and put away: a list of numbers would take 36 bytes each
        for name in names:
            text += os.fsencode(name)
            block[count] = len(text)
            count += 1
            if count == len(block):
                ends.append(block.copy())
                count = 0
        self.root = root
        self._text = bytes(text)
        self._ends = np.concatenate([*ends, block[:count]])  # (files,): where each name ends
        self._rows = np.arange(len(self._ends), dtype=np.int32)  # (N,): which file each item is

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> FileList: ...
    def __getitem__(self, index: int | slice) -> Path | FileList:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        return Path(os.path.join(self.root, self.name(index)))

    def __iter__(self) -> Iterator[Path]:
        return (self[i] for i in range(len(self)))

    def name(self, index: int) -> str:
        """The path of a file relative to ``root``, with slashes."""
        row = self._rows[index]
        return os.fsdecode(self._text[self._ends[row - 1] if row else 0 : self._ends[row]])

    def names(self) -> Iterator[str]:
        """The paths of all files relative to ``root``."""
        return (self.name(i) for i in range(len(self)))

    def take(self, rows: np.ndarray) -> FileList:
        """Some of the files, (n,) numbers, of which some may be the same. The names stay where they are."""
        found: FileList = object.__new__(type(self))
        found.root, found._text, found._ends = self.root, self._text, self._ends
        found._rows = self._rows[rows]
        return found

    def mixed(self, purpose: str) -> FileList:
        """The same files in an order of their names alone, of which any beginning is a fair sample of all folders."""
        keys = np.fromiter((stable_hash(purpose, name) for name in self.names()), np.uint64, len(self))
        return self.take(np.argsort(keys, kind="stable"))

    def folders(self) -> tuple[list[str], np.ndarray]:
        """The first folders below ``root``, sorted, and which of them each file is in, (N,); -1: in none."""
        numbers: dict[str, int] = {}
        found = np.empty(len(self), np.int32)
        for i, name in enumerate(self.names()):
            first, inside, _ = name.partition("/")
            found[i] = numbers.setdefault(first, len(numbers)) if inside else -1
        places = np.empty(len(numbers) + 1, np.int32)
        places[-1] = -1
        for place, folder in enumerate(sorted(numbers)):
            places[numbers[folder]] = place
        return sorted(numbers), places[found]
