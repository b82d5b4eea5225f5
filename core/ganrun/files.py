"""Files of a run's folder: written as a whole or not at all, through no link below it, and read up to a size.

Whatever cannot be written or read is an OSError with the path in ``filename``.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

MOST_BYTES = 1 << 30  # bytes of a file that is read into memory
LINK = "it is a link, and nothing is written through a link in a run's folder: put what it names in its place"


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A new file for the block to fill, which takes the name ``path`` when the block ends.

    Where the block fails, ``path`` stays as it was. A link of that name is replaced and not followed, and so is what a
    process that was killed left under the name that the new file bears until then.
    """
    temporary = path.with_name(f".{path.name}.writing")
    try:
        temporary.unlink(missing_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _named(error, path) from error


def write(path: Path, content: str | bytes) -> None:
    """Write a file as a whole, or leave it as it was. Text is UTF-8."""
    with writing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def appending(path: Path) -> Iterator[BinaryIO]:
    """A file to read, and to add to at its end, made if it is not there.

    One that has other names, too, is parted from them first. Raises OSError for a link, and for what is no file.
    """
    if path.exists() and not path.is_symlink() and path.is_file() and path.stat().st_nlink > 1:
        write(path, path.read_bytes())
    try:
        with os.fdopen(open_regular(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), "a+b") as file:
            yield file
    except OSError as error:
        raise _named(error, path) from error


def below(folder: Path, name: str) -> Path:
    """The path ``name`` in a folder, for something to be written: the folders on the way are made.

    ``folder`` itself has to be there. Raises OSError for a link on the way or at its end.
    """
    if link := first_link(folder, name):
        raise OSError(errno.ELOOP, LINK, str(link))
    place = folder
    for part in PurePosixPath(name).parts[:-1]:
        place /= part
        if not place.is_dir():
            place.mkdir()
    return folder / name


def first_link(folder: Path, name: str) -> Path | None:
    """The first link on the way from a folder to the path ``name`` in it, or at its end; None if there is none."""
    place = folder
    for part in PurePosixPath(name).parts:
        place /= part
        if place.is_symlink():
            return place
    return None


def open_regular(path: Path, flags: int) -> int:
    """A handle of a file that is no link, folder, pipe or device. Opening does not wait for anything."""
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink():
            raise OSError(errno.ELOOP, LINK, str(path)) from error
        raise _named(error, path) from error
    return _regular(handle, path)


def open_to_read(path: Path) -> int:
    """A handle of a file, or of the one that a link names. Raises OSError for anything else, and waits for nothing."""
    try:
        return _regular(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), path)
    except OSError as error:
        raise _named(error, path) from error


def read_bytes(path: Path, largest: int = MOST_BYTES) -> bytes:
    """What is in a file, or in the one that a link names. Raises OSError for anything else, and a larger one."""
    handle = open_to_read(path)
    try:
        with os.fdopen(handle, "rb") as file:
            small = os.fstat(handle).st_size <= largest
            data = file.read() if small else b""  # read(n) would allocate n bytes whatever there is
    except OSError as error:
        raise _named(error, path) from error
    if not small or len(data) > largest:
        raise OSError(errno.EFBIG, f"it is larger than {largest:,} bytes", str(path))
    return data


def read_json(path: Path, largest: int = MOST_BYTES) -> Any:
    """The JSON value in a file. Raises OSError if it cannot be read, ValueError if it is no JSON."""
    try:
        return json.loads(read_bytes(path, largest).decode())
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _regular(handle: int, path: Path) -> int:
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a file, but a folder, a pipe or a device", str(path))
    return handle


def _named(error: OSError, path: Path) -> OSError:
    """The same error, about ``path``: a full disk names no file, and the name of an unfinished one says little."""
    return type(error)(error.errno, error.strerror or str(error), str(path))
