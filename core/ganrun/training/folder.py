"""A run's folder: who may write it, and what in it is the run's own.

Only what a run of ganrun wrote is ever removed, cut or written over. ``versions.json`` says whether one did, and what
its observers declared; see :mod:`ganrun.training.contents` for the names.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ganrun import files
from ganrun.catalog.catalog import Catalog
from ganrun.errors import PluginError, UserError
from ganrun.recipe import Part, Recipe, diff, dump, load_recipe
from ganrun.training import checkpoint
from ganrun.training.contents import holding, is_inside, is_within, remove_all, remove_later, without_covered
from ganrun.training.versions import check_plugins, is_marked, read_versions, versions_of
from ganrun.words.hooks import hookimpl

if TYPE_CHECKING:
    from ganrun.training.run import Run

MAY_CHANGE = ("train.steps", "train.percent_of", "train.batch_size", "train.accumulate")
CHECKPOINTS = "checkpoints/step-{step}"
# What the core writes itself. The last two go last: while both are there, the folder holds a run.
SKIPPED = "skipped_files.txt"
OURS = (CHECKPOINTS, "checkpoints/best.json", "evaluations.jsonl", "evaluations/*-{step}.png", SKIPPED)
RECORDS = ("recipe.yaml", "versions.json")


class Folder:
    """The folder of a run, locked while it is open: two processes never write one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None
        self._made = self._made_lock = False
        self._versions: dict[str, Any] = {}

    def __enter__(self) -> Folder:
        try:
            if self.path.exists() and not self.path.is_dir():
                raise UserError(f"{self.path} is a file; give another --output folder")
            if is_main_process():
                self._made = not self.path.exists()
                self.path.mkdir(parents=True, exist_ok=True)
                self._made_lock = not (self.path / ".lock").exists()
                self._lock = files.open_regular(self.path / ".lock", os.O_RDWR | os.O_CREAT)
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
            why = error.strerror if isinstance(error, OSError) else error
            if isinstance(error, OSError) and error.filename not in (None, str(self.path)):
                why = f"{error.filename}: {why}"
            raise UserError(f"{self.path} cannot be made or written: {why}; give another --output folder") from error
        if self._lock is not None:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not os.path.samestat(os.fstat(self._lock), os.stat(self.path / ".lock")):
                    raise OSError(errno.EAGAIN, "its file was removed, and perhaps made again")
            except OSError as error:
                os.close(self._lock)
                raise UserError(
                    f"another process is writing {self.path}; wait for it, or give another --output"
                ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            with suppress(OSError):  # it was moved away, or cannot be written any more
                self._leave_nothing_behind()
            fcntl.flock(self._lock, fcntl.LOCK_UN)  # closing is not enough: worker processes have inherited the file
            os.close(self._lock)
        if isinstance(error, OSError) and self._concerns(error):
            raise UserError(self._what_is_safe(error)) from error

    def _concerns(self, error: OSError) -> bool:
        """Whether something in this folder could not be written. A full disk may name no file."""
        if error.filename is None:
            return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
        return Path(os.fsdecode(error.filename)).is_relative_to(self.path)

    def _what_is_safe(self, error: OSError) -> str:
        """The message for what could not be written: where, why, and from where the run continues."""
        if not self.path.is_dir():
            return (
                f"{self.path} was moved or removed while a run wrote it; what was written is where it went: continue "
                "that folder with --resume"
            )
        what = f"{error.filename or self.path}: cannot be written: {error.strerror or error}"
        kept = checkpoint.listing(self.path / "checkpoints")
        if not kept:
            return f"{what}; no checkpoint was written yet"
        return f"{what}; the checkpoint of step {kept[-1][0]} is whole: when this is mended, continue with --resume"

    def _leave_nothing_behind(self) -> None:
        """Remove what was made here if no run was started."""
        if self._made_lock and not is_marked(self.path):
            (self.path / ".lock").unlink(missing_ok=True)
            if self._made:
                self.path.rmdir()

    @property
    def holds_run(self) -> bool:
        """Whether a run was started here before."""
        return is_run(self.path)

    @property
    def is_unstarted(self) -> bool:
        """Whether the run here ended before its first step, so that there is nothing of it to continue, or to lose."""
        return (
            self.holds_run
            and is_marked(self.path)
            and not read_versions(self.path).get("started", True)
            and not checkpoint.listing(self.path / "checkpoints")
        )

    def check(self, recipe: Recipe, catalog: Catalog, *, resume: bool, overwrite: bool, force: bool) -> None:
        """Refuse to start over a run, to resume none, or to resume another experiment."""
        if not self.holds_run:
            self._check_no_run(recipe, catalog, resume=resume, overwrite=overwrite, force=force)
        elif self.is_unstarted:
            if is_main_process():
                print(f"{self.path}: the run there ended before its first step; this one takes its place", flush=True)
        elif not (resume or overwrite):
            raise UserError(
                f"{self.path} holds a run; continue it with --resume, replace it with --overwrite, "
                "or give another --output"
            )
        elif overwrite and not is_marked(self.path):
            read_versions(self.path)  # which says why
            raise UserError(
                f"{self.path / 'versions.json'} is gone, so what this run wrote is not known any more; "
                "remove the folder by hand, or give another --output"
            )
        elif resume and not force:
            self._check_same(recipe, catalog)

    def _check_no_run(self, recipe: Recipe, catalog: Catalog, *, resume: bool, overwrite: bool, force: bool) -> None:
        """What a folder without a run may hold: nothing that the new run would write over, cut or prune."""
        marked, kept = is_marked(self.path), checkpoint.listing(self.path / "checkpoints")
        if (self.path / "recipe.yaml").exists() or (self.path / "recipe.yaml").is_symlink():
            raise UserError(
                f"{self.path / 'recipe.yaml'} is no run's, and a run here would write over it; "
                "give another --output folder"
            )
        if kept and not (marked and overwrite) and not (resume and force):
            replace = "replace it with --overwrite, " if marked else ""
            raise UserError(
                f"{self.path} holds checkpoints up to step {kept[-1][0]}, of a run whose recipe.yaml is gone; put that "
                f"back, continue with the run's recipe and --resume --force, {replace}or give another --output"
            )
        if resume and not kept:
            raise UserError(f"{self.path} holds no run to resume; leave out --resume to start one")
        if not marked and not kept:
            observers = [f"observer.{part.name}" for part in recipe.observers]
            self._refuse_foreign([*OURS, *RECORDS, *files_of_plugins(observers, catalog)])

    def _refuse_foreign(self, patterns: Iterable[str]) -> None:
        """Refuse a folder that holds something by the names under which a run would write."""
        found = [name for name in holding(self.path, patterns) if name != ".lock"]
        if found:
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            raise UserError(
                f"{self.path} holds {', '.join(found[:3])}{more}, which no run there wrote, and a run writes under "
                "these names; move them away, or give another --output folder"
            )

    def _check_same(self, recipe: Recipe, catalog: Catalog) -> None:
        """Refuse to resume another experiment than the one in this folder."""
        check_plugins(self.path, recipe, catalog)
        before = load_recipe(self.path / "recipe.yaml", catalog=catalog).resolved
        changed = [str(change) for change in diff(before, recipe.resolved) if change.path not in MAY_CHANGE]
        if changed:
            listed = "\n  ".join(changed)
            raise UserError(
                f"{self.path} was started from another recipe; --resume accepts a longer train.steps, another "
                "train.percent_of, another division of the batch (batch_size, accumulate, processes), and nothing "
                f"else:\n  {listed}\n"
                "go back to that recipe, start again with another --output, or add --force to continue all the same"
            )

    def prepare(
        self,
        run: Run,
        *,
        resume: bool,
        overwrite: bool,
        changed: Sequence[str] = (),
        initial: Mapping[str, Any] | None = None,
    ) -> None:
        """Write what says how the run came about. What a resumed or overwritten run no longer needs goes first.

        changed: what a resumed run does otherwise than before, which is kept. initial: the weights that it begins with.

        Only the main process does so. The recipe is written last, so that a process killed before has left no run.

        Raises:
            UserError: if something of that name is somebody else's, or a link.
        """
        if not run.is_main:
            return
        declared = declared_files(run.recipe.observers, run.experiment.observers)
        kept = kept_files(self.path, run.catalog)
        before = read_versions(self.path) if resume and is_marked(self.path) else {}
        resumed = [entry for entry in before.get("resumed", ()) if entry["step"] <= run.step]
        resumed += [{"step": run.step, "changed": list(changed)}] if changed else []
        if is_marked(self.path) or not checkpoint.listing(self.path / "checkpoints"):
            self._refuse_foreign(name for name in declared if not is_within(name, kept))
        names = list(dict.fromkeys([*without_covered(kept, declared), *declared]))
        self._refuse_links([*OURS, *RECORDS, *names])
        if (overwrite or self.is_unstarted) and not resume:
            checkpoint.discard_after(self.path / "checkpoints", -1)
            remove_all(self.path, [*names, *OURS[1:], *RECORDS])
            names = declared
        remove_later(self.path, run.step, [*names, *OURS[1:]])
        checkpoint.discard_after(self.path / "checkpoints", run.step)
        self._versions = {**versions_of(run), "files": names, "started": run.step > 0, "resumed": resumed}
        if begun := before.get("init") if initial is None else initial:
            self._versions["init"] = dict(begun)
        self._write_versions()
        self._write_skipped(getattr(run.experiment.dataset, "skipped", {}))
        files.write(self.path / "recipe.yaml", dump(run.recipe.resolved))

    def _write_versions(self) -> None:
        files.write(self.path / "versions.json", json.dumps(self._versions, indent=1))

    def _write_skipped(self, skipped: Mapping[Path, str]) -> None:
        """Keep which files of the data were left out, and why: a line each, with a tab between."""
        if skipped:
            files.write(self.path / SKIPPED, "".join(f"{path}\t{why}\n" for path, why in skipped.items()))
        elif (self.path / SKIPPED).is_file():
            (self.path / SKIPPED).unlink()

    @hookimpl(tryfirst=True)
    def step_end(self, run: Run) -> None:
        """Write down that the run took its first step: from now on there is something of it to lose."""
        if run.is_main and not self._versions["started"]:
            self._versions["started"] = True
            self._write_versions()

    def _refuse_links(self, patterns: Iterable[str]) -> None:
        """Refuse a folder in which a name that the run writes leads somewhere else."""
        for pattern in patterns:
            fixed = pattern.split("{step}")[0].split("*")[0]
            name = fixed if fixed == pattern else fixed.rpartition("/")[0]
            if link := files.first_link(self.path, name):
                raise UserError(f"{link}: {files.LINK}")


def forget_later(run: Run, step: int) -> None:
    """Remove what was kept of later steps in the folder of a run, which takes them again."""
    assert run.folder is not None, "a run without a folder keeps nothing"
    checkpoint.discard_after(run.folder / "checkpoints", step)
    declared = declared_files(run.recipe.observers, run.experiment.observers)
    remove_later(run.folder, step, [*declared, *OURS[1:]])


def declared_files(parts: Sequence[Part], observers: Sequence[Any]) -> list[str]:
    """The files and folders that observers say they write in a run's folder, as names and patterns.

    Raises UserError for one that does not lie in it.
    """
    found: list[str] = []
    for part, observer in zip(parts, observers):
        names = getattr(observer, "files", ())
        if isinstance(names, str) or not all(is_inside(name) for name in names):
            raise UserError(f"observer {part.name}: its files are {names!r}; expected names inside the run's folder")
        found += [name for name in names if name not in found]
    return found


def kept_files(path: Path, catalog: Catalog) -> list[str]:
    """What the observers of the run in a folder declared, whether or not they are installed here; empty if none is.

    A run of a version that did not keep this is asked by its observers' plugins, as far as they are installed.
    """
    try:
        kept = read_versions(path)
    except UserError:  # it is damaged
        return []
    names = kept["files"] if "files" in kept else files_of_plugins(kept.get("plugins", ()), catalog)
    return [name for name in names if is_inside(name)]


def files_of_plugins(plugins: Iterable[str], catalog: Catalog) -> list[str]:
    """The files that the installed ones of some plugins, ``kind.name``, declare."""
    found: list[str] = []
    for kind, _, name in (plugin.partition(".") for plugin in plugins):
        if kind == "observer" and name in catalog.names(kind):
            with suppress(PluginError):  # one that cannot be imported does not keep a folder from being cleaned
                found += filter(is_inside, getattr(catalog.load(kind, name).factory, "files", ()))
    return found


def is_main_process() -> bool:
    """Whether this is the process that writes folders, among those torchrun started."""
    return int(os.environ.get("RANK", "0")) == 0


def is_run(path: Path) -> bool:
    """Whether a path is the folder of a run: it has a recipe, and what only a run writes."""
    try:
        return (path / "recipe.yaml").is_file() and (is_marked(path) or bool(checkpoint.listing(path / "checkpoints")))
    except (OSError, ValueError):  # a name that is too long, or holds a NUL character
        return False
