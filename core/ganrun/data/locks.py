"""Locks between processes, and files of caches: there whole or not at all, of which a kill leaves nothing for good."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ganrun.errors import DownloadError

UNFINISHED = ".unfinished"  # how the names of folders end in which files are written
EARLIER = re.compile(r"\.?[0-9a-f]{32}(\.\w+)?\w{8}\.part")  # what earlier versions left in the caches after a kill
STALE = 86_400.0  # seconds after which that is removed


@contextmanager
def file_lock(path: Path, reason: str = "") -> Iterator[None]:
    """Hold the lock that belongs to ``path``.

    Other processes of this machine wait here, and print ``reason`` if they have to.

    The lock is the operating system's, on the open file ``path.lock``: it goes with the process that holds it, however
    that ends, so a lock file that was left behind locks nothing.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a")
    except OSError as error:
        raise DownloadError(
            f"{lock}: cannot be written ({error.strerror}); set GANRUN_DATA to a folder that can"
        ) from None
    with file:
        try:
            _lock(file, wait=False)
        except OSError:
            if reason:
                print(f"waiting: {reason}", file=sys.stderr)
            _lock(file, wait=True)
        yield


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a path to write a file to, which takes the name ``path`` when the block ends, unless the block fails.

    Until then it lies in a folder of its own beside ``path``, with whatever else a library writes there on the way. The
    folder of a process that was killed is removed by the next that writes to the same folder.

    Raises:
        OSError: if it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(path.parent)
    folder = Path(tempfile.mkdtemp(UNFINISHED, f".{path.name}.", path.parent))
    try:
        with (folder / "lock").open("a") as held:
            _lock(held, wait=False)
            yield folder / path.name
            (folder / path.name).chmod(0o644)
            os.replace(folder / path.name, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what processes that were killed left of the files that they wrote there."""
    with os.scandir(folder) as entries:
        left = [
            Path(entry.path)
            for entry in entries
            if entry.name.endswith(UNFINISHED) or EARLIER.fullmatch(entry.name) is not None
        ]
    for path in left:
        with suppress(OSError):  # it is another user's, or was just removed by another process
            if path.suffix != UNFINISHED:
                if time.time() - path.stat().st_mtime > STALE:
                    path.unlink()
            elif not _is_written(path):
                shutil.rmtree(path)


def _is_written(folder: Path) -> bool:
    """Whether a process holds the lock of such a folder, or may just be about to make it."""
    try:
        with (folder / "lock").open("a" if os.name == "nt" else "r") as file:
            _lock(file, wait=False)
    except FileNotFoundError:
        return time.time() - folder.stat().st_mtime < 60
    except OSError:
        return True
    return False


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str], *, wait: bool) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[str], *, wait: bool) -> None:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
