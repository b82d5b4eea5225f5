"""``ganrun translate``: images through a trained translation, each at its own size where the networks can."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from ganrun.cli.loading import load_torch
from ganrun.cli.output import RUN_HELP, complain, counted
from ganrun.errors import UserError
from ganrun.paths import expanded, resolved
from ganrun.progress import track

if TYPE_CHECKING:
    from torch import Tensor

    from ganrun.inference.any_size import Tiles
    from ganrun.inference.trained import Trained
    from ganrun.sampling.sampling import NormStatistics

Own = Annotated[
    Literal["own", "training"] | None,
    typer.Option(
        help=(
            "own: each image at its own size, the default for convolutional networks; training: scaled to the size "
            "that the run was trained on."
        )
    ),
]
Tile = Annotated[
    int | None,
    typer.Option(
        min=16,
        metavar="PIXELS",
        help="Translate larger images in squares of so many pixels, for what is short of memory.",
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help=(
            "Labels of the translations: label=3, label=bold, Smiling=1, attributes=1,0,1. Drawn by default. "
            "Can be repeated."
        ),
    ),
]
Chosen = Annotated[
    Literal["running", "picture"] | None,
    typer.Option(
        help=(
            "What BatchNorm takes: running statistics, the default, or those of each picture, the default of what was "
            "trained with these in batches of one."
        )
    ),
]


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help=RUN_HELP)],
    source: Annotated[Path, typer.Argument(metavar="IN", help="An image, or a folder; its subfolders are kept.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Where the translations go, under the same names.")],
    to: Annotated[
        str | None,
        typer.Option(metavar="ENTRY", help="The domain to translate to, such as b; the first output by default."),
    ] = None,
    ask: Labels = None,
    size: Own = None,
    tile: Tile = None,
    overlap: Annotated[
        int | None,
        typer.Option(min=0, metavar="PIXELS", help="How far tiles reach into the next; an eighth by default."),
    ] = None,
    statistics: Chosen = None,
    checkpoint: Annotated[str, typer.Option(metavar="WHICH", help="last, best or a step.")] = "last",
    keep_size: Annotated[
        bool, typer.Option("--keep-size", help="Scale each translation back to the size of its input.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace images in OUT that have the same names.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of latents and of noise, for translations that draw.")] = 0,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A plugin file that the run used. Can be repeated.")
    ] = None,
) -> None:
    """Translate images, each by itself: what comes out depends on the image and the seed alone.

    Images are turned as EXIF says, palettes are looked up, transparent parts lie on white, and translations are opaque
    unless the model makes alpha. They keep names and formats where these hold what the model makes.
    """
    load_torch()
    from ganrun.api import load
    from ganrun.data.labels import split_words

    asked = split_words(ask or ())
    source, target = expanded(source), expanded(target)
    places = places_between(source, target, overwrite)
    trained = load(run, checkpoint, plugins=plugin or ())
    work = Translation.of(trained, to, asked, size, (tile, overlap), statistics, keep_size, seed)
    for line in work.about():
        print(line)
    failed = 0
    for file, place in track(places.items(), "translating images", len(places)):
        failed += work.translate(file, place)
    made = counted(len(places) - failed, "image")
    wanted, start = work.direction
    where = target if len(places) > 1 or source.is_dir() else next(iter(places.values()))
    print(
        f"{made} from {start} to {wanted} in {where} ({'; '.join(filter(None, (f'step {trained.step}', work.said)))})"
    )
    if failed:
        raise UserError(f"{failed} of {len(places)} images could not be translated; see the messages above")


def places_between(source: Path, target: Path, overwrite: bool) -> dict[Path, Path]:
    """Image -> where its translation goes, of IN, an image or a folder.

    Raises:
        UserError: if OUT is IN, holds their names and may not be written over, or a link to a folder would lead out.
    """
    from ganrun.data.image_files import SUFFIXES, find_pictures

    inside = resolved(target)
    if resolved(source) == inside:
        raise UserError(f"{target}: OUT is IN, so the translations would replace the images; give another folder")
    if source.is_file():
        whole = target.suffix.lower() in SUFFIXES and not target.is_dir()
        places = {source: target if whole else target / source.name}
        inside = inside.parent if whole else inside
    else:
        files = [file for file in find_pictures(source) if inside not in resolved(file).parents]
        places = {file: target / file.relative_to(source) for file in files}
    for folder in dict.fromkeys(place.parent for place in places.values()):
        if inside not in (resolved(folder), *resolved(folder).parents):
            raise UserError(f"{folder}: a link leads out of OUT here; remove it, or give another OUT")
    there = [place for place in places.values() if os.path.lexists(place)]
    if there and not overwrite:
        raise UserError(
            f"{there[0]} exists already{f', and {len(there) - 1} more' if len(there) > 1 else ''}; "
            "give another OUT, or add --overwrite"
        )
    return places


@dataclass
class Translation:
    """How each image is translated. multiple: of which sides are multiples; None: scaled to the size of the run."""

    trained: Trained
    direction: tuple[str, str]
    ask: dict[str, str]
    multiple: int | None
    tiles: Tiles | None
    statistics: NormStatistics | None
    keep_size: bool
    seed: int
    said: str
    changed: str = ""  # what is said once of files whose format does not hold what is made

    @classmethod
    def of(
        cls,
        trained: Trained,
        to: str | None,
        ask: dict[str, str],
        size: Literal["own", "training"] | None,
        tiling: tuple[int | None, int | None],
        statistics: Literal["running", "picture"] | None,
        keep_size: bool,
        seed: int,
    ) -> Translation:
        """Raises UserError for what does not go together or does not fit the run."""
        from ganrun.data.labels import labels_in_words
        from ganrun.inference.any_size import own_size, statistics_of

        direction = trained.direction(to)
        labels = trained.labels(ask)  # before any image is read
        space = trained.experiment.dataset.spaces[direction[1]]
        if space.kind != "image":
            raise UserError(f"{trained.folder}: it translates {space}, not images")
        multiple = None if size == "training" else own_size(trained)
        if size == "own" and multiple is None:
            raise UserError(
                f"{trained.folder}: its networks are built for {space.shape[1]} x {space.shape[2]} pixels alone; "
                "leave out --size own"
            )
        asked = {"running": "running", "picture": "batch", None: None}[statistics]
        chosen, words = statistics_of(trained, cast("NormStatistics | None", asked))
        said = "; ".join(filter(None, (labels_in_words(labels, trained.label_names), words)))
        tiles = tiles_of(*tiling, scaled=multiple is None)
        return cls(trained, direction, ask, multiple, tiles, chosen, keep_size, seed, said)

    def about(self) -> list[str]:
        """What has to be said before the first image."""
        from ganrun.data.image_writing import form_of

        found = []
        height, width = self.trained.experiment.dataset.spaces[self.direction[1]].shape[1:]
        if self.multiple is None:
            found.append(f"each image is scaled to {width} x {height} pixels")
        made = self.trained.experiment.dataset.spaces[self.direction[0]].shape[0]
        if why := form_of(made, self.values(self.direction[0])).why:
            found.append(f"translations have {why}")
        return found

    def values(self, entry: str) -> tuple[float, float] | None:
        """The values that -1 and 1 stand for in an entry; None for 8 bits."""
        low_high = getattr(self.trained.experiment.dataset, "ranges", {}).get(entry)
        return None if low_high is None else (float(low_high[0]), float(low_high[1]))

    def translate(self, file: Path, place: Path) -> int:
        """Translate one image. Returns 1 if it could not be, which is said on stderr, else 0."""
        from ganrun.data.image_writing import write_image
        from ganrun.inference.any_size import translated

        try:
            image, size = self._read(file)
            made = translated(
                self.trained,
                image,
                self.direction,
                ask=self.ask,
                statistics=self.statistics,
                seed=self.seed,
                multiple=self.multiple or 1,
                tiles=self.tiles,
            )
            if self.keep_size:
                made = resized(made, size)
            write_image(made, place, self.values(self.direction[0]))
        except UserError as error:
            complain(str(error))
        except (OSError, ValueError) as error:
            complain(f"{place}: cannot be written: {getattr(error, 'strerror', None) or error}")
        else:
            return 0
        return 1

    def _read(self, file: Path) -> tuple[Tensor, tuple[int, int]]:
        """An image (C, H, W) in [-1, 1] as the run takes it, and its own width and height."""
        from PIL import Image

        from ganrun.data import image_grid
        from ganrun.data.image_files import read_picture

        channels, height, width = self.trained.experiment.dataset.spaces[self.direction[1]].shape
        picture = read_picture(file, channels)
        size = picture.size
        if self.multiple is None and size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        return image_grid.to_tensor(picture), size


def tiles_of(tile: int | None, overlap: int | None, *, scaled: bool) -> Tiles | None:
    """The tiles that are asked for. Raises UserError for an overlap without tiles, or one that leaves nothing."""
    from ganrun.inference.any_size import Tiles

    if tile is None:
        if overlap is not None:
            raise UserError("--overlap is of tiles; add --tile PIXELS, or leave it out")
        return None
    if scaled:
        raise UserError("--tile is for images of their own size, and these are scaled to that of the run; leave it out")
    overlap = tile // 8 if overlap is None else overlap
    if overlap > tile // 2:
        raise UserError(f"--overlap {overlap}: at most half of a tile of {tile}")
    return Tiles(tile, overlap)


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """(C, H, W) -> (C, height, width), bicubic, antialiased; ``size`` is (width, height)."""
    import torch.nn.functional as F

    if (image.shape[2], image.shape[1]) == size:
        return image
    return F.interpolate(image[None], (size[1], size[0]), mode="bicubic", antialias=True)[0].clamp(-1, 1)
