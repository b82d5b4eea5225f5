"""``ganrun sample``: samples of a trained run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganrun.cli.loading import load_torch
from ganrun.cli.output import RUN_HELP, counted
from ganrun.errors import UserError, some
from ganrun.files import write
from ganrun.progress import progress_bar

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from ganrun.inference.trained import Trained

GRID = 64  # samples, unless --count says another number
ALONG = 8  # samples from one end of an interpolation to the other
LATENTS = 4  # latents of --traverse for each number of a code
WAYS = ("interpolate", "each", "traverse", "arithmetic", "turn")  # each makes an image of its own

Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="DIR", help="One image file per sample; points go to samples.csv."),
]
Grid = Annotated[Path | None, typer.Option(metavar="FILE", help="One image of all samples; RUN/sample.png by default.")]
Count = Annotated[
    int | None,
    typer.Option(
        min=1,
        help=(
            f"How many samples, {GRID} by default; with --each of each label ({ALONG}), with --traverse rows of "
            f"each number ({LATENTS}), with --arithmetic samples near the sum ({ALONG})."
        ),
    ),
]
Scale = Annotated[
    int | None, typer.Option(min=1, max=64, help="Pixels of the grid for one of a sample; to be seen well by default.")
]
Code = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Which label or code, if there are several; with --each or --traverse."),
]
TurnOption = Annotated[
    str | None, typer.Option(metavar="A>B", help='Move latents from one group of samples to another: "3,7 > 1,4".')
]
Arithmetic = Annotated[
    str | None,
    typer.Option(
        metavar="SUM",
        help='Latent arithmetic by numbers of samples, "3,7,9 - 1,4 + 0": means, the result, and samples near it.',
    ),
]
Ask = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help=(
            'Labels of the samples: label=3, label=bold, Smiling=1, text="a bold seven". Drawn by default. '
            "Can be repeated."
        ),
    ),
]
Mixed = Annotated[
    bool,
    typer.Option(
        "--mixed-with-real",
        help="A blind test: half of the grid are real samples in random places; the key is in FILE.key.csv.",
    ),
]


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help=RUN_HELP)],
    checkpoint: Annotated[str, typer.Option(metavar="WHICH", help="last, best or a step.")] = "last",
    count: Count = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the latents; 0 gives those of the run's own samples.")] = 0,
    grid: Grid = None,
    output: Output = None,
    ask: Ask = None,
    scale: Scale = None,
    interpolate: Annotated[
        bool, typer.Option("--interpolate", help=f"Rows of {ALONG}, each from one sample to another.")
    ] = False,
    each: Annotated[bool, typer.Option("--each", help="One row for each label that the generator takes.")] = False,
    traverse: Annotated[
        bool, typer.Option("--traverse", help="Rows that vary each number of a code, such as InfoGAN's, from -2 to 2.")
    ] = False,
    code: Code = None,
    arithmetic: Arithmetic = None,
    turn: TurnOption = None,
    mixed: Mixed = False,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A plugin file that the run used. Can be repeated.")
    ] = None,
) -> None:
    """Make samples with a trained run."""
    load_torch()
    from ganrun.api import load
    from ganrun.data import image_grid
    from ganrun.data.labels import split_words
    from ganrun.data.value_range import range_of
    from ganrun.training.located import place_for

    asked = split_words(ask or ())
    way = Way(interpolate, each, traverse, code, arithmetic, turn, asked, count)
    way.check(mixed, output)
    if scale is not None and output is not None and grid is None:
        raise UserError(
            "--scale enlarges a grid, and --output writes each sample by itself; add --grid FILE, or leave it out"
        )
    trained = load(run, checkpoint, plugins=plugin or ())
    if mixed:
        print(blind_test(trained, count or GRID, seed, grid or place_for(run, "blind.png"), scale))
        return
    if unseen := [number for number in way.numbers() if number >= GRID]:
        what = f"sample {unseen[0]} is" if len(unseen) == 1 else f"samples {', '.join(map(str, unseen))} are"
        print(
            f"warning: {what} not in a grid of {GRID} samples, whose last is {GRID - 1}; `ganrun sample` with --count "
            f"{max(unseen) + 1} alone makes one that shows {'it' if len(unseen) == 1 else 'them'}"
        )
    samples = way.samples(trained, seed)
    about = "; ".join(filter(None, (f"step {trained.step}", way.words(trained), trained.sample_maker.caption())))
    try:
        if output is not None:
            values = range_of(trained.experiment.dataset, trained.output)
            print(f"{write_all(samples, output, way.folders(trained), values)} ({about})")
        if grid is not None or output is None:
            file = write_grid(way.sheet(trained, samples, scale), grid or place_for(run, "sample.png"))
            print(f"{file} ({'; '.join(filter(None, (about, image_grid.left_out(samples))))})")
    except OSError as error:
        raise UserError(f"{error.filename or grid or output}: cannot be written: {error.strerror or error}") from error


@dataclass(frozen=True)
class Way:
    """Which samples are made, how many, and how they lie in the grid. ``code`` belongs to ``each`` and ``traverse``."""

    interpolate: bool
    each: bool
    traverse: bool
    code: str | None
    arithmetic: str | None
    turn: str | None
    asked: dict[str, str]
    count: int | None

    def options(self) -> list[str]:
        """The options that choose samples, as given."""
        return [f"--{name}" for name in WAYS if getattr(self, name)]

    def check(self, mixed: bool, output: Path | None) -> None:
        """Raise UserError for options that do not go together."""
        given = self.options()
        if mixed and (given or self.asked or output is not None):
            unwanted = [*given, *(["--ask"] if self.asked else []), *(["--output"] if output else [])]
            raise UserError(f"--mixed-with-real makes one blind grid; leave out {' and '.join(unwanted)}")
        if len(given) > 1:
            raise UserError(f"{' and '.join(given)} each make an image of their own; give one of them")
        if self.code is not None and not (self.each or self.traverse):
            raise UserError("--code is for --each and --traverse; add one of them")

    def numbers(self) -> list[int]:
        """The numbers of samples that ``arithmetic`` and ``turn`` name. Raises UserError if they cannot be read."""
        from ganrun.sampling.arithmetic import concepts, direction

        terms = concepts(self.arithmetic) if self.arithmetic is not None else []
        terms += direction(self.turn) if self.turn is not None else []
        return sorted({number for term in terms for number in term.samples})

    def samples(self, trained: Trained, seed: int) -> Tensor:
        """The samples (n, *shape)."""
        count, ask = self.count or GRID, self.asked
        if self.interpolate:
            return trained.interpolate(math.ceil(count / ALONG), ALONG, seed, ask=ask)[:count]
        if self.each:
            return trained.each(self.code, self.count or ALONG, seed, ask=ask)
        if self.traverse:
            return trained.traverse(self.code, self.count or LATENTS, ALONG, seed, ask=ask)
        if self.arithmetic is not None:
            return trained.arithmetic(self.arithmetic, self.count or ALONG, seed, ask=ask)
        if self.turn is not None:
            return trained.turn(self.turn, math.ceil(count / ALONG), ALONG, seed, ask=ask)
        return trained.sample(count, seed, ask=ask)

    def words(self, trained: Trained) -> str:
        """What was asked for, in words; empty for nothing."""
        from ganrun.data.labels import labels_in_words

        return labels_in_words(trained.labels(self.asked), trained.label_names) if self.asked else ""

    def folders(self, trained: Trained) -> list[str]:
        """The names of the folders that ``each`` writes samples to, one for each label; else none."""
        return [name.replace("/", "_") or "_" for name in self._labels(trained)] if self.each else []

    def sheet(self, trained: Trained, samples: Tensor, scale: int | None) -> Image.Image:
        """The samples as one image: a square, or rows and columns with their names."""
        from ganrun.data import image_grid

        if samples.dim() != 4:
            return image_grid.scatter(None, samples)
        rows, columns = self._names(trained)
        across = len(samples) // len(rows) if rows else ALONG if self.options() else None
        across = len(samples) if self.arithmetic is not None else across
        return image_grid.named(image_grid.enlarged(image_grid.grid(samples, across), scale), rows, columns)

    def _names(self, trained: Trained) -> tuple[list[str], list[str]]:
        """What stands beside the rows of the grid and above its columns."""
        from ganrun.sampling.arithmetic import concepts

        if self.each:
            return self._labels(trained), []
        if self.traverse:
            name, space = trained.code(self.code, "latent")
            rows = [f"{name} {number}" for number in range(space.size) for _ in range(self.count or LATENTS)]
            return rows, [f"{2 * (2 * point / (ALONG - 1) - 1):+.1f}" for point in range(ALONG)]
        if self.arithmetic is not None:
            terms = [
                f"{'' if term.sign > 0 else '- '}{','.join(map(str, term.samples))}"
                for term in concepts(self.arithmetic)
            ]
            return [], [*terms, "sum", *["near"] * (self.count or ALONG)]
        return [], []

    def _labels(self, trained: Trained) -> list[str]:
        """The names of the values of the label that ``each`` goes through."""
        name, space = trained.code(self.code, "labels")
        return trained.label_names.get(name, [f"{name} {value}" for value in range(space.classes)])


def blind_test(trained: Trained, count: int, seed: int, file: Path, scale: int | None) -> str:
    """A grid of as many real samples as made ones in a random order, and its key, FILE.key.csv.

    Returns the line to print.
    """
    import torch

    from ganrun.data import image_grid
    from ganrun.data.order import permutation, subset
    from ganrun.data.reader import read_items

    if trained.experiment.dataset.spaces[trained.output].kind != "image":
        raise UserError("--mixed-with-real is for images, and this run makes points")
    held = trained.dataset("test")
    if count < 2 or count % 2 or count // 2 > len(held):
        raise UserError(
            f"--count {count}: half of the samples are held-out real ones, and there are only {len(held)}; "
            f"give an even number up to {2 * len(held)}"
        )
    key = (trained.folder.absolute().name, trained.step, seed)  # knowing one key does not help with another
    chosen = subset(len(held), count // 2, "blind test", *key)
    (real,) = read_items(held, chosen, rows=count, key=("samples",))
    order = permutation(count, "blind order", *key)
    both = torch.cat([real[trained.output].float(), trained.sample(count // 2, seed)])
    columns = math.ceil(math.sqrt(count))
    rows = [
        f"{n // columns + 1},{n % columns + 1},{'real' if index < count // 2 else 'made'}"
        for n, index in enumerate(order)
    ]
    down = [str(row + 1) for row in range(math.ceil(count / columns))]
    across = [str(column + 1) for column in range(columns)]
    sheet = image_grid.enlarged(image_grid.grid(both[torch.from_numpy(order)], columns), scale)
    try:
        written = write_grid(image_grid.named(sheet, down, across), file)
        answers = file.with_suffix(".key.csv")
        write(answers, "\n".join(["row,column,answer", *rows]) + "\n")
    except OSError as error:
        raise UserError(f"{error.filename or file}: cannot be written: {error.strerror or error}") from error
    return f"{written}: {count} samples, half of them real; the answers are in {answers} (step {trained.step})"


def write_grid(sheet: Image.Image, file: Path) -> Path:
    """Write an image of samples. Returns the file."""
    from ganrun.data import image_grid

    if file.suffix.lower() != ".png":
        raise UserError(f"--grid {file}: images are written as PNG; give a name that ends in .png")
    return image_grid.save(sheet, file)


def write_all(samples: Tensor, folder: Path, folders: Sequence[str], values: tuple[float, float] | None = None) -> str:
    """A numbered file for each image, or one table for all points. Returns the line to print.

    folders: of as many parts of the samples as there are names, each goes to a folder of that name. values: what -1 and
    1 stand for; None: 8 bits.
    """
    from ganrun.data.image_writing import form_of, write_image

    folder.mkdir(parents=True, exist_ok=True)
    if samples.dim() != 4:
        lines = [",".join(f"{value:.9g}" for value in row) for row in samples.flatten(1).tolist()]
        write(folder / "samples.csv", "\n".join(lines) + "\n")
        return str(folder / "samples.csv")
    places = [folder / name for name in folders] or [folder]
    with progress_bar("writing images", len(samples)) as update:
        done = 0
        for place, part in zip(places, samples.chunk(len(places))):
            place.mkdir(exist_ok=True)
            for number, sample in enumerate(part):
                write_image(sample, place / f"{number:0{max(4, len(str(len(part) - 1)))}d}.png", values)
                done += 1
                update(done)
    said = f", a folder for each of {some(folders)}" if folders else ""
    why = form_of(samples.shape[1], values).why
    said += f": {why}" if why else ""
    return f"{counted(len(samples), 'image')} in {folder}{said}"
