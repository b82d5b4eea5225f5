"""What takes long says what it is at: a bar on a terminal, elsewhere a line now and then. What is quick says nothing.

It goes to stderr, in the main process alone.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

SOON, AGAIN = 1.5, 10.0  # seconds until the first word, and between two lines where there is no terminal
OPENING = "opening the data, building the networks"
Item = TypeVar("Item")


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function that is called with how much of ``total`` is done, as often as one likes.

    what: such as ``reading pictures``; shown as ``reading pictures: 120/581, 0:12 left``.
    """
    shown = _Progress(what, total)
    try:
        yield shown.update
    finally:
        shown.end()


@contextmanager
def message_if_slow(what: str) -> Iterator[None]:
    """Say what is done if it takes longer than a moment, where nobody can count how far it is, such as imports."""
    timer = threading.Timer(SOON, lambda: print(f"{what} ...", file=sys.stderr, flush=True))
    timer.daemon = True
    if _is_main():
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def say(text: str) -> None:
    """A line about the work, to stderr, by the main process."""
    if _is_main():
        print(text, file=sys.stderr, flush=True)


def track(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """The items, with a bar or lines that show how many of ``total`` are done."""
    with progress_bar(what, total) as update:
        for done, item in enumerate(items, start=1):
            yield item
            update(done)


class _Progress:
    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self._began = time.monotonic()
        self._next = self._began + SOON if _is_main() else float("inf")
        self._bar: Any = None
        self._spoke = False
        self._done = 0

    def update(self, done: int) -> None:
        self._done = done
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(0, completed=done)
        elif now >= self._next:
            self._spoke, self._next = True, now + AGAIN
            self._bar = _bar(self.what, self.total, done) if _on_terminal() else None
            if self._bar is None:
                took = now - self._began
                left = f", {_clock(took / done * (self.total - done))} left" if 0 < done < self.total else ""
                self._print(left)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._spoke:
            self._print(f", in {_clock(time.monotonic() - self._began)}")

    def _print(self, more: str) -> None:
        print(f"{self.what}: {self._done}/{self.total}{more}", file=sys.stderr, flush=True)


def _is_main() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _on_terminal() -> bool:
    """Whether a bar can be drawn: on a terminal on which no other live display is."""
    taken = "rich.file_proxy" in sys.modules and isinstance(sys.stderr, sys.modules["rich.file_proxy"].FileProxy)
    return sys.stderr.isatty() and not taken


def _bar(what: str, total: int, done: int) -> Any:
    """A started bar with one task."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True))
    bar.add_task(what, total=total, completed=done)
    bar.start()
    return bar


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
