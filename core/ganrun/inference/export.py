"""Export: a network of a run as a file that other programs run, held against ganrun before it is called done."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganrun.catalog.catalog import Catalog
from ganrun.errors import UserError
from ganrun.inference.export_formats import FORMATS, Graph, Runner, traced
from ganrun.inference.exported import COMPARED, Exportable, Recorded, exportable, recorded
from ganrun.inference.trained import Trained
from ganrun.training.located import located
from ganrun.training.opened import recipe_of

TOLERANCE = 1e-4  # the largest difference of a number that an exported network makes from ganrun's


@dataclass(frozen=True)
class Export:
    """An exported network: its files, the largest difference from ganrun, in how many rows and other sizes."""

    network: str
    format: str
    files: list[Path]
    difference: float
    bytes: int
    seconds: float
    of: Exportable


def opened(folder: Path, checkpoint: str, catalog: Catalog) -> Trained:
    """A run to be exported: on the CPU, and in float32 where it was trained in mixed precision."""
    folder = located(folder)
    changes: dict[str, Any] = {"train.device": "cpu", "train.compile": False}
    recipe = recipe_of(folder, catalog, changes, to_train=False)
    if recipe.train.precision == "bfloat16":
        recipe = recipe_of(folder, catalog, changes | {"train.precision": "float32"}, to_train=False)
    return Trained(folder, recipe, checkpoint)


def export(
    trained: Trained, names: Sequence[str], formats: Sequence[str], folder: Path, *, overwrite: bool = False
) -> Iterator[Export]:
    """Write networks of a run in some formats into a folder, one after the other.

    A file takes its place only when it was run and agrees with ganrun.

    Raises:
        UserError: for a network or format that is not there, files that are, and what cannot be exported.
    """
    for form in formats:
        if form not in FORMATS:
            raise UserError(f"--to {form}: no such format; write {', '.join(FORMATS)}")
    for name in names:
        check_free(folder, [f"{name}.{form}" for form in formats], overwrite)
        of = exportable(trained, name)
        if why := getattr(of.network, "unexportable", ""):
            raise UserError(f"{trained.folder}: {name} cannot be exported: {why}")
        calls = recorded(trained, name, of)
        check_made_alike(of, calls, f"{trained.folder}: {name}")
        try:
            program = traced(of)
        except Exception as error:  # whatever torch says of code that it cannot follow
            raise _cannot(trained, name, "torch.export", error) from error
        graph = Graph(program, of, name, about(trained, name, of), *draws(trained, of, calls))
        for form in formats:
            yield _written(trained, graph, form, calls, folder, overwrite)


def _written(trained: Trained, graph: Graph, form: str, calls: list[Recorded], folder: Path, overwrite: bool) -> Export:
    """One network in one format, written aside, run, compared, and put in its place."""
    start = time.perf_counter()
    write, load = FORMATS[form]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".exporting-") as aside:
            try:
                names = write(graph, Path(aside))
                difference = compared(graph.of, load(graph, Path(aside)), calls)
            except (UserError, OSError):
                raise
            except Exception as error:  # whatever a format's own library says
                raise _cannot(trained, graph.stem, form, error) from error
            if not difference <= TOLERANCE:
                raise UserError(
                    f"{trained.folder}: {graph.stem} as {form} makes other numbers than ganrun: by up to "
                    f"{difference:.2g}, where {TOLERANCE:g} is allowed; nothing was written"
                )
            check_free(folder, names, overwrite)
            for name in names:
                shutil.move(Path(aside) / name, folder / name)
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot be written: {error.strerror or error}") from error
    files = [folder / name for name in names]
    size = sum(file.stat().st_size for file in files)
    return Export(graph.stem, form, files, difference, size, time.perf_counter() - start, graph.of)


def check_free(folder: Path, names: Iterable[str], overwrite: bool) -> None:
    """Raise UserError if one of these files is in a folder already, and may not be replaced."""
    there = [folder / name for name in names if (folder / name).exists()]
    if there and not overwrite:
        raise UserError(f"{there[0]} exists already; give another --output, or add --overwrite")


def compared(of: Exportable, run: Runner, calls: Iterable[Recorded]) -> float:
    """The largest difference from what ganrun made, in its own calls, of a single row, and at another size."""
    pairs = [(run((*call.inputs, *call.noise)), call.outputs) for call in calls]
    others = [of.example(3 if of.of_batch else 1, seed=1)]
    if of.any_size and len(of.inputs) == len(of.taken):
        others.append(of.example(2, seed=2, larger=1))
    with torch.no_grad():
        pairs += [(run(inputs), of(*inputs)) for inputs in others]
    return max(differences(one, other) for one, other in pairs)


def differences(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """The largest difference between two lists of tensors; infinite where their shapes differ."""
    if [tuple(x.shape) for x in one] != [tuple(x.shape) for x in other]:
        return float("inf")
    return max(float((x.double() - y.double()).abs().nan_to_num(nan=float("inf")).max()) for x, y in zip(one, other))


def check_made_alike(of: Exportable, calls: Sequence[Recorded], who: str) -> None:
    """Raise UserError if the network that is to be exported makes other numbers than ganrun's own."""
    with torch.no_grad():
        found = max(differences(of(*call.inputs, *call.noise), call.outputs) for call in calls)
    if not found <= TOLERANCE:
        raise UserError(
            f"{who} cannot be exported: taken out of ganrun, it makes numbers that differ by up to {found:.2g}; "
            "does one of its layers draw random numbers, or depend on something outside it?"
        )


