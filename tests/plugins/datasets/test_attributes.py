"""Data sets of attributes: pictures listed with yes-no answers, celeba through torchvision, and several sets as one."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.catalog.catalog import Catalog
from ganrun.data.reader import Reader, read_items
from ganrun.data.splits import datasets_of_part
from ganrun.errors import DataError, UserError
from ganrun.randomness import ItemDraws
from ganrun.recipe import load_recipe
from ganrun_plugins.datasets._centre import CentreFit
from ganrun_plugins.datasets.attributes import Attributes
from ganrun_plugins.datasets.celeba import CelebA
from ganrun_plugins.datasets.multi import Multi
from ganrun_plugins.datasets.styled_digits import StyledDigits


def everything(data):
    batches = list(read_items(data))
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def opened(part, folder):
    """The train split of a data set written as in a recipe."""
    recipe = load_recipe(
        {"variant": "gan", "dataset": part, "generator": "mlp", "discriminator": "mlp", "train": {"device": "cpu"}},
        catalog=Catalog(),
    )
    return datasets_of_part(recipe.dataset, folder)("train"), recipe


# --- attributes -------------------------------------------------------------------------------------------------


NAMES = ["Smiling", "Young", "Male"]


def faces(folder, count=12, size=(20, 30)):
    """Grey pictures of one value each (number * 10), and what is known of them: bit k of the number is attribute k."""
    folder.mkdir(parents=True)
    rows = []
    for number in range(count):
        Image.new("RGB", size, (number * 10,) * 3).save(folder / f"{number:06}.png")
        rows.append(f"{number:06}.png  " + "  ".join("1" if number >> bit & 1 else "-1" for bit in range(3)))
    return rows


@pytest.fixture
def listed(tmp_path):
    rows = faces(tmp_path / "faces")
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(["12", " ".join(NAMES), *rows]) + "\n")
    return tmp_path


def number_of(x):
    return (x[:, 0, 0, 0].round() / 10).round().long()


def test_attributes_are_read_by_name_in_the_order_asked_for(listed, files):
    data = Attributes(
        files, "train", root="faces", attributes=["Male", "Smiling"], held_out=3, size=8, crop=16, flip=False
    )
    batch = data.batch(torch.arange(9), ItemDraws((), np.asarray(0), np.arange(9)))
    number = number_of(batch["x"].float())
    assert len(data) == 9
    assert torch.equal(batch["attributes"], torch.stack([number >> 2 & 1, number & 1], 1))
    assert data.label_names == {"attributes": ["Male", "Smiling"]}


def test_held_out_pictures_are_chosen_by_a_key_and_are_in_no_other_split(listed, files):
    splits = [
        Attributes(files, split, root="faces", attributes=NAMES, held_out=5, size=8) for split in ("train", "test")
    ]
    names = [[path.name for path in data.pictures.paths] for data in splits]
    assert (len(names[0]), len(names[1])) == (7, 5)
    assert sorted(names[0] + names[1]) == [f"{number:06}.png" for number in range(12)]
    assert names[1] != [f"{number:06}.png" for number in range(5)], "not the first ones"


def test_a_partition_file_says_which_split_a_picture_is_of(listed, files):
    parts = [0, 0, 2, 1, 0, 2, 0, 0, 0, 0, 1, 2]
    (listed / "parts.txt").write_text("".join(f"{number:06}.png {part}\n" for number, part in enumerate(parts)))
    train, test = (
        Attributes(files, split, root="faces", attributes=NAMES, partition="parts.txt", size=8)
        for split in ("train", "test")
    )
    assert [int(path.stem) for path in test.pictures.paths] == [2, 5, 11]
    assert [int(path.stem) for path in train.pictures.paths] == [0, 1, 4, 6, 7, 8, 9]


def test_the_square_is_cut_from_the_middle_before_it_is_scaled():
    """CelebA's 178 x 218 pixels: 20 rows are cut off above and below, then 178 become 89, two by two."""
    rows = np.repeat(np.arange(218, dtype=np.uint8)[:, None], 178, 1)
    found = CentreFit(1, 89, 89, crop=178).scaled_picture(Image.fromarray(rows))
    assert found.shape == (1, 89, 89)
    assert found[0, 40:50, 0].tolist() == pytest.approx([20 + 2 * row + 0.5 for row in range(40, 50)], abs=0.51)
    assert CentreFit(1, 8, 8).scaled_picture(Image.fromarray(rows)).shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("text", "parameters", "why"),
    [
        (
            "12\nSmiling Young Male\n000000.png 1 1\n",
            {},
            r"list_attr_celeba.txt:3: expected a name, and 1 or -1 for each of the 3",
        ),
        ("9\nSmiling Young Male\n000000.png 1 1 1\n", {}, "it lists 1 images, and its first line says 9"),
        ("", {}, "is empty"),
        ("12\n", {}, "ends before the names of the attributes"),
        ("²\n000000.png 1\n", {}, "there are ²$"),
        ("2\nSmiling Young Male\n000000.png 1 1 1\n000000.png 1 1 1\n", {}, "000000.png is listed twice"),
        (None, {"attributes": ["Smilling"]}, "did you mean 'Smiling'"),
        (None, {"attributes": ["Male", "Male"]}, "named twice"),
        (None, {"held_out": 12}, "leave none to train on"),
        (None, {"root": "nowhere"}, "no such folder"),
        (None, {"listed": "nowhere.txt"}, "there is no such file"),
    ],
)
def test_what_is_wrong_with_a_list_is_reported(listed, files, text, parameters, why):
    if text is not None:
        (listed / "list_attr_celeba.txt").write_text(text)
    with pytest.raises(DataError, match=why):
        Attributes(files, "train", **{"root": "faces", "attributes": NAMES, "held_out": 3, "size": 8, **parameters})


