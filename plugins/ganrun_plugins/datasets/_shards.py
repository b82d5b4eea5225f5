"""Samples in tar files, WebDataset's shards: where each sample lies, and its bytes.

A sample is the members of one key: what a member's path has before the first dot of its name. ``0007.jpg`` and
``0007.cls`` are two members of sample ``0007``; members of a sample stand next to each other.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from ganrun.plugin import stable_hash
from ganrun.plugin.data import DataError, DataFiles, DownloadError, fetch, file_lock, track, written_whole

REMOTE = ("http", "https")
NUMBERS = re.compile(r"\{(\d+)\.\.(\d+)\}")  # data-{000..127}.tar
NOTHING = -1  # the place of a member that a sample does not have
SIZES = "sizes.json"  # WebDataset's file beside shards: {"data-000.tar": 1000, ...}


class Member(NamedTuple):
    """Where a member lies in its tar file, in bytes."""

    place: int
    size: int


def expanded(pattern: str, files: DataFiles) -> list[str]:
    """The shards that a pattern names, sorted: addresses and paths, with ``{000..127}``; a folder means its tar files.

    Raises DataError if it names none, or a file that is not there.
    """
    if (numbers := NUMBERS.search(pattern)) is not None:
        first, last = numbers[1], numbers[2]
        digits = len(first) if first.startswith("0") else 0
        parts = [str(n).zfill(digits) for n in range(int(first), int(last) + 1)]
        if not parts:
            raise DataError(f"{pattern}: {first} is more than {last}, so it names no shard")
        return [shard for part in parts for shard in expanded(pattern.replace(numbers[0], part, 1), files)]
    if urlsplit(pattern).scheme in REMOTE:
        return [pattern]
    path = files.path(pattern)
    found = sorted(path.glob("*.tar")) if path.is_dir() else [path]
    if not found or not found[0].is_file():
        what = "it holds no .tar files" if path.is_dir() else "there is no such file"
        raise DataError(f"{path}: {what}; give a folder of shards, or a pattern such as data-{{000..127}}.tar")
    return [str(shard) for shard in found]


def is_remote(shard: str) -> bool:
    """Whether a shard is an address."""
    return urlsplit(shard).scheme in REMOTE


class Shards:
    """Samples of tar files in their order. ``names``: what is read of a sample, such as ``("jpg", "cls")``.

    shards: paths or addresses. Those of an address are fetched when they are needed, and the ``kept`` newest stay on
    the disk. How many samples each has is read from ``sizes.json`` beside them or by fetching all, which is said. The
    places of members are kept in the cache; nothing of a tar file is unpacked.
    """

    def __init__(self, shards: Sequence[str], suffixes: Sequence[Sequence[str]], cache: Path, *, kept: int) -> None:
        self.shards = list(shards)
        self.suffixes = [tuple(each) for each in suffixes]
        self.cache = cache / "shards"
        self.kept = kept
        self._indices: dict[int, np.ndarray] = {}
        self.ends = np.cumsum(self._lengths())

    def __len__(self) -> int:
        return int(self.ends[-1])

    def read(self, rows: Iterable[int], only: int | None = None) -> list[list[bytes | None]]:
        """The members of samples, in the order of ``suffixes``; None for one that a sample does not have.

        only: the place of the one member that is read; the list of a sample then holds it alone.
        """
        members = slice(None) if only is None else slice(only, only + 1)
        wanted = np.asarray(list(rows), np.int64)
        which = np.searchsorted(self.ends, wanted, side="right")
        found: dict[int, list[bytes | None]] = {}
        for shard in np.unique(which).tolist():
            start = int(self.ends[shard - 1]) if shard else 0
            index = self.index(shard)  # (n, members, 2)
            with self.opened(shard).open("rb") as file:
                for row in wanted[which == shard].tolist():
                    found[row] = [_bytes(file, Member(*place)) for place in index[row - start, members].tolist()]
        return [found[row] for row in wanted.tolist()]

    def name(self, row: int) -> str:
        """A sample, for messages."""
        shard = int(np.searchsorted(self.ends, row, side="right"))
        return f"{self.shards[shard]}, sample {row - (int(self.ends[shard - 1]) if shard else 0)}"

    def index(self, shard: int) -> np.ndarray:
        """Where the members of a shard's samples lie, (samples, suffixes, 2) int64: place and size in bytes."""
        if shard not in self._indices:
            self._indices[shard] = self._index(self.opened(shard), self.shards[shard])
            if len(self._indices) > self.kept and is_remote(self.shards[shard]):
                del self._indices[next(iter(self._indices))]
        return self._indices[shard]

    def opened(self, shard: int) -> Path:
        """The file of a shard, fetched if it has to be."""
        address = self.shards[shard]
        if not is_remote(address):
            return Path(address)
        path = self._place(address)
        if not path.is_file():
            fetch(address, path, size=None, sha256=None, progress=False)
            self._forget()
        return path

    def _place(self, address: str) -> Path:
        return self.cache / f"{stable_hash(address):x}-{Path(urlsplit(address).path).name}"

    def _forget(self) -> None:
        """Remove the fetched shards that were used the longest time ago, beyond those that are kept."""
        mine = [path for each in self.shards if is_remote(each) and (path := self._place(each)).is_file()]
        for path in sorted(mine, key=lambda each: each.stat().st_mtime)[: -self.kept]:
            path.unlink(missing_ok=True)  # who reads it has it open

    def _lengths(self) -> list[int]:
        known = self._sizes()
        if known is not None:
            return known
        numbers = range(len(self.shards))
        return [len(self.index(n)) for n in track(numbers, "counting the samples of shards", len(numbers))]

    def _sizes(self) -> list[int] | None:
        """The numbers of samples that a file beside remote shards says; None if there is none or they are here."""
        if not is_remote(self.shards[0]):
            return None
        beside = self.shards[0].rpartition("/")[0] + "/" + SIZES
        try:
            path = fetch(beside, self._place(beside), size=None, sha256=None, progress=False)
            said = json.loads(path.read_text())
            return [int(said[shard.rpartition("/")[2]]) for shard in self.shards]
        except (DownloadError, OSError, ValueError, KeyError, TypeError):
            return None

    def _index(self, path: Path, shard: str) -> np.ndarray:
        facts = path.stat()
        times = 0 if is_remote(shard) else facts.st_mtime_ns
        key = stable_hash(str(path), facts.st_size, times, *("|".join(each) for each in self.suffixes))
        kept = self.cache / f"{key:x}.npy"
        with file_lock(kept, f"another process reads the places of samples in {path.name}"):
            if kept.is_file():
                index: np.ndarray = np.load(kept, allow_pickle=False)
                return index
            index = members(path, self.suffixes)
            with written_whole(kept) as unfinished:
                np.save(unfinished, index, allow_pickle=False)
        return index


