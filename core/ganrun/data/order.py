"""The order in which items are read: endless, epoch after epoch, and known at any position from a key alone.

``shuffled``: every epoch is a random order of its own. Below :data:`LARGE` items it is a permutation that is kept; from
there on each index is computed from its position by a keyed bijection, which takes no memory and no time to begin.
``computed``: the same, but a permutation is kept below :data:`SMALL` items only. ``sequential``: the items as the data
set numbers them, in every epoch.

Scores take items in an order of their own (:func:`sample_rows`), of which any beginning is a fair draw.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganrun.errors import DataError
from ganrun.randomness import ItemDraws, mix, stable_hash

LARGE = 2**24  # items; a permutation of so many takes 128 MiB and about two seconds, and five of them are kept
SMALL = 2**16  # items; the bijection of a few is less random than a permutation, and saves nothing
AHEAD = 4096  # samples whose indices are computed ahead
ROUNDS = 8  # of the Feistel network: of ideal functions, four are enough against an adversary (Luby, Rackoff 1988)


class Order(ABC):
    """The endless order of ``length`` items: what all orders have in common."""

    def __init__(self, length: int, key: tuple[Any, ...], device: torch.device) -> None:
        self.length = length
        self.key = key
        self.device = device
        self._epochs: dict[int, Callable[[Any], np.ndarray]] = {}
        nothing = np.empty(0, np.int64)
        self._block = 0, nothing, nothing  # where it starts, its epochs, its indices

    @abstractmethod
    def epoch(self, number: int) -> Callable[[Any], np.ndarray]:
        """A function from places in this epoch to items, int64 (B,) -> (B,)."""

    def items(self, start: int, count: int) -> tuple[Tensor, ItemDraws]:
        """The indices of ``count`` samples from ``start`` on, (count,) int64, and their random numbers."""
        first, epochs, indices = self._block
        if not first <= start <= start + count <= first + len(indices):  # many at once cost little more than a few
            first, (epochs, indices) = start, self.arrays(start, max(count, min(AHEAD, self.length)))
            self._block = first, epochs, indices
        mine = slice(start - first, start - first + count)
        epochs, indices = epochs[mine], indices[mine]
        return torch.from_numpy(indices).to(self.device), ItemDraws(self.key, epochs, indices)

    def arrays(self, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Epochs and indices of ``count`` samples from ``start`` on, int64 (count,) each, for any count."""
        epochs, places = np.divmod(np.arange(start, start + count), self.length)
        indices = np.empty(count, np.int64)
        for number in range(epochs[0], epochs[-1] + 1):
            here = epochs == number
            indices[here] = self._epoch(number)(places[here])
        return epochs, indices

    def _epoch(self, number: int) -> Callable[[Any], np.ndarray]:
        """``epoch``, of which the last few are kept."""
        if number not in self._epochs:
            if len(self._epochs) > 2:
                del self._epochs[min(self._epochs)]
            self._epochs[number] = self.epoch(number)
        return self._epochs[number]


class Permuted(Order):
    """Each epoch is a keyed permutation, kept whole: a batch is a slice of it."""

    def __init__(self, length: int, key: tuple[Any, ...], device: torch.device) -> None:
        super().__init__(length, key, device)
        self._first = -1  # the epoch that the window begins with
        self._window = np.empty(0, np.int64)  # this epoch and the next: a batch that starts in this one lies inside
        self._indices = torch.empty(0, dtype=torch.int64)  # the same on the device

    def epoch(self, number: int) -> Callable[[Any], np.ndarray]:
        """The permutation of an epoch."""
        return permutation(self.length, *self.key, "order", number).__getitem__

    def items(self, start: int, count: int) -> tuple[Tensor, ItemDraws]:
        """As of any order. Nothing is computed, unless a new epoch begins."""
        first, offset = divmod(start, self.length)
        stop = offset + count
        if stop > 2 * self.length:
            return super().items(start, count)
        if first != self._first:
            everything = slice(None)
            self._window = np.concatenate([self._epoch(first)(everything), self._epoch(first + 1)(everything)])
            self._indices = torch.from_numpy(self._window).to(self.device)
            self._first = first
        epochs = np.asarray(first) if stop <= self.length else first + (np.arange(offset, stop) >= self.length)
        return self._indices[offset:stop], ItemDraws(self.key, epochs, self._window[offset:stop])


class Computed(Order):
    """Each epoch is a keyed bijection: the item at a place is computed, and nothing of the length is kept."""

    def epoch(self, number: int) -> Callable[[Any], np.ndarray]:
        """The bijection of an epoch."""
        return Bijection(self.length, *self.key, "order", number)


