"""Squares cut from images and scaled: where they lie, by which filter, and what a fingerprint holds of it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganrun.catalog.catalog import Catalog
from ganrun.errors import DataError
from ganrun.recipe import load_recipe
from ganrun_plugins.datasets._centre import CentreFit
from ganrun_plugins.datasets.celeba import CelebA

RECIPES = Path(__file__).parents[3] / "recipes"


def columns_and_rows(width, height):
    """Red is the column, green the row."""
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([columns, rows, columns * 0], axis=-1).astype(np.uint8))


def striped(*columns):
    """A grey square image whose rows are all alike."""
    return Image.fromarray(np.tile(np.array(columns, np.uint8), (len(columns), 1)))


@pytest.mark.parametrize(("interpolation", "expected"), [("bilinear", [50, 60]), ("bicubic", [49, 62])])
def test_four_columns_become_two_by_the_filter_that_is_asked_for(interpolation, expected):
    """The filters are twice as wide as without shrinking, so that columns are 1/4, 1/4, 3/4 and 5/4 from a new one.

    Bilinear 1 - t is 3/4, 3/4, 1/4 and 0: (3 * 70 + 3 * 0 + 140) / 7 = 50, and (0 + 3 * 140 + 3 * 0) / 7 = 60. Keys'
    cubic with a = -1/2 is 0.8672, 0.8672, 0.2266 and -0.0703, which sum to 1.8906: (0.8672 * 70 + 0.2266 * 140) /
    1.8906 = 48.9, and (-0.0703 * 70 + 0.8672 * 140) / 1.8906 = 61.6.
    """
    found = CentreFit(1, 2, 2, interpolation=interpolation).scaled_picture(striped(70, 0, 140, 0))
    assert found.tolist() == [[expected] * 2]


def test_progans_square_of_celeba_begins_64_before_column_89_and_row_121_and_keeps_every_pixel():
    """From column 25 to 152 and row 57 to 184 of 178 x 218."""
    found = CentreFit(3, 128, 128, crop=128, centre=(89, 121)).scaled_picture(columns_and_rows(178, 218))
    assert found[0].tolist() == [list(range(25, 153))] * 128
    assert found[1].T.tolist() == [list(range(57, 185))] * 128


def test_an_odd_square_has_as_much_on_either_side_of_its_centre():
    found = CentreFit(3, 5, 5, crop=5, centre=(7, 4)).scaled_picture(columns_and_rows(12, 10))
    assert (found[0, 0].tolist(), found[1, :, 0].tolist()) == ([5, 6, 7, 8, 9], [2, 3, 4, 5, 6])


@pytest.mark.parametrize("centre", [(3, 5), (5, 3), (9, 5), (5, 7)])
def test_a_square_that_reaches_beyond_its_image_is_refused_with_the_file(tmp_path, centre):
    columns_and_rows(12, 10).save(tmp_path / "one.png")
    fit = CentreFit(3, 8, 8, crop=8, centre=centre)
    with pytest.raises(
        DataError, match=rf"one\.png: the square of 8 pixels around column {centre[0]}, row {centre[1]}"
    ):
        fit.scaled(tmp_path / "one.png")
    for inside in ((4, 4), (8, 6)):
        assert CentreFit(3, 8, 8, crop=8, centre=inside).scaled(tmp_path / "one.png").shape == (3, 8, 8)


def test_a_centre_needs_a_side_also_before_a_download():
    with pytest.raises(DataError, match="set `crop`, or leave `centre` out"):
        CentreFit(3, 8, 8, centre=(4, 4))
    with pytest.raises(DataError, match="set `crop`"):
        CelebA.describe("train", root=None, attributes=["Male"], held_out=None, size=8, crop=None, centre=(4, 4))


def test_a_fit_that_uses_nothing_new_is_what_fingerprints_of_earlier_versions_hold():
    """Else a run that is resumed would say that its data changed."""
    held = "CentreFit(channels=3, size=8, load=8, stretch=False, random=False, flip=True, crop=20)"
    assert repr(CentreFit(3, 8, 8, flip=True, crop=20)) == held
    assert repr(CentreFit(3, 8, 8, crop=20, interpolation="bilinear")).endswith(", crop=20, interpolation='bilinear')")
    assert repr(CentreFit(3, 8, 8, crop=20, centre=(4, 5))).endswith(", crop=20, centre=(4, 5))")


def test_recipes_of_papers_whose_code_is_bilinear_say_so():
    def parameters(name):
        return load_recipe(RECIPES / f"{name}.yaml", catalog=Catalog()).dataset.parameters

    for name in ("stargan_celeba", "dcgan_lsun", "wgan_lsun"):
        assert parameters(name)["interpolation"] == "bilinear"
    growing = parameters("progan_celeba")
    assert (growing["size"], growing["crop"], growing["centre"]) == (128, 128, (89, 121))
