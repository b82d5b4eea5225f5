"""Runs on the hub of Hugging Face: pulled whole or not at all, and nothing of them is unpickled.

``HF_ENDPOINT`` names another hub, ``HF_TOKEN`` (or `hf auth login`) who asks, as for all programs that use the hub.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ganrun import files
from ganrun.data.download import data_cache
from ganrun.data.locks import file_lock
from ganrun.errors import UserError
from ganrun.training.archive import SHARED, is_shared
from ganrun.training.folder import is_run
from ganrun.training.versions import VERSIONS, read_versions

NAME_ON_HUB = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")
LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


class HubUnreachable(UserError):
    """The hub does not answer."""


def split_name(text: str) -> tuple[str, str | None]:
    """``user/name`` or ``user/name@revision`` -> name and revision. Raises UserError for anything else."""
    match = NAME_ON_HUB.fullmatch(text.strip("/").removeprefix("hf://"))
    if match is None:
        raise UserError(f"{text!r} is no name on the hub; write user/name, or user/name@REVISION for another version")
    return match["repo"], match["revision"]


def endpoint() -> str:
    """The address of the hub."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def hub() -> Any:
    """The hub's client."""
    from huggingface_hub import HfApi, constants

    # read here too: the library reads it once, when it is first imported
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    if offline or constants.HF_HUB_OFFLINE:
        raise HubUnreachable("HF_HUB_OFFLINE is set, so the hub is not asked; unset it")
    return HfApi(endpoint=endpoint(), token=os.environ.get("HF_TOKEN") or None, library_name="ganrun")