def test_listed_pictures_that_are_not_there_are_named_and_counted(listed, files):
    def opened():
        Attributes(files, "train", root="faces", attributes=NAMES, held_out=1, size=8, crop=8)

    (listed / "faces" / "000004.png").unlink()
    with pytest.raises(DataError, match=r"000004.png is not there; list_attr_celeba.txt lists it: remove its line"):
        opened()
    (listed / "faces" / "000007.png").unlink()
    (listed / "faces" / "000008.png").unlink()
    with pytest.raises(DataError, match=r"000004.png is not there, nor are [12] more images; .* lists them"):
        opened()


# --- celeba -----------------------------------------------------------------------------------------------------


@pytest.fixture
def celeba(tmp_path, monkeypatch):
    """A folder laid out as torchvision expects it, with pictures of its own; the published MD5 sums are not theirs."""
    from torchvision import datasets

    base = tmp_path / "data" / "celeba"
    rows = [row.replace(".png", ".jpg") for row in faces(base / "img_align_celeba", size=(178, 218))]
    for path in (base / "img_align_celeba").iterdir():
        path.rename(path.with_suffix(".jpg"))
    names = [row.split()[0] for row in rows]
    (base / "list_attr_celeba.txt").write_text("\n".join(["12", " ".join(NAMES) + " ", *rows]) + "\n")
    (base / "list_eval_partition.txt").write_text(
        "".join(f"{name} {min(number // 4, 2)}\n" for number, name in enumerate(names))
    )
    (base / "identity_CelebA.txt").write_text("".join(f"{name} 1\n" for name in names))
    for kind, count in (("bbox_celeba", 4), ("landmarks_align_celeba", 10)):
        (base / f"list_{kind}.txt").write_text(
            "\n".join(["12", "a " * count, *(" ".join([name] + ["1"] * count) for name in names)]) + "\n"
        )
    monkeypatch.setattr(
        datasets.celeba,
        "check_integrity",
        lambda path, md5=None: base.exists() and (base / path.rpartition("/")[2]).exists(),
    )
    return base


