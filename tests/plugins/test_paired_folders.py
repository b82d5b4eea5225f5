"""Pairs of pictures: one geometry for both, both layouts, every way a pair can be broken, outlines, archives."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.catalog.catalog import Catalog
from ganrun.data.reader import Reader
from ganrun.errors import DataError
from ganrun.preflight.check import check
from ganrun.randomness import ItemDraws
from ganrun.recipe import load_recipe
from ganrun_plugins.datasets import unpaired_archives
from ganrun_plugins.datasets._archives import PublishedArchive
from ganrun_plugins.datasets.digits import Digits
from ganrun_plugins.datasets.horse2zebra import Horse2Zebra
from ganrun_plugins.datasets.paired_digits import PairedDigits, outlines
from ganrun_plugins.datasets.paired_folders import PairedFolders


def noise(number, width=12, height=12):
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def batch(data, indices, epoch=0):
    chosen = np.asarray(list(indices))
    return data.batch(torch.from_numpy(chosen), ItemDraws((0,), np.asarray(epoch), chosen))


@pytest.fixture(params=["side by side", "two folders"])
def twins(request, tmp_path):
    """Pairs of twice the same picture, as both layouts; training and test pictures differ."""
    for split, first in (("train", 0), ("test", 100)):
        for i in range(6):
            picture = noise(first + i)
            if request.param == "side by side":
                save(tmp_path / "set" / split / f"{i}.png", np.concatenate([picture, picture], 1))
            else:
                save(tmp_path / "set" / f"{split}A" / f"{i}.png", picture)
                save(tmp_path / "set" / f"{split}B" / f"{i}.bmp", picture)
    return tmp_path / "set"


def test_both_pictures_of_a_pair_are_cropped_and_mirrored_alike(files, twins):
    """A picture beside itself stays beside itself, however it is cut; and the cuts are not all one."""
    data = PairedFolders(files, "train", root="set", size=8, load_size=12)
    cuts = [batch(data, range(6), epoch) for epoch in range(8)]
    for cut in cuts:
        assert cut["a"].shape == (6, 3, 8, 8)
        assert torch.equal(cut["a"], cut["b"])
    assert len({cut["a"][0].numpy().tobytes() for cut in cuts}) > 4
    corners = {bool((cut["a"][0, :, 0, 0] == cuts[0]["a"][0, :, 0, -1]).all()) for cut in cuts}
    assert corners >= {False}


def test_training_pictures_are_windows_of_the_stretched_ones(files, twins):
    """Every cut, or its mirror image, is found in the picture; both occur."""
    data, found = PairedFolders(files, "train", root="set", size=8, load_size=12), set()
    whole = torch.from_numpy(noise(0).transpose(2, 0, 1).copy())
    windows = {whole[:, t : t + 8, left : left + 8].numpy().tobytes(): (t, left) for t in range(5) for left in range(5)}
    for epoch in range(30):
        cut = batch(data, [0], epoch)["b"][0]
        mirrored = cut.numpy().tobytes() not in windows
        assert (cut.flip(-1) if mirrored else cut).numpy().tobytes() in windows
        found.add(mirrored)
    assert found == {False, True}


def test_test_pictures_come_whole_and_in_order(files, twins):
    data = PairedFolders(files, "test", root="set", size=12, load_size=14)
    for i in range(6):
        assert np.array_equal(batch(data, [i])["a"][0].numpy(), noise(100 + i).transpose(2, 0, 1))
    assert torch.equal(batch(data, [2], epoch=0)["b"], batch(data, [2], epoch=9)["b"])
    hidden = data.hidden_pairs()
    assert hidden["a"].dtype == torch.uint8
    assert torch.equal(hidden["a"], batch(data, range(6))["a"])


def test_kept_in_memory_pairs_are_the_same(files, twins):
    streamed, kept = (
        PairedFolders(files, "train", root="set", size=8, load_size=10, channels=1, in_memory=m) for m in (False, True)
    )
    first, second = (Reader(data, (1,), batch_rows=4).get(4) for data in (streamed, kept))
    assert streamed.spaces["b"].shape == (1, 8, 8)
    assert all(torch.equal(first[name], second[name]) for name in ("a", "b"))


def test_the_left_half_is_a_and_the_right_half_is_b(files, tmp_path):
    """Also of an odd width: the column in the middle is nobody's."""
    for width in (16, 17):
        both = np.zeros((8, width, 3), np.uint8)
        both[:, :8, 0], both[:, width - 8 :, 1] = 200, 100
        save(tmp_path / "set" / "train" / f"{width}.png", both)
    pair = batch(PairedFolders(files, "train", root="set", size=8, load_size=8, flip=False), range(2))
    assert pair["a"].unique(dim=2).flatten(2).unique().tolist() == [0, 200]
    assert (pair["a"][:, 0] == 200).all()
    assert (pair["b"][:, 1] == 100).all()
    assert not pair["b"][:, 0].any()


