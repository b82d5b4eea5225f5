"""``ganrun list-recipes``: what each recipe is and needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ganrun.catalog.catalog import Catalog
from ganrun.cli.list_recipes import data_of, describe


def test_list_recipes_tells_variant_data_set_and_first_comment(ganrun) -> None:
    done = ganrun("list-recipes")
    assert (done.code, done.err) == (0, "")
    (line,) = [line for line in done.out.splitlines() if line.startswith("dcgan_digits ")]
    assert line.split()[1:3] == ["dcgan", "digits"]
    assert "handwritten digits" in line
    assert " offline " in line
    assert " CPU minutes" in line
    records = {record["name"]: record for record in json.loads(ganrun("list-recipes", "--json").out)}
    assert records["lsgan_ring"]["dataset"] == "ring", "the data set stands in the base that the recipe extends"
    assert all(record["variant"] and record["summary"] and record["time"] for record in records.values())
    assert records["cyclegan_horse2zebra"]["data"] == "download"
    assert records["gan_ring"]["data"] == "offline"


def test_a_recipe_on_files_of_ones_own_says_so_and_a_wrapped_data_set_counts(tmp_path: Path) -> None:
    catalog = Catalog()
    (tmp_path / "own.yaml").write_text("# Own.\nvariant: cyclegan\ndataset: {unpaired-folders: {root: here}}\n")
    assert data_of(tmp_path / "own.yaml", "unpaired-folders", catalog) == "your files"
    (tmp_path / "wrapped.yaml").write_text("# Wrapped.\nvariant: gan\ndataset: {ring: {of: {mnist: {}}}}\n")
    assert data_of(tmp_path / "wrapped.yaml", "ring", catalog) == "download"
    (tmp_path / "above.yaml").write_text("# Above.\nextends: wrapped.yaml\nvariant: lsgan\n")
    assert data_of(tmp_path / "above.yaml", "ring", catalog) == "download", (
        "the base's data set wraps one that is downloaded"
    )
    (tmp_path / "scenes.yaml").write_text("# Scenes.\nvariant: dcgan\ndataset: {lsun: {root: here}}\n")
    assert data_of(tmp_path / "scenes.yaml", "lsun", catalog) == "your files", (
        "nobody downloads it: it has to be told where they lie"
    )


def test_a_recipe_is_described_from_its_base_where_it_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("# Base.\nvariant: {gan: {latent: 4}}\ndataset: ring\n")
    (tmp_path / "top.yaml").write_text("#\n# Top.\nextends: base.yaml\ndataset: {grid: {}}\n")
    assert describe(tmp_path / "top.yaml") == {"summary": "Top.", "time": "", "variant": "gan", "dataset": "grid"}
    (tmp_path / "top.yaml").write_text("- a list\n")
    with pytest.raises(ValueError, match="no mapping"):
        describe(tmp_path / "top.yaml")
