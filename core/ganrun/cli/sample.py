"""``ganrun sample``: samples of a trained run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganrun.cli.loading import load_torch
from ganrun.cli.output import counted
from ganrun.errors import UserError
from ganrun.files import write
from ganrun.progress import track

if TYPE_CHECKING:
    from torch import Tensor

    from ganrun.inference.trained import Trained

GRID = 64  # samples, unless --count says another number
ALONG = 8  # samples from one end of an interpolation to the other
WAYS = ("interpolate", "each", "traverse", "arithmetic", "turn")  # each makes an image of its own

Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="DIR", help="One image file per sample; points go to samples.csv."),
]
Arithmetic = Annotated[
    str | None,
    typer.Option(
        metavar="SUM",
        help='Latent arithmetic by numbers of samples, "3,7,9 - 1,4 + 0": means, the result, and samples near it.',
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
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    checkpoint: Annotated[str, typer.Option(metavar="WHICH", help="last, best or a step.")] = "last",
    count: Annotated[
        int,
        typer.Option(min=1, help="How many samples; --each, --traverse and --arithmetic make as many as they show."),
    ] = GRID,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the latents; 0 gives those of the run's own samples.")] = 0,
    grid: Annotated[
        Path | None, typer.Option(metavar="FILE", help="One image of all samples; RUN/sample.png by default.")
    ] = None,
    output: Output = None,
    interpolate: Annotated[
        bool, typer.Option("--interpolate", help=f"Rows of {ALONG}, each from one sample to another.")
    ] = False,
    each: Annotated[bool, typer.Option("--each", help="One row for each label that the generator takes.")] = False,
    traverse: Annotated[
        bool, typer.Option("--traverse", help="Rows that vary each number of a code, such as InfoGAN's, from -2 to 2.")
    ] = False,
    code: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which label or code, if there are several; with --each or --traverse."),
    ] = None,
    arithmetic: Arithmetic = None,
    turn: Annotated[
        str | None, typer.Option(metavar="A>B", help='Move latents from one group of samples to another: "3,7 > 1,4".')
    ] = None,
    mixed: Mixed = False,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A plugin file that the run used. Can be repeated.")
    ] = None,
) -> None:
    """Make samples with a trained run."""
    load_torch()
    from ganrun.api import load

    way = Way(interpolate, each, traverse, code, arithmetic, turn)
    way.check(mixed, output)
    trained = load(run, checkpoint, plugins=plugin or ())
    if mixed:
        print(blind_test(trained, count, seed, grid or run / "blind.png"))
        return
    if unseen := [number for number in way.numbers() if number >= max(count, GRID)]:
        what = f"sample {unseen[0]} is" if len(unseen) == 1 else f"samples {', '.join(map(str, unseen))} are"
        print(
            f"warning: {what} not in a grid of {max(count, GRID)} samples, whose last is {max(count, GRID) - 1}; "
            f"--count {max(unseen) + 1} makes one that shows {'it' if len(unseen) == 1 else 'them'}"
        )
    samples = way.samples(trained, count, seed)
    about = "; ".join(filter(None, (f"step {trained.step}", trained.sample_maker.caption())))
    try:
        if output is not None:
            print(f"{write_each(samples, output)} ({about})")
        if grid is not None or output is None:
            print(f"{write_grid(samples, grid or run / 'sample.png', way.columns(samples))} ({about})")
    except OSError as error:
        raise UserError(f"{error.filename or grid or output}: cannot be written: {error.strerror or error}") from error


@dataclass(frozen=True)
class Way:
    """Which samples were asked for, and how they lie in the grid. ``code`` belongs to ``each`` and ``traverse``."""

    interpolate: bool
    each: bool
    traverse: bool
    code: str | None
    arithmetic: str | None
    turn: str | None

    def options(self) -> list[str]:
        """The options that choose samples, as given."""
        return [f"--{name}" for name in WAYS if getattr(self, name)]

    def check(self, mixed: bool, output: Path | None) -> None:
        """Raise UserError for options that do not go together."""
        given = self.options()
        if mixed and (given or output is not None):
            unwanted = [*given, *(["--output"] if output else [])]
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

    def samples(self, trained: Trained, count: int, seed: int) -> Tensor:
        """The samples (n, *shape); ``each``, ``traverse`` and ``arithmetic`` make as many as they show."""
        if self.interpolate:
            return trained.interpolate(math.ceil(count / ALONG), ALONG, seed)[:count]
        if self.each:
            return trained.each(self.code, ALONG, seed)
        if self.traverse:
            return trained.traverse(self.code, points=ALONG, seed=seed)
        if self.arithmetic is not None:
            return trained.arithmetic(self.arithmetic, ALONG, seed)
        if self.turn is not None:
            return trained.turn(self.turn, math.ceil(count / ALONG), ALONG, seed)
        return trained.sample(count, seed)

    def columns(self, samples: Tensor) -> int | None:
        """Columns of the grid; None for a square."""
        if self.arithmetic is not None:
            return len(samples)
        return ALONG if self.options() else None


def blind_test(trained: Trained, count: int, seed: int, file: Path) -> str:
    """A grid of as many real samples as made ones in a random order, and its key, FILE.key.csv.

    Returns the line to print.
    """
    import torch

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
    try:
        written = write_grid(both[torch.from_numpy(order)], file, columns)
        answers = file.with_suffix(".key.csv")
        write(answers, "\n".join(["row,column,answer", *rows]) + "\n")
    except OSError as error:
        raise UserError(f"{error.filename or file}: cannot be written: {error.strerror or error}") from error
    return f"{written}: {count} samples, half of them real; the answers are in {answers} (step {trained.step})"


def write_grid(samples: Tensor, file: Path, columns: int | None) -> Path:
    """All samples in one image, a square if no number of columns is given. Returns the file."""
    from ganrun.data import image_grid

    if file.suffix.lower() != ".png":
        raise UserError(f"--grid {file}: images are written as PNG; give a name that ends in .png")
    return image_grid.save(
        image_grid.grid(samples, columns) if samples.dim() == 4 else image_grid.scatter(None, samples), file
    )


def write_each(samples: Tensor, folder: Path) -> str:
    """A numbered file for each image, or one table for all points. Returns the line to print."""
    from ganrun.data import image_grid

    folder.mkdir(parents=True, exist_ok=True)
    if samples.dim() != 4:
        lines = [",".join(f"{value:.9g}" for value in row) for row in samples.flatten(1).tolist()]
        write(folder / "samples.csv", "\n".join(lines) + "\n")
        return str(folder / "samples.csv")
    width = max(4, len(str(len(samples) - 1)))
    for number, sample in enumerate(track(samples, "writing images", len(samples))):
        image_grid.save(image_grid.single(sample), folder / f"{number:0{width}d}.png")
    return f"{counted(len(samples), 'image')} in {folder}"