class Sequential(Order):
    """The items as the data set numbers them. The key decides their random numbers only."""

    def epoch(self, number: int) -> Callable[[Any], np.ndarray]:
        """Every epoch is the same."""
        return lambda places: places


ORDERS = ("shuffled", "computed", "sequential")  # what the attribute ``order`` of a data set may be


def order_of(dataset: Any, key: tuple[Any, ...], device: torch.device) -> Order:
    """The order that a data set asks for, ``shuffled`` if it does not say.

    Raises:
        DataError: for an order that does not exist.
    """
    asked, length = getattr(dataset, "order", "shuffled"), len(dataset)
    if asked not in ORDERS:
        raise DataError(f"{type(dataset).__name__}.order is {asked!r}; it can be {', '.join(ORDERS)}")
    if asked == "sequential":
        return Sequential(length, key, device)
    kept = length < (SMALL if asked == "computed" else LARGE)
    return (Permuted if kept else Computed)(length, key, device)


def permutation(n: int, *key: Any) -> np.ndarray:
    """A random order of 0..n-1 that depends on ``key`` alone, int64 (n,).

    It sorts raw Philox numbers (Salmon et al. 2011), whose bits never change, unlike those of numpy's ``permutation``.
    """
    return np.argsort(np.random.Philox(key=stable_hash(*key)).random_raw(n), kind="stable").astype(np.int64, copy=False)


def subset(n: int, count: int, *key: Any) -> np.ndarray:
    """``count`` different numbers below n (all of them if n is less), int64, random, and a function of ``key`` alone.

    They are the first of :func:`permutation`; from :data:`LARGE` on they are computed, without one.
    """
    return permutation(n, *key)[:count] if n < LARGE else Bijection(n, *key)(np.arange(min(count, n)))


def sample_rows(dataset: Any, places: Any) -> np.ndarray:
    """Places among the samples (n,) -> items (n,) int64: the order in which scores take the items of a data set.

    Any first n of it are a fair draw of all items, however the data set numbers them: it is a permutation that depends
    on the number of items alone, so that all runs on the same data are scored against the same ones. Items of
    ``sequential`` data come as they are numbered: that is how they are trained on, so they have to be mixed.
    """
    rows = np.asarray(places, dtype=np.int64)
    if getattr(dataset, "order", "shuffled") == "sequential":
        return rows
    return mixed(len(dataset))(rows)


@lru_cache(maxsize=8)
def mixed(length: int) -> Callable[[np.ndarray], np.ndarray]:
    """A random order of 0..length-1 that depends on ``length`` alone, as a function: (n,) int64 -> (n,) int64."""
    key = ("samples", length)
    return permutation(length, *key).__getitem__ if length < SMALL else Bijection(length, *key)


class Bijection:
    """A random order of 0..n-1, as a function: places (B,) int64 -> numbers (B,) int64, each exactly once.

    A generalised Feistel network over a rectangle of at least n cells, with cycle walking: what falls outside goes
    through the network until it lies inside (Black, Rogaway, "Ciphers with arbitrary finite domains", 2002). About one
    number in sqrt(n) has to.
    """

    def __init__(self, n: int, *key: Any) -> None:
        self.n = n
        self.key = key
        self.rows = math.isqrt(n - 1) + 1
        self.columns = -(-n // self.rows)

    @cached_property
    def _round_keys(self) -> np.ndarray:
        return np.random.Philox(key=stable_hash(*self.key)).random_raw(ROUNDS)

    def __call__(self, places: np.ndarray) -> np.ndarray:
        """int64 (B,) -> int64 (B,)."""
        found = self._once(places.astype(np.uint64))
        while (outside := np.flatnonzero(found >= np.uint64(self.n))).size:
            found[outside] = self._once(found[outside])
        return found.astype(np.int64)

    def _once(self, x: np.ndarray) -> np.ndarray:
        """A bijection of the cells of the rectangle, uint64."""
        sizes = np.uint64(self.rows), np.uint64(self.columns)
        halves = list(np.divmod(x, sizes[1]))  # row below `rows`, column below `columns`
        for number, key in enumerate(self._round_keys):
            moved = number % 2
            with np.errstate(over="ignore"):
                halves[moved] = (halves[moved] + mix(halves[1 - moved] ^ key) % sizes[moved]) % sizes[moved]
        found: np.ndarray = halves[0] * sizes[1] + halves[1]
        return found
