"""Every generator plugin exported in every format, and compared with the network in ganrun on 64 inputs.

    python benchmarks/exports.py [NAME]...  # prints a table in Markdown; some minutes on one core

Networks have their default parameters and the weights that they are initialised with (seed 0), on images of 64 pixels
a side with 3 channels where they take them, else on the first of the sizes below that they take. Inputs: 64 rows, then
one row; and for networks of any size two rows that are larger by one multiple a side.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from ganrun.catalog.catalog import Catalog
from ganrun.inference.export import compared
from ganrun.inference.export_formats import FORMATS, Graph, traced
from ganrun.inference.exported import COMPARED, Exportable, Recorded
from ganrun.recipe.parameters import parameter_model, values_of
from ganrun.words.spaces import Interface, Refusal, Space

SIZES = (64, 32, 16)
ROWS_AT_ONCE = 8


def candidates(takes: frozenset[str], makes: frozenset[str]) -> Iterator[Interface]:
    """Interfaces of these kinds of spaces, the one that is wanted most first."""
    latent, points, words = Space("latent", (100,)), Space("points", (2,)), Space("labels", (6,), 12)
    for side in SIZES:
        image, half = Space("image", (3, side, side)), Space("image", (3, side // 2, side // 2))
        if "image" in makes and "latent" in takes:
            yield Interface(takes=latent, makes=image)
        if "image" in makes and "image" in takes:
            yield Interface(takes=image, makes=image)
            yield Interface(takes=half, makes=image)
        if "latent" in makes:
            yield from (Interface(takes=space, makes=latent) for space in (image, points, words) if space.kind in takes)
    if "points" in makes and "latent" in takes:
        yield Interface(takes=latent, makes=points)


def built(catalog: Catalog, name: str) -> Exportable:
    """A generator with its default parameters, ready to be exported."""
    factory = catalog.load("generator", name).factory
    parameters = values_of(parameter_model(factory)())
    why = ""
    for interface in candidates(factory.takes, factory.makes):
        try:
            torch.manual_seed(0)
            return Exportable(factory(interface, **parameters).eval(), interface)
        except Refusal as refusal:
            why = str(refusal)
    raise SystemExit(f"{name}: {why}")


def main() -> None:
    """Print a row for each generator."""
    catalog = Catalog(disabled=())
    heads = [head for form in FORMATS for head in (f"{form}: difference", "MB", "s")]
    print("| generator | takes -> makes | free sizes | " + " | ".join(heads) + " |")
    print("|---" * (3 + len(heads)) + "|")
    for name in sys.argv[1:] or sorted(catalog.names("generator")):
        of = built(catalog, name)
        inputs = of.example(COMPARED)
        calls = []
        with torch.no_grad():
            for start in range(0, COMPARED, ROWS_AT_ONCE):
                rows = tuple(x[start : start + ROWS_AT_ONCE] for x in inputs)
                calls.append(Recorded(rows, [], of(*rows)))
        cells = [
            name,
            "x".join(map(str, of.inputs[0].shape)) + " -> " + "x".join(map(str, calls[0].outputs[0].shape[1:])),
        ]
        for write, load in FORMATS.values():
            start = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                graph = Graph(traced(of), of, "network", {}, {one.name: "" for one in of.inputs}, {})
                files = write(graph, Path(folder))
                size = sum((Path(folder) / file).stat().st_size for file in files)
                difference = compared(of, load(graph, Path(folder)), calls)
            cells += [f"{difference:.1e}", f"{size / 1e6:.1f}", f"{time.perf_counter() - start:.1f}"]
        cells.insert(2, f"rows, height, width (multiples of {of.multiple})" if of.any_size else "rows")
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
