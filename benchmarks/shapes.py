"""Every variant at shapes that are no square powers of two, or of many channels: trained two steps, or why not.

    python benchmarks/shapes.py [--only VARIANT ...]

Data are random numbers, made by the data set `shapes` below (this file is its plugin). Networks are each variant's own,
made narrow.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from ganrun.plugin import Component, Space, hookimpl
from ganrun.plugin.data import DataError, DataFiles, InMemory

SHAPES = {"28 x 28": (1, 28, 28), "48 x 48": (3, 48, 48), "64 x 96": (3, 64, 96), "13 channels": (13, 32, 32)}
ITEMS, CLASSES, WORDS = 16, 4, (5, 12)
PAIRS = ("cogan", "cyclegan", "discogan", "pix2pix")
NARROW = {
    "acgan": {"width": 4},
    "autoencoder": {"width": 4},
    "began": {"width": 4},
    "cogan": {},
    "conv-encoder": {"width": 4},
    "dcgan": {"width": 4},
    "discogan": {"width": 4},
    "gan-cls": {"projection": 8},
    "infogan": {"width": 4},
    "maxpool": {"width": 4},
    "mlp": {"widths": [16]},
    "maxout-mlp": {"widths": [16]},
    "patchgan": {"width": 4, "layers": 2},
    "progan": {"base": 256, "widest": 16},
    "r3gan": {"width": 8, "cardinality": 2, "blocks": 1},
    "resnet-translator": {"width": 4, "blocks": 1},
    "sngan-resnet": {"width": 4},
    "srgan": {"width": 4, "dense": 8},
    "srresnet": {"width": 4, "blocks": 1},
    "stargan": {"width": 4},
    "unet": {"width": 4},
    "joint-embedding": {"text_width": 8, "image_width": 8},
}


class Shapes(InMemory):
    """Random images of a shape with a label and a text, as pairs, or with a smaller copy."""

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        shape: Annotated[tuple[int, int, int], Field(description="channels, height, width")],
        entries: Annotated[list[str], Field(description="which entries there are")],
    ) -> None:
        if split not in ("train", "test"):
            raise DataError(f"there is no split {split!r}; shapes has train and test")
        draw = torch.Generator().manual_seed(len(split))
        low = (shape[0], shape[1] // 4, shape[2] // 4)
        spaces = {
            "x": Space("image", shape),
            "a": Space("image", shape),
            "b": Space("image", shape),
            "low": Space("image", low),
            "label": Space("labels", (), CLASSES),
            "text": Space("labels", WORDS[:1], WORDS[1]),
        }
        kept = {name: spaces[name] for name in entries}
        tensors = {
            name: torch.randint(space.classes or 256, (ITEMS, *space.shape), generator=draw).to(
                torch.uint8 if space.kind == "image" else torch.int64
            )
            for name, space in kept.items()
        }
        super().__init__(tensors, kept, [str(n) for n in range(CLASSES)] if "label" in kept else [])


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("dataset", "shapes", Shapes)


def entries_of(variant: str) -> list[str]:
    """The entries that a variant asks for."""
    if variant in PAIRS:
        return ["a", "b"]
    return {"srgan": ["low", "x"], "gan-cls": ["x", "text"]}.get(variant, ["x", "label"])


def tried(variant: str, shape: tuple[int, int, int]) -> str:
    """``works``, or the refusal of a variant with its own networks at a shape."""
    import ganrun
    from ganrun.catalog.catalog import Catalog
    from ganrun.errors import UserError
    from ganrun.recipe import load_recipe

    data = {"shapes": {"shape": list(shape), "entries": entries_of(variant)}}
    recipe: dict[str, Any] = {
        "variant": variant,
        "dataset": data,
        "without": ["progress", "samples", "metrics-log", "health", "checkpoints"],
        "train": {"steps": 2, "batch_size": 4, "device": "cpu"},
    }
    catalog = Catalog(modules=[sys.modules[__name__]])
    try:
        known = load_recipe(recipe, catalog=catalog)
        for key, part in known.networks.items():
            if part.name in NARROW:
                recipe[key] = {part.name: NARROW[part.name]}
        with tempfile.TemporaryDirectory() as folder:
            ganrun.run(recipe, plugins=[sys.modules[__name__]], output=Path(folder) / "run")
    except UserError as error:
        return " ".join(str(error).split())
    return "works"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*")
    given = parser.parse_args()
    from ganrun.catalog.catalog import Catalog

    print(f"| variant | {' | '.join(SHAPES)} |\n|{'---|' * (len(SHAPES) + 1)}")
    for variant in given.only or sorted(Catalog().names("variant")):
        print(f"| {variant} | {' | '.join(tried(variant, shape) for shape in SHAPES.values())} |", flush=True)


if __name__ == "__main__":
    main()
