"""A run of a folder, built again at one checkpoint: its networks, and what makes samples with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ganrun.catalog.catalog import Catalog
from ganrun.contracts.protocols import Dataset
from ganrun.data.labels import label_names
from ganrun.data.splits import datasets
from ganrun.distributed import Processes
from ganrun.engine.engine import Engine
from ganrun.errors import UserError
from ganrun.experiment.experiment import Experiment
from ganrun.experiment.torch_settings import torch_settings
from ganrun.recipe import Recipe, RecipeError, load_recipe
from ganrun.recipe.nodes import Node
from ganrun.recipe.yaml import read_file
from ganrun.sampling.sampling import SampleMaker
from ganrun.training import checkpoint as checkpoints
from ganrun.training.absent import LazyDataset, came_from, with_stand_ins
from ganrun.training.build import build
from ganrun.training.chosen import chosen, load_checkpoint
from ganrun.training.restore import check_state, load_modules
from ganrun.training.versions import read_versions

LARGE_SAMPLE = 1 << 18  # numbers of a sample: 512 x 512 is less
LEFT_OUT = 20  # times as large as a checkpoint without discriminators may all networks be
UNUSED = ("evaluators", "observers", "checkpoint")  # what watches and scores a run is not needed to open it


def recipe_of(
    folder: Path,
    catalog: Catalog,
    overrides: Iterable[str] | Mapping[str, Any] = (),
    *,
    to_train: bool = True,
    to_score: bool = False,
) -> Recipe:
    """The recipe of a run, its relative paths starting where they started then.

    Not ``to_train``, it comes without observers and, if not ``to_score``, without evaluators, and a plugin that acts in
    training only need not be installed here.

    Raises:
        UserError: if the folder holds no run, or a plugin that is needed is not here, naming where it came from.
    """
    if not (folder / "recipe.yaml").is_file():
        what = "holds no run (it has no recipe.yaml)" if folder.is_dir() else "is not there"
        raise UserError(f"{folder} {what}; give the folder that `ganrun recipe` printed, such as runs/dcgan_digits")
    changes = overrides if isinstance(overrides, Mapping) else list(overrides)
    source: Any = folder / "recipe.yaml"
    kept = read_versions(folder)
    if not to_train:
        unused = [key for key in UNUSED if key != "evaluators" or not to_score]
        source = {key: value for key, value in written_recipe(folder).items() if key not in unused}
        catalog = with_stand_ins(catalog, folder, kept)
    try:
        recipe = load_recipe(source, catalog=catalog, overrides=changes)
    except RecipeError as error:
        lines = came_from(error, catalog, kept)
        if not lines:
            raise
        raise UserError(
            "\n".join([str(error), f"{folder} was trained with plugins that are not here:", *lines])
        ) from error
    if not to_train:
        recipe = dataclasses.replace(recipe, observers=[], evaluators=recipe.evaluators if to_score else [])
    return dataclasses.replace(recipe, name=folder.absolute().name, base=Path(kept.get("base", recipe.base)))


def written_recipe(folder: Path) -> dict[str, Any]:
    """The resolved recipe of a run as plain data, whether or not its plugins are here.

    Raises UserError if it is none.
    """
    source = folder / "recipe.yaml"
    found = _plain(read_file(source, str(source)))
    if not isinstance(found, dict):
        raise UserError(f"{source} is no recipe: a run's recipe is a mapping of keys such as variant: and dataset:")
    return found


def _plain(node: Node) -> Any:
    """What was written, without where."""
    value = node.value
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


class OpenedRun:
    """A run of a folder at one checkpoint. Its data are not read, unless somebody asks for items.

    folder, recipe, step: which run, and when. experiment: everything built, such as
    ``experiment.modules["generator"]``. sample_maker: makes samples with it.
    label_names: entry of labels -> the names of its values, or of its columns.
    """

    def __init__(self, folder: Path, recipe: Recipe, checkpoint: str = "last") -> None:
        self.folder = folder
        self.recipe = recipe
        path = chosen(folder, checkpoint)
        self.dataset = datasets(self.recipe)
        kept = read_versions(folder).get("data")
        with self.settings():
            processes = Processes(self.recipe.train.device, self.recipe.train.precision)
            data: Any = self.dataset("train") if kept is None else LazyDataset(kept, lambda: self.dataset("train"))
            if kept is not None:
                self._check_size(data, processes)
            self.label_names = label_names(data)
            self.experiment: Experiment = build(self.recipe, data, processes, data=self.dataset)
            self.sample_maker = SampleMaker(Engine(self.experiment))
            self.step = load_checkpoint(folder, path, self._load)

    def _load(self, state: dict[str, Any]) -> None:
        """Take networks and the components' states from a checkpoint. Raises CheckpointError if they do not fit."""
        check_state(state)
        load_modules(self.experiment, state["modules"], left_out=state.get("left_out", ()))
        self.sample_maker.said = state.get("weights", {})
        for name, component in self.experiment.components().items():
            part = state["components"][0].get(name)
            if part is not None and hasattr(component, "load_state_dict"):
                component.load_state_dict(part)

    def _check_size(self, data: Dataset, processes: Processes) -> None:
        """Raise UserError before networks are allocated that are larger than any checkpoint: it holds others.

        Only what the run's folder says of large data is tried: it may be damaged, or somebody else's.
        """
        if all(max(space.size, space.classes) <= LARGE_SAMPLE for space in data.spaces.values()):
            return
        modules = build(self.recipe, data, processes, data=self.dataset, meta=True).modules.values()
        needed = sum(t.numel() * t.element_size() for module in modules for t in module.state_dict().values())
        tensors = [path / checkpoints.FILES[0] for _, path in checkpoints.listing(self.folder / "checkpoints")]
        held = max((path.stat().st_size for path in tensors if path.is_file()), default=0)
        left_out = read_versions(self.folder).get("shared", {}).get("left_out", ())
        if needed > held * (LEFT_OUT if left_out else 1):
            raise UserError(
                f"{self.folder / 'versions.json'} tells of data for which the networks would take {needed:,} bytes, "
                f"and the checkpoints hold {held:,}: one of them does not belong to this run"
            )

    def settings(self) -> AbstractContextManager[None]:
        """torch's global settings of the run: whatever calls its networks does so in this context."""
        return torch_settings(self.recipe.train)
