"""``ganrun translate``: images through a trained translation, each at its own size where the networks can."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
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

    from ganrun.data.image_writing import Form
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

    Images are turned as EXIF says, and turned back where the format says so. Palettes are looked up, transparent parts
    lie on white, and translations are opaque unless the model makes alpha. They keep names and formats where these hold
    what the model makes.
    """
    load_torch()
    from ganrun.api import load
    from ganrun.data.labels import split_words

    asked = split_words(ask or ())
    source, target = expanded(source), expanded(target)
    check_folders(source, target)
    trained = load(run, checkpoint, plugins=plugin or ())
    work = Translation.of(trained, to, asked, size, (tile, overlap), statistics, keep_size, seed)
    places = places_between(source, target, overwrite, work)
    for line in work.about(places):
        print(line)
    failed = 0
    for file, place in track(places.items(), "translating images", len(places)):
        failed += work.translate(file, place)
    for remark, count in work.remarks.items():
        print(f"{counted(count, 'image')}: {remark}")
    made = counted(len(places) - failed, "image")
    wanted, start = work.direction
    where = target if len(places) > 1 or source.is_dir() else next(iter(places.values()))
    print(
        f"{made} from {start} to {wanted} in {where} ({'; '.join(filter(None, (f'step {trained.step}', work.said)))})"
    )
    if failed:
        raise UserError(f"{failed} of {len(places)} images could not be translated; see the messages above")


def check_folders(source: Path, target: Path) -> None:
    """Raise UserError if there is no IN, or OUT is IN."""
    if not source.exists():
        raise UserError(f"{source}: there is no such folder or image")
    if resolved(source) == resolved(target):
        raise UserError(f"{target}: OUT is IN, so the translations would replace the images; give another folder")


def places_between(source: Path, target: Path, overwrite: bool, work: Translation) -> dict[Path, Path]:
    """Image -> where its translation goes, of IN, an image or a folder.

    Raises:
        UserError: if OUT holds their names and may not be written over, or is IN, if two images would have one name, or
            a link to a folder would lead out.
    """
    from ganrun.data.image_files import SUFFIXES, list_pictures
    from ganrun.data.image_values import ARRAYS

    inside = resolved(target)
    if source.is_file():
        whole = target.suffix.lower() in SUFFIXES | ARRAYS and not target.is_dir()
        places = {source: target if whole else target / source.name}
        inside = inside.parent if whole else inside
    else:
        files = list_pictures(source, arrays=work.takes_arrays)
        places = {file: target / file.relative_to(source) for file in files if inside not in resolved(file).parents}
    places = {file: work.form(place).place(place) for file, place in places.items()}
    if (place := next(iter(places.values()), None)) and resolved(source) == resolved(place):
        raise UserError(f"{place}: OUT is IN, so the translation would replace the image; give another name")
    if len({*places.values()}) < len(places):
        twice = next(place for place, count in Counter(places.values()).items() if count > 1)
        names = " and ".join(str(file) for file, place in places.items() if place == twice)
        raise UserError(f"{names} would both become {twice}; give them other names, or translate one by one")
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
    asked_size: bool
    measured: bool = False  # how far tiles are from the whole image
    remarks: Counter[str] = field(default_factory=Counter)  # what reading changed, and in how many images

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
        return cls(trained, direction, ask, multiple, tiles, chosen, keep_size, seed, said, size is not None)

    def about(self, places: Mapping[Path, Path]) -> list[str]:
        """What has to be said before the first image."""
        found = []
        height, width = self.trained.experiment.dataset.spaces[self.direction[1]].shape[1:]
        if self.multiple is None:
            why = "" if self.asked_size else ", as the networks are built for no other size"
            found.append(f"each image is scaled to {width} x {height} pixels{why}")
        whys = dict.fromkeys(self.form(place).why for place in (*places, *places.values()))
        return found + [f"written: {why}" for why in whys if why]

    def values(self, entry: str) -> tuple[float, float] | None:
        """The values that -1 and 1 stand for in an entry; None for 8 bits."""
        from ganrun.data.value_range import range_of

        return range_of(self.trained.experiment.dataset, entry)

    @property
    def takes_arrays(self) -> bool:
        """Whether images are of other values or channels than most image files, so that arrays of numpy are some."""
        from ganrun.data.image_files import MODES

        start = self.direction[1]
        channels = self.trained.experiment.dataset.spaces[start].shape[0]
        return channels not in MODES or self.values(start) is not None

    def form(self, place: Path) -> Form:
        """How a translation is written that is to have this name."""
        from ganrun.data.image_writing import form_of

        made = self.direction[0]
        channels = self.trained.experiment.dataset.spaces[made].shape[0]
        return form_of(channels, self.values(made), place.suffix.lower())

    def translate(self, file: Path, place: Path) -> int:
        """Translate one image. Returns 1 if it could not be, which is said on stderr, else 0."""
        from ganrun.data.image_writing import keeps_orientation, write_image
        from ganrun.inference.given_images import read_given, turned_back

        made, start = self.direction
        channels = self.trained.experiment.dataset.spaces[start].shape[0]
        try:
            given = read_given(file, channels, self.values(start))
            image = self._made(given.image, file)
            if keeps_orientation(self.form(place), len(image)):
                write_image(
                    turned_back(image, given.orientation), place, self.values(made), orientation=given.orientation
                )
            else:
                write_image(image, place, self.values(made))
        except UserError as error:
            complain(str(error) if str(file) in str(error) else f"{file}: {error}")
        except (OSError, ValueError) as error:
            complain(f"{place}: cannot be written: {getattr(error, 'strerror', None) or error}")
        else:
            self.remarks.update(given.said)
            return 0
        return 1

    def _made(self, image: Tensor, file: Path) -> Tensor:
        """(C, H, W) -> its translation, scaled as asked for."""
        from ganrun.inference.given_images import scaled

        height, width = self.trained.experiment.dataset.spaces[self.direction[1]].shape[1:]
        made, start = self.direction
        given = image if self.multiple is not None else scaled(image, (width, height), self.values(start))
        translation = self._translated(given, self.tiles)
        if self.tiles is not None and max(image.shape[1:]) > self.tiles.size and not self.measured:
            self.measured = True
            print(self._tiling_error(image, self.tiles, file))
        if not self.keep_size:
            return translation
        return scaled(translation, (image.shape[2], image.shape[1]), self.values(made))

    def _translated(self, image: Tensor, tiles: Tiles | None) -> Tensor:
        from ganrun.inference.any_size import translated

        return translated(
            self.trained,
            image,
            self.direction,
            ask=self.ask,
            statistics=self.statistics,
            seed=self.seed,
            multiple=self.multiple or 1,
            tiles=tiles,
        )

    def _tiling_error(self, image: Tensor, tiles: Tiles, file: Path) -> str:
        """How far tiles are from a whole piece of an image that has two of them, in words."""
        from ganrun.inference.any_size import tiling_error

        long, short = 2 * tiles.size - tiles.overlap, tiles.size
        across = image.shape[2] >= image.shape[1]
        piece = image[:, : short if across else long, : long if across else short]
        where = f"tiles against the whole, in {piece.shape[2]} x {piece.shape[1]} pixels of {file.name}"
        try:
            return f"{where}: {tiling_error(self._translated(piece, None), self._translated(piece, tiles))}"
        except UserError as error:
            return f"{where}: not measured ({error})"


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
