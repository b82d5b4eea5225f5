"""The catalogue: plugin files that are not installed."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from textwrap import dedent

import pytest
from plugin_sources import GOOD, Install, entry_of

from ganrun.catalog.catalog import Catalog, PluginError
from ganrun.catalog.plugin_files import run_file
from ganrun.errors import BrokenPlugin
from ganrun.preflight.plugin_check import check_plugins


def test_a_file_brings_its_components_and_its_hash(tmp_path: Path) -> None:
    file = tmp_path / "my_loss.py"
    file.write_text(GOOD.format(name="mine"))
    catalog = Catalog(modules=[file])
    assert catalog.load("loss", "mine").factory.__name__ == "Nothing"
    assert "mine" in catalog.names("loss")
    assert catalog.provenance("loss", "mine") == {
        "file": str(file),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    entry = entry_of(catalog, "loss.mine")
    assert (entry.distribution, entry.file, entry.summary) == ("", file, "A loss that does nothing.")
    assert catalog.requirements("loss", "mine") == []
    assert "mine" not in Catalog().names("loss")


def test_a_changed_file_is_run_again_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "my_loss.py"
    file.write_text(GOOD.format(name="mine"))
    first = Catalog(modules=[file]).load("loss", "mine").factory
    assert Catalog(modules=[str(file)]).load("loss", "mine").factory is first
    file.write_text(GOOD.format(name="mine") + "\n# changed\n")
    assert Catalog(modules=[file]).load("loss", "mine").factory is not first


def test_a_module_object_brings_its_components(install: Install) -> None:
    folder = install("unlisted", {}, {"unlisted_m.py": GOOD.format(name="unlisted")})
    catalog = Catalog(modules=[importlib.import_module("unlisted_m")])
    assert catalog.load("loss", "unlisted").name == "unlisted"
    assert catalog.provenance("loss", "unlisted")["file"] == str(folder / "unlisted_m.py")


def test_a_dataclass_in_a_file_sees_its_own_module(tmp_path: Path) -> None:
    file = tmp_path / "typed.py"
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass D:\n    x: int = 1\n"
    )
    file.write_text(text + GOOD.format(name="typed").partition('"""\nfrom')[2].join(["from", ""]))
    assert Catalog(modules=[file]).load("loss", "typed")


BAD_FILES = {
    "syntax error": ("x = 1\nx = = 1\n", r"bad\.py:2: invalid syntax"),
    "raises": ("\n\n1 / 0\n", r"bad\.py:3: ZeroDivisionError: division by zero"),
    "no components": ("x = 1\n", r"bad\.py: no components: write a function ganrun_components"),
    "yields nothing": (
        "from ganrun.plugin import hookimpl\n@hookimpl\ndef ganrun_components():\n    return []\n",
        "yields nothing",
    ),
    "a NUL character": ("x = 1\ny = '\0'\n", r"bad\.py:2: the file holds a NUL character"),
    "it ends the process": ("import sys\nsys.exit()\n", r"bad\.py:2: it calls sys\.exit\(\)"),
    "endless components": (
        "from itertools import count\nfrom ganrun.plugin import Component, hookimpl\n"
        "@hookimpl\ndef ganrun_components():\n"
        "    return (Component('loss', f'c{i}', int) for i in count())\n",
        "yields more than 1000 components",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_refused_with_file_and_line(tmp_path: Path, case: str) -> None:
    text, message = BAD_FILES[case]
    file = tmp_path / "bad.py"
    file.write_text(dedent(text))
    with pytest.raises(PluginError, match=message) as caught:
        Catalog(modules=[file])
    assert "bad.py" in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="No such file"):
        Catalog(modules=[tmp_path / "nowhere.py"])
    with pytest.raises(PluginError, match="Is a directory"):
        Catalog(modules=[tmp_path])


def test_a_file_may_not_take_the_name_of_an_installed_plugin_unless_that_is_disabled(
    install: Install, tmp_path: Path
) -> None:
    install("taken", {"loss.taken": "taken_m"}, {"taken_m.py": GOOD.format(name="taken")}, "1.2")
    file = tmp_path / "mine.py"
    file.write_text(GOOD.format(name="taken"))
    with pytest.raises(PluginError, match=r"loss\.taken is provided by both taken 1\.2 \(installed\) and .*mine\.py"):
        Catalog(modules=[file])
    catalog = Catalog(modules=[file], disabled=["loss.taken"])
    assert catalog.load("loss", "taken").factory.__module__.startswith("ganrun_plugin_mine")
    assert "sha256" in catalog.provenance("loss", "taken")


def test_two_files_may_not_bring_one_name(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(GOOD.format(name="twice"))
    with pytest.raises(PluginError, match=r"yielded by both .*a\.py and .*b\.py"):
        Catalog(modules=[tmp_path / "a.py", tmp_path / "b.py"])


def test_a_file_given_twice_counts_once(tmp_path: Path) -> None:
    file = tmp_path / "again.py"
    file.write_text(GOOD.format(name="again"))
    assert Catalog(modules=[file, file]).names("loss").count("again") == 1


def test_check_reports_what_cannot_be_loaded_and_goes_on(install: Install) -> None:
    text = GOOD.format(name="fine") + '    yield Component("trick", "unlisted", Nothing)\n'
    install(
        "mixed", {"loss.bad": "mixed_bad", "loss.fine": "mixed_fine"}, {"mixed_bad.py": "1 / 0", "mixed_fine.py": text}
    )
    found = {
        entry.qualified: lines
        for entry, lines in check_plugins(Catalog(), Catalog().entries("loss"))
        if entry.distribution == "mixed"
    }
    assert "ZeroDivisionError" in found["loss.bad"][0]
    assert found["loss.fine"][-1:] == ["trick.unlisted is yielded too, but has no entry point"]


def test_a_module_beside_a_plugin_file_is_not_found_and_the_variable_that_finds_it_is_named(tmp_path):
    (tmp_path / "helper_of_mine.py").write_text("")
    (tmp_path / "mine.py").write_text("import helper_of_mine\n")
    with pytest.raises(BrokenPlugin, match=f"for the module that lies beside it, set PYTHONPATH={tmp_path}"):
        run_file(tmp_path / "mine.py")
    (tmp_path / "other.py").write_text("import not_there_at_all\n")
    with pytest.raises(BrokenPlugin, match=r"other\.py cannot be imported$"):
        run_file(tmp_path / "other.py")
