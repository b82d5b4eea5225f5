"""Items of data sets that read no files of their own."""

from pathlib import Path

import torch

from ganrun.data.reader import InMemory
from ganrun.inspection.items import item_contents, item_picture
from ganrun.words.spaces import Space


def test_each_image_of_an_item_has_a_name_and_labels_are_counted():
    images = torch.arange(3 * 4 * 4, dtype=torch.uint8).reshape(3, 1, 4, 4)
    spaces = {"a": Space("image", (1, 4, 4)), "b": Space("image", (1, 4, 4)), "label": Space("labels", (), 2)}
    data = InMemory({"a": images, "b": images.flip(0), "label": torch.tensor([1, 0, 1])}, spaces, ["no", "yes"])
    found, counts = item_contents(data, "train")
    assert list(map(str, found)) == [f"train/{entry}/{n}" for entry in "ab" for n in range(3)]
    assert found[Path("train/a/0")].digest == found[Path("train/b/2")].digest
    assert counts == {"label": {"no": 1, "yes": 2}}
    assert item_picture(data, Path("train/b/0")).getpixel((3, 3)) == 47


def test_floats_are_shown_from_black_at_minus_one_to_white_at_one():
    image = torch.tensor([[[[-1.0, 0.0], [0.5, 1.0]]]])
    data = InMemory({"x": image}, {"x": Space("image", (1, 2, 2))})
    assert list(item_picture(data, Path("test/0")).tobytes()) == [0, 128, 191, 255]
    ((_, found),) = item_contents(data, "test")[0].items()
    assert (found.facts.low, found.facts.high, found.facts.dtype) == (-1, 1, "float32")
