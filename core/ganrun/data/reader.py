"""Reading real data: a keyed order of items, batches at a position, and worker processes.

The items of all epochs form one endless list (see :mod:`ganrun.data.order`). A reader is at a position in that list,
and the position is all that has to be saved. What an item looks like (its crop, its flip) follows from (key, epoch,
index) alone, so workers, processes and resuming change nothing.
"""

from __future__ import annotations

import difflib
import hashlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganrun.contracts.protocols import Dataset
from ganrun.data.labels import class_number, is_number
from ganrun.data.order import order_of
from ganrun.data.workers import BatchRequest, Prefetcher
from ganrun.errors import DataError, some
from ganrun.randomness import ItemDraws
from ganrun.words.spaces import Space


class InMemory:
    """A data set that holds one tensor per entry, (N, ...), and reads a batch with one index operation each.

    Images are uint8 (N, C, H, W), labels int64 (N,), points float32 (N, D).
    """

    in_memory = True

    def __init__(self, tensors: Mapping[str, Tensor], spaces: Mapping[str, Space], classes: Sequence[str] = ()) -> None:
        self.tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        self.spaces = dict(spaces)
        self.classes = list(classes)
        self.device = torch.device("cpu")

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> name -> (B, ...), on the device of the data."""
        if indices.device != self.device:
            indices = indices.to(self.device)
        return {name: tensor.index_select(0, indices) for name, tensor in self.tensors.items()}

    def known_labels(self) -> dict[str, Tensor]:
        """Entry of labels -> the labels of all items."""
        return {
            name: tensor
            for name, tensor in self.tensors.items()
            if name in self.spaces and self.spaces[name].kind == "labels"
        }

    def to(self, device: torch.device) -> None:
        """Move the data to a device."""
        self.tensors = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        self.device = next(iter(self.tensors.values())).device

    def fingerprint(self) -> str:
        """A hash of everything held."""
        return fingerprint(*((name, tensor) for name, tensor in sorted(self.tensors.items())), self.classes)


class DataDescription:
    """What a data set says of itself before its files are here: enough for shapes and refusals, without a download.

    Returned by the optional class method ``describe(split, **parameters)`` of a data set.
    """

    in_memory = True

    def __init__(
        self, spaces: Mapping[str, Space], items: int, classes: Sequence[str] = (), provides: Iterable[str] = ()
    ) -> None:
        self.spaces = dict(spaces)
        self.classes = list(classes)
        self.provides = frozenset(provides)
        self._items = items

    def __len__(self) -> int:
        return self._items


class Reader:
    """Reads batches of a data set in a keyed order, from any position on.

    dataset: what is read. key: names the order, such as (seed, phase). batch_rows: samples in one global batch, over
    all processes and micro-batches. workers: processes that decode batches ahead; sets in memory need none.
    position: how many samples of the order have been used; set it to resume.

    Raises:
        DataError: if the data set has fewer items than one global batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        key: tuple[Any, ...],
        *,
        batch_rows: int,
        device: torch.device | str = "cpu",
        workers: int = 0,
    ) -> None:
        if len(dataset) < batch_rows:
            raise DataError(
                f"the data set has {len(dataset)} items, fewer than one batch of {batch_rows}; "
                "set train.batch_size so that a batch of all processes holds at most "
                f"{len(dataset)}, or select more data"
            )
        self.dataset = dataset
        self.key = key
        self.device = torch.device(device)
        self.position = 0
        movable: Any = dataset
        self._resident = dataset.in_memory and hasattr(dataset, "to")
        if self._resident:
            movable.to(self.device)
        self._order = order_of(dataset, key, self.device if self._resident else torch.device("cpu"))
        self._ahead = (
            Prefetcher(dataset, key, self._order, workers=workers, pin=self.device.type == "cuda")
            if workers and not dataset.in_memory
            else None
        )
        self._calls: list[BatchRequest] = []  # of this step, relative to its position
        self._raw: tuple[BatchRequest, dict[str, Tensor]] | None = (
            None  # the last batch decoded, which another phase may want, too
        )

    def get(self, rows: int, part: int = 0, parts: int = 1) -> dict[str, Tensor]:
        """Our rows of the batch at this position, name -> (rows, ...): samples position + part * rows and following.

        Images are floats in [-1, 1] of torch's default type. Reading does not move the position.

        Raises:
            DataError: naming the file that cannot be read.
        """
        call = (self.position + part * rows, rows)
        if self._resident:
            return normalised(self.dataset.batch(*self._order.items(*call)), self.device)
        if self._raw is None or self._raw[0] != call:
            ahead = self._ahead.take(call) if self._ahead else None
            self._raw = call, self.dataset.batch(*self._order.items(*call)) if ahead is None else ahead
            self._calls.append((part * rows, rows))
        return normalised(self._raw[1], self.device)

    def advance(self, samples: int) -> None:
        """Move on by one global batch. Workers then read ahead what the last step read, ``samples`` further on."""
        self.position += samples
        if self._ahead and self._calls:
            self._ahead.follow(self.position, self._calls, samples)
        self._calls = []

    def close(self) -> None:
        """End the workers, if there are any. Reading on starts them again."""
        if self._ahead:
            self._ahead.close()


