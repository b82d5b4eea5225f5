"""Counts of pictures, and what is unusual in them."""

from pathlib import Path

import pytest

from ganrun.data.file_facts import FileFacts
from ganrun.inspection.remarks import peculiarities, ranges, tables


def facts(**changes):
    return FileFacts(
        **{"format": "PNG", "mode": "RGB", "channels": 3, "size": (64, 48), "low": 0.0, "high": 255.0} | changes
    )


def test_tables_count_by_value():
    every = [facts(), facts(format="JPEG"), facts(size=(48, 64)), facts(mode="L", channels=1, size=(20, 20))]
    found = tables(every)
    assert found["formats"] == [("PNG", 3), ("JPEG", 1)]
    assert found["modes"] == [("RGB", 3), ("grey", 1)]
    assert found["sizes"] == [("64 x 48", 2), ("48 x 64", 1), ("20 x 20", 1)]
    assert found["short sides"] == [("16 to 31", 1), ("32 to 63", 3)]
    assert found["aspects"] == [("2:3 to nearly square", 1), ("square", 1), ("nearly square to 3:2", 2)]
    assert found["bits of a value"] == [("8", 4)]


def test_a_turned_picture_counts_with_the_size_it_is_shown_in():
    assert tables([facts(orientation=6)])["sizes"] == [("48 x 64", 1)]


def test_beyond_twelve_sizes_the_others_are_counted():
    rows = tables([facts(size=(n, n)) for n in range(1, 16)])["sizes"]
    assert (len(rows), rows[-1]) == (13, ("3 others", 3))


def test_ranges_are_those_of_all_files_of_a_type():
    every = [facts(dtype="uint16", low=5.0, high=900.0), facts(dtype="uint16", low=7.0, high=4095.0), facts()]
    assert ranges(every) == [("uint16", "5 to 4095", 2), ("uint8", "0 to 255", 1)]


@pytest.mark.parametrize(
    ("changes", "name", "title"),
    [
        ({"dtype": "uint16", "low": 3.0, "high": 4095.0}, "a.png", "1 picture of more than 8 bits"),
        ({"frames": 7}, "a.png", "1 picture with several frames"),
        ({"low": 9.0, "high": 9.0}, "a.png", "1 picture of one value throughout"),
        ({"size": (400, 15)}, "a.png", "1 picture with a side of less than 16 pixels"),
        ({"size": (400, 100)}, "a.png", "1 picture more than 3 times as long on one side as on the other"),
        ({"size": (5000, 4000)}, "a.png", "1 picture of 20 million pixels or more"),
        ({}, "a.jpg", "1 picture whose suffix says another format"),
        ({"orientation": 3}, "a.png", "1 picture shown turned or mirrored, as EXIF says"),
        ({"transparent": True}, "a.png", "1 picture with transparency"),
        ({"mode": "CMYK"}, "a.png", "1 picture in colours of print or film"),
        ({"channels": 13}, "a.png", "1 picture with more than four bands"),
    ],
)
def test_what_is_unusual_is_said_with_the_file(changes, name, title):
    found = peculiarities({Path(name): facts(**changes), Path("b.png"): facts()}, str)
    assert title in [one.title for one in found]
    assert [path for path, _ in next(one for one in found if one.title == title).files] == [name]


def test_usual_pictures_have_no_remarks_and_mixed_colours_are_counted():
    assert peculiarities({Path("a.png"): facts(size=(100, 300))}, str) == []
    mixed = {Path("a.png"): facts(), Path("b.png"): facts(mode="L", channels=1)}
    assert [one.title for one in peculiarities(mixed, str)] == ["1 of 2 pictures are grey, the others have colours"]
