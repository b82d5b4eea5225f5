"""Ctrl-C and other signals: the first one asks, the second one ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType


@contextmanager
def signals(stop: Callable[[str], None], *, verbose: bool = True) -> Iterator[None]:
    """The first Ctrl-C, SIGTERM or SIGHUP (a closed terminal) stops after the step; a second one ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
    before = {number: signal.getsignal(number) for number in caught}

    def first(number: int, frame: FrameType | None) -> None:
        for caught_number in caught:
            signal.signal(caught_number, signal.SIG_DFL)
        stop("interrupted")
        with suppress(RuntimeError, OSError):  # in the middle of another print, or the output is closed
            if verbose:
                print("\nfinishing this step, then saving; once more to end at once", flush=True)

    for number in caught:
        signal.signal(number, first)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