def test_partners_are_found_by_name_whatever_the_order_of_suffixes(files, tmp_path):
    for i, suffix in enumerate((".png", ".bmp", ".tif")):
        save(tmp_path / "set" / "trainA" / f"{i}.png", np.full((8, 8, 3), i, np.uint8))
        save(tmp_path / "set" / "trainB" / f"{i}{suffix}", np.full((8, 8, 3), 100 + i, np.uint8))
    pair = batch(PairedFolders(files, "train", root="set", size=8, load_size=8), range(3))
    assert pair["a"][:, 0, 0, 0].tolist() == [0, 1, 2]
    assert pair["b"][:, 0, 0, 0].tolist() == [100, 101, 102]


def test_val_is_the_test_split_where_there_is_no_test(files, tmp_path):
    save(tmp_path / "set" / "val" / "1.png", noise(1, width=24))
    assert len(PairedFolders(files, "test", root="set", size=8)) == 1
    save(tmp_path / "set" / "test" / "1.png", noise(1, width=24))
    save(tmp_path / "set" / "test" / "2.png", noise(2, width=24))
    assert len(PairedFolders(files, "test", root="set", size=8)) == 2


def test_what_is_no_pair_is_named(files, tmp_path):
    with pytest.raises(DataError, match="there is no such folder; it has to hold train and test, or trainA"):
        PairedFolders(files, "train", root="nowhere")
    save(tmp_path / "half" / "trainB" / "1.png", noise(1))
    with pytest.raises(
        DataError, match="half: it holds no folder train, and no trainA; it has to hold train and test, or trainA"
    ):
        PairedFolders(files, "train", root="half")
    save(tmp_path / "set" / "trainA" / "1.png", noise(1))
    save(tmp_path / "set" / "trainA" / "2.png", noise(1))
    save(tmp_path / "set" / "trainB" / "1.png", noise(1))
    with pytest.raises(DataError, match="1 images have no partner, the first is 2 in trainA"):
        PairedFolders(files, "train", root="set")
    save(tmp_path / "set" / "trainB" / "2.png", noise(1))
    save(tmp_path / "set" / "trainB" / "2.bmp", noise(1))
    with pytest.raises(DataError, match=r"2\.bmp and 2\.png have one name"):
        PairedFolders(files, "train", root="set")
    save(tmp_path / "thin" / "train" / "1.png", noise(1, width=1))
    with pytest.raises(DataError, match="hold no two images side by side"):
        batch(PairedFolders(files, "train", root="thin", size=8), [0])
    with pytest.raises(DataError, match="load_size 8 is smaller"):
        PairedFolders(files, "train", root="set", size=16, load_size=8)


def test_the_fingerprint_follows_the_partners_too(files, tmp_path):
    for name in ("trainA", "trainB"):
        save(tmp_path / "set" / name / "1.png", noise(1))
    first = PairedFolders(files, "train", root="set").fingerprint()
    assert PairedFolders(files, "train", root="set").fingerprint() == first
    save(tmp_path / "set" / "trainB" / "1.png", noise(2))
    assert PairedFolders(files, "train", root="set").fingerprint() != first


