"""Pictures that are there twice."""

import numpy as np
from PIL import Image

from ganrun.data.file_contents import SIDE, contents
from ganrun.inspection.likeness import alike, hashes, same_bytes


def blots(seed, size=(96, 80)):
    """Coloured blots: two seeds have little in common."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def test_same_digests_are_grouped_in_the_order_of_their_first_names():
    digests = {"a": "1", "b": "2", "c": "1", "d": "", "e": "", "f": "2", "g": "3"}
    assert same_bytes(digests) == [["a", "c"], ["b", "f"]]


def test_copies_in_another_size_brightness_and_format_are_found_and_no_others(tmp_path):
    for seed in range(40):
        blots(seed).save(tmp_path / f"{seed:02}.png")
    blots(3).resize((50, 41)).save(tmp_path / "03_small.png")
    blots(5).point(lambda value: int(value * 0.8)).save(tmp_path / "05_dark.png")
    blots(7).save(tmp_path / "07_poor.jpg", quality=30)
    blots(9).save(tmp_path / "09.webp", quality=40)
    blots(9).save(tmp_path / "09.bmp")
    paths = sorted(tmp_path.iterdir())
    found = alike([path.name for path in paths], [contents(path).grey for path in paths])
    assert sorted(map(sorted, found)) == [
        ["03.png", "03_small.png"],
        ["05.png", "05_dark.png"],
        ["07.png", "07_poor.jpg"],
        ["09.bmp", "09.png", "09.webp"],
    ]


def test_pictures_without_a_look_or_nearly_of_one_grey_are_like_no_other():
    flat = bytes([100, 101] * (SIDE * SIDE // 2))
    assert alike(["a", "b", "c", "d"], [b"", b"", flat, flat]) == []
    assert alike(["a"], [flat]) == []


def test_a_hash_does_not_know_brightness_or_contrast():
    values = np.random.default_rng(0).integers(40, 120, (1, SIDE * SIDE)).astype(np.uint8)
    lighter, stronger = values + 50, values * 2
    assert hashes(np.concatenate([values, lighter, stronger])).tolist() == [hashes(values)[0]] * 3


def test_of_many_copies_all_are_in_one_group():
    """More than share a place in the order of the hashes."""
    one = np.random.default_rng(1).integers(0, 256, SIDE * SIDE).astype(np.uint8).tobytes()
    other = np.random.default_rng(2).integers(0, 256, SIDE * SIDE).astype(np.uint8).tobytes()
    assert list(map(len, alike(list(range(301)), [one] * 300 + [other]))) == [300]