def normalised(batch: Mapping[str, Tensor], device: torch.device | str) -> dict[str, Tensor]:
    """A batch on a device: uint8 becomes floats in [-1, 1] there, floats get torch's default type."""
    ready = {}
    for name, value in batch.items():
        if value.device != device:
            value = value.to(device, non_blocking=True)
        if value.dtype == torch.uint8:
            # converted first: a division of bytes takes four times as long, and gives the same bits
            value = value.to(torch.get_default_dtype()).div_(127.5).sub_(1)
        elif value.is_floating_point():
            value = value.to(torch.get_default_dtype())
        ready[name] = value
    return ready


def read_items(
    dataset: Dataset,
    indices: Sequence[int] | np.ndarray | None = None,
    *,
    rows: int = 256,
    key: tuple[Any, ...] = ("items",),
    device: torch.device | str = "cpu",
) -> Iterator[dict[str, Tensor]]:
    """Items (all of them by default) in the order given, in batches of ``rows``, images as floats in [-1, 1].

    For evaluators and sample grids. The same key gives the same crops.
    """
    wanted = np.arange(len(dataset)) if indices is None else np.asarray(indices, dtype=np.int64)
    for first in range(0, len(wanted), rows):
        some = wanted[first : first + rows]
        yield normalised(
            dataset.batch(torch.from_numpy(some), ItemDraws(key, np.asarray(0), some)), torch.device(device)
        )


def fingerprint(*parts: Any) -> str:
    """A short hash of data and settings: numbers and text by their repr, arrays and tensors by their bytes.

    Of lists, tuples and other sequences, one item after the other.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        _feed(digest, part)
    return digest.hexdigest()


def _feed(digest: Any, part: Any) -> None:
    if isinstance(part, Tensor):
        part = part.detach().cpu().numpy()
    if isinstance(part, np.ndarray):
        digest.update(f"{part.dtype.str}{part.shape}".encode())
        digest.update(np.ascontiguousarray(part).data)
    elif isinstance(part, Sequence) and not isinstance(part, str | bytes | bytearray | memoryview | range):
        digest.update(f"{len(part)}[".encode())
        for inner in part:
            _feed(digest, inner)
    else:
        digest.update(f"{part!r};".encode())


def selected_classes(names: Sequence[str], wanted: Sequence[str | int] | None) -> list[int]:
    """The indices of the classes that a recipe's ``classes`` asks for, in its order; all of them for None.

    A string is a name; an integer is the class of that name, if there is one, and else an index from 0. Where all names
    are numbers, it is warned of the latter.

    Raises:
        DataError: for an unknown or repeated class, or an empty list.
    """
    if wanted is None:
        return list(range(len(names)))
    if not wanted:
        raise DataError("classes: the list is empty; name at least one, or leave `classes` out for all")
    found: list[int] = []
    for item in wanted:
        if isinstance(item, int):
            place = class_number(names, item)
            if place is None:
                raise DataError(
                    f"classes: there is no class number {item}; the {len(names)} classes are 0 to {len(names) - 1}, "
                    f"called {some(names)}"
                )
            index = place
            if all(map(is_number, names)) and int(names[index]) != item:
                why = f"no class is called {item}; it is taken as a number from 0 on, of the class {names[index]}"
                warnings.warn(f"classes: {why}", stacklevel=2)
        elif item in names:
            index = list(names).index(item)
        else:
            close = difflib.get_close_matches(item, names, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(list(names)[:20])}"
            raise DataError(f"classes: there is no class {item!r}; {hint}")
        if index in found:
            raise DataError(f"classes: {names[index]!r} is named twice")
        found.append(index)
    return found
