"""Downloads: once, verified, by one process while others wait; and safe unpacking."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any

from ganrun.data.locks import file_lock
from ganrun.errors import DownloadError
from ganrun.paths import expanded

TIMEOUT = 30.0  # seconds without a byte
_BYTES_AT_A_TIME = 1 << 18
_COUNT = re.compile(r"\s*[0-9]{1,18}\s*")  # what a server says of a length is used if it is a number


def data_cache() -> Path:
    """Where downloads are kept: ``GANRUN_DATA``, or ``ganrun`` in the user's cache folder (``XDG_CACHE_HOME``).

    Raises:
        DownloadError: for a user without a home folder.
    """
    chosen = os.environ.get("GANRUN_DATA")
    if chosen:
        return expanded(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(base) if Path(base).is_absolute() else expanded("~/.cache")
    if not cache.is_absolute():
        raise DownloadError("this user has no home folder to keep downloads in; set GANRUN_DATA to a folder")
    return cache / "ganrun"


def fetch(
    url: str, path: Path, *, size: int | None, sha256: str | None, md5: str | None = None, progress: bool = True
) -> Path:
    """The file at ``url``, kept as ``path``: downloaded if it is not there yet, and verified either way.

    It gets its name only when its size (bytes) and hash are the expected ones (None: not known); until then it is
    ``path.part``, and a later call continues where this one ended, if the server supports it.

    Raises:
        DownloadError: with the file to get, from where, and where to put it.
    """
    with file_lock(path, f"another process downloads {path.name}"):
        expected = Expected(size, sha256, md5)
        hints = by_hand(url, path, expected)
        if path.is_file():  # from before, from another process that was faster, or placed by hand
            try:
                expected.check(path)
            except _Wrong as error:
                raise DownloadError(
                    f"{path} is not the expected file: {error}\nDelete it and try again, or {hints}"
                ) from None
            return path
        part = path.with_name(path.name + ".part")
        try:
            _fetch(url, part, expected, progress)
        except _Wrong as error:
            part.unlink(missing_ok=True)
            raise DownloadError(f"{url} is not the expected file: {error}\nTry again later, or {hints}") from None
        except (OSError, HTTPException) as error:
            if part.exists() and not part.stat().st_size:
                part.unlink()
            raise DownloadError(
                f"{url} could not be downloaded: {_reason(error)}\nTry again later, or {hints}"
            ) from None
        part.replace(path)
    return path


def by_hand(url: str, path: Path, expected: Expected) -> str:
    """How to place a file without ganrun's download."""
    known = f" ({expected})" if str(expected) else ""
    return f"download {url} on another machine{known} and place it here, under exactly this name:\n  {path}"


class _Wrong(Exception):
    """The bytes are not the expected ones."""


@dataclass(frozen=True)
class Expected:
    """What is known of a file beforehand: bytes, SHA-256, MD5 (where a publisher gives no better)."""

    size: int | None = None
    sha256: str | None = None
    md5: str | None = None

    def check(self, path: Path) -> None:
        """Raise _Wrong if the file differs."""
        found = path.stat().st_size
        if self.size is not None and found != self.size:
            raise _Wrong(f"it has {found} bytes, not {self.size}")
        for title, name, wanted in (("SHA-256", "sha256", self.sha256), ("MD5", "md5", self.md5)):
            if wanted is not None:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, name).hexdigest()
                if digest != wanted:
                    raise _Wrong(f"its {title} is {digest}, not {wanted}")

    def __str__(self) -> str:
        known = (
            (self.size, f"{self.size} bytes"),
            (self.sha256, f"SHA-256 {self.sha256}"),
            (self.md5, f"MD5 {self.md5}"),
        )
        return ", ".join(text for fact, text in known if fact is not None)


def _fetch(url: str, part: Path, expected: Expected, progress: bool) -> None:
    """Download and check; once more from the start if what was there before does not fit what came now."""
    resumed = part.exists() and part.stat().st_size > 0
    try:
        _download(url, part, expected.size, progress)
        expected.check(part)
    except _Wrong:
        if not resumed:
            raise
        part.unlink()
        _download(url, part, expected.size, progress)
        expected.check(part)


