"""What a plugin of any kind has to keep."""

from __future__ import annotations

import inspect
import re
from types import ModuleType

from ganrun.catalog.plugin_files import docstring
from ganrun.preflight.plugin_check import HANDED_IN, problems_of
from ganrun.testing.conditions import not_quick, when
from ganrun.testing.plugin import Plugin
from ganrun.words.spaces import Reason

SOURCE = re.compile(r"\b(19|20)\d\d\b|arxiv|doi\.org", re.IGNORECASE)
FROM_PAPERS = ("loss", "trick", "variant", "generator", "discriminator")


def check_entry_point(plugin: Plugin) -> None:
    """The entry point and the Component have one name, and the plugin has no problem."""
    assert plugin.entry.problem is None, plugin.entry.problem
    assert (plugin.component.kind, plugin.component.name) == (plugin.kind, plugin.name), (
        f"the Component is {plugin.component.kind}.{plugin.component.name}, the entry point {plugin}"
    )


def check_summary(plugin: Plugin) -> None:
    """The first line of the module's docstring is the plugin's summary: list-plugins shows it."""
    summary = plugin.entry.summary
    assert summary, "the module has no docstring; its first line is the summary"
    assert len(summary) <= 140, f"the summary has {len(summary)} characters; at most 140 fit into a line"


def check_docstring(plugin: Plugin) -> None:
    """The class has a docstring."""
    own = plugin.factory.__dict__.get("__doc__") if inspect.isclass(plugin.factory) else plugin.factory.__doc__
    assert own, f"{plugin.factory.__name__} has no docstring"


@not_quick  # an idea that is being tried has no paper yet
@when(lambda plugin: plugin.kind in FROM_PAPERS)
def check_source(plugin: Plugin) -> None:
    """The module's docstring names the paper the idea is from: authors and year, an arXiv number, or a DOI."""
    texts = [docstring(plugin.entry.file) if plugin.entry.file else "", plugin.factory.__doc__]
    texts += [module.__doc__ for module in plugin.modules if isinstance(module, ModuleType)]
    assert SOURCE.search(" ".join(filter(None, texts))), (
        "the module's docstring names no source; give the paper (authors, title, year)"
    )


def check_parameters_and_hooks(plugin: Plugin) -> None:
    """Parameters are keyword-only, typed, with valid defaults; no method resembles a hook without being one."""
    problems = problems_of(plugin.entry, plugin.component)
    assert not problems, "; ".join(problems)


def check_parameters_are_described(plugin: Plugin) -> None:
    """Each parameter has a description: ``ganrun show`` and the schema print it."""
    from ganrun.recipe import describe_parameters

    silent = [row.name for row in describe_parameters(plugin.component) if not row.description]
    assert not silent, (
        f"no description of the parameters {', '.join(silent)}; write Annotated[..., Field(description=...)]"
    )


@when(lambda plugin: plugin.kind not in HANDED_IN)
def check_default_construction(plugin: Plugin) -> None:
    """It can be made with its defaults (and what its example gives), twice, and the two are different objects."""
    assert plugin.part.make() is not plugin.part.make(), "two instances are the same object"


def check_capabilities(plugin: Plugin) -> None:
    """``provides`` holds names; ``needs``, ``wants``, ``refuses`` and ``warns`` say why, and what to do instead."""
    assert not isinstance(getattr(plugin.factory, "provides", ()), str), (
        "provides is one string; make it a set of names"
    )
    for attribute in ("needs", "wants", "refuses", "warns"):
        declared = getattr(plugin.factory, attribute, {})
        for name, reason in declared.items():
            assert isinstance(reason, Reason), f"{attribute}[{name!r}] is not a Reason(why, instead)"
            assert reason.why and reason.instead, f"{attribute}[{name!r}] needs both: why, and instead"
