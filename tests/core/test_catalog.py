"""The catalogue: what it finds, what it refuses, and what it does not import."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from ganrun.catalog.catalog import Catalog, PluginError
from ganrun.errors import UserError
from ganrun.preflight.plugin_check import check_plugins

GOOD = '''\
"""A loss that does nothing.

More about it.
"""
from ganrun.plugin import Component, hookimpl


class Nothing:
    def __init__(self, *, a: float = 1.0) -> None:
        self.a = a


@hookimpl
def ganrun_components():
    yield Component("loss", "{name}", Nothing)
'''

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a distribution on the path: entry points, and modules by file name. No build, just its metadata and files."""
    monkeypatch.delenv("GANRUN_DISABLE_PLUGINS", raising=False)

    def make(
        name: str,
        entry_points: dict[str, str],
        files: dict[str, str] | None = None,
        version: str = "1.0",
        requires: tuple[str, ...] = (),
    ) -> Path:
        folder = tmp_path / name
        metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir(parents=True)
        lines = [f"Requires-Dist: {requirement}" for requirement in requires]
        (metadata / "METADATA").write_text(
            "\n".join([f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *lines]) + "\n"
        )
        points = "".join(f"{key} = {value}\n" for key, value in entry_points.items())
        (metadata / "entry_points.txt").write_text(f"[ganrun]\n{points}")
        for file, text in (files or {}).items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
        monkeypatch.syspath_prepend(str(folder))
        importlib.invalidate_caches()
        return folder

    before = set(sys.modules)
    yield make
    for module in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]


def entry_of(catalog: Catalog, qualified: str):
    """The listed entry of this name."""
    (entry,) = [entry for entry in catalog.entries() if entry.qualified == qualified]
    return entry


# --- installed plugins ------------------------------------------------------------------------------------------


def test_lists_name_distribution_version_and_summary_without_importing(install: Install) -> None:
    install("far-away", {"loss.far": "far_away.losses.far"}, {"far_away/losses/far.py": GOOD.format(name="far")}, "2.5")
    entry = entry_of(Catalog(), "loss.far")
    assert (entry.kind, entry.name, entry.distribution, entry.version) == ("loss", "far", "far-away", "2.5")
    assert entry.summary == "A loss that does nothing."
    assert entry.problem is None
    assert entry.value == "far_away.losses.far"
    assert "far_away" not in sys.modules


def test_loads_the_component_that_is_asked_for_and_no_other(install: Install) -> None:
    files = {"one_a.py": GOOD.format(name="one-a"), "one_b.py": "raise RuntimeError('imported')"}
    install("one", {"loss.one-a": "one_a", "loss.one-b": "one_b"}, files)
    component = Catalog().load("loss", "one-a")
    assert (component.kind, component.name, component.factory.__name__) == ("loss", "one-a", "Nothing")
    assert "one_b" not in sys.modules


def test_loads_two_components_of_one_module(install: Install) -> None:
    text = '"""Two."""\nfrom ganrun.plugin import Component, hookimpl\n@hookimpl\ndef ganrun_components():\n'
    text += "    yield Component('loss', 'twin', int)\n    yield Component('trick', 'twin', str)\n"
    install("twins", {"loss.twin": "twin_module", "trick.twin": "twin_module"}, {"twin_module.py": text})
    catalog = Catalog()
    assert catalog.load("trick", "twin").factory is str
    assert catalog.load("loss", "twin").factory is int
    assert catalog.load("trick", "twin") is catalog.load("trick", "twin")


def test_two_catalogues_share_no_state(install: Install) -> None:
    install("shared", {"loss.shared": "shared_module"}, {"shared_module.py": GOOD.format(name="shared")})
    assert Catalog().load("loss", "shared").factory is Catalog().load("loss", "shared").factory
    with pytest.raises(PluginError):
        Catalog(disabled=["loss.shared"]).load("loss", "shared")


def test_names_are_those_that_can_be_asked_for(install: Install) -> None:
    files = {"names_m.py": GOOD.format(name="b-name")}
    install(
        "names",
        {"loss.b-name": "names_m", "loss.a-name": "names_m", "trick.c-name": "names_m", "loss.d-name": "names_m"},
        files,
    )
    names = Catalog(disabled=["loss.d-name"]).names("loss")
    assert [name for name in names if name.endswith("-name")] == ["a-name", "b-name"]
    assert names == sorted(names)


