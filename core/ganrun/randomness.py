"""Keyed draws: every random number is a function of a key, never of what was drawn before.

A draw is made for the global batch, and each process (and each micro-batch) keeps its own rows, so two
processes with batch N draw what one process with batch 2N draws, and a resumed run needs no saved state.
"""

from __future__ import annotations

import hashlib
import math
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

DRAWS = 2  # version of what a key draws. Up to commit 0166519 it was 1: torch's generator, seeded with 32 bits
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_WORDS = 624  # of 32 bits: the state of torch's generator on a CPU, a Mersenne Twister (Matsumoto, Nishimura 1998)
_SEED, _FIRST_WORD = 0, 3  # where in a saved state the seed and the words stand, each in 8 bytes
_UNUSED = torch.Generator().manual_seed(0).get_state().numpy().view(np.uint64)  # of a generator that has drawn nothing
_STEP = 0x9E3779B97F4A7C15  # odd, so that a sum of it comes back to where it was only after all 2^63 values


def stable_hash(*key: Any) -> int:
    """A 63-bit integer that depends on ``key`` alone: the same in every process, version and machine."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seeded(generator: torch.Generator, *key: Any) -> torch.Generator:
    """Set a generator to a state that depends on ``key`` alone, and return it.

    ``manual_seed`` would keep 32 bits of a seed on a CPU: of 100,000 keys, one pair would draw the same numbers. Here a
    hash fills the whole state. A CUDA generator keeps all 63 bits of a seed.
    """
    if generator.device.type != "cpu":
        return generator.manual_seed(stable_hash(*key))
    digest = hashlib.shake_128(repr(key).encode()).digest(4 * _WORDS + 8)
    state = _UNUSED.copy()
    state[_FIRST_WORD : _FIRST_WORD + _WORDS] = np.frombuffer(digest, "<u4", _WORDS)
    state[_SEED] = int.from_bytes(digest[-8:], "little")  # nothing is drawn from it; ``initial_seed`` shows it
    generator.set_state(torch.from_numpy(state.view(np.uint8)))
    return generator


class Draws:
    """The random numbers of one turn.

    ``key`` names the turn; ``part`` of ``parts`` says which rows of each global draw are ours. A purpose used
    twice gets a count of its own, so that two instances of one trick draw different numbers. ``by_row``: on a CPU row i
    is the same however many rows are drawn.
    """

    def __init__(
        self,
        key: tuple[Any, ...],
        part: int = 0,
        parts: int = 1,
        device: torch.device | str = "cpu",
        *,
        by_row: bool = False,
    ) -> None:
        self.key = key
        self.part = part
        self.parts = parts
        self.device = torch.device(device)
        self.by_row = by_row
        self._counts: dict[str, int] = {}
        self._forwards = 0

    def generator(self, purpose: str) -> torch.Generator:
        """A generator seeded by the key, the purpose and how often this purpose was used before."""
        return seeded(torch.Generator(self.device), *self.key, purpose, self.count(purpose))

    def count(self, purpose: str) -> int:
        """How often this purpose was counted before; counts it once more."""
        count = self._counts.get(purpose, 0)
        self._counts[purpose] = count + 1
        return count

    def forward_seed(self) -> int:
        """A seed of torch's own generator (dropout) for the next forward of this turn, another one in each process."""
        if not self._forwards:
            self._forwards = stable_hash(*self.key, self.part, "forward")
        self._forwards = (self._forwards + _STEP) % 2**63
        return self._forwards

    def normal(self, purpose: str, n: int, *shape: int) -> Tensor:
        """Standard normal numbers, (n, *shape): the rows of this process."""
        rows = n * self.parts
        if self.by_row:  # torch draws the last numbers of a tensor otherwise, unless their count is divisible by 16
            rows = -(-rows // 16) * 16
        draw = torch.randn(rows, *shape, generator=self.generator(purpose), device=self.device)
        return self._mine(draw[: n * self.parts], n)

    def uniform(self, purpose: str, n: int, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Uniform numbers in [low, high), (n, *shape): the rows of this process."""
        draw = torch.rand(n * self.parts, *shape, generator=self.generator(purpose), device=self.device)
        return self._mine(draw, n) * (high - low) + low

    def truncated_normal(self, purpose: str, limit: float, n: int, *shape: int) -> Tensor:
        """Standard normal numbers given that they lie in [-limit, limit], (n, *shape): the rows of this process."""
        return truncated_normal(self.uniform(purpose, n, *shape), limit)

    def integers(self, purpose: str, high: int, n: int, *shape: int) -> Tensor:
        """Integers from 0 up to, not including, ``high``, (n, *shape): the rows of this process."""
        size = (n * self.parts, *shape)
        return self._mine(torch.randint(high, size, generator=self.generator(purpose), device=self.device), n)

    def permutation(self, purpose: str, n: int) -> Tensor:
        """A random order of 0..n-1, the same in every process."""
        return torch.randperm(n, generator=self.generator(purpose), device=self.device)

    def _mine(self, draw: Tensor, n: int) -> Tensor:
        return draw if self.parts == 1 else draw[self.part * n : (self.part + 1) * n]


def truncated_normal(u: Tensor, limit: float) -> Tensor:
    """Uniform numbers in [0, 1) -> as many, of their type, of a standard normal cut off at -limit and limit."""
    # Uniform numbers are multiples of eps / 2; the middles between them are symmetric and leave out 0, which may stand
    # for minus infinity.
    centred = 2 * u.double() - 1 + torch.finfo(u.dtype).eps / 2
    z = math.sqrt(2) * torch.erfinv(centred * math.erf(limit / math.sqrt(2)))
    return z.clamp(-limit, limit).to(u.dtype)


class ItemDraws:
    """The random numbers of the items of a batch: a function of (key, epoch, index) of each item alone.

    So an item is cropped and flipped alike whichever worker decodes it, in whichever batch it comes.
    """

    def __init__(self, key: tuple[Any, ...], epochs: np.ndarray, indices: np.ndarray) -> None:
        self.key = key
        self.epochs = epochs
        self.indices = indices

    @cached_property
    def _state(self) -> np.ndarray:
        """(B,) uint64, hashed when the first number is wanted: most sets in memory want none."""
        with np.errstate(over="ignore"):
            state = mix(np.uint64(stable_hash(*self.key)) + _GOLDEN * self.epochs.astype(np.uint64))
            return np.asarray(mix(state ^ (_GOLDEN * (self.indices.astype(np.uint64) + np.uint64(1)))))

    def uniform(self, purpose: str, count: int = 1) -> np.ndarray:
        """float64 numbers in [0, 1), (B, count)."""
        with np.errstate(over="ignore"):
            steps = np.uint64(stable_hash(purpose)) + _GOLDEN * np.arange(1, count + 1, dtype=np.uint64)
            bits = mix(self._state[:, None] ^ mix(steps)[None, :])
        numbers: np.ndarray = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return numbers

    def integers(self, purpose: str, high: int) -> np.ndarray:
        """int64 numbers from 0 up to, not including, ``high``, (B,)."""
        return np.minimum((self.uniform(purpose)[:, 0] * high).astype(np.int64), high - 1)


def mix(x: np.ndarray | np.uint64) -> Any:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection of 64-bit numbers, element by element.

    uint64 overflows by design: call it under ``np.errstate(over="ignore")``.
    """
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
