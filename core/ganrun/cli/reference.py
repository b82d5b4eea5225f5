"""``ganrun reference``: mean and covariance of real features, written once for all runs that are compared with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ganrun.errors import UserError
from ganrun.paths import expanded

if TYPE_CHECKING:
    from ganrun.catalog.catalog import Catalog
    from ganrun.contracts.protocols import Dataset


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A recipe, a run or a folder of images; or a data set by name, such as cifar10."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="The file to write, such as cifar10_train.safetensors."),
    ],
    features: Annotated[str, typer.Option(metavar="NAME", help="The feature extractor.")] = "inception",
    split: Annotated[str, typer.Option(metavar="SPLIT", help="The real samples to use: train or test.")] = "train",
    samples: Annotated[int | None, typer.Option(min=2, help="How many real samples; all by default.")] = None,
    entry: Annotated[
        str | None, typer.Option(metavar="ENTRY", help="Which entry of the data; x by default, or its first image.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=4, help="For a folder of images: scale them to this side, in pixels.")
    ] = None,
    reading: Annotated[
        Literal["plain", "shown"] | None,
        typer.Option(help="For a folder of images: how its files are read, see `ganrun evaluate --help`."),
    ] = None,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A plugin file that is not installed. Can be repeated.")
    ] = None,
) -> None:
    """Write the statistics of real features to a file.

    Use the file in a recipe, `frechet-distance: {reference: FILE}`, or with `ganrun evaluate --reference FILE`.
    """
    from ganrun.catalog.catalog import Catalog
    from ganrun.data.download import data_cache
    from ganrun.data.order import LARGE
    from ganrun.evaluation.evaluation import Evaluation
    from ganrun.evaluation.sources import Stored
    from ganrun.inference.compare import write_reference
    from ganrun.recipe import load_part

    if split not in ("train", "test"):
        raise UserError(f"--split {split}: there is no such split; write train or test")
    catalog = Catalog(modules=plugin or ())
    dataset = datasets_of(source, catalog, size, reading)
    spaces = dataset(split).spaces
    images = [name for name, space in spaces.items() if space.kind == "image"]
    name = entry or ("x" if "x" in spaces else next(iter(images), ""))
    if name not in spaces:
        raise UserError(f"--entry {name}: {source} has no such entry; it has {', '.join(spaces)}")
    if samples is None and len(dataset(split)) >= LARGE:
        raise UserError(f"{source} has {len(dataset(split)):,} items ({split}); say how many to take: --samples 50000")
    stored = Stored(dataset(split), source, entry=name)
    evaluation = Evaluation(stored, dataset, data_cache())
    part = load_part(features, "features", catalog=catalog, origin="--features")
    try:
        count = write_reference(output, part, stored, evaluation, split, samples or len(dataset(split)), catalog)
    except OSError as error:
        raise UserError(f"{error.filename or output}: cannot be written: {error.strerror or error}") from error
    print(f"{output}: {features} of {count:,} samples of {source} ({split})")


def datasets_of(
    source: str, catalog: Catalog, size: int | None, reading: Literal["plain", "shown"] | None = None
) -> Callable[[str], Dataset]:
    """Split -> data set of a recipe, a run, a folder of images, or a data set's name."""
    from ganrun.api import is_run, open_recipe
    from ganrun.data.image_folder import folder_splits
    from ganrun.data.splits import datasets, datasets_of_part
    from ganrun.recipe import load_part

    path = expanded(source)
    if path.is_dir() and not is_run(path):
        whole = folder_splits(path, side=size, reading=reading or "plain")
        both = (path / "train").is_dir() and (path / "test").is_dir()
        return whole if both else lambda split: whole("test")
    if reading is not None:
        raise UserError("--reading is of the files of a folder; a data set reads its own as its parameters say")
    if size is not None:
        raise UserError("--size scales the images of a folder; a data set has the size that the recipe gives it")
    if source in catalog.names("dataset"):
        return datasets_of_part(load_part(source, "dataset", catalog=catalog, origin="SOURCE"), Path())
    return datasets(open_recipe(source, catalog, ()))
