"""A run's folder: who may write it, and what says how it came about."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch

from ganrun import jsonl
from ganrun.catalog.catalog import Catalog
from ganrun.data.labels import label_names
from ganrun.errors import PluginError, UserError
from ganrun.randomness import DRAWS
from ganrun.recipe import Part, Recipe, diff, dump, load_recipe
from ganrun.training import checkpoint
from ganrun.training.kept_parts import kept_parts

if TYPE_CHECKING:
    from ganrun.training.run import Run

MAY_CHANGE = ("train.steps", "train.percent_of", "train.batch_size", "train.accumulate")
# What the core writes itself. The last two go last: while both are there, the folder holds a run.
OURS = ("checkpoints", "evaluations.jsonl", "evaluations", "recipe.yaml", "versions.json")


class Folder:
    """The folder of a run, locked while it is open: two processes never write one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: Any = None
        self._made = False

    def __enter__(self) -> Folder:
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file; give another --output folder")
        if is_main_process():
            try:
                self._made = not self.path.exists()
                self.path.mkdir(parents=True, exist_ok=True)
                self._lock = (self.path / ".lock").open("w")
            except OSError as error:
                raise UserError(
                    f"{self.path} cannot be made or written: {error.strerror or error}; give another --output folder"
                ) from error
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError(
                    f"another process is writing {self.path}; wait for it, or give another --output"
                ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            if [path.name for path in self.path.iterdir()] == [".lock"]:  # nothing was written: leave nothing behind
                shutil.rmtree(self.path) if self._made else (self.path / ".lock").unlink()
            fcntl.flock(self._lock, fcntl.LOCK_UN)  # closing is not enough: worker processes have inherited the file
            self._lock.close()

    @property
    def holds_run(self) -> bool:
        """Whether a run was started here before."""
        return is_run(self.path)

    def check(self, recipe: Recipe, catalog: Catalog, *, resume: bool, overwrite: bool, force: bool) -> None:
        """Refuse to start over a run, to resume none, or to resume another experiment."""
        if not self.holds_run and (self.path / "recipe.yaml").exists():
            raise UserError(
                f"{self.path / 'recipe.yaml'} is no run's, and a run here would write over it; "
                "give another --output folder"
            )
        if resume and not self.holds_run:
            raise UserError(f"{self.path} holds no run to resume; leave out --resume to start one")
        if self.holds_run and not (resume or overwrite):
            raise UserError(
                f"{self.path} holds a run; continue it with --resume, replace it with --overwrite, "
                "or give another --output"
            )
        if resume and not force:
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

    def prepare(self, run: Run, *, resume: bool, overwrite: bool) -> None:
        """Write what says how the run came about. What a resumed or overwritten run no longer needs goes first.

        Only the main process does so. The recipe is written last, so that a process killed before has left no run.
        """
        if not run.is_main:
            return
        declared = declared_files(run.recipe.observers, run.experiment.observers)
        files = list(dict.fromkeys([*kept_files(self.path, run.catalog), *declared]))
        if overwrite and not resume:
            for name in (*files, *OURS):
                remove(self.path / name)
            files = declared
        forget_files(self.path, run.step, files)
        if resume:
            forget_after(self.path, run.step)
        self._write("versions.json", json.dumps({**versions(run), "files": files}, indent=1))
        self._write("recipe.yaml", dump(run.recipe.resolved))

    def _write(self, name: str, text: str) -> None:
        """Write a file as a whole, or not at all."""
        temporary = self.path / f".{name}.writing"
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, self.path / name)


def forget_after(path: Path, step: int) -> None:
    """Remove what the core keeps of later steps in the folder of a run, which takes them again."""
    checkpoint.discard_after(path / "checkpoints", step)
    jsonl.truncate(path / "evaluations.jsonl", step)
    for picture in (path / "evaluations").glob("*-*.png"):
        number = picture.stem.rpartition("-")[2]
        if number.isdigit() and int(number) > step:
            picture.unlink()


def forget_files(path: Path, step: int, files: Iterable[str]) -> None:
    """Remove what observers keep of later steps in files that they declared.

    Lines of JSON with a step, and whatever is called ``step-0001000``, with any ending, in a folder.
    """
    for name in files:
        if name.endswith(".jsonl"):
            jsonl.truncate(path / name, step)
        for numbered in (path / name).glob("step-*"):
            number = numbered.stem.removeprefix("step-")
            if number.isdigit() and int(number) > step:
                remove(numbered)