def test_celeba_is_read_through_torchvision_with_its_own_splits(celeba, files):
    train, test = (
        CelebA(files, split, root="data", attributes=["Male", "Young"], size=8, flip=False)
        for split in ("train", "test")
    )
    assert [int(path.stem) for path in train.pictures.paths] == [0, 1, 2, 3]
    assert [int(path.stem) for path in test.pictures.paths] == [8, 9, 10, 11]
    batch = test.batch(torch.arange(4), ItemDraws((), np.asarray(0), np.arange(4)))
    assert batch["x"].shape == (4, 3, 8, 8)
    assert torch.equal(
        batch["attributes"], torch.stack([torch.arange(8, 12) >> 2 & 1, torch.arange(8, 12) >> 1 & 1], 1)
    )
    held = [CelebA(files, split, root="data", attributes=["Male"], size=8, held_out=2) for split in ("train", "test")]
    assert [len(data) for data in held] == [10, 2]


def test_celeba_says_what_is_missing_and_how_to_get_it(files, monkeypatch):
    with pytest.raises(
        DataError, match=r"has to hold img_align_celeba and the five published lists.*use the data set `attributes`"
    ):
        CelebA(files, "train", root="nowhere")

    def fails(*args, **kwargs):
        raise RuntimeError("To download files from GDrive, 'gdown' is required.")

    monkeypatch.setattr("torchvision.datasets.celeba.download_file_from_google_drive", fails)
    why = r"could not be downloaded \(To download files from GDrive, 'gdown' is required.\). Get img_align_celeba.zip"
    with pytest.raises(DataError, match=why):
        CelebA(files, "train")


def test_celeba_announces_itself_before_a_download():
    said = CelebA.describe(
        "train", root=None, attributes=["Male", "Young"], held_out=None, size=128, crop=178, flip=True
    )
    assert (len(said), said.spaces["attributes"].shape) == (162_770, (2,))
    assert len(CelebA.describe("train", root=None, attributes=["Male"], held_out=1999, size=128)) == 200_600
    with pytest.raises(DataError, match="300000 of 202599 images held out for tests leave none to train on"):
        CelebA.describe("train", root=None, attributes=["Male"], held_out=300_000, size=128)


# --- multi ------------------------------------------------------------------------------------------------------


TWO = {
    "shapes": {"styled-digits": {"size": 8, "styles": ["bold", "slanted"], "attributes": True, "scans": "even"}},
    "tones": {"styled-digits": {"size": 8, "styles": ["plain", "inverted"], "scans": "odd", "digits": [0, 1]}},
}


def test_every_item_of_every_set_comes_once_with_its_own_labels_and_zeros_for_the_others(files):
    data, recipe = opened({"multi": {"sets": TWO}}, files.base)
    shapes, tones = (part.make(files, "train") for part in recipe.dataset.parameters["sets"].values())
    found = everything(data)
    assert list(found) == ["x", "source", "attributes_shapes", "label_tones"]
    n = len(shapes)
    assert torch.equal(found["source"], torch.tensor([0] * n + [1] * len(tones)))
    assert torch.equal(
        found["attributes_shapes"],
        torch.cat([shapes.tensors["attributes"], torch.zeros(len(tones), 2, dtype=torch.int64)]),
    )
    assert torch.equal(found["label_tones"], torch.cat([torch.zeros(n, dtype=torch.int64), tones.tensors["label"]]))
    assert torch.equal(found["x"], torch.cat([everything(shapes)["x"], everything(tones)["x"]]))
    assert data.known_rows == {"attributes_shapes": range(n), "label_tones": range(n, n + len(tones))}
    assert data.label_names == {"attributes_shapes": ["bold", "slanted"], "label_tones": ["plain", "inverted"]}


