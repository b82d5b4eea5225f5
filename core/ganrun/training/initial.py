"""The recipe's ``init``: a run begins with the weights of another run, or with files of weights."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ganrun.data.labels import label_names
from ganrun.errors import UserError, some
from ganrun.experiment.experiment import Experiment
from ganrun.recipe import StartSettings, diff
from ganrun.recipe.places import placed
from ganrun.sampling.networks import state_of
from ganrun.training import checkpoint
from ganrun.training.chosen import chosen
from ganrun.training.fitted import Fit, check_weights, fit
from ganrun.training.named_run import named_run
from ganrun.training.opened import OpenedRun, recipe_of, written_recipe
from ganrun.training.restore import check_optimizer_state, check_state, load_modules, warn_of_not_finite
from ganrun.training.versions import read_versions
from ganrun.training.weight_files import read_weights
from ganrun.words.spaces import Space

if TYPE_CHECKING:
    from ganrun.training.run import Run

CHOICES = {"training": "as training left them", "sampling": "as samples are made with them"}


@dataclass
class Start:
    """What a run begins with. lines: for people. kept: for ``versions.json``.

    optimizers: player -> the state of its optimiser.
    """

    lines: list[str] = field(default_factory=list)
    kept: dict[str, Any] = field(default_factory=dict)
    optimizers: dict[str, Any] = field(default_factory=dict)


def start_from(run: Run) -> Start:
    """Give a run what its recipe's ``init`` names, and print what was taken and what was not.

    Everything else, such as the step and the state of tricks, starts from the beginning.

    Raises:
        UserError: with the place in the recipe, if there is no such run, or it does not fit.
    """
    start = started(run.experiment)
    for player, state in start.optimizers.items():
        checkpoint.restore_optimizer(run.engine.optimizers[player], state)
    for line in start.lines if run.is_main else ():
        print(line, flush=True)
    return start


def started(experiment: Experiment) -> Start:
    """Load what the recipe's ``init`` names into the networks of an experiment; on the meta device nothing is loaded.

    Raises UserError as :func:`start_from`.
    """
    settings = experiment.recipe.init
    start = Start()
    if settings is None:
        return start
    with placed(experiment.recipe, ("init",), "init"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*copying from a non-meta parameter")
        _check_names(experiment, (*settings.files, *(settings.networks or ())))
        if settings.run is not None:
            _from_run(experiment, settings, named_run(settings.run, experiment.recipe), start)
        for name, file in settings.files.items():
            _from_file(experiment, settings, name, experiment.recipe.path_of(file), start)
    return start


def _check_names(experiment: Experiment, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in experiment.modules:
            who, there = experiment.recipe.variant.name, ", ".join(experiment.modules)
            raise UserError(f"{who} has no network {name!r}; it has {there}")


# --- from a run -----------------------------------------------------------------------------------------------


def _from_run(experiment: Experiment, settings: StartSettings, place: Path, start: Start) -> None:
    path, folder = _checkpoint_of(place, settings.checkpoint)
    wanted = [name for name in settings.networks or experiment.modules if name not in settings.files]
    fits: dict[str, Fit] = {}
    state: dict[str, Any] = {}

    def load(found: dict[str, Any]) -> None:
        check_state(found)
        state.update(found)
        modules = found["modules"]
        if settings.weights == "sampling":
            sampled = _sampled(experiment, folder, found["step"])
            modules = {name: sampled[name] for name in modules}  # no others: a shared run lacks discriminators
        fits.update(_taken(experiment, settings, wanted, modules, f"step {found['step']} of {folder}"))

    if path is None:
        path, _, _, damaged = checkpoint.load_newest(place / "checkpoints", load)
        start.lines += [f"warning: {line}; an older one is used" for line in damaged]
    else:
        load(checkpoint.read(path)[1])
    start.lines.append(f"init: weights of step {state['step']} of {folder}, {CHOICES[settings.weights]}")
    _tell(experiment, fits, start)
    if not all(fit.is_whole for fit in fits.values()):
        start.lines += [f"  {line}" for line in _differences(experiment, folder)]
    start.kept |= {
        "run": str(folder),
        "step": state["step"],
        "sha256": checkpoint.verify(path)["files"][checkpoint.FILES[0]]["sha256"],
        "weights": settings.weights,
    }
    if settings.optimizers:
        _take_optimizers(experiment, {name for name, fit in fits.items() if fit.is_whole}, state["optimizers"], start)


def _checkpoint_of(place: Path, which: str | int) -> tuple[Path | None, Path]:
    """The folder of the checkpoint that is wanted, None for the newest that fits; and the folder of its run."""
    if (place / checkpoint.MANIFEST).exists():
        if which != "last":
            raise UserError(f"{place} is a checkpoint; name the run's folder, or leave out `checkpoint`")
        return place, place.parent.parent
    if (place / "checkpoints").is_dir():
        return chosen(place, str(which)), place
    if not place.exists():
        raise UserError(
            f"{place} is not there; it was looked for beside the recipe, then in {Path.cwd()}; "
            "train that run first, or name its folder: --set init.run=RUN"
        )
    raise UserError(f"{place} is neither a run's folder nor a checkpoint")


def _sampled(experiment: Experiment, folder: Path, step: int) -> dict[str, dict[str, Tensor]]:
    """The weights that a run makes its samples with at a step."""
    recipe = recipe_of(folder, experiment.recipe.catalog, {"train.device": "cpu"}, to_train=False)
    with OpenedRun(folder, recipe, str(step)).sample_maker.modules() as modules:
        return {name: dict(state_of(module)) for name, module in modules.items()}


def _taken(
    experiment: Experiment,
    settings: StartSettings,
    wanted: list[str],
    modules: dict[str, dict[str, Tensor]],
    where: str,
) -> dict[str, Fit]:
    """Load the wanted networks. All of their weights must be there, unless ``partial``.

    Raises CheckpointError if they do not fit.
    """
    fits = {
        name: fit(modules.get(name, {}), experiment.modules[name], f"{name} of {where}", overlap=settings.overlap)
        for name in wanted
    }
    if not settings.partial:
        try:
            load_modules(experiment, modules, wanted)
        except checkpoint.CheckpointError as error:
            cure = f"init: {{run: {settings.run}, partial: true}}"
            raise checkpoint.CheckpointError(f"{error}; to take what fits of it: {cure}") from error
        return fits
    if not any(fit.tensors for fit in fits.values()):
        raise checkpoint.CheckpointError(f"nothing of {where} fits {', '.join(wanted)}")
    warn_of_not_finite(experiment, {name: fit.tensors for name, fit in fits.items()})
    for name, found in fits.items():
        experiment.modules[name].load_state_dict(experiment.modules[name].state_dict() | found.tensors)
    return fits


def _take_optimizers(experiment: Experiment, whole: set[str], states: Mapping[str, Any], start: Start) -> None:
    """Keep the states of the optimisers whose players' networks were taken as they are."""
    for name, player in experiment.players.items():
        networks = {module.partition(".")[0] for module in player.modules}
        why = ""
        if not networks <= whole:
            why = "its networks are not wholly those"
        elif name not in states:
            why = "the run has no such player"
        elif not any(parameter.is_meta for parameter in experiment.parameters(player)):
            try:
                check_optimizer_state(name, experiment, states[name])
                start.optimizers[name] = states[name]
            except checkpoint.CheckpointError as error:
                why = str(error)
        start.lines.append(f"  optimiser of {name}: {f'starts new: {why}' if why else 'its state is taken, too'}")


