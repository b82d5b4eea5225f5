"""``ganrun project``: the latents whose samples are nearest to given images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganrun.cli.loading import load_torch
from ganrun.cli.output import RUN_HELP
from ganrun.errors import UserError
from ganrun.files import write
from ganrun.paths import expanded

if TYPE_CHECKING:
    from torch import Tensor

    from ganrun.contracts.protocols import Features
    from ganrun.inference.project import Projection
    from ganrun.inference.trained import Trained

NONE = "none"


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help=RUN_HELP)],
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE...", help="Image files, or folders of them.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Where what is found goes; RUN/projections by default."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the descent.")] = 200,
    starts: Annotated[int, typer.Option(min=1, help="Latents that the descent starts from; the nearest is kept.")] = 4,
    rate: Annotated[float, typer.Option(min=1e-6, help="Rate of the descent at its beginning.")] = 0.05,
    features: Annotated[
        str, typer.Option(help="Whose feature maps are compared beside pixels: random-conv, torchvision, ..., or none.")
    ] = "random-conv",
    weight: Annotated[float, typer.Option(min=0.0, help="Weight of the feature maps beside the pixels.")] = 1.0,
    ask: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A label; all values are tried by default. Can be repeated."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the latents to start from.")] = 0,
    checkpoint: Annotated[str, typer.Option(metavar="WHICH", help="last, best or a step.")] = "last",
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A plugin file that the run used. Can be repeated.")
    ] = None,
) -> None:
    """Find the latents whose samples are nearest to given images.

    An image is cut in the middle and scaled to the size that the run makes. Written for each: NAME.png, the image, the
    way to what was found, and that; NAME.safetensors, the latents.
    """
    load_torch()
    from ganrun.api import load
    from ganrun.data.labels import split_words
    from ganrun.inference.project import Projector, check_run
    from ganrun.training.located import place_for

    files = image_files(pictures)
    trained = load(run, checkpoint, plugins=plugin or ())
    check_run(trained)
    compared = None if features == NONE or weight == 0 else features_of(trained, features, plugin)
    projector = Projector(
        trained, compared, weight=weight, steps=steps, starts=starts, rate=rate, ask=split_words(ask or ())
    )
    folder = place_for(run, "projections") if output is None else expanded(output)
    for name, file in files.items():
        target = target_of(trained, file)
        found = projector.project(target, seed, name=file.name)
        picture = write_found(folder, name, target, found)
        ends = ", ".join(f"{distance:.3g}" for distance in sorted(found.beginnings)[:starts])
        print(
            f"{file}: mean difference of pixels {found.pixels / 2:.1%} of the range, distance {found.distance:.3g} "
            f"(starts ended at {ends}); {picture}"
        )


def image_files(pictures: list[Path]) -> dict[str, Path]:
    """Name -> file, of files and of all images in folders.

    Raises UserError for what is not there, and for a name that comes twice.
    """
    from ganrun.data.image_files import find_pictures

    found: dict[str, Path] = {}
    for place in map(expanded, pictures):
        if not place.exists():
            raise UserError(f"{place}: there is no such file or folder")
        for file in find_pictures(place) if place.is_dir() else [place]:
            name = (file.relative_to(place).with_suffix("").as_posix() if place.is_dir() else file.stem).replace(
                "/", "_"
            )
            if name in found:
                raise UserError(f"{found[name]} and {file} would both be written as {name}; project them one by one")
            found[name] = file
    return found


def features_of(trained: Trained, name: str, plugin: list[Path] | None) -> Features:
    """Features by name. Raises UserError for those that cannot serve the run's images."""
    from ganrun.catalog.catalog import Catalog
    from ganrun.evaluation.features import context_of
    from ganrun.recipe import load_part
    from ganrun.words.spaces import Refusal

    part = load_part(name, "features", catalog=Catalog(modules=plugin or ()), origin="--features")
    try:
        made: Features = part.make(context_of(trained.experiment, trained.output))
        return made
    except Refusal as refusal:
        raise UserError(f"--features {name}: {refusal}") from refusal


def target_of(trained: Trained, file: Path) -> Tensor:
    """An image file as the run makes images: (C, H, W) in [-1, 1], cut in the middle and scaled."""
    from PIL import Image, ImageOps

    from ganrun.data import image_grid
    from ganrun.data.image_files import MODES, read_picture

    channels, height, width = trained.experiment.dataset.spaces[trained.output].shape
    if channels not in MODES:
        raise UserError(f"{trained.folder}: it makes images of {channels} channels, and image files have 1, 3 or 4")
    picture = read_picture(file, channels)
    if picture.size != (width, height):
        picture = ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)
    return image_grid.to_tensor(picture)


def write_found(folder: Path, name: str, target: Tensor, found: Projection) -> Path:
    """Write latents and the picture of the way. Returns the picture's file."""
    import torch
    from safetensors.torch import save

    from ganrun.data import image_grid

    images = torch.cat([target[None], found.way])
    names = ["given", "start", *[""] * (len(found.way) - 2), "found"]
    sheet = image_grid.named(image_grid.enlarged(image_grid.grid(images, len(images))), [], names)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / f"{name}.safetensors", save({key: z.contiguous() for key, z in found.latents.items()}))
        return image_grid.save(sheet, folder / f"{name}.png")
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot be written: {error.strerror or error}") from error
