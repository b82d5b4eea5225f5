"""Worker processes that read the batches to come, for data sets that do not fit in memory."""

from __future__ import annotations

import atexit
import ctypes
import math
import multiprocessing
import os
import signal
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, get_worker_info

from ganrun.catalog.attribution import broken
from ganrun.contracts.protocols import Dataset
from ganrun.data.order import Order
from ganrun.errors import BrokenPlugin, DataError, UserError
from ganrun.randomness import ItemDraws, seeded

MANY = 1024  # items from which on worker processes are worth their start
SENT_AT_ONCE = 64  # items that a worker computes before it sends them
MOST_WORKERS = 16
Read = TypeVar("Read")
BatchRequest = tuple[int, int]  # where a batch starts in the endless order, and its rows


@dataclass
class UnreadableBatch:
    """What a worker sends in place of a batch: the message of the error that the data set raised."""

    message: str
    of_plugin: bool = False


class Prefetcher:
    """Reads ahead along a *course*: the calls of one step, repeated with a stride.

    The course is what the last step read. A batch that was not foreseen (the first one, one after a resume) is not
    here: the reader reads it itself, and sets a new course with ``follow``.
    """

    def __init__(self, dataset: Dataset, key: tuple[Any, ...], order: Order, *, workers: int, pin: bool) -> None:
        self._sampler = _Course(order)
        self._batches = _Batches(dataset, key)
        self._workers = workers
        self._pin = pin
        self._loader: DataLoader[Any] | None = None
        self._iterator: Iterator[Any] | None = None
        self._foreseen: Iterator[BatchRequest] = iter(())
        self._next: BatchRequest | None = None

    def take(self, call: BatchRequest) -> dict[str, Tensor] | None:
        """The batch of this call, None if it was not foreseen.

        Raises:
            UserError: the worker's, naming the file; or that a worker died.
        """
        if self._iterator is None or call != self._next:
            self._iterator = self._next = None
            return None
        try:
            batch = next(self._iterator)
        except RuntimeError as error:
            self.close()
            raise UserError(f"{_died(error)}: lower train.workers, or set it to 0 to read without workers") from None
        self._next = next(self._foreseen)
        return dict(_readable(batch))

    def follow(self, start: int, calls: list[BatchRequest], stride: int) -> None:
        """Read ahead from ``start`` on: each step the given calls (relative to its start), steps ``stride`` apart."""
        if self._iterator is not None and self._next == (start + calls[0][0], calls[0][1]):
            return
        self._sampler.course = (start, calls, stride)
        self._foreseen = self._sampler.calls()
        self._next = next(self._foreseen)
        with warnings.catch_warnings():
            # how many is the user's choice
            warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
            if self._loader is None:
                self._loader = self._start()
            self._iterator = iter(self._loader)

    def close(self) -> None:
        """End the workers."""
        self._loader = self._iterator = self._next = None

    def _start(self) -> DataLoader[Any]:
        atexit.register(_close_at_exit, weakref.ref(self))
        return DataLoader(
            self._batches,
            batch_size=None,
            sampler=self._sampler,
            num_workers=self._workers,
            persistent_workers=True,
            collate_fn=_as_it_is,
            worker_init_fn=partial(settle, os.getpid()),
            pin_memory=self._pin,
            # of the workers' own seeds, which else it would draw from torch's global generator
            generator=seeded(torch.Generator(), *self._batches.key, "workers"),
        )


class _Course(Sampler[Any]):
    """Endless: the requests to the workers, (epochs, indices) of one batch after the other."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.course: tuple[int, list[BatchRequest], int] = (0, [], 0)

    def calls(self) -> Iterator[BatchRequest]:
        start, calls, stride = self.course
        while True:
            yield from [(start + offset, rows) for offset, rows in calls]
            start += stride

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start, rows in self.calls():
            yield self.order.arrays(start, rows)


class _Batches(torch.utils.data.Dataset[Any]):
    """In a worker: one whole batch per request."""

    def __init__(self, dataset: Dataset, key: tuple[Any, ...]) -> None:
        self.dataset = dataset
        self.key = key

    def __getitem__(self, request: tuple[np.ndarray, np.ndarray]) -> dict[str, Tensor] | UnreadableBatch:
        epochs, indices = request
        return _read(lambda: self.dataset.batch(torch.from_numpy(indices), ItemDraws(self.key, epochs, indices)))


class _Computed(torch.utils.data.Dataset[Any]):
    """In a worker: some items, one after the other."""

    def __init__(self, compute: Callable[[int], np.ndarray]) -> None:
        self.compute = compute

    def __getitem__(self, rows: range) -> list[np.ndarray] | UnreadableBatch:
        return _read(lambda: [self.compute(row) for row in rows])


def computed_in_workers(compute: Callable[[int], np.ndarray], count: int) -> Iterator[np.ndarray]:
    """``compute(0)``, ``compute(1)`` and so on; if there are many, in as many worker processes as there are cores.

    Raises:
        DataError: with what an error of a user says that ``compute`` raises.
        UserError: that a worker died.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count < MANY or cores == 1 or multiprocessing.current_process().daemon:  # a worker cannot have workers
        yield from map(compute, range(count))
        return
    loader = DataLoader(
        _Computed(compute),
        batch_size=None,
        sampler=[range(first, min(first + SENT_AT_ONCE, count)) for first in range(0, count, SENT_AT_ONCE)],
        num_workers=min(cores, MOST_WORKERS),
        collate_fn=_as_it_is,
        worker_init_fn=partial(settle, os.getpid()),
        generator=torch.Generator(),  # else it would draw from torch's global one
    )
    try:
        for items in loader:
            yield from _readable(items, DataError)
    except RuntimeError as error:
        raise UserError(f"{_died(error)}: free some, and try again") from None


def batch_memory(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """A tensor to be filled with a batch: in a worker process, memory that the main process sees, without a copy."""
    if get_worker_info() is None:
        return torch.empty(*shape, dtype=dtype)
    storage: Any = torch.UntypedStorage._new_shared(math.prod(shape) * dtype.itemsize)  # as torch's own collation does
    return torch.empty(0, dtype=dtype).set_(storage).view(tuple(shape))


def _read(read: Callable[[], Read]) -> Read | UnreadableBatch:
    """What ``read`` returns; an error that is the user's or a plugin's as its message, which a process can send."""
    try:
        return read()
    except UserError as error:
        return UnreadableBatch(str(error))
    except (Exception, SystemExit) as error:
        named = broken(error)
        if named is None:
            raise
        return UnreadableBatch(str(named), of_plugin=True)


def _readable(batch: Any, kind: type[UserError] = UserError) -> Any:
    """What a worker sent. Raises the error that it stands for, of a ``kind`` if it is the user's."""
    if isinstance(batch, UnreadableBatch):
        raise (BrokenPlugin if batch.of_plugin else kind)(batch.message)
    return batch


def _died(error: RuntimeError) -> str:
    return f"a worker process that reads data died ({str(error).splitlines()[0]}); it may have run out of memory"


def _close_at_exit(ahead: weakref.ref[Prefetcher]) -> None:
    """Tell workers to end: Python would wait for them after a SIGTERM, which they ignore."""
    if (alive := ahead()) is not None:
        alive.close()


def _as_it_is(batch: Any) -> Any:
    return batch


def settle(parent: int, worker: int = 0) -> None:
    """In a new worker: leave Ctrl-C and SIGTERM to the main process, which finishes its step, and die with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a parent that is killed cannot end them
        if os.getppid() != parent:  # it was killed before that
            os._exit(1)
