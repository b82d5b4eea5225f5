"""Pictures in folders: every mode, every kind of broken file, labels, splits, crops."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.data.reader import Reader
from ganrun.errors import DataError, UserError
from ganrun.randomness import ItemDraws
from ganrun_plugins.datasets.image_folder import ImageFolder


def save(path, image=None, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or Image.new("RGB", (10, 8), (len(path.name) * 9 % 256, 20, 30))).save(path, **how)
    return path


def draws(indices, epoch=0, key=(0,)):
    return ItemDraws(key, np.asarray(epoch), np.asarray(indices))


def batch(data, indices, epoch=0):
    return data.batch(torch.tensor(list(indices)), draws(indices, epoch))


# --- image-folder ----------------------------------------------------------------------------------------------


def animals(tmp_path, count=10):
    for name in ("cat", "dog"):
        for i in range(count):
            save(tmp_path / "zoo" / name / ("deep" if i % 2 else ".") / f"{i}.png")


def test_labels_are_the_first_level_folders_however_deep_the_picture(files, tmp_path):
    animals(tmp_path)
    data = ImageFolder(files, "train", root="zoo", size=8, test_fraction=0)
    assert data.classes == ["cat", "dog"]
    assert len(data) == 20
    whole = batch(data, list(range(20)))
    assert whole["x"].shape == (20, 3, 8, 8)
    assert whole["label"].tolist() == [int("dog" in path.parts) for path in data.pictures.paths]
    assert 0 < whole["label"][:10].sum() < 10  # the classes are mixed: the first few are a fair sample
    assert data.spaces["label"].classes == 2


def test_without_a_test_folder_a_fixed_fraction_is_held_out(files, tmp_path):
    animals(tmp_path)
    train, test = (ImageFolder(files, split, root="zoo", test_fraction=0.25) for split in ("train", "test"))
    assert (len(train), len(test)) == (15, 5)
    assert not {*train.pictures.paths} & {*test.pictures.paths}
    save(tmp_path / "zoo" / "cat" / "new.png")
    assert (
        len({*ImageFolder(files, "test", root="zoo", test_fraction=0.25).pictures.paths} & {*test.pictures.paths}) >= 4
    )


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_train_and_test_folders_are_the_splits(files, tmp_path, held_out):
    for name in ("train/a/1.png", "train/b/2.png", f"{held_out}/b/3.png"):
        save(tmp_path / "set" / name)
    assert len(ImageFolder(files, "train", root="set")) == 2
    test = ImageFolder(files, "test", root="set")
    assert (len(test), test.classes, batch(test, [0])["label"].tolist()) == (1, ["a", "b"], [1])
    save(tmp_path / "set" / held_out / "c" / "4.png")
    with pytest.raises(DataError, match="'c' is no class of"):
        ImageFolder(files, "test", root="set")


def test_pictures_without_folders_have_no_labels(files, tmp_path):
    for i in range(4):
        save(tmp_path / "flat" / f"{i}.png", Image.new("L", (8, 8), i))
    data = ImageFolder(files, "train", root="flat", size=8, channels=1, test_fraction=0)
    assert set(data.spaces) == {"x"}
    assert sorted(batch(data, range(4))["x"][:, 0, 0, 0].tolist()) == [0, 1, 2, 3]
    with pytest.raises(DataError, match="in no folders"):
        ImageFolder(files, "train", root="flat", classes=["a"])


def test_pictures_both_in_the_folder_and_in_subfolders_are_refused_unless_labels_are_off(files, tmp_path):
    animals(tmp_path)
    save(tmp_path / "zoo" / "stray.png")
    with pytest.raises(DataError, match="labels: false"):
        ImageFolder(files, "train", root="zoo")
    assert set(ImageFolder(files, "train", root="zoo", labels=False).spaces) == {"x"}


def test_classes_of_folders_can_be_selected(files, tmp_path):
    animals(tmp_path)
    data = ImageFolder(files, "train", root="zoo", classes=["dog"], test_fraction=0)
    assert (len(data), data.classes, data.spaces["label"].classes) == (10, ["dog"], 1)
    assert data.known_labels()["label"].tolist() == [0] * 10
    with pytest.raises(DataError, match="did you mean 'dog'"):
        ImageFolder(files, "train", root="zoo", classes=["dogs"])


def test_a_folder_that_is_missing_or_empty_says_what_was_looked_for(files, tmp_path):
    with pytest.raises(DataError, match=rf"{tmp_path}/none: there is no such folder"):
        ImageFolder(files, "train", root="none")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("")
    (tmp_path / "empty" / "._x.png").write_text("")
    with pytest.raises(DataError, match=r"no images in it or its subfolders; known suffixes are .*\.jpg"):
        ImageFolder(files, "train", root="empty")


def test_a_link_to_a_folder_above_ends(files, tmp_path):
    animals(tmp_path)
    os.symlink(tmp_path / "zoo", tmp_path / "zoo" / "cat" / "loop")
    assert len(ImageFolder(files, "train", root="zoo", test_fraction=0)) == 20


def test_pictures_kept_in_memory_are_the_same(files, tmp_path):
    animals(tmp_path)
    streamed, kept = (
        ImageFolder(files, "train", root="zoo", size=8, flip=True, in_memory=memory) for memory in (False, True)
    )
    assert kept.in_memory
    for step in (0, 4, 30):
        readers = [Reader(data, (1,), batch_rows=4) for data in (streamed, kept)]
        first, second = [], []
        for reader, got in zip(readers, (first, second)):
            reader.position = step
            got.append(reader.get(4))
        assert torch.equal(first[0]["x"], second[0]["x"])
        assert torch.equal(first[0]["label"], second[0]["label"])
    with pytest.raises(DataError, match="crop: centre"):
        ImageFolder(files, "train", root="zoo", crop="random", in_memory=True)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("resize", ["squash", "crop", "fit", "scale-width"])
@pytest.mark.parametrize("crop", ["centre", "random"])
def test_items_are_rectangles_where_a_recipe_asks_for_them(files, tmp_path, split, resize, crop):
    animals(tmp_path)
    data = ImageFolder(files, split, root="zoo", size=(8, 12), resize=resize, crop=crop, test_fraction=0.5)
    assert data.spaces["x"].shape == batch(data, [0])["x"].shape[1:] == (3, 8, 12)
    assert ImageFolder.known_spaces(size=(8, 12), channels=3)["x"] == data.spaces["x"]


def test_a_load_size_without_a_random_crop_is_said_to_have_no_effect(files, tmp_path):
    animals(tmp_path)
    with pytest.warns(UserWarning, match="load_size is for crop: random, and has no effect with crop: centre"):
        ImageFolder(files, "train", root="zoo", size=8, load_size=9)


def test_the_word_stretch_of_earlier_recipes_means_squash(files, tmp_path):
    animals(tmp_path)
    one, other = (
        ImageFolder(files, "train", root="zoo", size=8, **how) for how in ({"crop": "stretch"}, {"resize": "squash"})
    )
    assert torch.equal(batch(one, range(9))["x"], batch(other, range(9))["x"])
    assert one.fingerprint() == other.fingerprint()
    with pytest.raises(DataError, match="another word for resize: squash"):
        ImageFolder(files, "train", root="zoo", crop="stretch", resize="fit")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_file_is_named_by_the_reader_with_any_number_of_workers(files, tmp_path, workers):
    animals(tmp_path)
    (tmp_path / "zoo" / "cat" / "broken.jpg").write_bytes(b"no jpeg")
    reader = Reader(ImageFolder(files, "train", root="zoo", test_fraction=0), (0,), batch_rows=3, workers=workers)
    with pytest.raises(UserError, match=r"broken\.jpg: cannot be read"):
        read(reader, 7)
    reader.close()


def read(reader, steps, rows=3):
    got = []
    for _ in range(steps):
        got.append(reader.get(rows)["x"])
        reader.advance(rows)
    return torch.cat(got)


def test_workers_draw_the_same_crops(files, tmp_path):
    animals(tmp_path)
    data = ImageFolder(files, "train", root="zoo", size=8, crop="random", flip=True)
    reader = Reader(data, (0,), batch_rows=3, workers=2)
    assert torch.equal(read(reader, 12), read(Reader(data, (0,), batch_rows=3), 12))
    reader.close()


def test_the_fingerprint_follows_files_and_preprocessing(files, tmp_path):
    animals(tmp_path, 2)
    first = ImageFolder(files, "train", root="zoo").fingerprint()
    assert ImageFolder(files, "train", root="zoo").fingerprint() == first
    assert ImageFolder(files, "train", root="zoo", size=32).fingerprint() != first
    save(tmp_path / "zoo" / "cat" / "0.png", Image.new("RGB", (5, 5)))
    assert ImageFolder(files, "train", root="zoo").fingerprint() != first


def test_how_files_are_read_and_fitted_is_said(files, tmp_path):
    """An image-folder of ordinary files does not depart from PIL's reading; one of transparent ones does."""
    for number in range(4):
        save(tmp_path / "plain" / f"{number}.png")
        save(tmp_path / "clear" / f"{number}.png", Image.new("RGBA", (9, 9)))
    plain, clear = (ImageFolder(files, "test", root=name, size=8, test_fraction=0.5) for name in ("plain", "clear"))
    assert plain.preparation == (
        "turned as EXIF says, transparent parts on white, 16 bits scaled to 8; RGB; "
        "scaled to the short side of 8 (bicubic, antialiased); a middle window of 8 x 8"
    )
    assert (plain.departs, clear.departs) == (False, True)
