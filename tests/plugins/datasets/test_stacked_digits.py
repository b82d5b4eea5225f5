"""The data set stacked-digits: which scans make a picture, its label, and its halves."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ganrun.data.reader import read_items
from ganrun.errors import DataError, UserError
from ganrun.randomness import ItemDraws
from ganrun.words.spaces import DataFiles
from ganrun_plugins.datasets._scans import load_scans
from ganrun_plugins.datasets.digits import Digits
from ganrun_plugins.datasets.stacked_digits import StackedDigits, numbers

FILES = DataFiles(Path("."), Path("."))


def items(data, indices):
    return data.batch(torch.tensor(indices), ItemDraws((), np.asarray(0), np.asarray(indices)))


@pytest.mark.parametrize("split", ["train", "test"])
def test_channel_c_of_item_i_is_the_scan_that_the_key_draws(split):
    """Channel c takes scan floor(u n) of the split's n scans; u belongs to the key, the index i and the purpose
    "channel c" alone.
    """
    data = StackedDigits(FILES, split, count=50)
    scans, digit = load_scans(split)
    batch = items(data, [7, 49, 0])
    for row, i in enumerate([7, 49, 0]):
        alone = ItemDraws(("stacked-digits", split), np.asarray(0), np.asarray([i]))
        drawn = [int(alone.uniform(f"channel {c}")[0, 0] * len(scans)) for c in range(3)]
        assert len(set(drawn)) == 3  # of these items, so that exchanged channels would be noticed
        for c in range(3):
            assert torch.equal(batch["x"][row, c], (scans[drawn[c]] * 255).round().to(torch.uint8))
        a, b, c = (int(digit[scan]) for scan in drawn)
        assert int(batch["label"][row]) == 100 * a + 10 * b + c
        assert data.classes[int(batch["label"][row])] == f"{a}{b}{c}"


def test_stacked_digits_are_as_many_as_pacgans_and_of_a_thousand_classes():
    data = StackedDigits(FILES, "train")
    assert len(data) == 128_000
    assert len(data.classes) == data.spaces["label"].classes == 1000
    assert data.spaces["x"].shape == (3, 8, 8)
    assert data.in_memory


def test_all_thousand_classes_come_about_equally_often():
    """The reverse KL to uniform of 128,000 even draws is 999 / 256,000 = 0.0039 in the mean. The scans' own shares, 87
    to 91 of 899 a digit, add three times the KL of one digit's."""
    data = StackedDigits(FILES, "train")
    share = data.tensors["label"].bincount(minlength=1000).double() / len(data)
    assert share.min() > 0
    of_digit = load_scans("train")[1].bincount().double() / 899
    expected = 999 / 256_000 + 3 * float((of_digit * (of_digit * 10).log()).sum())
    found = float((share * (share * 1000).log()).sum())
    # 999 degrees of freedom: relative deviation sqrt(2 / 999) = 0.045
    assert found == pytest.approx(expected, rel=0.15)


