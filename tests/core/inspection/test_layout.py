"""How a folder is laid out, and the lines that read it."""

from pathlib import Path

import pytest
import yaml

from ganrun.data.file_facts import FileFacts
from ganrun.inspection.layout import Suggestion, classes, place, split_folders, suggested
from ganrun.inspection.listing import Listing

ROOT = Path("/data/p")
COLOUR = FileFacts("PNG", "RGB", channels=3, size=(100, 80))


def of(*names, facts=COLOUR):
    return {ROOT / name: facts for name in names}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a.png", ("", "")),
        ("cats/a.png", ("", "cats")),
        ("train/cats/a.png", ("train", "cats")),
        ("Validation/a.png", ("Validation", "")),
        ("trainA/a.png", ("trainA", "")),
        ("training/x/y/a.png", ("training", "x")),
        ("trains/a.png", ("", "trains")),
    ],
)
def test_the_split_and_the_class_of_a_file(name, wanted):
    assert place(ROOT, ROOT / name) == wanted


def test_split_folders_and_classes_are_counted():
    paths = list(of("train/a/1.png", "train/a/2.png", "train/b/1.png", "valid/a/1.png"))
    assert split_folders(ROOT, paths) == {"train": 3, "valid": 1}
    assert classes(ROOT, paths) == {"train": {"a": 2, "b": 1}, "valid": {"a": 1}}
    assert classes(ROOT, list(of("one/1.png", "one/2.png"))) == {}


def test_classes_by_folders_and_a_size_that_the_short_sides_have():
    found = suggested(Listing(ROOT), of("a/1.png", "b/1.png"))
    assert (found.name, found.parameters) == (
        "image-folder",
        {"root": str(ROOT), "size": 64, "channels": 3, "labels": True},
    )
    small = FileFacts("PNG", "L", channels=1, size=(31, 30))
    found = suggested(Listing(ROOT), of("1.png", "a/2.png", "b/2.png", facts=small))
    assert found.parameters == {"root": str(ROOT), "size": 28, "channels": 1, "labels": False}
    assert found.why["labels"] == "some pictures are in folders and some are not"


def test_two_sides_of_the_same_names_are_pairs():
    paired = of("trainA/1.png", "trainA/2.png", "trainB/1.jpg", "trainB/2.jpg", "testA/9.png")
    assert suggested(Listing(ROOT), paired).name == "paired-folders"
    unpaired = of("trainA/1.png", "trainA/2.png", "trainB/3.jpg", "testA/9.png")
    assert suggested(Listing(ROOT), unpaired).name == "unpaired-folders"


def test_a_folder_of_shards_or_nothing_has_another_data_set_or_none():
    shards = Listing(ROOT, others={".tar": [ROOT / "a-000.tar"]})
    assert suggested(shards, {}).name == "webdataset"
    assert suggested(Listing(ROOT), {}) is None


def test_lines_are_yaml_that_says_the_same_with_the_reasons_as_comments():
    parameters = {"root": "/odd: place/#1", "size": 64, "labels": False, "names": ["no", "5 o'clock"]}
    lines = Suggestion("image-folder", parameters, {"size": "because"}).lines()
    assert yaml.safe_load(lines) == {"dataset": {"image-folder": parameters}}
    assert any(line.split() == ["size:", "64", "#", "because"] for line in lines.splitlines())


def test_pairs_whose_names_differ_in_what_they_end_or_begin_with():
    found = suggested(Listing(ROOT), of("trainA/1_A.png", "trainA/2_A.png", "trainB/1_B.png", "trainB/2_B.png"))
    assert (found.name, found.parameters["suffixes"]) == ("paired-folders", ["_A", "_B"])
    found = suggested(Listing(ROOT), of("A/in-1.png", "A/in-2.png", "B/out-1.png", "B/out-2.png"))
    assert (found.name, found.parameters["prefixes"]) == ("paired-folders", ["in-", "out-"])
    assert found.parameters["roots"] == {"a": "/data/p/A", "b": "/data/p/B"}


def test_each_side_has_its_own_channels():
    grey = FileFacts("PNG", "L", channels=1, size=(100, 80))
    found = suggested(Listing(ROOT), of("A/1.png", facts=grey) | of("B/2.png"))
    assert (found.name, found.parameters["channels"]) == ("unpaired-folders", {"a": 1, "b": 3})


def test_pictures_twice_as_wide_as_high_in_splits_are_pairs_side_by_side():
    wide = FileFacts("JPEG", "RGB", channels=3, size=(512, 256))
    assert suggested(Listing(ROOT), of("train/1.jpg", "val/1.jpg", facts=wide)).name == "paired-folders"
    assert suggested(Listing(ROOT), of("train/1.jpg", "train/2.jpg", facts=wide)).name == "image-folder"
    assert suggested(Listing(ROOT), of("train/1.jpg", "val/1.jpg")).name == "image-folder"


def test_a_folder_in_a_folder_is_where_the_data_begin():
    found = suggested(Listing(ROOT), of("photos/photos/cats/1.png", "photos/photos/dogs/2.png"))
    assert (found.parameters["root"], found.parameters["labels"]) == (f"{ROOT}/photos/photos", True)
    found = suggested(Listing(ROOT), of("train/1.png", "train/2.png"))
    assert found.parameters["root"] == str(ROOT)


@pytest.mark.parametrize(
    ("dtype", "low", "high", "wanted"),
    [
        ("uint16", 970, 3757, [0, 4095]),
        ("uint16", 0, 65535, [0, 65535]),
        ("uint16", 0, 17, [0, 255]),
        ("int16", -1024, 3071, [-1024, 3071]),
        ("float32", 0.1, 0.9, [0, 1]),
        ("float32", -0.5, 1, [-1, 1]),
        ("float32", -3.5, 700.25, [-3.5, 700.25]),
    ],
)
def test_a_range_of_values_is_suggested_where_all_pictures_have_more_than_8_bits(dtype, low, high, wanted):
    deep = FileFacts("TIFF", "x", dtype=dtype, channels=1, size=(64, 64), low=float(low), high=float(high))
    found = suggested(Listing(ROOT), of("1.tif", "2.tif", facts=deep))
    assert found.parameters["range"] == wanted
    assert "range" not in suggested(Listing(ROOT), of("1.tif", facts=deep) | of("2.png")).parameters


def test_stacks_are_read_as_all_their_frames_and_broken_files_are_left_out():
    stack = FileFacts("TIFF", "L", channels=1, size=(64, 64), frames=30)
    found = suggested(Listing(ROOT), of("1.tif", "2.tif", facts=stack), broken=3)
    assert (found.parameters["frames"], found.parameters["bad_images"]) == ("all", "skip")
    assert (found.why["frames"], found.why["bad_images"]) == ("60 in 2 files", "3 cannot be read")
