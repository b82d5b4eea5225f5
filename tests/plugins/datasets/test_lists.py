"""Lists of attributes, and of splits, in the forms in which people have them."""

import warnings

import pytest

from ganrun.errors import DataError
from ganrun_plugins.datasets._lists import in_partition, located, read_list

ROWS = [("a.jpg", "1", "-1"), ("b.jpg", "-1", "-1"), ("c.jpg", "-1", "1")]
EXPECTED = (["Smiling", "Male"], ["a.jpg", "b.jpg", "c.jpg"], [[1, 0], [0, 0], [0, 1]])


def written(path, between=" ", *, head=("Smiling", "Male"), rows=ROWS, count="3", end="\n", quote=""):
    """A list file as the options say."""
    lines = [between.join(f"{quote}{word}{quote}" for word in row) for row in (head, *rows)]
    path.write_bytes((end.join(([count] if count else []) + lines) + end).encode())
    return path


def zeros(rows):
    return [(name, *("0" if value == "-1" else value for value in values)) for name, *values in rows]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"count": ""},
        {"between": ","},
        {"between": ", "},
        {"between": ";", "count": ""},
        {"between": "\t"},
        {"between": "   "},
        {"end": "\r\n"},
        {"between": ",", "quote": '"', "end": "\r\n"},
        {"quote": '"'},
        {"rows": zeros(ROWS)},
        {"head": ("image_id", "Smiling", "Male")},
        {"between": ",", "head": ("", "Smiling", "Male"), "count": ""},
        {"between": ",", "head": ("File Name", "Smiling", "Male"), "count": "", "quote": '"'},
        {"between": ",", "rows": [(name, *(str(value == "1") for value in values)) for name, *values in ROWS]},
    ],
)
def test_every_form_of_a_list_says_the_same(tmp_path, how):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        known, names, values = read_list(written(tmp_path / "list.txt", **how))
    assert (known, names, values.tolist()) == EXPECTED


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    path = written(tmp_path / "list.csv", ",", count="")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_list(path)[0] == ["Smiling", "Male"]


def test_names_of_images_may_have_blanks_and_folders_of_windows(tmp_path):
    rows = [("my photo.jpg", "1", "-1"), ("sub\\b.jpg", "1", "1")]
    for between in (" ", ",", "\t"):
        _, names, values = read_list(written(tmp_path / "list.txt", between, rows=rows, count="2"))
        assert (names, values.tolist()) == (["my photo.jpg", "sub/b.jpg"], [[1, 0], [1, 1]])


def test_an_unusual_title_of_the_names_is_said_and_an_attribute_that_is_wanted_is_none(tmp_path):
    path = written(tmp_path / "list.txt", head=("Person", "Smiling", "Male"))
    with pytest.warns(UserWarning, match="list.txt:2: 'Person' is taken as the title of the images' names"):
        assert read_list(path)[0] == ["Smiling", "Male"]
    with pytest.raises(DataError, match=r"list.txt:3: expected .* it has 2 values; or is the first of those names the"):
        read_list(path, wanted=["Person"])


def test_zeros_beside_minus_ones_are_said(tmp_path):
    path = written(tmp_path / "list.txt", rows=[("a.jpg", "1", "-1"), ("b.jpg", "0", "1")], count="2")
    with pytest.warns(UserWarning, match="1, 0 and -1; 0 and -1 are both taken as no"):
        assert read_list(path)[2].tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Smiling Male\na.jpg:1:-1\n", r"list.txt:2: .*separated by blanks, commas, semicolons or tabs"),
        ("Smiling,Male\na.jpg,1,\n", r"list.txt:2: .*a value is something else"),
        ("a.jpg 1 -1\nb.jpg 1 1\n", r"list.txt:1: expected the names of the attributes"),
        ("image_id\na.jpg\n", r"list.txt:1: there are names of images, and no attributes"),
    ],
)
def test_what_is_wrong_is_named_with_its_cause(tmp_path, text, why):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(DataError, match=why):
        read_list(tmp_path / "list.txt")


def test_images_are_found_without_a_suffix_and_in_subfolders(tmp_path):
    for name in ("a.jpg", "sub/b.png", "c.jpg", "c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert located(tmp_path, ["a", "sub/b.png", "c.png"], tmp_path / "list.txt") == ["a.jpg", "sub/b.png", "c.png"]
    with pytest.raises(DataError, match="c is not there; list.txt lists it"):
        located(tmp_path, ["a", "c"], tmp_path / "list.txt")


def test_a_partition_is_read_as_numbers_or_words_with_a_title_or_without(tmp_path):
    path = tmp_path / "parts.csv"
    path.write_text("image_id,partition\na.jpg,0\nb.jpg,1\nc.jpg,2\nd.jpg,0\n")
    names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert (in_partition(path, names, "train"), in_partition(path, names, "test")) == ([0, 3], [2])
    path.write_text("a.jpg train\nb.jpg Val\nc.jpg test\nd.jpg maybe\n")
    with pytest.warns(UserWarning, match=r"'maybe' \(1\) are left out"):
        assert in_partition(path, names, "train") == [0]
