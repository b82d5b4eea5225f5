"""The licences of everything that ganrun needs are those that docs/licences.md lists."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
EXTRAS = ("", "test", "tensorboard", "lsun")
# what metadata write -> the name on the page; the first that occurs
KNOWN = {
    "Apache": "Apache-2.0",
    "LLVM-exception": "Apache-2.0",
    "MPL|Mozilla": "MPL-2.0",
    "NVIDIA|Proprietary": "NVIDIA",
    "0BSD": "0BSD",
    "BSD": "BSD",
    "BSL": "BSL-1.0",
    "CC0": "CC0-1.0",
    "ISC": "ISC",
    "MIT": "MIT",
    "OLDAP": "OLDAP-2.8",
    "PSF": "PSF-2.0",
    "Zlib": "Zlib",
}
ASKING = {"MPL-2.0"}  # with duties for who passes them on: each package has to be on the page by name


def families(distribution: importlib.metadata.Distribution) -> set[str]:
    """The licences that a distribution's metadata name, under the names of the page; "unknown" for any other."""
    metadata = distribution.metadata
    classifiers = [line for line in metadata.get_all("Classifier") or () if line.startswith("License")]
    text = metadata.get("License-Expression") or "; ".join(line.rpartition(" :: ")[2] for line in classifiers)
    text = text or (metadata.get("License") or "")[:100]
    if distribution.name.startswith(("nvidia-", "cuda-toolkit")):
        return {"NVIDIA"}
    words = re.split(r" AND | OR |; ", text)
    return {next((name for sign, name in KNOWN.items() if re.search(sign, word)), "unknown") for word in words}


def page() -> dict[str, str]:
    """Package -> its licences, as docs/licences.md has them."""
    lines = (ROOT / "docs" / "licences.md").read_text().split("\n## ")[0].splitlines()  # the table of packages
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ") and "`" in line]
    return {name: licences for licences, packages in rows for name in re.findall(r"`([^`]+)`", packages)}


def normal(name: str) -> str:
    """A package's name as an index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed() -> dict[str, importlib.metadata.Distribution]:
    """Everything installed that ganrun needs, with its extras, and what these need in turn."""
    there = {normal(one.name): one for one in importlib.metadata.distributions() if one.name}
    found: dict[str, importlib.metadata.Distribution] = {}
    pending = [("ganrun", extra) for extra in EXTRAS]
    seen = set(pending)
    while pending:
        name, extra = pending.pop()
        if name not in there:
            continue
        found[name] = there[name]
        for inner in asked(there[name], extra):
            if inner not in seen:
                seen.add(inner)
                pending.append(inner)
    del found["ganrun"]
    return found


def asked(distribution: importlib.metadata.Distribution, extra: str) -> Iterator[tuple[str, str]]:
    """What a distribution requires on this machine: names, each with the extras that are asked of it."""
    for line in distribution.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield from ((normal(requirement.name), inner) for inner in ("", *requirement.extras))


NEEDED = needed()


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_a_package_has_the_licence_that_the_page_lists(name: str) -> None:
    licences, listed = families(NEEDED[name]), page()
    assert "unknown" not in licences, f"{name}: look up its licence, and add it to docs/licences.md"
    if name in listed or licences & ASKING:
        assert licences <= set(listed.get(name, "").split(" and ")), "docs/licences.md has another licence, or none"


def test_the_page_lists_every_package_that_pyproject_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    assert {normal(Requirement(line).name) for line in lines} <= set(page())
