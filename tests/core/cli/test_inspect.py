"""``ganrun inspect``: what is printed, and where the page goes."""

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Three pictures and a broken one, below the working directory."""
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for seed in range(3):
        values = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(values).save(tmp_path / f"photos/{seed}.png")
    (tmp_path / "photos/bad.png").write_bytes(b"")
    return tmp_path


def test_a_folder_is_printed_with_lines_for_a_recipe_and_the_page(ganrun, photos):
    code, out, _ = ganrun("inspect", "photos")
    assert code == 0
    assert out.startswith("photos: a folder, 4 pictures\n")
    assert "problem: 1 file cannot be read; repair or remove them\n    bad.png: it is empty (0 bytes)\n" in out
    assert "\ndataset:\n  image-folder:\n" in out
    assert out.endswith("page: inspections/photos.html\n")
    assert (photos / "inspections/photos.html").read_text().startswith("<!DOCTYPE html>")
    assert "4 pictures, 4 of them known from an earlier look" in ganrun("inspect", "photos").out
    assert "known" not in ganrun("inspect", "photos", "--again").out


def test_json_is_all_that_is_printed_and_a_page_is_written_on_request(ganrun, photos):
    found = json.loads(ganrun("inspect", "photos", "--json").out)
    assert found["unreadable"] == [["bad.png", "it is empty (0 bytes)"]]
    assert not (photos / "inspections").exists()
    json.loads(ganrun("inspect", "photos", "--json", "-o", "deep/page.html").out)
    assert (photos / "deep/page.html").exists()


def test_an_array_file_is_read_as_such(ganrun, photos):
    np.save(photos / "a.npy", np.random.default_rng(0).random((20, 8, 8)).astype(np.float32))
    code, out, _ = ganrun("inspect", "a.npy")
    assert code == 0
    assert "array: float32 20 x 8 x 8, " in out
    assert "\ndataset:\n  array:\n" in out
    assert ganrun("inspect", "a.npy", "--again").code == 2


def test_what_is_none_of_these_is_refused_with_what_there_could_be(ganrun, photos):
    code, _, err = ganrun("inspect", "photos/0.png")
    assert code == 2
    assert err == "photos/0.png: give the folder that it is in, a recipe, or an .npy or .npz file\n"
    (photos / "taken").write_text("a file")
    assert "the page cannot be written" in ganrun("inspect", "photos", "-o", "taken/page.html").err
