"""What is known of files: each is read once, by several processes, and the facts are kept until the file changes.

They lie in ``facts.sqlite`` in the folder of downloads (``GANRUN_DATA``), by path, size, time of change and inode.
"""

from __future__ import annotations

import json
import os
import sqlite3
import warnings
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

from ganrun.data.download import data_cache
from ganrun.data.file_contents import Contents, contents
from ganrun.data.file_facts import FileFacts
from ganrun.data.workers import settle
from ganrun.errors import UserError
from ganrun.progress import progress_bar

VERSION = 3  # of the facts; those of another version are forgotten
ALONE = 64  # files that are read in this process: starting others takes as long
AT_A_TIME = 16  # files that a process is given together
LEAST_WORKERS = 8  # disks and networks serve several readers faster than one, whatever the number of cores
ENDED = "the process that read it was ended, such as for want of memory, or by its decoder"
_TABLE = "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, stamp TEXT, facts TEXT) WITHOUT ROWID"


def read_files(
    paths: Sequence[Path], what: str = "looking at pictures", *, again: bool = False
) -> tuple[dict[Path, Contents], int]:
    """What is in each of some files, in their order, and how many of them were known, and so not read.

    again: all of them are read. Stopping half-way loses nothing that was read.
    """
    with KeptFacts() as kept:
        known = {} if again else kept.known(paths)
        found = dict(known)
        rest = [path for path in paths if path not in known]
        if rest:
            with progress_bar(what, len(rest)) as update:
                for done in _read(rest):
                    kept.keep(done)
                    found.update(done)
                    update(len(found) - len(known))
    return {path: found[path] for path in paths}, len(known)


def known_files(paths: Sequence[Path]) -> dict[Path, Contents]:
    """What is in those files that were read before and have not changed since. None of them is read."""
    with KeptFacts() as kept:
        return kept.known(paths)


class KeptFacts:
    """The table of facts, to be used in a ``with`` block. Where it cannot be written, a warning says so."""

    def __init__(self) -> None:
        self._base: sqlite3.Connection | None = None

    def __enter__(self) -> KeptFacts:
        try:
            place = data_cache()
            place.mkdir(parents=True, exist_ok=True)
            self._base = _opened(place / "facts.sqlite")
        except (OSError, UserError, sqlite3.Error) as error:
            _not_kept(error)
        return self

    def __exit__(self, *_: object) -> None:
        if self._base is not None:
            self._base.close()

    def known(self, paths: Sequence[Path]) -> dict[Path, Contents]:
        """As :func:`known_files`."""
        found: dict[Path, Contents] = {}
        if self._base is None:
            return found
        try:
            for path in paths:
                row = self._base.execute("SELECT stamp, facts FROM files WHERE path = ?", (_key(path),)).fetchone()
                if row is not None and row[0] == _stamp(path):
                    found[path] = _decoded(row[1])
        except (sqlite3.Error, ValueError, TypeError) as error:
            _not_kept(error)
        return found

    def keep(self, found: Mapping[Path, Contents]) -> None:
        """Add some files. One that is gone has no stamp, and is not kept."""
        if self._base is None:
            return
        rows = [(_key(path), stamp, _encoded(one)) for path, one in found.items() if (stamp := _stamp(path))]
        try:
            with self._base:
                self._base.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)
        except sqlite3.Error as error:
            self._base.close()
            self._base = None
            _not_kept(error)


def _opened(path: Path) -> sqlite3.Connection:
    try:
        return _with_table(path)
    except sqlite3.OperationalError:  # it is locked, or cannot be written
        raise
    except sqlite3.DatabaseError:  # it is damaged: everything in it can be found again
        path.unlink()
        return _with_table(path)


def _with_table(path: Path) -> sqlite3.Connection:
    base = sqlite3.connect(path, timeout=30)
    try:
        if base.execute("PRAGMA user_version").fetchone() != (VERSION,):
            base.execute("DROP TABLE IF EXISTS files")
            base.execute(f"PRAGMA user_version = {VERSION}")
        base.execute(_TABLE)
        base.execute("PRAGMA synchronous = OFF")  # what a crash of the machine loses is read again
        base.commit()
    except BaseException:
        base.close()
        raise
    return base


def _not_kept(error: Exception) -> None:
    warnings.warn(
        f"what is in the files is not kept, so that they are read again next time ({error}); "
        "set GANRUN_DATA to a folder that can be written",
        stacklevel=3,
    )


def _key(path: Path) -> str:
    """The absolute path; bytes of a name that are no text are written as ``\\xff``."""
    return os.fsencode(path.absolute()).decode("utf-8", "backslashreplace")


def _stamp(path: Path) -> str:
    """What changes when a file does; empty if there is none."""
    try:
        facts = path.stat()
    except OSError:
        return ""
    return f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ino}"


def _encoded(found: Contents) -> str:
    return json.dumps([asdict(found.facts), found.digest, b64encode(found.grey).decode()])


def _decoded(text: str) -> Contents:
    facts, digest, grey = json.loads(text)
    return Contents(FileFacts(**{**facts, "size": tuple(facts["size"])}), digest, b64decode(grey))


def workers() -> int:
    """How many processes read files together."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(LEAST_WORKERS, cores)


def _read(paths: Sequence[Path]) -> Iterator[dict[Path, Contents]]:
    """What is in files, some at a time, in no order."""
    if len(paths) <= ALONE:
        yield from ({path: contents(path)} for path in paths)
        return
    waiting = [paths[first : first + AT_A_TIME] for first in range(0, len(paths), AT_A_TIME)]
    while waiting:
        asked: dict[Future[dict[Path, Contents]], Sequence[Path]] = {}
        with ProcessPoolExecutor(workers(), initializer=partial(settle, os.getpid())) as pool:
            try:
                asked = {pool.submit(_read_some, piece): piece for piece in waiting}
                for done in as_completed(asked):
                    with suppress(BrokenProcessPool):  # a process was ended, and with it all that is not done
                        yield done.result()
                        del asked[done]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        unread = [*asked.values()]
        for piece in unread[: workers()]:  # what was being read then is among them
            yield from (_apart(path) for path in piece)
        waiting = unread[workers() :]


def _read_some(paths: Sequence[Path]) -> dict[Path, Contents]:
    return {path: contents(path) for path in paths}


def _apart(path: Path) -> dict[Path, Contents]:
    """What is in a file that may have ended the process that read it, so that one of its own reads it."""
    with ProcessPoolExecutor(1, initializer=partial(settle, os.getpid())) as pool:
        try:
            return pool.submit(_read_some, [path]).result()
        except BrokenProcessPool:
            return {path: Contents(FileFacts(error=ENDED), "", b"")}