def _download(url: str, part: Path, size: int | None, progress: bool) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have and have == size:
        return
    response, have = _open(url, have)
    with response:
        coming = response.headers.get("Content-Length") or ""
        total = size if size is not None else have + int(coming) if _COUNT.fullmatch(coming) else None
        with (
            part.open("ab" if have else "wb") as file,
            _bar(part.name.removesuffix(".part"), have, total, progress) as tell,
        ):
            while chunk := response.read(_BYTES_AT_A_TIME):
                file.write(chunk)
                have += len(chunk)
                tell(len(chunk))
                if total is not None and have > total:
                    raise _Wrong(f"it has more than {total} bytes")
    if total is not None and have < total:
        raise ConnectionError(f"the connection ended after {have} of {total} bytes")


def _open(url: str, have: int) -> tuple[Any, int]:
    """The answer, and from which byte on: from ``have`` if the server honours ranges, else from 0."""
    headers = {"User-Agent": "ganrun", "Accept-Encoding": "identity"}
    if have:
        try:
            response = urllib.request.urlopen(
                urllib.request.Request(url, headers=headers | {"Range": f"bytes={have}-"}), timeout=TIMEOUT
            )
        except urllib.error.HTTPError as error:
            if error.code != 416:  # range not satisfiable: ours is no beginning of this file
                raise
        else:
            if response.status != 206:
                return response, 0
            if response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                return response, have
            response.close()
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT), 0


@contextmanager
def _bar(name: str, have: int, total: int | None, progress: bool) -> Iterator[Callable[[int], None]]:
    if not progress or not sys.stderr.isatty():
        if progress:
            print(f"downloading {name}{f' ({total / 1e6:.0f} MB)' if total else ''}", file=sys.stderr)
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=total, completed=have)
        yield lambda count: bar.advance(task, count)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} {error.reason}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no data for {TIMEOUT:.0f} seconds"
    if isinstance(cause, socket.gaierror):
        return "its server's name is not known; this machine may be offline"
    return str(cause) or type(cause).__name__


# --- unpacking -------------------------------------------------------------------------------------------------


def unpack(archive: Path, folder: Path, *, inner: str = "", limit: int = 20 << 30) -> Path:
    """Unpack a zip or tar file as ``folder``: all of it or nothing. A folder that is there is left as it is.

    ``inner`` is the folder inside the archive whose content is wanted; by default, everything. Absolute paths, ``..``,
    links, device files, and archives that unpack to more than ``limit`` bytes are refused.

    Raises:
        DownloadError: naming the archive and the member.
    """
    with file_lock(folder, f"another process unpacks {archive.name}"):
        if folder.is_dir():
            return folder
        temporary = folder.with_name(f"{folder.name}.unpacking")
        shutil.rmtree(temporary, ignore_errors=True)  # left by a process that was killed: we hold the lock
        try:
            temporary.mkdir()
            _extract(archive, temporary, limit)
            if not (temporary / inner).is_dir():
                raise ValueError(f"it holds no folder {inner!r}")
            (temporary / inner).rename(folder)
        except Exception as error:  # the modules that read archives raise nearly anything on broken ones
            cause = " ".join(str(error).split()) or type(error).__name__
            raise DownloadError(f"{archive}: cannot be unpacked as {folder}: {cause}") from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _extract(archive: Path, folder: Path, limit: int) -> None:
    written = 0
    for name, opened in _zip_members(archive) if zipfile.is_zipfile(archive) else _tar_members(archive):
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not parts or ".." in parts or parts[0] == "/" or re.match(r"[A-Za-z]:", name):
            raise ValueError(f"{name!r} leads out of the folder" if parts else "a member of it has no name")
        target = folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened() as source, target.open("xb") as file:
            while chunk := source.read(_BYTES_AT_A_TIME):
                written += len(chunk)
                if written > limit:
                    raise ValueError(f"it unpacks to more than {limit} bytes")
                file.write(chunk)


def _zip_members(archive: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            if member.external_attr >> 28 not in (0, 0o4, 0o10):  # Unix's file type: unknown, folder or regular file
                raise ValueError(f"{member.filename!r} is a link or device file")
            if not member.filename.endswith("/"):
                yield member.filename, partial(opened.open, member)


def _tar_members(archive: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    with tarfile.open(archive) as opened:
        for member in opened:
            if not member.isreg() and not member.isdir():
                raise ValueError(f"{member.name!r} is a link or device file")
            if member.isreg():
                yield member.name, partial(opened.extractfile, member)
