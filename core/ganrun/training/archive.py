"""A run in a zip file: written as a whole, and unpacked without leaving its folder."""

from __future__ import annotations

import hashlib
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from ganrun import files
from ganrun.data.download import data_cache
from ganrun.data.locks import file_lock
from ganrun.errors import UserError

# What a shared run consists of. Nothing else is packed, pushed, unpacked or pulled.
SHARED = (
    "recipe.yaml",
    "versions.json",
    "evaluations.jsonl",
    "README.md",
    "sample.png",
    "checkpoints/best.json",
    *(f"checkpoints/step-*/{name}" for name in ("tensors.safetensors", "state.json", "manifest.json")),
)
LARGEST_UNPACKED = 1 << 28  # bytes that a small zip file may become
RATIO = 20  # times as large as itself may a large one become: weights hardly compress
BYTES_AT_ONCE = 1 << 20


def is_shared(name: str) -> bool:
    """Whether a path in a run's folder belongs to what is shared of a run."""
    parts = name.split("/")
    return any(
        len(parts) == len(pattern.split("/")) and all(map(fnmatchcase, parts, pattern.split("/"))) for pattern in SHARED
    )


def shared_files(folder: Path) -> list[str]:
    """The files of a prepared folder, as paths in it."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if is_shared(name))


def write_zip(folder: Path, file: Path) -> None:
    """Put a prepared folder into a zip file, which is there as a whole or not at all. Equal folders, equal bytes."""
    with files.writing(file) as opened, zipfile.ZipFile(opened, "w") as archive:
        for name in shared_files(folder):
            entry = zipfile.ZipInfo(name)  # with the time zero
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(".safetensors") else zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            with (folder / name).open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, BYTES_AT_ONCE)


def unpacked(file: Path) -> Path:
    """The folder of a run that a zip file holds, in the data cache: the same one for the same bytes.

    Raises:
        UserError: if it holds no run, entries that lead out of the folder, links, or more than it announces.
    """
    try:
        digest = hashlib.sha256()
        with file.open("rb") as opened:
            while block := opened.read(BYTES_AT_ONCE):
                digest.update(block)
        folder = data_cache() / "packed" / digest.hexdigest()[:32] / file.stem
        with file_lock(folder.parent, f"another process unpacks {file}"):
            if not folder.is_dir():
                _unpack(file, folder)
    except OSError as error:
        raise UserError(f"{error.filename or file}: cannot be read or unpacked: {error.strerror or error}") from error
    return folder


def _unpack(file: Path, folder: Path) -> None:
    aside = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        with zipfile.ZipFile(file) as archive:
            for name, entry in entries(archive, file):
                target = aside / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as written:
                    for block in _blocks(archive, entry):
                        written.write(block)
        aside.rename(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        # RuntimeError: it is encrypted; NotImplementedError: a compression that Python does not know
        raise UserError(f"{file} cannot be unpacked: {error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def entries(archive: zipfile.ZipFile, file: Path) -> list[tuple[str, zipfile.ZipInfo]]:
    """Path in the run's folder -> entry, of what belongs to a run. All may lie in one folder of the zip file.

    Raises:
        UserError: for entries that lead out, links, no run, or a size that no weights have.
    """
    for entry in archive.infolist():
        path = PurePosixPath(entry.filename)
        odd = "\\" in entry.filename or "\0" in entry.filename or (path.parts and ":" in path.parts[0])
        if path.is_absolute() or ".." in path.parts or odd:
            raise UserError(f"{file}: its entry {entry.filename!r} leads out of the folder; nothing was unpacked")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise UserError(f"{file}: its entry {entry.filename!r} is a link; nothing was unpacked")
    names = [entry.filename for entry in archive.infolist()]
    recipes = [name for name in names if PurePosixPath(name).name == "recipe.yaml" and name.count("/") < 2]
    if len(recipes) != 1:
        what = "holds no run (no recipe.yaml)" if not recipes else f"holds several runs: {', '.join(recipes)}"
        raise UserError(f"{file} {what}; `ganrun pack RUN -o FILE.zip` makes a zip file of a run")
    prefix = recipes[0].removesuffix("recipe.yaml")
    found = [
        (entry.filename.removeprefix(prefix), entry)
        for entry in archive.infolist()
        if entry.filename.startswith(prefix) and is_shared(entry.filename.removeprefix(prefix))
    ]
    if len(dict(found)) < len(found):
        raise UserError(f"{file} holds two entries of one name; nothing was unpacked")
    size, packed = sum(entry.file_size for _, entry in found), file.stat().st_size
    if size > max(LARGEST_UNPACKED, RATIO * packed):
        raise UserError(
            f"{file}: its {packed:,} bytes would become {size:,}, which no weights do; nothing was unpacked"
        )
    return found


def _blocks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """The content of an entry, of which no more is read than it announces."""
    left = entry.file_size
    with archive.open(entry) as opened:
        while block := opened.read(BYTES_AT_ONCE):
            left -= len(block)
            if left < 0:
                raise zipfile.BadZipFile(f"{entry.filename} is larger than announced")
            yield block
