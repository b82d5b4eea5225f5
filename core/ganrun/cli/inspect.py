"""``ganrun inspect``: look at data before training on them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganrun.cli.loading import load_torch
from ganrun.cli.output import print_json
from ganrun.cli.plugins import catalog_with
from ganrun.errors import UserError, some
from ganrun.paths import expanded

if TYPE_CHECKING:
    from ganrun.catalog.catalog import Catalog
    from ganrun.inspection.inspect import Inspection

_ARRAYS = (".npy", ".npz")
_PLACE = Path("inspections")  # of pages, unless --output says another
_SHOWN = 6  # values of a table, and files of a remark, that are printed
_QUIET = ("frames of a file", "bits of a value", "channels", "aspects")  # tables that say little if they have one row
_MARKS = {"bad": "problem", "warn": "warning", "note": "note"}


def command(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A folder of images, a recipe, or an .npy or .npz file.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The page; inspections/NAME.html by default.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Read files again that were looked at before and have not changed.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything found as JSON; a page is written with --output only.")
    ] = False,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A plugin file that is not installed. Can be repeated.")
    ] = None,
) -> None:
    """Look at data: formats, sizes, values, unreadable files, duplicates, classes.

    Writes a page with pictures, and suggests the lines of a recipe that read the data. Nothing is changed."""
    load_torch()
    from ganrun.inspection.inspect import as_data

    found = look(data, catalog_with(plugin), again=again)
    if as_json:
        print_json(as_data(found))
    else:
        print_summary(found)
    if output is not None or not as_json:
        place = write_page(found, output or _PLACE / f"{name_of(data)}.html")
        if not as_json:
            print(f"page: {place}")


def look(data: str, catalog: Catalog, *, again: bool) -> Inspection:
    """What DATA is, looked at. Raises UserError for what is none of these."""
    from ganrun.api import is_run, open_recipe
    from ganrun.inspection.inspect import inspect_arrays, inspect_folder, inspect_recipe

    path = expanded(data)
    if path.suffix.lower() in _ARRAYS and path.is_file():
        if again:
            raise UserError("--again: a file of arrays is read each time; leave it out")
        return inspect_arrays(path, catalog)
    if path.is_dir() and not is_run(path):
        return inspect_folder(path, catalog, again=again)
    if path.is_file() and path.suffix.lower() not in (".yaml", ".yml", ".json"):
        raise UserError(f"{data}: give the folder that it is in, a recipe, or an .npy or .npz file")
    return inspect_recipe(open_recipe(data, catalog, ()), data, again=again)


def name_of(data: str) -> str:
    """What the page is called: the last part of DATA."""
    path = expanded(data).absolute()
    return (path.name if path.is_dir() else path.stem) or "data"


def write_page(found: Inspection, place: Path) -> Path:
    """Write the page, and return where. Raises UserError where that cannot be."""
    from ganrun.files import write
    from ganrun.inspection.page import inspection_page

    made = f"ganrun inspect, {datetime.now():%Y-%m-%d %H:%M}; {of_what(found)}, in {found.seconds:.1f} s"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write(place, inspection_page(found, made))
    except OSError as error:
        raise UserError(f"{place}: the page cannot be written ({error.strerror}); give another FILE with -o") from error
    return place


def of_what(found: Inspection) -> str:
    """How much was looked at, in words."""
    if not found.looked_at:
        return "no pictures"
    known = f", {found.known:,} of them known from an earlier look" if found.known else ""
    return f"{found.looked_at:,} picture{'' if found.looked_at == 1 else 's'}{known}"


def print_summary(found: Inspection) -> None:
    """What was found, for people."""
    print(f"{found.data}: {found.kind}, {of_what(found)}")
    for one in found.arrays:
        values = "no numbers" if one.low is None else f"{one.low:g} to {one.high:g}"
        print(f"  {one.name or 'array'}: {one.dtype} {' x '.join(map(str, one.shape))}, {values}")
    for name, rows in found.tables.items():
        if rows and (len(rows) > 1 or name not in _QUIET):
            print(f"  {name + ':':<18}{some((f'{value} ({count:,})' for value, count in rows), _SHOWN)}")
    for kind, values, count in found.ranges:
        print(f"  {'values:':<18}{kind} {values} ({count:,})")
    if found.splits:
        print(f"  {'splits:':<18}{some((f'{name} ({count:,})' for name, count in found.splits.items()), _SHOWN)}")
    for split, counts in found.classes.items():
        words = (f"{name or 'in no folder'} ({count:,})" for name, count in counts.items())
        print(f"  {f'classes {split}'.strip() + ':':<18}{len(counts):,}: {some(words, _SHOWN)}")
    for level, mark in _MARKS.items():
        for remark in found.remarks:
            if remark.level == level:
                print(f"{mark}: {remark.title}{f'; {remark.advice}' if remark.advice else ''}")
                for name, what in remark.files[:_SHOWN] if level != "note" else ():
                    print(f"    {name}: {what}")
                if level != "note" and len(remark.files) > _SHOWN:
                    print(f"    and {len(remark.files) - _SHOWN:,} more")
    for what, count, example, why in found.skipped:
        what = what.replace("files", "file", 1).replace("pictures", "picture", 1) if count == 1 else what
        print(f"not read: {count:,} {what}{f' (such as {example})' if example else ''}: {why}")
    if found.suggestion is not None:
        print(f"\n{found.suggestion.lines()}\n")
        if not found.suggestion.works:
            print("these lines do not work yet:")
    elif not found.reads:
        print("no data set that comes along reads this as it is")
    for line in found.reads:
        print(line)
