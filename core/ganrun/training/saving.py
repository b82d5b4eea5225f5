"""Saving last: a checkpoint of a step waits until all observers have had the event in which one asked for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Saving:
    """So a checkpoint of step N holds what every observer knows after it, and what they write for it is there before.

    save: what writes a checkpoint.
    """

    def __init__(self, save: Callable[[], None]) -> None:
        self._save = save
        self._informing = self._wanted = False

    def put_off(self) -> bool:
        """Whether a checkpoint has to wait because observers are being informed. It is written after them then."""
        self._wanted = self._informing
        return self._informing

    @contextmanager
    def informing(self, *, also_if_it_fails: bool = False) -> Iterator[None]:
        """While observers are informed. If one fails, what others asked for is written only if ``also_if_it_fails``."""
        self._informing, whole = True, False
        try:
            yield
            whole = True
        finally:
            wanted = self._wanted
            self._informing = self._wanted = False
            if wanted and (whole or also_if_it_fails):
                self._save()
