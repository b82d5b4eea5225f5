"""The page of an inspection."""

import re

import numpy as np
import pytest
from PIL import Image

from ganrun.catalog.catalog import Catalog
from ganrun.inspection.inspect import Inspection, inspect_folder
from ganrun.inspection.page import inspection_page


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty folder of downloads, where facts are kept."""
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path / "cache"))


def test_a_page_shows_pictures_lines_and_remarks_and_asks_for_nothing_else(tmp_path):
    root = tmp_path / "p"
    root.mkdir()
    for number in range(4):
        values = np.random.default_rng(number % 3).integers(0, 256, (90, 100, 3), dtype=np.uint8)
        Image.fromarray(values).save(root / f"{number}<b>.png")
    (root / "bad.png").write_bytes(b"<html>")
    text = inspection_page(inspect_folder(root, Catalog()), "made now")
    assert text.count('src="data:image/') == 4 + 2  # the sheet, and a picture beside its copy
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "&lt;b&gt;.png" in text
    assert "<b>.png" not in text
    assert "not an image: this is a web page" in text
    assert "image-folder:" in text
    assert "Files with the same bytes" in text


def test_a_page_of_nothing_is_a_page():
    text = inspection_page(Inspection("x", "a folder"), "made now")
    assert "Nothing that would be in the way" in text
    assert "<h2>Pictures" not in text