def test_the_three_digits_of_a_picture_are_independent():
    """The mutual information of two channels of 128,000 independent draws is 81 / 256,000 nats in the mean, 0.00032."""
    label = StackedDigits(FILES, "train").tensors["label"]
    digits = [label // 100, label // 10 % 10, label % 10]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        joint = (10 * digits[a] + digits[b]).bincount(minlength=100).double().reshape(10, 10) / len(label)
        apart = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
        assert float((joint * (joint / apart).log()).sum()) < 2 * 81 / 256_000
    assert math.isclose(float((digits[0] == digits[1]).double().mean()), 0.1, abs_tol=0.005)  # not the same draw thrice


def test_the_test_split_shows_other_scans():
    pictures = {}
    for split in ("train", "test"):
        x = items(StackedDigits(FILES, split, count=4000), range(4000))["x"]
        pictures[split] = {scan.numpy().tobytes() for scan in x.flatten(0, 1)}
        of_split = {scan.numpy().tobytes() for scan in Digits(FILES, split, size=8).tensors["x"][:, 0]}
        assert pictures[split] == of_split  # 12,000 draws of 899: 899 (898 / 899)^12000 = 0.0014 are missed in the mean
    assert not pictures["train"] & pictures["test"]


def test_a_smaller_count_gives_the_first_pictures_of_a_larger_one():
    few, many = StackedDigits(FILES, "train", count=10), StackedDigits(FILES, "train", count=1000)
    for name in ("x", "label"):
        assert torch.equal(items(few, range(10))[name], items(many, range(10))[name])


def test_pictures_of_another_size_are_the_resized_scans():
    data = StackedDigits(FILES, "test", size=32, count=20)
    whole = Digits(FILES, "test", size=32).tensors["x"][:, 0]
    assert torch.equal(items(data, [3])["x"][0], whole[data.tensors["drawn"][3]])


def test_the_fingerprint_knows_split_count_and_size():
    marks = [
        StackedDigits(FILES, *args, **more).fingerprint()
        for args, more in (
            (("train",), {"count": 9}),
            (("test",), {"count": 9}),
            (("train",), {"count": 10}),
            (("train",), {"count": 9, "size": 16}),
        )
    ]
    assert len(set(marks)) == 4
    assert marks[0] == StackedDigits(FILES, "train", count=9).fingerprint()


def test_items_are_read_as_pictures_in_minus_one_to_one():
    batch = next(iter(read_items(StackedDigits(FILES, "train", count=30))))
    assert batch["x"].shape == (30, 3, 8, 8)
    assert batch["x"].min() == -1
    assert batch["x"].max() == 1


def test_another_split_is_refused():
    with pytest.raises(DataError, match="no split 'valid'"):
        StackedDigits(FILES, "valid")


def test_digits_of_another_data_set_are_stacked_in_the_same_way(make_run):
    """The scans by the way of the data set ``digits``: the same pictures and labels as without it.

    The fingerprint follows the pictures.
    """
    recipe = {"variant": "gan", "generator": "mlp", "discriminator": "mlp", "train": {"device": "cpu"}}
    mine, others = (
        make_run({**recipe, "dataset": {"stacked-digits": {"count": 64, **more}}}).experiment.dataset
        for more in ({}, {"images": {"digits": {"size": 8}}})
    )
    assert torch.equal(items(mine, range(64))["x"], items(others, range(64))["x"])
    assert torch.equal(items(mine, range(64))["label"], items(others, range(64))["label"])
    assert others.classes == mine.classes
    assert others.fingerprint() == mine.fingerprint()


def test_with_k_classes_there_are_k_cubed_and_labels_count_in_their_order(make_run):
    recipe = {"variant": "gan", "generator": "mlp", "discriminator": "mlp", "train": {"device": "cpu"}}
    images = {"digits": {"size": 8, "classes": [7, 2]}}
    data = make_run({**recipe, "dataset": {"stacked-digits": {"count": 64, "images": images}}}).experiment.dataset
    assert data.classes == ["777", "772", "727", "722", "277", "272", "227", "222"]
    assert data.spaces["label"].classes == 8
    inner = Digits(FILES, "train", size=8, classes=[7, 2]).tensors["label"][data.tensors["drawn"]]  # (64, 3)
    assert torch.equal(data.tensors["label"], 4 * inner[:, 0] + 2 * inner[:, 1] + inner[:, 2])
    assert data.fingerprint() != StackedDigits(FILES, "train", count=64).fingerprint()


def test_names_of_several_characters_are_kept_apart():
    assert numbers(["1", "11"]) == ["1-1-1", "1-1-11", "1-11-1", "1-11-11", "11-1-1", "11-1-11", "11-11-1", "11-11-11"]
    with pytest.raises(DataError, match="128 classes make 2,097,152 of three"):
        numbers([str(number) for number in range(128)])


def test_labels_that_belong_to_another_entry_are_not_taken(make_run):
    """In ``semi-supervised`` the entry ``label`` is that of ``labelled``; the digits' own are asked for."""
    recipe = {"variant": "gan", "generator": "mlp", "discriminator": "mlp", "train": {"device": "cpu"}}
    images = {"semi-supervised": {"dataset": {"digits": {"size": 8}}, "labels": 20}}
    data = make_run({**recipe, "dataset": {"stacked-digits": {"count": 64, "images": images}}}).experiment.dataset
    assert torch.equal(data.tensors["label"], StackedDigits(FILES, "train", count=64).tensors["label"])


@pytest.mark.parametrize(
    "images", ["ring", "stacked-digits", {"styled-digits": {"attributes": True, "styles": ["bold"]}}]
)
def test_what_has_no_grey_pictures_with_one_label_is_refused(make_run, images):
    recipe = {
        "variant": "gan",
        "generator": "mlp",
        "discriminator": "mlp",
        "dataset": {"stacked-digits": {"images": images}},
    }
    with pytest.raises(UserError, match="grey images `x` with one `label` each are wanted, such as those of mnist"):
        make_run(recipe)
