"""What -1 and 1 stand for, and how many levels a saved image has."""

import pytest

from ganrun.data.value_range import level_count, level_words, range_of


@pytest.mark.parametrize(
    ("values", "count"),
    [
        (None, 256),
        ((0, 255), 256),
        ((0, 1023), 1024),
        ((0, 4095), 4096),
        ((0, 65535), 65536),
        ((0, 1), None),
        ((-1024, 3071), None),
        ((0, 10000), 10001),
        ((200, 500), 301),
        ((0, 70000), None),
    ],
)
def test_a_range_of_whole_numbers_has_levels_and_others_have_none(values, count):
    assert level_count(values) == count


def test_levels_in_words():
    assert (level_words(None), level_words((0, 4095)), level_words((0, 1))) == ("256 levels", "4,096 levels", "none")


def test_an_entry_without_a_range_is_of_8_bits():
    class Data:
        ranges = {"x": [0, 4095]}

    assert range_of(Data(), "x") == (0.0, 4095.0)
    assert range_of(Data(), "y") is None
    assert range_of(object(), "x") is None