def declared_files(parts: Sequence[Part], observers: Sequence[Any]) -> list[str]:
    """The files and folders that observers say they write in a run's folder.

    Raises UserError for one that does not lie in it.
    """
    found: list[str] = []
    for part, observer in zip(parts, observers):
        files = getattr(observer, "files", ())
        if isinstance(files, str) or not all(isinstance(name, str) and is_inside(name) for name in files):
            raise UserError(f"observer {part.name}: its files are {files!r}; expected names inside the run's folder")
        found += [name for name in files if name not in found]
    return found


def kept_files(path: Path, catalog: Catalog) -> list[str]:
    """What the observers of the run in a folder declared, whether or not they are installed here; empty if none is.

    A run of a version that did not keep this is asked by its observers' plugins, as far as they are installed.
    """
    try:
        kept = json.loads((path / "versions.json").read_text(encoding="utf-8"))
        names = kept["files"] if "files" in kept else files_of_plugins(kept["plugins"], catalog)
        return [name for name in names if is_inside(name)]
    except (OSError, ValueError, KeyError, TypeError):  # not there, or damaged: it will be written again
        return []


def files_of_plugins(plugins: Iterable[str], catalog: Catalog) -> list[str]:
    """The files that the installed ones of some plugins, ``kind.name``, declare."""
    found: list[str] = []
    for kind, _, name in (plugin.partition(".") for plugin in plugins):
        if kind == "observer" and name in catalog.names(kind):
            with suppress(PluginError):  # one that cannot be imported does not keep a folder from being cleaned
                found += getattr(catalog.load(kind, name).factory, "files", ())
    return found


def is_inside(name: str) -> bool:
    """Whether a relative path names something within a folder."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def remove(path: Path) -> None:
    """Remove a file or a folder that may not be there; of a link, the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_main_process() -> bool:
    """Whether this is the process that writes folders, among those torchrun started."""
    return int(os.environ.get("RANK", "0")) == 0


def is_run(path: Path) -> bool:
    """Whether a path is the folder of a run."""
    return (path / "recipe.yaml").is_file() and (path / "versions.json").is_file()


def check_plugins(folder: Path, recipe: Recipe, catalog: Catalog) -> None:
    """Compare the plugins that a run was started with to those there are now.

    Another version of a distribution is warned of, and so are seeds that draw other numbers now. A changed file that is
    not installed is refused: no version distinguishes it from the one that was trained with.
    """
    versions = json.loads((folder / "versions.json").read_text(encoding="utf-8"))
    if versions.get("draws", 1) != DRAWS:
        print(
            f"warning: {folder} was started by a version of ganrun whose seeds drew other numbers; what is left of it "
            "is trained with the numbers of this version",
            flush=True,
        )
    kept = versions["plugins"]
    for part in recipe.parts():
        name = f"{part.kind}.{part.name}"
        before, now = kept.get(name), catalog.provenance(part.kind, part.name)
        if before is None or before == now:
            continue
        if before.get("sha256") != now.get("sha256"):
            raise UserError(
                f"{name} is not what {folder} was started with: {_origin(before)} then, {_origin(now)} now; "
                "bring the old one back, start again with another --output, or add --force to continue all the same"
            )
        if before.get("version") != now.get("version"):
            print(
                f"warning: {name} was of {_origin(before)} when this run was started, and is of {_origin(now)} now",
                flush=True,
            )


def _origin(provenance: dict[str, Any]) -> str:
    if provenance.get("sha256"):
        return f"{provenance['file']} (SHA-256 {provenance['sha256'][:12]}...)"
    return " ".join(str(provenance[key]) for key in ("distribution", "version", "module") if provenance.get(key))


def versions(run: Run) -> dict[str, Any]:
    """What a run was made with: versions of the plugins used, of the libraries, and the machine."""
    libraries = ("ganrun", "torch", "torchvision", "accelerate", "pluggy", "pydantic", "safetensors", "numpy")
    device = run.processes.device
    return {
        "plugins": {
            f"{part.kind}.{part.name}": run.catalog.provenance(part.kind, part.name) for part in run.experiment.parts()
        },
        "libraries": {name: metadata.version(name) for name in libraries},
        "python": platform.python_version(),
        "system": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "draws": DRAWS,
        "threads": torch.get_num_threads(),
        "processes": run.processes.world,
        "base": str(run.recipe.base),
        "data": description_of(run.experiment.dataset)
        | {"fingerprint": run.evaluation.hash_of(run.experiment.dataset)},
        "kept_parts": kept_parts(run.experiment),
        "command": sys.argv,
    }


def description_of(dataset: Any) -> dict[str, Any]:
    """What a run keeps of its data set, to open it without: see :class:`ganrun.inference.trained.LazyDataset`."""
    return {
        "spaces": {name: [space.kind, list(space.shape), space.classes] for name, space in dataset.spaces.items()},
        "items": len(dataset),
        "provides": sorted(getattr(dataset, "provides", ())),
        "label_names": label_names(dataset),
    }