def about(trained: Trained, name: str, of: Exportable) -> dict[str, Any]:
    """What an exported file says of itself: what it takes and makes, and where it is from."""
    weights = trained.sample_maker.weights().get(name, "trained")
    return {
        "network": name,
        "variant": trained.recipe.variant.name,
        "run": trained.folder.absolute().name,
        "step": trained.step,
        "weights": weights,
        "inputs": [vars(one) | {"shape": list(one.shape)} for one in of.inputs],
        "outputs": list(of.outputs),
        "multiple": of.multiple if of.any_size else None,
        "statistics_of_batch": of.of_batch,
        "label_names": trained.label_names,
        "versions": {package: metadata.version(package) for package in ("ganrun", "torch")},
        "compared": COMPARED,
    }


def draws(trained: Trained, of: Exportable, calls: Sequence[Recorded]) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Input -> how a script draws it, as an expression of torch for N rows; and tensors for what it cannot draw."""
    drawn: list[Tensor] = []
    if not trained.experiment.description.conditional:
        drawn = list(trained.latents(COMPARED).values())
    found: dict[str, str] = {}
    stored: dict[str, Tensor] = {}
    for place, one in enumerate(of.inputs):
        rows = ", ".join(map(str, ("N", *one.shape)))
        if one.kind == "labels":
            found[one.name] = (
                f"torch.randint({one.classes}, ({rows},))" if one.shape else f"torch.arange(N) % {one.classes}"
            )
        elif one.kind == "noise":
            found[one.name] = f"torch.rand({rows})"
        elif one.kind != "image":
            given = torch.cat([call.inputs[place] for call in calls])
            latent = any(given.shape == z.shape and torch.equal(given, z.to(given.dtype)) for z in drawn)
            found[one.name] = _drawn(trained, rows, one.shape) if latent else ""
            if not found[one.name]:
                stored[one.name] = given[:COMPARED].contiguous()
    return found, stored


def _drawn(trained: Trained, rows: str, shape: Sequence[int]) -> str:
    """How a script draws what the sampler draws; empty if that is none of the simple ways."""
    sampler = trained.experiment.sampler
    if trained.experiment.provides("latent:normal"):
        return f"torch.randn({rows})"
    low, high = getattr(sampler, "low", None), getattr(sampler, "high", None)
    if isinstance(low, float) and isinstance(high, float):
        return f"torch.rand({rows}) * {high - low} + {low}"
    return ""


def _cannot(trained: Trained, name: str, form: str, error: Exception) -> UserError:
    """Why a network cannot be exported, in a line or two."""
    who = f"{trained.folder}: {name} ({type(trained.experiment.modules[name]).__name__}) cannot be exported"
    if isinstance(error, UserError):
        return UserError(f"{who}: {error}")
    if "Constraints violated (batch)" in str(error):
        return UserError(
            f"{who}: what it calculates depends on how many rows it is given, such as statistics over groups of them"
        )
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return UserError(f"{who}: {form} does not take it: {first[:300]}")