# --- outlines of digits -----------------------------------------------------------------------------------------


def test_an_outline_is_what_a_shape_gains_by_a_pixel():
    """Above half: one pixel of 5 x 5; its eight neighbours are white, itself and what is further away black."""
    digit = torch.zeros(1, 1, 5, 5, dtype=torch.uint8)
    digit[0, 0, 1, 1], digit[0, 0, 4, 4] = 128, 127
    wanted = torch.zeros(5, 5, dtype=torch.uint8)
    wanted[0:3, 0:3] = 255
    wanted[1, 1] = 0
    assert torch.equal(outlines(digit)[0, 0], wanted)


def test_outlines_belong_to_their_digits(files):
    data, plain = PairedDigits(files, "test", size=16), Digits(files, "test", size=16)
    some = batch(data, [3, 500, 3])
    assert torch.equal(some["a"], outlines(some["b"]))
    assert torch.equal(some["b"], batch(plain, [3, 500, 3])["x"])
    assert torch.equal(some["label"], batch(plain, [3, 500, 3])["label"])
    hidden = data.hidden_pairs()
    assert list(hidden) == ["a", "b", "label"]
    assert torch.equal(hidden["a"], outlines(hidden["b"]))


def test_outlines_of_another_data_sets_pictures(make_run, files):
    """The scans by the way of the data set ``digits``, of two of its classes: the same pairs, and what they picture is
    known.
    """
    outlined = {"paired-digits": {"size": 8, "classes": [5, 3], "images": {"digits": {"size": 8}}}}
    networks = {"generator": {"mlp": {"widths": [4]}}, "discriminator": {"mlp": {"widths": [4]}}}
    data = make_run(
        {"variant": "cogan", "dataset": outlined, **networks, "train": {"device": "cpu"}}
    ).experiment.dataset
    plain = PairedDigits(files, "train", size=8, classes=[5, 3])
    assert all(torch.equal(data.tensors[name], plain.tensors[name]) for name in ("a", "b", "label"))
    assert (data.subjects, data.classes) == (plain.subjects, ["5", "3"])


# --- archives ---------------------------------------------------------------------------------------------------

ARCHIVES = {  # bytes and pictures of the longer folder in training
    "apple2orange": (78_456_409, 1019),
    "cezanne2photo": (279_885_071, 6287),
    "facades": (35_135_868, 400),
    "iphone2dslr-flower": (339_964_458, 3325),
    "maps": (1_476_754_427, 1096),
    "monet2photo": (305_231_073, 6287),
    "summer2winter-yosemite": (132_640_856, 1231),
    "ukiyoe2photo": (292_946_532, 6287),
    "vangogh2photo": (306_590_349, 6287),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_checked_before_it_is_here(name, monkeypatch):
    """Its file on the server has underscores, its size and length are recorded, and `--check` downloads nothing."""
    monkeypatch.setattr(
        "ganrun_plugins.datasets._archives.fetch", lambda *args, **how: pytest.fail("a check must not download")
    )
    recipe = load_recipe({"variant": "cyclegan", "dataset": name, "train": {"device": "cpu"}}, catalog=Catalog())
    archive = recipe.dataset.component.factory.archive
    assert issubclass(recipe.dataset.component.factory, PublishedArchive)
    assert (archive.name, archive.size) == (name.replace("-", "_"), ARCHIVES[name][0])
    assert len(archive.sha256) == 64
    experiment, networks = check(recipe)
    assert experiment.clock.dataset == ARCHIVES[name][1]
    assert {line.parameters for line in networks} == {11_378_179, 2_764_737}


def test_no_two_archives_are_one():
    found = [Horse2Zebra.archive] + [
        thing.archive
        for thing in vars(unpaired_archives).values()
        if isinstance(thing, type) and issubclass(thing, PublishedArchive) and thing is not PublishedArchive
    ]
    assert len({archive.sha256 for archive in found}) == len({archive.name for archive in found}) == len(found) == 10
