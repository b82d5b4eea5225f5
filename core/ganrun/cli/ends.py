"""How a command ends when something fails: with a message that names the plugin, never silently."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from ganrun.errors import UserError


class _Ended(SystemExit):
    """What ``os._exit`` of a plugin becomes."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.called = f"os._exit({code})"


@contextmanager
def plugins_named(*, debug: bool) -> Iterator[None]:
    """An error that comes from a plugin's code is raised as a BrokenPlugin, which names the plugin, file and line.

    All other errors, and Ctrl-C, pass as they are. ``debug`` prints the traceback of whatever is raised.
    """
    try:
        with _no_silent_end():
            yield
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except BaseException as error:
        from ganrun.catalog.attribution import broken

        named = None if isinstance(error, UserError) else broken(error)
        if debug and (named is not None or isinstance(error, UserError)):
            traceback.print_exception(error)
        if named is None:
            raise
        raise named from error


@contextmanager
def _no_silent_end() -> Iterator[None]:
    """While this lasts, a call of ``os._exit`` in this process raises SystemExit.

    By itself it ends a process at once, with the given code and no message. Forked processes are not affected, and
    neither is another thread, such as the one that ends a process which waits for a lost one.
    """
    leave, own = os._exit, os.getpid()

    def end(code: int) -> None:
        if os.getpid() == own and threading.current_thread() is threading.main_thread():
            raise _Ended(code)
        leave(code)

    os._exit = end  # type: ignore[assignment]
    try:
        yield
    finally:
        os._exit = leave
