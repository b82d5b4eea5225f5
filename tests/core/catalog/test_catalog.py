"""The catalogue: what it finds, what it refuses, and what it does not import."""

from __future__ import annotations

import sys

import pytest
from plugin_sources import GOOD, Install, entry_of

from ganrun.catalog.catalog import Catalog, PluginError
from ganrun.errors import UserError

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
    with pytest.raises(PluginError) as caught:
        Catalog().load("loss", "waserstein-nine")
    assert str(caught.value) == (
        'no loss is called "waserstein-nine"; did you mean "wasserstein-nine"? '
        "`ganrun list-plugins --kind loss` lists what is installed"
    )


def test_a_name_that_is_near_to_none_gets_the_list_of_all() -> None:
    with pytest.raises(PluginError, match='no loss is called "zzz"; `ganrun list-plugins --kind loss` lists'):
        Catalog().load("loss", "zzz")


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
