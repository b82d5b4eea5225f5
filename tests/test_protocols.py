"""mypy holds every built-in plugin against the protocol of its kind."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from ganrun.catalog.catalog import Catalog
from ganrun.contracts.mistakes import methods_of
from ganrun.contracts.protocols import PROTOCOLS

ROOT = Path(__file__).parents[1]
HEAD = "from __future__ import annotations\n\nimport {modules}\nfrom ganrun.contracts.protocols import {protocols}\n"
FUNCTION = "\n\ndef _{number}(component: {component}) -> {protocol}:\n    return component\n"


def offered(kind, factory):
    """The protocols that a class is held against: that of its kind, and those whose methods and properties it has."""
    required, *optional = PROTOCOLS[kind]
    return [required, *(one for one in optional if all(hasattr(factory, name) for name in members_of(one)))]


def members_of(protocol):
    """The methods and properties that a protocol names itself."""
    return [*methods_of(protocol), *(name for name, value in vars(protocol).items() if isinstance(value, property))]


def conversions(components):
    """A module that mypy accepts if each instance is what its protocols ask for: functions that return it as that."""
    found = [(one.factory, protocol) for one in components for protocol in offered(one.kind, one.factory)]
    modules = sorted({factory.__module__ for factory, _ in found})
    names = sorted({protocol.__name__ for _, protocol in found})
    text = HEAD.format(modules=", ".join(modules), protocols=", ".join(names))
    for number, (factory, protocol) in enumerate(found):
        component = f"{factory.__module__}.{factory.__qualname__}"
        text += FUNCTION.format(number=number, component=component, protocol=protocol.__name__)
    return text


def mypy(text, tmp_path):
    """What mypy says of a module, as its exit code and lines."""
    (tmp_path / "conversions.py").write_text(text)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        "pyproject.toml",
        "--strict",
        "--follow-imports",
        "silent",
    ]
    done = subprocess.run([*command, str(tmp_path / "conversions.py")], cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout


def built_in():
    catalog = Catalog(disabled=())
    entries = [entry for entry in catalog.entries() if entry.distribution == "ganrun"]
    components = [catalog.load(entry.kind, entry.name) for entry in entries]
    return {(one.kind, one.factory): one for one in components if inspect.isclass(one.factory)}.values()


@pytest.mark.slow
def test_every_built_in_plugin_is_what_the_protocol_of_its_kind_says(tmp_path):
    components = built_in()
    assert {one.kind for one in components} == set(PROTOCOLS)
    code, said = mypy(conversions(components), tmp_path)
    assert code == 0, said


WRONG = """

class Broken{number}({base}):
    {member}  # type: ignore


def _wrong{number}(component: Broken{number}) -> {protocol}:
    return component
"""
MEMBERS = [
    ("loss", "hinge", "Loss", "real_in_generator: str = 'no'"),
    ("loss", "hinge", "Loss", "generator: None = None"),
    ("sampler", "labels", "LabelSampler", "labels: int = 0"),
    ("variant", "gan", "Variant", "def make(self, turn: int) -> None: ..."),
]


@pytest.mark.slow
def test_a_plugin_that_is_something_else_is_found(tmp_path):
    catalog = Catalog()
    components = [catalog.load(kind, name) for kind, name, _, _ in MEMBERS]
    text = conversions(components)
    for number, (component, (_, _, protocol, member)) in enumerate(zip(components, MEMBERS)):
        base = f"{component.factory.__module__}.{component.factory.__qualname__}"
        text += WRONG.format(number=number, base=base, member=member, protocol=protocol)
    code, said = mypy(text, tmp_path)
    assert code == 1
    for number, (_, _, protocol, _) in enumerate(MEMBERS):
        assert f'got "Broken{number}", expected "{protocol}"' in said
    assert "Found 4 errors" in said
