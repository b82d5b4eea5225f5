"""Images in tar files, as WebDataset and img2dataset write them: local shards, or shards of a web server.

Local shards are read at any place: their items are shuffled as those of a folder. Shards of a server are streamed: each
is fetched when its items come up, in the order of the shards, and the newest ``keep`` of them stay on the disk; writers
of such shards mix their samples. Either way item i is the same in every epoch, so a run resumes to the same bits, in
the middle of a shard, too. How many samples a server's shards hold is read from ``sizes.json`` beside them; without it
all of them are fetched once to be counted.

A sample is what a tar file holds of one key (``0007.jpg``, ``0007.cls``, ``0007.json``). Shards are plain tar files: in
a compressed one no place can be found again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, RecipePath, Space, hookimpl
from ganrun.plugin.data import DataError, DataFiles, ItemDraws, fingerprint, track
from ganrun_plugins.datasets._encoded import Colours, Encoded, Flip
from ganrun_plugins.datasets._fit import Pad, Resize, Sides, Size, image_space
from ganrun_plugins.datasets._parts import TestFraction, part
from ganrun_plugins.datasets._shards import Shards, expanded, is_remote

IMAGES = ("jpg", "jpeg", "png", "webp", "ppm", "pgm", "bmp", "gif", "tif", "tiff", "avif", "jp2")
PIECE = 4096  # labels that are read together
Places = Annotated[
    str,
    Field(min_length=1, description="a folder, a tar file, or data-{000..127}.tar; a path or an http address"),
    RecipePath(),
]


class WebDataset:
    """``x``: images (channels, height, width). ``label``: the class, if ``label`` names a member."""

    in_memory = False

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        shards: Places,
        test_shards: Annotated[
            str | None,
            Field(description="shards of the test split; null: see test_fraction; of a server, the last shard"),
            RecipePath(),
        ] = None,
        image: Annotated[
            str | None, Field(description="what the image's member ends in, such as jpg; null: any image")
        ] = None,
        label: Annotated[
            str | None,
            Field(
                description="what the label's member ends in, such as cls, or json:KEY for an entry of it; null: none"
            ),
        ] = None,
        classes: Annotated[
            list[str] | None, Field(min_length=1, description="the labels as they are written; null: all that occur")
        ] = None,
        size: Size = 64,
        resize: Resize = "crop",
        pad: Pad = "black",
        channels: Colours = 3,
        flip: Flip = False,
        test_fraction: TestFraction = 0.1,
        keep: Annotated[int, Field(ge=1, description="fetched shards that stay on the disk")] = 16,
    ) -> None:
        if split not in ("train", "test"):
            raise DataError(f"there is no split {split!r}; webdataset has train and test")
        every = expanded(shards, files)
        self.streamed = any(is_remote(shard) for shard in every)
        mine = every
        if test_shards is not None:
            mine = expanded(test_shards, files) if split == "test" else every
        elif self.streamed:
            if len(every) < 2:
                raise DataError(f"{shards}: of a single shard none remains for the test split; set `test_shards`")
            mine = every[-1:] if split == "test" else every[:-1]
        self.key = label.partition(":")[2] if label else ""
        wanted = [[image.lower()] if image else list(IMAGES)] + ([[label.partition(":")[0].lower()]] if label else [])
        self.shards = Shards(mine, wanted, files.cache, kept=keep)
        self.rows = torch.arange(len(self.shards))
        if test_shards is None and not self.streamed:
            self.rows = torch.from_numpy(part(len(self.shards), split, test_fraction, "webdataset", shards))
        if self.streamed:
            self.order = "sequential"
        self.images = Encoded(channels, size, resize, pad, flip=flip and split == "train")
        self.spaces = self.known_spaces(size=size, channels=channels)
        self.classes: list[str] = []
        if label:
            self.classes = classes if classes is not None else self._labels(label)
            self.spaces["label"] = Space("labels", (), len(self.classes))
            self._number = {name: number for number, name in enumerate(self.classes)}

    @classmethod
    def known_spaces(cls, *, size: Sides, channels: int, **_: Any) -> dict[str, Space]:
        """The image, whose size follows from the parameters; whether there are labels, the data alone can tell."""
        return {"x": image_space(channels, size)}

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> ``x`` (B, C, height, width) uint8 and ``label`` (B,)."""
        rows = self.rows[indices].tolist()
        read = self.shards.read(rows)
        names = [self.shards.name(row) for row in rows]
        batch = {"x": self.images.batch([members[0] or b"" for members in read], names, draws)}
        if self.classes:
            batch["label"] = torch.tensor([self._class(members[1], name) for members, name in zip(read, names)])
        return batch

    def known_labels(self) -> dict[str, Tensor]:
        """``label`` -> the labels of all items, of local shards that have any."""
        if not self.classes or self.streamed:
            return {}
        written = dict(self._all_written(self.rows.tolist()))
        return {"label": torch.tensor([self._class_of(written[row], row) for row in self.rows.tolist()])}

    @property
    def preparation(self) -> str:
        """How images are decoded and fitted, in words."""
        return self.images.preparation

    def fingerprint(self) -> str:
        """A hash of the shards' names and numbers of samples, of a few samples, and of what is made of them."""
        some = self.rows[torch.linspace(0, len(self.rows) - 1, min(len(self.rows), 16)).long()].tolist()
        names = [shard.rpartition("/")[2] for shard in self.shards.shards]
        beginnings = [[repr(member) for member in members] for members in self.shards.read(some)]
        return fingerprint(names, self.shards.ends.tolist(), beginnings, len(self.rows), self.images.fit, self.classes)

    def _written(self, member: bytes | None, name: str) -> str:
        """A label as its member has it."""
        if member is None:
            raise DataError(f"{name}: it has no label; leave the sample out, or set `label` to what all have")
        try:
            text = member.decode().strip()
            return str(json.loads(text)[self.key]) if self.key else text
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{name}: its label cannot be read ({error!r})") from error

    def _class(self, member: bytes | None, name: str) -> int:
        return self._number_of(self._written(member, name), name)

    def _class_of(self, written: str, row: int) -> int:
        return self._number_of(written, self.shards.name(row))

    def _number_of(self, written: str, name: str) -> int:
        if written not in self._number:
            raise DataError(
                f"{name}: label {written!r} is none of {', '.join(self.classes[:20])}; set `classes` to all"
            )
        return self._number[written]

    def _all_written(self, rows: Sequence[int]) -> Iterator[tuple[int, str]]:
        """Items and their labels as they are written; images are not read."""
        starts = range(0, len(rows), PIECE)
        for first in track(starts, "reading the labels of shards", len(starts)):
            some = rows[first : first + PIECE]
            for row, members in zip(some, self.shards.read(some, only=1)):
                yield row, self._written(members[0], self.shards.name(row))

    def _labels(self, label: str) -> list[str]:
        """All labels that occur in these shards, numbers in their order, then words in theirs."""
        if self.streamed:
            raise DataError(
                f"webdataset: which labels occur in {label} of streamed shards? set `classes` to all of them"
            )
        found = {written for _, written in self._all_written(range(len(self.shards)))}
        return sorted(found, key=lambda word: (0, int(word), "") if word.isdecimal() else (1, 0, word))


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "webdataset", WebDataset)
