"""Pictures that are there twice: the same bytes, or nearly the same look.

Two pictures look nearly the same if their perceptual hashes (the signs of the lowest frequencies of a cosine transform,
after Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010) differ in few bits and their
small grey versions correlate. That finds copies in another format, size, quality or brightness; not crops.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from ganrun.data.file_contents import SIDE

BITS = 64
BAND = 16  # bits of a hash that two pictures share to be compared at all
MOST_BITS = 6  # that may differ
LEAST_CORRELATION = 0.99
FLAT = 2.0  # standard deviation of the grey levels below which a picture looks like any other
CROWD = 64  # pictures that share a band beyond which each is compared with so many neighbours only
_AT_A_TIME = 8192
LOW = 8  # frequencies of each axis that a hash is made of
_WAVES = np.cos(np.pi * np.outer(np.arange(LOW), np.arange(SIDE) + 0.5) / SIDE).astype(np.float32)  # (LOW, SIDE)
Name = TypeVar("Name")


def same_bytes(digests: Mapping[Name, str]) -> list[list[Name]]:
    """Groups of names with one digest, in the order of their first names; empty digests are left out."""
    groups: dict[str, list[Name]] = defaultdict(list)
    for name, digest in digests.items():
        if digest:
            groups[digest].append(name)
    return [names for names in groups.values() if len(names) > 1]


def alike(names: Sequence[Name], greys: Sequence[bytes]) -> list[list[Name]]:
    """Groups of names whose small grey pictures (SIDE * SIDE bytes) look nearly the same; empty ones are left out.

    A group is what is linked pair by pair: its first and its last may differ more.
    """
    kept = np.array([number for number, grey in enumerate(greys) if grey], np.int64)
    if len(kept) < 2:
        return []
    pictures = np.frombuffer(b"".join(greys[number] for number in kept), np.uint8).reshape(-1, SIDE * SIDE)
    varied = pictures.std(1) >= FLAT
    kept, pictures = kept[varied], pictures[varied]
    pairs = _near(pictures)
    if not len(pairs):
        return []
    from scipy.sparse import coo_array  # a quarter of a second
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs), np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(len(kept), len(kept)))
    count, groups = connected_components(graph, directed=False)
    sizes = np.bincount(groups, minlength=count)
    members: dict[int, list[Name]] = defaultdict(list)
    for place in np.flatnonzero(sizes[groups] > 1):
        members[int(groups[place])].append(names[int(kept[place])])
    return list(members.values())


def hashes(pictures: np.ndarray) -> np.ndarray:
    """Grey pictures (N, SIDE * SIDE) uint8 -> (N,) uint64, whose bits are signs of the lowest frequencies."""
    found = np.empty(len(pictures), np.uint64)
    weights = np.uint64(1) << np.arange(BITS, dtype=np.uint64)
    for first in range(0, len(pictures), _AT_A_TIME):
        piece = pictures[first : first + _AT_A_TIME].reshape(-1, SIDE, SIDE).astype(np.float32)
        low = (_WAVES @ piece @ _WAVES.T).reshape(-1, BITS)
        low[:, 0] = 0  # the mean, which is the brightness
        bits = low > np.median(low, axis=1, keepdims=True)
        found[first : first + _AT_A_TIME] = (bits * weights).sum(1, dtype=np.uint64)
    return found


def _near(pictures: np.ndarray) -> np.ndarray:
    """Pairs (P, 2) of rows that look nearly the same."""
    known = hashes(pictures)
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, BITS, BAND):
        key = (known >> np.uint64(start)) & np.uint64((1 << BAND) - 1)
        order = np.lexsort((known, key))
        for step in range(1, CROWD + 1):  # a picture and the one that is `step` places further on
            first, second = order[:-step], order[step:]
            together = key[first] == key[second]
            if not together.any():
                break
            first, second = first[together], second[together]
            differ = _ones(known[first] ^ known[second])
            first, second = first[differ <= MOST_BITS], second[differ <= MOST_BITS]
            if len(first):
                close = _correlation(pictures, first, second) >= LEAST_CORRELATION
                found.append(np.sort(np.stack([first[close], second[close]], 1), axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _ones(values: np.ndarray) -> np.ndarray:
    """How many bits of each value (N,) uint64 are set."""
    counts: np.ndarray = np.unpackbits(values.view(np.uint8).reshape(-1, 8), axis=1).sum(1)
    return counts


def _correlation(pictures: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    found = np.empty(len(first))
    for start in range(0, len(first), _AT_A_TIME):
        some = slice(start, start + _AT_A_TIME)
        a, b = (pictures[rows[some]].astype(np.float32) for rows in (first, second))
        a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
        found[some] = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
    return found
