"""Paths as people write them in recipes and after ``--set``."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ganrun.errors import UserError
from ganrun.paths import expanded, resolved

_DRIVE = re.compile(r"([A-Za-z]):[\\/](.*)", re.DOTALL)
MOUNTS = Path("/mnt")  # where Linux inside Windows (WSL) has its drives


def located(base: Path, path: str | Path) -> Path:
    """An absolute path for one that a person wrote, relative to ``base``; one of Windows where it can be understood.

    Of ``C:\\Users\\me`` the drive is looked for where Linux inside Windows has it. Backslashes separate folders where
    there is nothing whose name has them.

    Raises:
        UserError: for a path of Windows that is nowhere here, and one with a line break or another control character.
    """
    text = str(path)
    if os.name == "nt":
        return resolved(base / expanded(path))
    if "\0" not in text and (there := resolved(base / expanded(path))).exists():
        return there
    if any(ord(sign) < 32 for sign in text):
        raise UserError(
            f"{text!r}: a path with a control character; in double quotes a backslash begins one, so write single "
            "quotes, or / between folders"
        )
    drive = _DRIVE.fullmatch(text)
    if drive or text.startswith("\\\\"):
        mounted = MOUNTS / drive[1].lower() if drive else None
        if drive and mounted is not None and mounted.is_dir():
            return resolved(mounted / drive[2].replace("\\", "/"))
        raise UserError(f"{text}: a path of Windows, and this is another system; write where the data are here")
    if "\\" in text and (other := resolved(base / expanded(text.replace("\\", "/")))).exists():
        return other
    if "\\" in text:
        raise UserError(f"{there}: there is nothing of this name; on this system / separates folders, not \\")
    return there


def is_there(base: Path, path: str) -> bool:
    """Whether there is something of a relative path in ``base``; of a pattern such as ``{000..127}.tar``, its folder.

    An absolute path is nowhere in ``base``.
    """
    place = expanded(path)
    if place.is_absolute():
        return False
    pattern = bool(re.search(r"[{}*?\[\]]", place.name))
    try:
        return (base / (place.parent if pattern else place)).exists()
    except (OSError, ValueError):  # a name that is too long, or has a NUL character
        return False


def looks_foreign(path: str) -> bool:
    """Whether a path is one of Windows, or an address with a scheme such as ``https://``."""
    return bool(_DRIVE.fullmatch(path)) or "\\" in path or "://" in path
