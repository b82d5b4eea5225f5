"""Every data set of images makes rectangles, says so before its files are here, and keeps squares as they were."""

import numpy as np
import pytest
import torch

from ganrun.catalog.catalog import Catalog
from ganrun.data.reader import read_items
from ganrun.recipe import load_recipe
from ganrun_plugins.datasets._resize import by_rule, fitted
from ganrun_plugins.datasets._scans import resized
from ganrun_plugins.datasets._strokes import slanted
from ganrun_plugins.datasets.glyphs import inked
from ganrun_plugins.datasets.super_resolution_digits import SuperResolutionDigits, sharp

SMALL = {
    "photos": {"source": "scikit-learn"},
    "super-resolution-photos": {"source": "scikit-learn", "factor": 2},
    "glyphs": {"classes": 3, "items": 2},
    "stacked-digits": {"count": 3},
}
ROOTS = {"hf-dataset": "path", "webdataset": "shards"}
OFFLINE = [
    "digits",
    "glyphs",
    "stacked-digits",
    "styled-digits",
    "paired-digits",
    "restyled-digits",
    "caption-digits",
    "super-resolution-digits",
    "photos",
    "super-resolution-photos",
]
DOWNLOADED = ["mnist", "fashion-mnist", "cifar10", "celeba", "horse2zebra", "maps"]
YOURS = ["image-folder", "unpaired-folders", "paired-folders", "lsun", "super-resolution", "hf-dataset", "webdataset"]


def part(name, **parameters):
    catalog = Catalog()
    recipe = {"variant": "gan", "dataset": {name: parameters}, "generator": "mlp", "discriminator": "mlp"}
    return load_recipe(recipe, catalog=catalog).dataset


@pytest.mark.parametrize("name", OFFLINE)
def test_offline_sets_make_rectangles(files, name):
    made = part(name, size=[16, 24], **SMALL.get(name, {})).make(files, "test")
    item = next(iter(read_items(made, [0, 1])))
    images = {entry: space for entry, space in made.spaces.items() if space.kind == "image"}
    assert {entry: tuple(item[entry].shape[1:]) for entry in images} == {
        entry: space.shape for entry, space in images.items()
    }
    assert {space.shape[1:] for space in images.values()} <= {(16, 24), (8, 12)}
    assert all(item[entry].amax() > 0 for entry in images), "it shows something"


@pytest.mark.parametrize("name", [*DOWNLOADED, *YOURS])
def test_the_spaces_of_rectangles_are_known_before_the_files_are_here(name):
    needs = {} if name in DOWNLOADED else {ROOTS.get(name, "root"): "somewhere"}
    found = part(name, size=[16, 24], **needs)
    factory = found.component.factory
    spaces = (
        factory.describe("train", **found.parameters).spaces
        if name in DOWNLOADED
        else factory.known_spaces(**found.parameters)
    )
    shapes = {entry: space.shape[1:] for entry, space in spaces.items() if space.kind == "image"}
    assert set(shapes.values()) == ({(4, 6), (16, 24)} if name == "super-resolution" else {(16, 24)})


def test_images_in_memory_follow_the_rule():
    """Two rows of 0 and 200: squashed to 2 x 4, covering and cropped, and inside with black around."""
    picture = torch.tensor([[0, 0], [200, 200]], dtype=torch.uint8)[None, None]
    squashed = fitted(picture, (2, 4), "bilinear")
    assert squashed.tolist() == [[[[0] * 4, [200] * 4]]]
    # twice as large, rows 0, 50, 150 and 200, of which the middle two remain
    assert fitted(picture, (2, 4), "bilinear", "crop").tolist() == [[[[50] * 4, [150] * 4]]]
    assert fitted(picture, (2, 4), "bilinear", "scale-width").tolist() == [[[[50] * 4, [150] * 4]]]
    assert fitted(picture, (2, 4), "bilinear", "fit").tolist() == [[[[0, 0, 0, 0], [0, 200, 200, 0]]]]
    odd = by_rule(picture, (5, 2), "fit", lambda x, sides: x)
    assert odd[0, 0].tolist() == [[0, 0], [0, 0], [200, 200], [0, 0], [0, 0]]


def test_a_slant_is_an_angle_in_pixels_also_in_rectangles():
    """The top row, 3.5 pixels above the middle, moves by 3.5 tan(45 degrees) = 3.5 pixels in both."""
    upright = torch.zeros(1, 1, 8, 24, dtype=torch.float64)
    upright[..., 12] = 1
    wide, square = slanted(upright, 45), slanted(upright[..., 8:16], 45)
    columns = torch.arange(24, dtype=torch.float64)
    moved = (wide[0, 0] * columns).sum(-1) / wide[0, 0].sum(-1)
    assert (moved - 12).tolist() == pytest.approx([3.5, 2.5, 1.5, 0.5, -0.5, -1.5, -2.5, -3.5])
    assert torch.allclose(wide[0, 0, 3:5, 8:16], square[0, 0, 3:5])


def test_a_glyph_keeps_its_proportions_and_lies_in_the_middle_of_a_rectangle():
    curves = torch.from_numpy(np.array([[[[0.2, 0.3], [0.7, 0.8]]]]))
    pen = torch.tensor([0.05], dtype=torch.float64)
    square, wide = inked(curves, pen, 16), inked(curves, pen, (16, 28))
    assert torch.equal(wide[..., 6:22], square)
    assert not wide[..., :6].any()
    assert not wide[..., 22:].any()


def test_a_low_image_of_super_resolution_has_both_sides_divided(files):
    data = SuperResolutionDigits(files, "test", size=(16, 24), factor=2)
    assert (data.spaces["low"].shape, data.spaces["x"].shape) == ((1, 8, 12), (1, 16, 24))


def test_squares_are_the_same_by_every_rule():
    scans = torch.rand(2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for rule in ("crop", "fit", "scale-width"):
        assert torch.equal(resized(scans, 16, rule), resized(scans, (16, 16)))
        assert torch.equal(sharp(scans, 16, rule), sharp(scans, 16))
