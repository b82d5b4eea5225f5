"""Which frames of which files are items, and how their values become -1 to 1."""

import warnings

import numpy as np
import pytest
from PIL import Image

from ganrun.data.image_array import ValueRange
from ganrun.data.image_files import list_pictures
from ganrun.data.image_items import ImageReading
from ganrun.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty folder of downloads, where facts are kept."""
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path / "cache"))


def save(folder, name, frames=1, value=0, kind=np.uint8):
    folder.mkdir(exist_ok=True)
    pictures = [Image.fromarray(np.full((4, 4), value + k, kind)) for k in range(frames)]
    more = {"save_all": True, "append_images": pictures[1:]} if frames > 1 else {}
    pictures[0].save(folder / name, **more)


def test_by_default_the_first_frame_of_each_file_is_an_item_and_others_are_said(tmp_path):
    save(tmp_path / "p", "a.png")
    save(tmp_path / "p", "b.tif", frames=3)
    files = list_pictures(tmp_path / "p")
    with pytest.warns(UserWarning, match=r"1 of 2 files have several frames, such as b\.tif: the first is read"):
        found = ImageReading().items([files])
    assert found.rows.tolist() == [0, 1]
    assert found.frames is None
    found = ImageReading(frames="all").items([files])
    assert found.rows.tolist() == [0, 1, 1, 1]
    assert found.frames.tolist() == [0, 0, 1, 2]


def test_pairs_need_as_many_frames(tmp_path):
    save(tmp_path / "a", "1.tif", frames=2)
    save(tmp_path / "b", "1.tif", frames=3)
    lists = [list_pictures(tmp_path / side) for side in "ab"]
    with pytest.raises(DataError, match="has 2 frames and .* has 3; a pair needs as many"):
        ImageReading(frames="all").items(lists)


def test_what_cannot_be_read_is_skipped_in_all_lists_and_said(tmp_path):
    for side in "ab":
        for name in ("1.png", "2.png", "3.png"):
            save(tmp_path / side, name)
    (tmp_path / "b" / "2.png").write_text("no image")
    lists = [list_pictures(tmp_path / side) for side in "ab"]
    assert ImageReading().items(lists).rows.tolist() == [0, 1, 2]
    with pytest.warns(UserWarning, match=r"1 of 6 files cannot be read and are left out: .*2\.png \(not an image"):
        found = ImageReading(bad_images="skip").items(lists)
    assert found.rows.tolist() == [0, 2]
    assert list(found.skipped) == [tmp_path / "b" / "2.png"]


def test_where_nothing_can_be_read_that_is_an_error(tmp_path):
    save(tmp_path / "p", "a.png")
    (tmp_path / "p" / "a.png").write_text("no image")
    with pytest.warns(UserWarning, match="1 of 1 files"), pytest.raises(DataError, match="no image is left"):
        ImageReading(bad_images="skip").items([list_pictures(tmp_path / "p")])


def test_labels_beside_images_are_no_image(tmp_path):
    save(tmp_path / "p", "a.png")
    np.save(tmp_path / "p" / "b.npy", np.zeros((4, 4)))
    np.save(tmp_path / "p" / "labels.npy", np.zeros(7))
    files = list_pictures(tmp_path / "p", arrays=True)
    with pytest.warns(UserWarning, match=r"labels\.npy \(float64 \(7,\) is no image"):
        assert ImageReading().items([files]).rows.tolist() == [0, 1]


def test_a_range_is_measured_where_some_files_are_deep_and_not_where_none_is(tmp_path):
    save(tmp_path / "p", "a.png")
    save(tmp_path / "p", "b.jpg")
    files = list_pictures(tmp_path / "p")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ImageReading().values(files) is None
        assert ImageReading(range=(0, 1000)).values(files) == ValueRange(0, 1000)
    for name, value in (("c.png", 3000), ("d.png", 100)):
        save(tmp_path / "p", name, value=value, kind=np.uint16)
    said = r"2 files of uint16 with values 100 to 3000: 0 to 4095 become -1 to 1; 2 of 8 bits keep 0 to 255; `range: "
    with pytest.warns(UserWarning, match=said):
        assert ImageReading().values(list_pictures(tmp_path / "p")) == ValueRange(0, 4095, given=False)


def test_a_range_goes_upwards():
    with pytest.raises(DataError, match="the first value has to be less than the second"):
        ImageReading(range=(1, 1))