def test_the_first_items_of_the_test_split_are_of_all_sets_in_their_proportions(files):
    _, recipe = opened({"multi": {"sets": TWO}}, files.base)
    sets = datasets_of_part(recipe.dataset, files.base)
    shapes, tones = (part.make(files, "test") for part in recipe.dataset.parameters["sets"].values())
    found, share = everything(sets("test")), len(tones) / (len(shapes) + len(tones))
    for first in (10, 100, 300):
        assert abs(int(found["source"][:first].sum()) - first * share) <= 1
    for number, (part, entry, own) in enumerate(
        ((shapes, "attributes_shapes", "attributes"), (tones, "label_tones", "label"))
    ):
        mine = found["source"] == number  # each item once, in its set's order, with its own labels
        assert torch.equal(found["x"][mine], everything(part)["x"])
        assert torch.equal(found[entry][mine], part.tensors[own])


class Ready:
    """A part whose data set is there."""

    def __init__(self, data):
        self.data = data

    def make(self, files, split):
        return self.data


def test_the_classes_of_a_set_are_no_names_of_its_columns(files):
    """no and yes are what two attributes may be, not what they are called."""
    shapes, tones = (StyledDigits(files, "train", **parts["styled-digits"]) for parts in TWO.values())
    del shapes.label_names, tones.label_names
    assert shapes.classes == ["no", "yes"]
    assert Multi(files, "train", sets={"shapes": Ready(shapes), "tones": Ready(tones)}).label_names == {
        "label_tones": ["plain", "inverted"]
    }


def test_a_batch_mixes_the_sets_in_its_own_order(files):
    data, _ = opened({"multi": {"sets": TWO}}, files.base)
    whole = everything(data)
    rows = torch.tensor([len(data) - 1, 0, 460, 3])
    batch = data.batch(rows, ItemDraws((), np.asarray(0), rows.numpy()))
    assert torch.equal(batch["source"], torch.tensor([1, 0, 1, 0]))
    for name in ("attributes_shapes", "label_tones"):
        assert torch.equal(batch[name], whole[name][rows])


def test_balanced_sets_come_round_as_often_as_the_largest(files):
    data, recipe = opened({"multi": {"sets": TWO, "balanced": True}}, files.base)
    largest = len(recipe.dataset.parameters["sets"]["shapes"].make(files, "train"))
    batch = Reader(data, ("order",), batch_rows=2 * largest).get(2 * largest)
    assert batch["source"].bincount().tolist() == [largest, largest]
    held = datasets_of_part(recipe.dataset, files.base)("test")
    assert int((everything(held)["source"] == 1).sum()) < largest


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (
            {"styled-digits": {"size": 16}},
            "the sets' x differ: shapes has image of shape .1, 8, 8., tones has image of shape .1, 16, 16.",
        ),
        ({"restyled-digits": {"size": 8}}, "the set tones has to have x and one entry of labels; it has a, b"),
    ],
)
def test_sets_that_do_not_go_together_are_refused(files, other, why):
    with pytest.raises(DataError, match=why):
        opened({"multi": {"sets": {**TWO, "tones": other}}}, files.base)


def test_a_mistake_in_a_nested_set_is_reported_at_its_place(files):
    with pytest.raises(UserError, match=r"dataset\.multi\.sets\.tones\.styled-digits\.siz"):
        opened({"multi": {"sets": {**TWO, "tones": {"styled-digits": {"siz": 8}}}}}, files.base)
    with pytest.raises(UserError, match="at least 2 items"):
        opened({"multi": {"sets": {"shapes": TWO["shapes"]}}}, files.base)


def test_sets_announce_themselves_together_or_not_at_all():
    def described(sets):
        part = load_recipe(
            {"variant": "gan", "dataset": {"multi": {"sets": sets}}, "generator": "mlp", "discriminator": "mlp"},
            catalog=Catalog(),
        ).dataset
        return part.component.factory.describe("train", **part.parameters)

    said = described({"faces": {"celeba": {"size": 32}}, "things": {"cifar10": {"size": 32}}})
    assert (len(said), list(said.spaces)) == (162_770 + 50_000, ["x", "source", "attributes_faces", "label_things"])
    assert described({"faces": {"celeba": {"size": 8}}, "tones": TWO["tones"]}) is None
