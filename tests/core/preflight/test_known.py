"""``--check`` and the files of a data set."""

import numpy as np
import pytest
from PIL import Image

from ganrun.catalog.catalog import Catalog
from ganrun.cli import check_tables
from ganrun.data import known_files
from ganrun.data.known_files import read_files
from ganrun.errors import UserError
from ganrun.preflight import check
from ganrun.recipe import load_recipe


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A recipe on 20 pictures, of which 18 are for training; nothing is known of them."""
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path / "cache"))
    root = tmp_path / "photos"
    root.mkdir()
    for seed in range(20):
        values = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(values).save(root / f"{seed:02}.png")
    network = {"mlp": {"widths": [8], "norm": "none"}}
    return load_recipe(
        {
            "variant": {"gan": {"latent": 4}},
            "dataset": {"image-folder": {"root": str(root), "size": 8}},
            "generator": network,
            "discriminator": network,
            "train": {"steps": 2, "batch_size": 2, "device": "cpu"},
        },
        catalog=Catalog(),
    )


def row(recipe):
    return dict(check_tables.check(recipe))["data, files"]


def test_a_sample_is_read_where_nothing_is_known_and_is_said_to_be_one(photos, monkeypatch):
    monkeypatch.setattr(check, "FILES_READ", 6)
    assert row(photos) == "6 of 18 were looked at, and can be read; `ganrun inspect` looks at all"


def test_what_is_known_is_used(photos, tmp_path, monkeypatch):
    read_files(sorted((tmp_path / "photos").iterdir()))
    monkeypatch.setattr(known_files, "contents", None)  # it would fail if it were called
    assert row(photos) == "all 18 can be read"


def test_files_that_are_known_to_be_unreadable_are_refused_all_at_once(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(check, "FILES_READ", 0)
    for name in ("03.png", "11.png"):
        (tmp_path / "photos" / name).write_bytes(b"")
    read_files(sorted((tmp_path / "photos").iterdir()))
    with pytest.raises(UserError) as refused:
        check_tables.check(photos)
    assert "2 of 18 images cannot be read" in str(refused.value)
    assert "03.png: it is empty (0 bytes)" in str(refused.value)
    assert "11.png: it is empty (0 bytes)" in str(refused.value)


def test_data_without_files_have_no_such_line(tiny):
    assert "data, files" not in dict(check_tables.check(load_recipe(tiny(), catalog=Catalog())))
