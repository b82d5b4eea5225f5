"""``versions.json``: what a run was made with. It is what tells the folder of a run from any other folder."""

from __future__ import annotations

import platform
import re
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ganrun import files
from ganrun.catalog.catalog import Catalog
from ganrun.data.labels import label_names
from ganrun.errors import UserError
from ganrun.randomness import DRAWS
from ganrun.recipe import Recipe
from ganrun.training.kept_parts import kept_parts
from ganrun.training.stored import StoredVersions, checked

if TYPE_CHECKING:
    from ganrun.training.run import Run

VERSIONS = "versions.json"


def read_versions(folder: Path) -> dict[str, Any]:
    """The content of ``versions.json``; empty if it is not there. Raises UserError if it is damaged, or no run's."""
    path = folder / VERSIONS
    if not path.exists():
        return {}
    try:
        found = checked(StoredVersions, files.read_json(path))
        if "ganrun" not in found["libraries"]:
            raise ValueError("it says of no version of ganrun that it wrote it")
        return found
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path} is damaged, or no run's: {why}; move it away to continue without it") from error


def is_marked(folder: Path) -> bool:
    """Whether ``versions.json`` says that a run of ganrun wrote in this folder."""
    try:
        return bool(read_versions(folder))
    except UserError:
        return False


def check_plugins(folder: Path, recipe: Recipe, catalog: Catalog) -> None:
    """Compare the plugins that a run was started with to those there are now.

    Another version of a distribution is warned of, and so are seeds that draw other numbers now, and a run that lost
    what it was started with. A changed file that is not installed is refused: no version distinguishes it from the one
    that was trained with.
    """
    versions = read_versions(folder)
    if not versions:
        print(
            f"warning: {folder / VERSIONS} is gone: with which plugins this run was started is not known any more",
            flush=True,
        )
    elif versions.get("draws", 1) != DRAWS:
        print(
            f"warning: {folder} was started by a version of ganrun whose seeds drew other numbers; what is left of it "
            "is trained with the numbers of this version",
            flush=True,
        )
    kept = versions.get("plugins", {})
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
        return f"{provenance.get('file')} (SHA-256 {str(provenance['sha256'])[:12]}...)"
    return " ".join(str(provenance[key]) for key in ("distribution", "version", "module") if provenance.get(key))


def versions_of(run: Run) -> dict[str, Any]:
    """What a run is made with: versions of the plugins used, of the libraries, and the machine."""
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
        "processor": processor(),
        "draws": DRAWS,
        "threads": torch.get_num_threads(),
        "processes": run.processes.world,
        "base": str(run.recipe.base),
        "data": description_of(run.experiment.dataset)
        | {"fingerprint": run.evaluation.hash_of(run.experiment.dataset)},
        "kept_parts": kept_parts(run.experiment),
        "command": sys.argv,
    }


def processor() -> str:
    """The CPU's model, and the widest instructions that torch uses on it: both decide how sums round."""
    model = platform.processor() or platform.machine()
    with suppress(OSError):  # Linux alone has this file
        named = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        model = named[1] if named else model
    return f"{model}, {torch.backends.cpu.get_cpu_capability()}"


def description_of(dataset: Any) -> dict[str, Any]:
    """What a run keeps of its data set, to open it without: see :class:`ganrun.training.absent.LazyDataset`."""
    return {
        "spaces": {name: [space.kind, list(space.shape), space.classes] for name, space in dataset.spaces.items()},
        "items": len(dataset),
        "provides": sorted(getattr(dataset, "provides", ())),
        "label_names": label_names(dataset),
        "ranges": {name: list(values) for name, values in getattr(dataset, "ranges", {}).items()},
    }