def members(path: Path, suffixes: Sequence[Sequence[str]]) -> np.ndarray:
    """The places of a tar file's samples, (samples, suffixes, 2) int64; samples without the first member are left out.

    Raises DataError for a file that is no plain tar file or holds no such member.
    """
    found: list[list[Member]] = []
    last, seen = "", set()
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if not member.isreg():
                    continue
                folder, _, name = member.name.rpartition("/")
                key, _, suffix = name.partition(".")
                seen.add(suffix)
                if f"{folder}/{key}" != last or not found:
                    last = f"{folder}/{key}"
                    found.append([Member(NOTHING, 0)] * len(suffixes))
                for number, known in enumerate(suffixes):
                    if suffix.lower() in known and found[-1][number].place == NOTHING:
                        found[-1][number] = Member(member.offset_data, member.size)
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{path}: cannot be read as an uncompressed tar file ({error})") from error
    whole = [sample for sample in found if sample[0].place != NOTHING]
    if not whole:
        ends = ", ".join(sorted(seen)) or "nothing"
        raise DataError(f"{path}: no member ends in .{' or .'.join(suffixes[0])}; its members end in {ends}")
    return np.asarray(whole, np.int64)  # (samples, suffixes, 2)


def _bytes(file: BinaryIO, member: Member) -> bytes | None:
    if member.place == NOTHING:
        return None
    file.seek(member.place)
    return file.read(member.size)
