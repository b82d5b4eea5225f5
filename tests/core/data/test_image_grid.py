"""Samples as pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.data import image_grid
from ganrun.data.image_grid import COLOUR, GREY, PAPER, SCATTER, Panel


def test_the_range_becomes_bytes_and_what_lies_outside_is_cut():
    x = torch.tensor([-1.0, 0.0, 1.0, 9.0, -9.0, float("nan")]).view(1, 1, 1, 6)
    assert image_grid.to_bytes(x)[0, 0, :, 0].tolist() == [0, 128, 255, 255, 0, 0]


@pytest.mark.parametrize(("channels", "shown"), [(1, (0, 0, 0)), (2, (0, 0, 0)), (3, (0, 1, 2)), (5, (0, 1, 2))])
def test_any_number_of_channels_is_shown(channels, shown):
    x = torch.rand(2, channels, 3, 3) * 2 - 1
    expected = ((x[:, list(shown)] + 1) * 127.5).round().permute(0, 2, 3, 1)
    assert np.array_equal(image_grid.to_bytes(x), expected.numpy())


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        (1, ""),
        (3, ""),
        (2, "shows channel 1 of 2"),
        (4, "shows channels 1 to 3 of 4"),
        (13, "shows channels 1 to 3 of 13"),
    ],
)
def test_what_a_picture_leaves_out_is_said(channels, said):
    assert image_grid.left_out(torch.zeros(2, channels, 4, 4)) == said
    assert image_grid.left_out(torch.zeros(2, 2)) == ""


def test_a_grid_goes_row_by_row_with_white_between():
    x = torch.linspace(-1, 1, 5).view(5, 1, 1, 1).expand(5, 1, 2, 3)
    sheet = np.asarray(image_grid.grid(x))[:, :, 0]
    assert sheet.shape == (2 * 2 + 2, 3 * 3 + 2 * 2)
    assert sheet[0, 5] == 64  # the second picture
    assert sheet[4, 5] == 255  # the fifth
    assert set(sheet[:, 3:5].flatten()) == {255}
    assert set(sheet[4:, 10:].flatten()) == {255}  # no sixth


def test_columns_side_by_side_show_the_first_rows():
    left, right = torch.zeros(4, 1, 2, 2), torch.ones(4, 3, 2, 2)
    assert image_grid.side_by_side([left, right], rows=3).size == (2 + 2 + 2, 3 * 2 + 2 * 2)


def test_a_picture_and_its_tensor_are_inverse():
    for channels, mode in ((1, "L"), (3, "RGB")):
        values = torch.randint(0, 256, (channels, 4, 6)).float() / 127.5 - 1
        picture = image_grid.single(values)
        assert (picture.mode, picture.size) == (mode, (6, 4))
        assert torch.allclose(image_grid.to_tensor(picture), values, atol=1e-6)


def test_points_lie_where_they_are_with_up_being_up():
    """Real points at the corners of the unit square: the frame is a third larger, so (1, 1) is at 7/8, from the left
    and from below.
    """
    real = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    sheet = np.asarray(image_grid.scatter(real, torch.tensor([[1.0, 1.0]])))
    near, far = SCATTER // 8, SCATTER * 7 // 8
    assert tuple(sheet[near, far]) == COLOUR
    assert tuple(sheet[far, far]) == GREY
    assert tuple(sheet[near, near]) == GREY
    assert tuple(sheet[SCATTER // 2, SCATTER // 2]) == PAPER


@pytest.mark.parametrize(
    "points",
    [torch.full((3, 2), float("nan")), torch.zeros(3, 2), torch.rand(4, 1), torch.rand(4, 7), torch.full((2, 2), 1e30)],
)
def test_odd_points_are_drawn_without_an_error(points):
    assert image_grid.scatter(None, points).size == (SCATTER, SCATTER)
    assert image_grid.scatter(torch.rand(5, 2), points).size == (SCATTER, SCATTER)


def test_several_panels_stand_side_by_side():
    panels = {
        "a": Panel([torch.zeros(4, 1, 2, 2)]),
        "b": Panel([torch.zeros(4, 1, 2, 2), torch.zeros(4, 1, 2, 2)]),
        "c": Panel([torch.rand(3, 2)]),
    }
    picture = image_grid.picture_of(panels, {2: torch.rand(5, 2)}, rows=2, scale=1)
    assert picture.width == (2 + 2 + 2) + 12 + (2 + 2 + 2) + 12 + SCATTER


@pytest.mark.parametrize(
    ("size", "scale"), [((8, 8), 16), ((272, 272), 3), ((600, 20), 1), ((2000, 100), 1), ((100, 341), 3)]
)
def test_small_pictures_are_enlarged_by_whole_pixels_up_to_1024(size, scale):
    picture = Image.new("RGB", size, COLOUR)
    picture.putpixel((1, 1), PAPER)
    large = image_grid.enlarged(picture)
    assert large.size == (scale * size[0], scale * size[1])
    assert sum(np.asarray(large)[:, :, 2].flatten() == 255) == scale**2
    assert image_grid.enlarged(picture, 2).size == (2 * size[0], 2 * size[1])


def dark(part):
    """Rows and columns of a sheet that hold ink."""
    ink = np.asarray(part.convert("L")) < 128
    return np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))


def test_names_of_rows_and_columns_stand_beside_their_cells():
    sheet = Image.new("RGB", (200, 100), PAPER)
    made = image_grid.named(sheet, ["upper", ""], ["", "right"])
    left, top = made.width - 200, made.height - 100
    assert dark(made)[0][0] < top, "the name of a column is above the grid"
    beside, above = dark(made.crop((0, top, left, made.height))), dark(made.crop((left, 0, made.width, top)))
    assert beside[0].max() < 50, "the name of the first row is beside its upper half"
    assert above[1].min() > 100, "the name of the second column is above its right half"
    assert image_grid.named(sheet, [], []) is sheet


def test_names_of_columns_that_are_too_wide_stand_upright_and_long_ones_are_cut():
    narrow = Image.new("RGB", (20, 20), PAPER)
    made = image_grid.named(narrow, [], ["a rather long name", "b"])
    assert made.width == 20
    assert made.height > 20 + 60
    longer = image_grid.named(narrow, ["x" * 24], [])
    assert image_grid.named(narrow, ["x" * 200], []).width == pytest.approx(longer.width, abs=40)


def test_a_picture_is_written_as_a_whole(tmp_path):
    path = image_grid.save(image_grid.grid(torch.zeros(1, 1, 2, 2)), tmp_path / "new/a.png")
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]
    with Image.open(path) as picture:
        assert picture.size == (2, 2)


def test_a_caption_stands_below_the_picture_in_lines_no_wider_than_it():
    picture = Image.new("RGB", (200, 30), COLOUR)
    one, several = (image_grid.captioned(picture, text) for text in ("weights: average", "weights: average, " * 9))
    assert one.width == several.width == 200
    assert 30 < one.height < several.height
    for captioned in (one, several):
        sheet = np.asarray(captioned)
        assert np.array_equal(sheet[:30], np.asarray(picture))
        below = sheet[30:]
        assert below.min() < 128 < below[:, -1].min(), "dark text on white, which does not run out of the sheet"


def test_a_narrow_picture_is_widened_for_its_caption_and_without_one_it_is_the_same():
    picture = Image.new("RGB", (8, 8), COLOUR)
    assert image_grid.captioned(picture, "weights: average").width == image_grid.LEAST
    assert image_grid.captioned(picture, "") is picture