def test_requirements_are_those_of_the_distribution_without_extras(install: Install) -> None:
    requires = ("torch>=2", 'pytest; extra == "test"', 'numpy; python_version >= "3"')
    install("needy", {"loss.needy": "needy_m"}, {"needy_m.py": GOOD.format(name="needy")}, requires=requires)
    assert Catalog().requirements("loss", "needy") == ['numpy; python_version >= "3"', "torch>=2"]


def test_provenance_of_an_installed_plugin_is_distribution_and_version(install: Install) -> None:
    install("origin", {"loss.origin": "origin_m"}, {"origin_m.py": GOOD.format(name="origin")}, "4.2")
    assert Catalog().provenance("loss", "origin") == {"distribution": "origin", "version": "4.2"}


def test_every_plugin_of_ganrun_lists_without_a_problem() -> None:
    own = [entry for entry in Catalog(disabled=()).entries() if entry.distribution == "ganrun"]
    assert own
    assert [(entry.qualified, entry.problem) for entry in own if entry.problem] == []
    assert [entry.qualified for entry in own if not entry.summary] == []


def test_a_docstring_with_an_escaped_quote_is_read_whole(install: Install) -> None:
    install("quote", {"loss.quote": "quote_m"}, {"quote_m.py": '"""A \\""" inside."""\n'})
    assert entry_of(Catalog(), "loss.quote").summary == 'A """ inside.'


def test_a_module_without_a_docstring_has_an_empty_summary(install: Install) -> None:
    install("mute", {"loss.mute": "mute_m"}, {"mute_m.py": "x = 1\n"})
    entry = entry_of(Catalog(), "loss.mute")
    assert (entry.summary, entry.problem) == ("", None)


def test_a_plugin_in_nested_namespace_packages_is_found_without_importing_them(install: Install) -> None:
    install("nest-a", {"loss.deep-a": "nest.deep.a"}, {"nest/deep/a.py": GOOD.format(name="deep-a")})
    install("nest-b", {"loss.deep-b": "nest.deep.b"}, {"nest/deep/b.py": GOOD.format(name="deep-b")})
    catalog = Catalog()
    assert (
        entry_of(catalog, "loss.deep-a").summary
        == entry_of(catalog, "loss.deep-b").summary
        == "A loss that does nothing."
    )
    assert "nest" not in sys.modules


# --- broken, conflicting, disabled ------------------------------------------------------------------------------

