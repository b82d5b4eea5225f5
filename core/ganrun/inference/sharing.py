"""What is shared of a run: a folder that is a run itself, with the weights that sampling uses, and a card of it.

By default networks and states that samples do not depend on stay behind: discriminators, optimisers, pools. That it
makes the same samples is tried before it leaves.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganrun import files, jsonl
from ganrun.catalog.catalog import Catalog
from ganrun.data import image_grid
from ganrun.errors import UserError
from ganrun.evaluation.provenance import FILE as SCORES
from ganrun.evaluation.provenance import Measured, kept
from ganrun.inference.card import card
from ganrun.inference.export import opened
from ganrun.inference.exported import stand_in_items
from ganrun.inference.trained import Trained
from ganrun.sampling.networks import WithTensors
from ganrun.training import checkpoint
from ganrun.training.versions import VERSIONS, read_versions

PRIVATE = ("command", "base")  # of versions.json: what was typed, and where, on the machine of who trained
COMPARED_SAMPLES = 4  # samples that have to be the same
PICTURED = 64  # samples of the picture


@dataclass(frozen=True)
class Shared:
    """A folder that is ready to be pushed or packed.

    left_out: networks that stay behind. paths: places on this machine that the recipe names, as ``key: path``.
    """

    folder: Path
    step: int
    left_out: list[str]
    paths: list[str]
    scores: int
    picture: bool


def prepare(
    run: Path,
    folder: Path,
    catalog: Catalog,
    *,
    checkpoint_name: str = "last",
    training_state: bool = False,
    licence: str | None = None,
    name: str = "",
) -> Shared:
    """Make a folder of what is shared of a run. name: what it will be called on the hub, for its card.

    Raises:
        UserError: if the run cannot be opened, or makes other samples without what is left out.
    """
    trained = opened(run, checkpoint_name, catalog)
    path = trained.folder / "checkpoints" / f"step-{trained.step:07d}"
    folder.mkdir(parents=True)
    shutil.copyfile(trained.folder / "recipe.yaml", folder / "recipe.yaml")
    (folder / "checkpoints").mkdir()
    left_out: list[str] = []
    if training_state:
        target = folder / "checkpoints" / path.name
        target.mkdir()
        for inner in (*checkpoint.FILES, checkpoint.MANIFEST):
            shutil.copyfile(path / inner, target / inner)
    else:
        left_out = _write_sampling(trained, path, folder, catalog)
    versions = {key: value for key, value in read_versions(trained.folder).items() if key not in PRIVATE}
    versions["shared"] = {"left_out": left_out, "training_state": training_state}
    files.write(folder / VERSIONS, json.dumps(versions, indent=1))
    _check_same(trained, opened(folder, "last", catalog))
    measured = _scores(trained, folder, catalog)
    picture = _picture(trained, folder)
    paths = sorted(set(_paths(trained.recipe.resolved)))
    about = card(
        trained,
        measured,
        versions,
        name=name,
        licence=licence,
        picture=picture,
        left_out=left_out,
        resumes=training_state,
    )
    files.write(folder / "README.md", about)
    return Shared(folder, trained.step, left_out, paths, len(measured), picture)


# --- the weights that sampling uses ---------------------------------------------------------------------------------


def _write_sampling(trained: Trained, path: Path, folder: Path, catalog: Catalog) -> list[str]:
    """Write a checkpoint of what samples depend on. Returns the networks that it leaves out."""
    _, state = checkpoint.read(path)
    slim = dict(state) | {
        "attempt": 0,
        "rollbacks": [],
        "world": 1,
        "buffers": [],
        "optimizers": {},
        "positions": {},
        "terms": {},
    }
    kept_networks = _used(trained) | {
        name for name in trained.experiment.description.networks if trained.experiment.is_generator(name)
    }
    slim["left_out"] = [name for name in state["modules"] if name not in kept_networks]
    slim["weights"] = {name: said for name, said in trained.sample_maker.weights().items() if said != "trained"}
    slim["modules"] = {name: tensors for name, tensors in state["modules"].items() if name in kept_networks}
    with trained.sample_maker.modules() as modules:
        for name in slim["modules"]:
            if isinstance(module := modules[name], WithTensors):
                own = slim["modules"][name]
                slim["modules"][name] = own | {key: module.tensors[key].cpu() for key in own if key in module.tensors}
    parts = {
        name: part
        for name, part in state["components"][0].items()
        if part and not name.startswith(("observers.", "loss"))
    }
    for number in range(len(parts) + 1):  # the fewest states with which the samples are the same
        for some in _subsets(parts, number):
            checkpoint.write(folder / "checkpoints", trained.step, slim | {"components": [some]})
            versions = {key: value for key, value in read_versions(trained.folder).items() if key not in PRIVATE}
            files.write(folder / VERSIONS, json.dumps(versions, indent=1))
            if _same(made(trained), made(opened(folder, "last", catalog))):
                return list(slim["left_out"])
    raise UserError(
        f"{trained.folder}: without its training state it makes other samples; add --with-training-state, to share all"
    )


def _subsets(parts: Mapping[str, Any], number: int) -> Iterator[dict[str, Any]]:
    """No part, each one by itself, or all of them: more ways are not tried."""
    if number == 0:
        yield {}
    elif number == 1:
        yield from ({name: part} for name, part in parts.items())
    elif number == len(parts):
        yield dict(parts)


def _used(trained: Trained) -> set[str]:
    """The networks that run while samples are made."""
    found: set[str] = set()
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: found.add(name))
        for name, module in trained.experiment.modules.items()
    ]
    try:
        made(trained)
    finally:
        for handle in handles:
            handle.remove()
    return found


def made(trained: Trained) -> dict[str, Tensor]:
    """A few samples by name; a translation is given random images, for which no data are needed."""
    real = stand_in_items(trained, COMPARED_SAMPLES) if trained.experiment.description.conditional else None
    with trained.settings(), torch.no_grad():
        return trained.sample_maker.turn(COMPARED_SAMPLES, real=real).made


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _check_same(trained: Trained, shared: Trained) -> None:
    if not _same(made(trained), made(shared)):
        raise UserError(f"{trained.folder}: what would be shared makes other samples than the run; nothing was shared")


# --- what stands beside them ----------------------------------------------------------------------------------------


def _scores(trained: Trained, folder: Path, catalog: Catalog) -> list[Measured]:
    """Copy the scores of this step, with their provenance. Returns them."""
    source = trained.folder / SCORES
    if not source.is_file():
        return []
    lines = [line for line in jsonl.read(source) if line.get("step") == trained.step]
    if lines:
        files.write(folder / SCORES, "".join(json.dumps(line) + "\n" for line in lines))
    return kept(folder, catalog) if lines else []


def _picture(trained: Trained, folder: Path) -> bool:
    """Draw samples; for a translation take the newest picture that training drew. Returns whether there is one."""
    target = folder / "sample.png"
    if trained.experiment.description.conditional:
        drawn = sorted((trained.folder / "samples").glob("step-*.png"))
        if drawn:
            shutil.copyfile(drawn[-1], target)
        return bool(drawn)
    samples = trained.sample(PICTURED)
    image_grid.save(image_grid.grid(samples) if samples.dim() == 4 else image_grid.scatter(None, samples), target)
    return True


def _paths(value: Any, key: str = "") -> Iterator[str]:
    """Absolute paths in a recipe, which tell of the machine that it ran on."""
    if isinstance(value, Mapping):
        for inner, other in value.items():
            yield from _paths(other, f"{key}.{inner}" if key else str(inner))
    elif isinstance(value, list):
        for other in value:
            yield from _paths(other, key)
    elif isinstance(value, str) and value.startswith(("/", "~")):
        yield f"{key}: {value}"


@contextmanager
def prepared(run: Path, catalog: Catalog, **wanted: Any) -> Iterator[Shared]:
    """What is shared of a run, in a folder that is gone afterwards."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="ganrun-share-") as aside:
        yield prepare(run, Path(aside) / "run", catalog, **wanted)
