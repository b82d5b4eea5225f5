"""A folder, a recipe and an array file, looked at as a whole."""

import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from ganrun.catalog.catalog import Catalog
from ganrun.data.reader import read_items
from ganrun.data.splits import datasets
from ganrun.inspection.inspect import as_data, inspect_arrays, inspect_folder, inspect_recipe
from ganrun.recipe import load_recipe


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty folder of downloads, where facts are kept."""
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path / "cache"))


def blots(seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((40, 32), Image.Resampling.BICUBIC)


@pytest.fixture
def photos(tmp_path):
    """12 pictures of cats and 2 of dogs, a copy, a broken one, notes, and a locked-away JPEG."""
    root = tmp_path / "photos"
    for name, seeds in (("cats", range(12)), ("dogs", range(20, 22))):
        (root / name).mkdir(parents=True)
        for seed in seeds:
            blots(seed).save(root / name / f"{seed}.png")
    shutil.copy(root / "cats/3.png", root / "dogs/copy.png")
    (root / "cats/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n????")
    (root / "notes.txt").write_text("notes")
    blots(99).save(root / "photo.dat", "JPEG")
    return root


def titles(found):
    return [one.title for one in found.remarks]


def test_a_folder_is_described_as_a_whole(photos):
    found = inspect_folder(photos, Catalog())
    assert (found.looked_at, found.known) == (16, 0)
    assert found.classes == {"": {"cats": 13, "dogs": 3}}
    assert [name for name, _ in found.unreadable] == ["cats/broken.png"]
    assert found.duplicates == [["cats/3.png", "dogs/copy.png"]]
    assert found.near_duplicates == []
    assert ("files ending in .txt", 1, "notes.txt", "no images") in found.skipped
    assert "1 file cannot be read" in titles(found)
    assert "1 file ending in .dat that no data set of image files reads" in titles(found)
    assert "classes with fewer than 10 pictures: dogs (3)" in titles(found)
    assert found.tables["sizes"] == [("40 x 32", 15)]
    assert inspect_folder(photos, Catalog()).known == 16
    assert inspect_folder(photos, Catalog(), again=True).known == 0


def test_the_suggested_lines_work_when_they_are_pasted_into_a_recipe(photos, tmp_path):
    lines = inspect_folder(photos, Catalog()).suggestion.lines()
    (tmp_path / "mine.yaml").write_text(f"variant: dcgan\n{lines}\n")
    dataset = datasets(load_recipe(tmp_path / "mine.yaml", catalog=Catalog()))
    assert dataset("train").classes == ["cats", "dogs"]
    assert len(dataset("train")) + len(dataset("test")) == 15  # all but the broken one
    assert dataset("train").spaces["x"].shape == (3, 32, 32)


def saved(root, *names):
    """A picture of its own in each of some files."""
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        blots(seed).save(root / name)


def shards(root):
    with tarfile.open(root / "data-000.tar", "w") as archive:
        for seed in range(10):
            file = io.BytesIO()
            blots(seed).save(file, "PNG")
            entry = tarfile.TarInfo(f"{seed:03}.png")
            entry.size = file.tell()
            file.seek(0)
            archive.addfile(entry, file)


def table(root):
    import datasets as library

    rows = library.Dataset.from_dict({"image": [blots(seed) for seed in range(10)]})
    rows.cast_column("image", library.Image()).to_parquet(root / "data.parquet")


def listed(root):
    saved(root, *(f"pics/{n}.png" for n in range(20)))
    rows = "".join(f"{n}.png,{n % 2},1\n" for n in range(20))
    (root / "labels.csv").write_text(f"image,Smiling,Old\n{rows}")


LAYOUTS = {
    "attributes": listed,
    "image-folder": lambda root: saved(root, *(f"{name}/{n}.png" for n in range(5) for name in "cd")),
    "paired-folders": lambda root: saved(
        root, *(f"{split}{side}/{n}_{side}.png" for n in range(3) for split in ("train", "test") for side in "AB")
    ),
    "unpaired-folders": lambda root: saved(root, *(f"{side}/{n}{side * n}.png" for n in range(1, 6) for side in "AB")),
    "array": lambda root: np.save(root / "train.npy", np.zeros((10, 8, 8), np.uint8)),
    "webdataset": shards,
    "hf-dataset": table,
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_suggestion_for_each_layout_can_be_read_and_gives_items(name, tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    LAYOUTS[name](root)
    found = inspect_folder(root, Catalog()).suggestion
    assert (found.name, found.works) == (name, True), found.tried
    dataset = datasets(load_recipe({"variant": "gan", **yaml.safe_load(found.lines())}, catalog=Catalog()))("train")
    assert all(len(entry) == 2 for batch in read_items(dataset, [0, 1]) for entry in batch.values())


def test_the_suggestion_for_deep_pictures_and_a_broken_one_gives_their_levels_and_leaves_it_out(tmp_path):
    root = tmp_path / "deep"
    root.mkdir()
    for seed in range(10):
        values = np.random.default_rng(seed).integers(0, 4096, (16, 16), dtype=np.uint16)
        Image.fromarray(values).save(root / f"{seed}.png")
    (root / "broken.png").write_bytes(b"")
    found = inspect_folder(root, Catalog()).suggestion
    assert (found.parameters["range"], found.parameters["bad_images"]) == ([0, 4095], "skip")
    dataset = datasets(load_recipe({"variant": "gan", **yaml.safe_load(found.lines())}, catalog=Catalog()))
    assert len(dataset("train")) + len(dataset("test")) == 10
    assert dataset("train").ranges == {"x": (0, 4095)}


def test_copies_of_which_one_is_read_for_training_and_one_for_testing_are_named(tmp_path):
    for number, split in enumerate(("train", "test")):
        (tmp_path / "p" / split).mkdir(parents=True)
        for seed in range(3):
            blots(seed and 10 * number + seed).save(tmp_path / "p" / split / f"{seed}.png")
    found = inspect_folder(tmp_path / "p", Catalog())
    assert "in more than one split: 1 of these" in titles(found)
    assert found.splits == {"test": 3, "train": 3}
    assert [line.partition(":")[0] for line in found.reads] == ["train", "test"]


def test_a_recipe_says_what_it_reads_and_what_it_leaves(photos, tmp_path):
    text = {"variant": "dcgan", "dataset": {"image-folder": {"root": "photos", "size": 16, "classes": ["cats"]}}}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(text))
    found = inspect_recipe(load_recipe(tmp_path / "r.yaml", catalog=Catalog()), "r.yaml")
    assert found.suggestion is None
    assert found.reads[0] == "train: 12 items; x: image of shape (3, 16, 16), label: labels of 1 classes"
    assert ("pictures in dogs", 3, "dogs/20.png", "the data set does not read them") in found.skipped


def test_a_recipe_whose_test_split_cannot_be_opened_says_so(tmp_path):
    (tmp_path / "one").mkdir()
    blots(0).save(tmp_path / "one/0.png")
    text = {"variant": "dcgan", "dataset": {"image-folder": {"root": str(tmp_path / "one")}}}
    found = inspect_recipe(load_recipe(text, catalog=Catalog()), "it")
    assert titles(found) == ["the test split cannot be opened"]


def test_items_without_files_are_looked_at_one_by_one():
    text = {"variant": "dcgan", "dataset": {"digits": {"size": 16}}}
    found = inspect_recipe(load_recipe(text, catalog=Catalog()), "it")
    assert found.looked_at == 1797
    assert found.tables["sizes"] == [("16 x 16", 1797)]
    assert list(found.classes) == ["train", "test"]
    assert sum(found.classes["train"].values()) + sum(found.classes["test"].values()) == 1797
    assert found.picture(found.sheet[0]).size == (16, 16)


def test_points_have_classes_and_no_pictures():
    text = {"variant": "gan", "dataset": {"ring": {"count": 64}}}
    found = inspect_recipe(load_recipe(text, catalog=Catalog()), "it")
    assert (found.looked_at, found.sheet, len(found.classes["train"])) == (0, [], 8)


def test_an_array_file_and_its_lines(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 3), dtype=np.uint8)
    values[7] = values[0]
    np.savez(tmp_path / "a.npz", images=values, labels=np.arange(40) % 2)
    found = inspect_arrays(tmp_path / "a.npz", Catalog())
    assert [(one.name, one.dtype, one.shape) for one in found.arrays] == [
        ("images", "uint8", (40, 12, 12, 3)),
        ("labels", "int64", (40,)),
    ]
    assert found.looked_at == 40
    assert sum(len(group) for group in found.duplicates) == 2
    assert found.suggestion.works
    recipe = load_recipe({"variant": "gan", **yaml.safe_load(found.suggestion.lines())}, catalog=Catalog())
    assert len(datasets(recipe)("train")) == 36


def test_all_rows_of_an_array_that_are_not_finite_are_named_at_once(tmp_path):
    values = np.zeros((30, 8, 8), np.float32)
    values[3, 0, 0], values[17, 1, 1], values[5] = np.nan, np.inf, 0.5
    np.save(tmp_path / "a.npy", values)
    found = inspect_arrays(tmp_path / "a.npy", Catalog())
    assert found.arrays[0].odd == [3, 17]
    assert (found.arrays[0].low, found.arrays[0].high) == (0, 0.5)
    assert found.remarks[0].advice == "rows 3, 17: mend them or leave them out"
    assert not found.suggestion.works


def test_what_was_found_is_plain_data(photos):
    found = json.loads(json.dumps(as_data(inspect_folder(photos, Catalog()))))
    assert found["looked_at"] == 16
    assert found["suggestion"]["lines"].startswith("dataset:\n  image-folder:\n")
    assert found["unreadable"][0][0] == "cats/broken.png"


def test_a_folder_named_from_where_one_stands_is_read_all_the_same(photos, monkeypatch):
    whole = inspect_folder(photos, Catalog())
    monkeypatch.chdir(photos.parent)
    found = inspect_folder(Path("photos"), Catalog())
    assert found.skipped == whole.skipped
    assert not any("the data set does not read them" in why for *_, why in found.skipped)