BROKEN = {
    "module missing": ("loss.gone", "not_there_at_all", "", "not_there_at_all is not there"),
    "package missing": ("loss.gone", "not_there.at.all", "", "not_there.at.all is not there"),
    "no kind": ("gone", "broken_m", GOOD, "call it kind.name"),
    "unknown kind": ("looss.gone", "broken_m", GOOD, 'did you mean "loss"'),
    "bad name": ("loss.Gone_Case", "broken_m", GOOD, "lower-case"),
    "an attribute": ("loss.gone", "broken_m:thing", GOOD, "not the name of a module"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_entry_point_is_listed_with_its_problem_and_stops_no_other(install: Install, case: str) -> None:
    point, value, text, problem = BROKEN[case]
    install(
        "broken-one",
        {point: value, "loss.fine": "fine_m"},
        {"broken_m.py": text, "fine_m.py": GOOD.format(name="fine")},
    )
    catalog = Catalog()
    assert problem in (entry_of(catalog, point).problem or "")
    assert entry_of(catalog, "loss.fine").problem is None
    assert catalog.load("loss", "fine").name == "fine"


def test_naming_a_plugin_whose_module_is_missing_tells_distribution_version_and_cause(install: Install) -> None:
    install("broken-two", {"loss.gone": "not_there_at_all"}, version="0.9")
    with pytest.raises(
        PluginError, match=r"loss\.gone \(broken-two 0\.9, module not_there_at_all\).*reinstall broken-two"
    ):
        Catalog().load("loss", "gone")


FAILING = {
    "a dependency is missing": ("import surely_not_installed\n", "surely_not_installed"),
    "it raises": ("\nraise RuntimeError('no such luck')\n", r"failing_m\.py:2: RuntimeError: no such luck"),
    "it is no Python": ("x = = 1\n", r"failing_m\.py:1: invalid syntax"),
    "no components": ("x = 1\n", "write a function ganrun_components, marked @hookimpl"),
    "not marked": ("def ganrun_components():\n    yield 1\n", "marked @hookimpl"),
    "a misspelt hook": (
        GOOD.format(name="failing").replace("def ganrun_components", "def ganrun_component"),
        "unknown hook 'ganrun_component'",
    ),
    "another name": (GOOD.format(name="other"), r"promises loss\.failing, but ganrun_components yields loss\.other"),
    "not a component": (
        GOOD.format(name="x").replace('Component("loss", "x", Nothing)', "3"),
        "yields 3, which is not a ganrun.plugin.Component",
    ),
    "an unknown kind": (GOOD.format(name="x").replace('"loss"', '"lost"'), 'did you mean "loss"'),
    "nothing to call": (GOOD.format(name="failing").replace(", Nothing)", ", 3)"), "3 cannot be called"),
    "it fails while listing": (GOOD.format(name="x").replace("yield", "1 / 0; yield"), "ZeroDivisionError"),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_plugin_that_cannot_be_loaded_says_whose_it_is_and_why(install: Install, case: str) -> None:
    text, cause = FAILING[case]
    install(
        "failing-one",
        {"loss.failing": "failing_m", "loss.fine": "fine_m"},
        {"failing_m.py": text, "fine_m.py": GOOD.format(name="fine")},
        "3.1",
    )
    catalog = Catalog()
    for _ in range(2):  # the failure leaves nothing behind: asking again tells the same
        with pytest.raises(PluginError, match=cause) as caught:
            catalog.load("loss", "failing")
        assert "loss.failing (failing-one 3.1, module failing_m)" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert catalog.load("loss", "fine").name == "fine"


def test_two_distributions_with_one_name_are_an_error_that_names_both(install: Install) -> None:
    install("conflict-a", {"loss.same": "conflict_a"}, {"conflict_a.py": GOOD.format(name="same")}, "1.0")
    install(
        "conflict-b",
        {"loss.same": "conflict_b", "loss.fine": "conflict_c"},
        {"conflict_b.py": GOOD.format(name="same"), "conflict_c.py": GOOD.format(name="fine")},
        "2.0",
    )
    catalog = Catalog()
    with pytest.raises(PluginError, match=r"both conflict-a 1\.0 and conflict-b 2\.0; uninstall one"):
        catalog.load("loss", "same")
    listed = [entry for entry in catalog.entries() if entry.qualified == "loss.same"]
    assert [entry.distribution for entry in listed] == ["conflict-a", "conflict-b"]
    assert all("conflict-a 1.0 and conflict-b 2.0" in (entry.problem or "") for entry in listed)
    assert "same" not in catalog.names("loss")
    assert catalog.load("loss", "fine").name == "fine"


def test_plugins_are_disabled_by_the_environment(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install(
        "off",
        {"loss.off-a": "off_a", "loss.off-b": "off_b"},
        {"off_a.py": GOOD.format(name="off-a"), "off_b.py": GOOD.format(name="off-b")},
    )
    monkeypatch.setenv("GANRUN_DISABLE_PLUGINS", "loss.off-a, loss.not-installed")
    catalog = Catalog()
    assert entry_of(catalog, "loss.off-a").disabled
    assert catalog.names("loss").count("off-a") == 0
    with pytest.raises(PluginError, match="disabled by GANRUN_DISABLE_PLUGINS"):
        catalog.load("loss", "off-a")
    assert catalog.load("loss", "off-b").name == "off-b"
    assert catalog.unknown_disabled() == ["loss.not-installed"]


def test_an_unknown_name_gets_the_nearest_one(install: Install) -> None:
    install("near", {"loss.wasserstein-nine": "near_m"}, {"near_m.py": GOOD.format(name="wasserstein-nine")})
    with pytest.raises(PluginError, match='no loss is called "waserstein-nine"; did you mean "wasserstein-nine"'):
        Catalog().load("loss", "waserstein-nine")


def test_a_name_of_another_kind_is_pointed_out(install: Install) -> None:
    install("elsewhere", {"trick.elsewhere": "elsewhere_m"}, {"elsewhere_m.py": GOOD.format(name="elsewhere")})
    with pytest.raises(PluginError, match='no loss is called "elsewhere", but a trick is'):
        Catalog().load("loss", "elsewhere")


def test_an_unknown_kind_gets_the_nearest_one() -> None:
    with pytest.raises(PluginError, match='no kind of plugin is called "los"; did you mean "loss"'):
        Catalog().load("los", "minimax")


def test_a_plugin_error_is_an_error_of_the_user_and_a_value_error() -> None:
    assert issubclass(PluginError, UserError)
    assert issubclass(PluginError, ValueError)
    assert PluginError("x").exit_code == 2


# --- uninstalled modules ----------------------------------------------------------------------------------------


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