@contextmanager
def told(name: str, doing: str) -> Iterator[None]:
    """In this context, what goes wrong with the hub becomes a UserError: what, why, and a way out."""
    from huggingface_hub import errors

    http_error: type[Exception] = vars(errors)["HTTPError"]  # of the HTTP client that the library uses
    try:
        yield
    except UserError:
        raise
    except errors.GatedRepoError as error:
        raise UserError(
            f"{name} asks for your consent on its page: {endpoint()}/{name}; give it, and {LOG_IN}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(
            f"{name} has no such revision on the hub; leave out @..., or see {endpoint()}/{name}"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(f"there is no model {name} on {endpoint()}, or it is private: then {LOG_IN}") from error
    except errors.LocalTokenNotFoundError as error:
        raise UserError(f"{doing} {name} needs a token: {LOG_IN}") from error
    except errors.HFValidationError as error:
        raise UserError(f"{name} is no name that the hub takes: {_first(error)}") from error
    except (http_error, OSError, RuntimeError) as error:
        raise _answered(error, name, doing) from error


def _answered(error: Exception, name: str, doing: str) -> UserError:
    """The UserError for what the hub answered, or that it did not answer."""
    cause: BaseException | None = error
    while cause is not None and getattr(cause, "response", None) is None:
        cause = cause.__cause__ or cause.__context__
    response = getattr(cause, "response", None)
    status = getattr(response, "status_code", None)
    if status == 401:
        return UserError(f"{doing} {name}: {endpoint()} does not know who asks; {LOG_IN}")
    if status == 403:
        why = getattr(cause, "server_message", None) or "no right to do that"
        return UserError(
            f"{doing} {name}: {endpoint()} refuses it ({_first(why)}); is the name yours, may the token write?"
        )
    if status is not None:
        return UserError(f"{doing} {name}: {endpoint()} answers {status}: {_first(error)}; try again later")
    if isinstance(error, OSError) and error.filename is not None:
        return UserError(f"{error.filename}: cannot be written: {error.strerror or error}")
    return HubUnreachable(
        f"{doing} {name}: {endpoint()} does not answer, or the connection broke ({_first(error)}); try again: what was "
        "transferred is not transferred twice"
    )


def _first(error: object) -> str:
    """The first line of a message."""
    return next((line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()), type(error).__name__)[
        :200
    ]


def pull(name: str, folder: Path, *, overwrite: bool = False) -> tuple[str, bool]:
    """Fetch a run from the hub into a folder. Returns its revision, and whether it was there already.

    Raises:
        UserError: if the hub has no such run, cannot be reached, or the folder holds something else.
    """
    repo, revision = split_name(name)
    found, names = _revision(repo, revision)
    if folder.exists() or folder.is_symlink():
        if pulled_from(folder) == (repo, found):
            return found, True
        empty = folder.is_dir() and not any(folder.iterdir())
        if not empty and not (overwrite and is_run(folder)):
            cure = "add --overwrite, or give another --output" if is_run(folder) else "give another --output"
            raise UserError(f"{folder} is there already, and is not revision {found[:8]} of {repo}; {cure}")
    _fetch(repo, found, names, folder)
    return found, False


def pulled_from(folder: Path) -> tuple[str, str] | None:
    """Name and revision on the hub of a pulled run; None for any other folder."""
    try:
        kept = read_versions(folder).get("pulled")
    except UserError:
        return None
    return (str(kept.get("name")), str(kept.get("revision"))) if isinstance(kept, dict) else None


def cached(name: str) -> Path:
    """The folder of a run on the hub, in the data cache: its newest revision, or the one that the name has.

    Where the hub cannot be reached, the newest one that is there, with a warning.
    """
    repo, revision = split_name(name)
    place = data_cache() / "hub" / repo
    try:
        found, names = _revision(repo, revision)
    except HubUnreachable as error:
        there = [path for path in place.glob("*/*") if is_run(path) and (revision or "") in ("", path.parent.name)]
        if not there:
            raise
        newest = max(there, key=lambda path: path.stat().st_mtime)
        warnings.warn(f"{error.args[0]}; the copy of revision {newest.parent.name[:8]} is used", stacklevel=2)
        return newest
    folder = place / found / repo.partition("/")[2]
    with file_lock(folder.parent, f"another process pulls {repo}"):
        if not is_run(folder):
            _fetch(repo, found, names, folder)
    return folder


def _revision(repo: str, revision: str | None) -> tuple[str, set[str]]:
    """The newest commit of a model, or of a revision, and the files of a run in it.

    Raises UserError if it holds no run.
    """
    with told(repo, "pulling"):
        info = hub().model_info(repo, revision=revision)
    names = {file.rfilename for file in info.siblings or () if is_shared(file.rfilename)}
    if "recipe.yaml" not in names:
        raise UserError(f"{endpoint()}/{repo} holds no run of ganrun (it has no recipe.yaml)")
    return str(info.sha), names


def _fetch(repo: str, revision: str, names: set[str], folder: Path) -> None:
    """Fetch a revision beside the folder, look whether it is whole, and put it there.

    What an interrupted one has fetched is used by the next.
    """
    from huggingface_hub import snapshot_download

    aside = folder.with_name(f".{folder.name}.pulling")
    with told(repo, "pulling"):
        aside.mkdir(parents=True, exist_ok=True)
        snapshot_download(
            repo,
            revision=revision,
            local_dir=aside,
            allow_patterns=list(SHARED),
            endpoint=endpoint(),
            token=os.environ.get("HF_TOKEN") or None,
            max_workers=1,  # there is one large file, and the client's threads close each other's connections
        )
        for path in sorted(aside.rglob("*"), reverse=True):  # what an earlier revision left, and the client's own
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path.relative_to(aside).as_posix() not in names or path.is_symlink():
                path.unlink()
        versions = read_versions(aside) | {"pulled": {"name": repo, "revision": revision, "from": endpoint()}}
        if not is_run(aside):
            shutil.rmtree(aside)
            raise UserError(f"{endpoint()}/{repo} holds no run of ganrun (no versions.json or checkpoint)")
        files.write(aside / VERSIONS, json.dumps(versions, indent=1))
        if folder.is_dir():
            shutil.rmtree(folder)
        aside.rename(folder)
