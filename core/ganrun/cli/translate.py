"""``ganrun translate``: a folder of images through a trained translation, into another folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganrun.cli.loading import load_torch
from ganrun.cli.output import complain, counted
from ganrun.errors import UserError
from ganrun.files import writing
from ganrun.paths import expanded, resolved
from ganrun.progress import track

if TYPE_CHECKING:
    from PIL import Image

    from ganrun.inference.trained import Trained

BATCH = 8  # images at once


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    source: Annotated[Path, typer.Argument(metavar="IN", help="A folder of images; its subfolders are kept.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Where the translations go, under the same names.")],
    to: Annotated[
        str | None,
        typer.Option(metavar="ENTRY", help="The domain to translate to, such as b; the first output by default."),
    ] = None,
    ask: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help=(
                "Labels of the translations: label=3, label=bold, attributes=1,0,1. Drawn by default. Can be repeated."
            ),
        ),
    ] = None,
    checkpoint: Annotated[str, typer.Option(metavar="WHICH", help="last, best or a step.")] = "last",
    keep_size: Annotated[
        bool, typer.Option("--keep-size", help="Scale each translation back to the size of its input.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace images in OUT that have the same names.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of latents, for translations that draw them.")] = 0,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A plugin file that the run used. Can be repeated.")
    ] = None,
) -> None:
    """Translate a folder of images. Each image is scaled to the size the run was trained on."""
    load_torch()
    from ganrun.api import load
    from ganrun.data.labels import split_words

    asked = split_words(ask or ())
    source, target = expanded(source), expanded(target)
    files = files_between(source, target, overwrite)
    trained = load(run, checkpoint, plugins=plugin or ())
    wanted, start = trained.direction(to)
    trained.labels(asked)  # before any image is read
    if trained.experiment.dataset.spaces[start].kind != "image":
        raise UserError(f"{run}: it translates {trained.experiment.dataset.spaces[start]}, not images")
    unreadable = 0
    for first in track(range(0, len(files), BATCH), "translating, batches", -(-len(files) // BATCH)):
        some = files[first : first + BATCH]
        unreadable += translate_files(
            trained, some, (source, target), (wanted, start), asked, keep_size=keep_size, seed=seed
        )
    made = counted(len(files) - unreadable, "image")
    print(f"{made} from {start} to {wanted} in {target} (step {trained.step})")
    if unreadable:
        raise UserError(f"{unreadable} of {len(files)} images could not be translated; see the messages above")


def files_between(source: Path, target: Path, overwrite: bool) -> list[Path]:
    """The images of IN.

    Raises:
        UserError: if OUT is IN, holds their names and may not be written over, or a link to a folder would lead out.
    """
    from ganrun.data.image_files import find_pictures

    inside = resolved(target)
    if resolved(source) == inside:
        raise UserError(f"{target}: OUT is IN, so the translations would replace the images; give another folder")
    files = [file for file in find_pictures(source) if inside not in resolved(file).parents]
    places = [target / file.relative_to(source) for file in files]
    for folder in dict.fromkeys(place.parent for place in places):
        if inside not in (resolved(folder), *resolved(folder).parents):
            raise UserError(f"{folder}: a link leads out of OUT here; remove it, or give another OUT")
    there = [place for place in places if os.path.lexists(place)]
    if there and not overwrite:
        raise UserError(
            f"{there[0]} exists already{f', and {len(there) - 1} more' if len(there) > 1 else ''}; "
            "give another OUT, or add --overwrite"
        )
    return files


def translate_files(
    trained: Trained,
    files: list[Path],
    folders: tuple[Path, Path],
    direction: tuple[str, str],
    ask: dict[str, str],
    *,
    keep_size: bool,
    seed: int,
) -> int:
    """Translate some files. Returns how many could not be, each named on stderr."""
    import torch

    from ganrun.data import image_grid

    wanted, start = direction
    good, sizes, batch = [], [], []
    for file in files:
        picture = _read(file, trained.experiment.dataset.spaces[start].shape)
        if picture is not None:
            good.append(file)
            sizes.append(picture[0])
            batch.append(image_grid.to_tensor(picture[1]))
    made = trained.translate(torch.stack(batch), to=wanted, source=start, ask=ask, seed=seed) if batch else ()
    failed = len(files) - len(good)
    for file, size, image in zip(good, sizes, made):
        place = folders[1] / file.relative_to(folders[0])
        try:
            _write(image_grid.single(image), place, size if keep_size else None)
        except (OSError, ValueError) as error:
            complain(f"{place}: cannot be written: {getattr(error, 'strerror', None) or error}")
            failed += 1
    return failed


def _read(file: Path, shape: tuple[int, ...]) -> tuple[tuple[int, int], Image.Image] | None:
    """An image's own size, and the image at (C, H, W); None, with a message, if it cannot be read."""
    from PIL import Image

    from ganrun.data.image_files import read_picture
    from ganrun.errors import DataError

    try:
        picture = read_picture(file, shape[0])
    except DataError as error:
        complain(str(error))
        return None
    size = picture.size
    return size, picture.resize((shape[2], shape[1]), Image.Resampling.BICUBIC) if size != (
        shape[2],
        shape[1],
    ) else picture


def _write(picture: Image.Image, place: Path, size: tuple[int, int] | None) -> None:
    """Write an image in the format of its name: wholly or not at all, and in the place of a link, not through it."""
    from PIL import Image

    if size is not None and size != picture.size:
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    options: dict[str, Any] = {"quality": 95} if place.suffix.lower() in (".jpg", ".jpeg", ".webp") else {}
    place.parent.mkdir(parents=True, exist_ok=True)
    with writing(place) as file:
        picture.save(file, format=Image.registered_extensions()[place.suffix.lower()], **options)