# --- from a file ----------------------------------------------------------------------------------------------


def _from_file(experiment: Experiment, settings: StartSettings, name: str, path: Path, start: Start) -> None:
    found = fit(read_weights(path), experiment.modules[name], f"{name}: {path}", overlap=settings.overlap)
    if not found.tensors:
        raise UserError(f"nothing of {path} fits {name}")
    if not settings.partial and not (found.is_whole and not found.unused):
        raise UserError(f"{path} does not fit {name}: {'; '.join(_left_out(found))}; to take what fits: partial: true")
    module = experiment.modules[name]
    check_weights(found.tensors, module, f"{name}: {path}")
    module.load_state_dict(module.state_dict() | found.tensors)
    start.lines.append(f"init: weights of {path}")
    _tell(experiment, {name: found}, start)
    start.kept.setdefault("files", {})[name] = {"file": str(path), "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- in words -------------------------------------------------------------------------------------------------


def _tell(experiment: Experiment, fits: Mapping[str, Fit], start: Start) -> None:
    """Write down of each network how much was taken, and what was not and why."""
    for name, found in fits.items():
        size = len(experiment.modules[name].state_dict())
        whole = sum(key not in found.reshaped for key in found.tensors)
        start.lines.append(f"  {name}: {whole} of {size} tensors")
        start.lines += [f"    {line}" for line in _left_out(found)]
        start.kept.setdefault("networks", {})[name] = {
            "taken": whole,
            "of": size,
            "other_shape": {key: [list(there), list(here)] for key, (there, here) in found.reshaped.items()},
            "overlap": sorted(found.reshaped.keys() & found.tensors.keys()),
            "only_here": found.missing,
            "only_there": found.unused,
        }


def _left_out(found: Fit) -> list[str]:
    """What does not fit, and why."""
    shapes = {name: f"{name} {there} there, {here} here" for name, (there, here) in found.reshaped.items()}
    parts = {
        "taken as far as both go": [line for name, line in shapes.items() if name in found.tensors],
        "of another shape, left as initialised": [line for name, line in shapes.items() if name not in found.tensors],
        "only here, left as initialised": found.missing,
        "only there, not used": found.unused,
    }
    return [f"{what}: {some(names, 3)}" for what, names in parts.items() if names]


def _differences(experiment: Experiment, folder: Path) -> list[str]:
    """What of the data and of the networks' parameters differs between a run and this one, as far as it is kept."""
    try:
        data = read_versions(folder).get("data") or {}
        written = written_recipe(folder)
    except UserError:
        return []
    spaces = {
        name: Space(kind, tuple(shape), classes) for name, (kind, shape, classes) in data.get("spaces", {}).items()
    }
    here, names = experiment.dataset.spaces, label_names(experiment.dataset)
    lines = [
        f"{name} of the data: {spaces[name]} there, {here[name]} here"
        for name in here
        if name in spaces and spaces[name] != here[name]
    ]
    lines += [
        f"{name} of the data: {', '.join(known[:4])}, ... there, {', '.join(names[name][:4])}, ... here"
        for name, known in data.get("label_names", {}).items()
        if name in names and any(one != other for one, other in zip(known, names[name]))
    ]
    keys = {"variant", *experiment.recipe.networks}
    resolved = experiment.recipe.resolved
    there, now = ({key: recipe[key] for key in keys if key in recipe} for recipe in (written, resolved))
    return lines + [str(difference) for difference in diff(there, now)]
