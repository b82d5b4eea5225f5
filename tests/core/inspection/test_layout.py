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
    found = suggested(Listing(ROOT), of("a/1.png", "b/1.png"), broken=0)
    assert (found.name, found.parameters) == (
        "image-folder",
        {"root": str(ROOT), "size": 64, "channels": 3, "labels": True},
    )
    small = FileFacts("PNG", "L", channels=1, size=(31, 30))
    found = suggested(Listing(ROOT), of("1.png", "a/2.png", "b/2.png", facts=small), broken=0)
    assert found.parameters == {"root": str(ROOT), "size": 28, "channels": 1, "labels": False}
    assert found.why["labels"] == "some pictures are in folders and some are not"


def test_two_sides_of_the_same_names_are_pairs():
    paired = of("trainA/1.png", "trainA/2.png", "trainB/1.jpg", "trainB/2.jpg", "testA/9.png")
    assert suggested(Listing(ROOT), paired, broken=0).name == "paired-folders"
    unpaired = of("trainA/1.png", "trainA/2.png", "trainB/3.jpg", "testA/9.png")
    assert suggested(Listing(ROOT), unpaired, broken=0).name == "unpaired-folders"


def test_a_folder_of_shards_or_nothing_has_another_data_set_or_none():
    shards = Listing(ROOT, others={".tar": [ROOT / "a-000.tar"]})
    assert suggested(shards, {}, broken=0).name == "webdataset"
    assert suggested(Listing(ROOT), {}, broken=0) is None


def test_lines_are_yaml_that_says_the_same_with_the_reasons_as_comments():
    parameters = {"root": "/odd: place/#1", "size": 64, "labels": False, "names": ["no", "5 o'clock"]}
    lines = Suggestion("image-folder", parameters, {"size": "because"}).lines()
    assert yaml.safe_load(lines) == {"dataset": {"image-folder": parameters}}
    assert any(line.split() == ["size:", "64", "#", "because"] for line in lines.splitlines())
