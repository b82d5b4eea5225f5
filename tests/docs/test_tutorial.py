"""docs/plugins/tutorial.md and combining.md are true: their plugins keep the contract of their kind and train."""

import re
from pathlib import Path

import pytest

from ganrun.catalog.catalog import Catalog
from ganrun.randomness import Draws
from ganrun.recipe import load_recipe
from ganrun.testing import Example, Plugin, checks_of
from ganrun.training.start import train
from ganrun.words.spaces import Space

PAGES = [Path(__file__).parents[2] / "docs/plugins" / name for name in ("tutorial.md", "combining.md")]
BLOCK = re.compile(r"^```python plugin (\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = {name: code for page in PAGES for name, code in BLOCK.findall(page.read_text())}
SMALL = {"generator": {"resnet-translator": {"blocks": 1, "width": 4}}, "discriminator": {"dcgan": {"width": 4}}}
EXAMPLES = {"restorer.py": Example(recipe={**SMALL, "dataset": {"digits": {"size": 8}}})}


@pytest.mark.parametrize("name", FILES)
def test_a_plugin_of_a_page_keeps_its_contract_and_trains(name, tmp_path):
    (tmp_path / name).write_text(FILES[name])
    kind, plugin = re.search(r'yield Component\("(\w+)", "([\w-]+)"', FILES[name]).groups()
    tried = Plugin(f"{kind}.{plugin}", modules=[tmp_path / name], example=EXAMPLES.get(name))
    for check in checks_of(tried):
        check(tried)
    recipe = {**tried.recipe, "train": {**tried.recipe["train"], "steps": 2}}
    assert train(tried.load(recipe), tried.catalog, tmp_path / "run").step == 2


def test_the_pages_have_a_loss_a_trick_a_variant_and_a_wrapper():
    kinds = [re.search(r'yield Component\("(\w+)"', code)[1] for code in FILES.values()]
    assert kinds == ["loss", "trick", "variant", "sampler"]


FORMS = '''
"""A sampler of parts in every form that combining.md names."""
from typing import Annotated
from ganrun.plugin import Component, Part, PartOf, hookimpl


class Forms:
    def __init__(
        self,
        *,
        listed: list[Annotated[Part, PartOf("sampler")]],
        named: dict[str, Annotated[Part, PartOf("sampler")]],
        missing: Annotated[Part | None, PartOf("sampler")] = None,
        given: Annotated[Part | None, PartOf("sampler")] = None,
    ):
        self.names = [*(part.name for part in listed), *named, *(part.name for part in named.values())]
        self.others = (missing, given.name)


@hookimpl
def ganrun_components():
    yield Component("sampler", "forms", Forms)
'''


def test_a_part_may_be_listed_named_or_left_out(tmp_path):
    (tmp_path / "forms.py").write_text(FORMS)
    catalog = Catalog(modules=[tmp_path / "forms.py"])
    forms = {"listed": ["normal", {"uniform": {}}], "named": {"a": "normal"}, "given": "spherical"}
    recipe = load_recipe({"variant": "gan", "dataset": "ring", "sampler": {"forms": forms}}, catalog=catalog)
    made = recipe.sampler.make()
    assert made.names == ["normal", "uniform", "a", "normal"]
    assert made.others == (None, "spherical")


def test_the_mixture_of_the_page_keeps_the_variance_of_two_normal_samplers(tmp_path):
    (tmp_path / "mixed.py").write_text(FILES["mixed.py"])
    catalog = Catalog(modules=[tmp_path / "mixed.py"])
    recipe = load_recipe(
        {"variant": "gan", "dataset": "ring", "sampler": {"my-mixed": {"share": 0.2}}}, catalog=catalog
    )
    drawn = recipe.sampler.make().sample(Draws((0,)), "z", 20_000, Space("latent", (1,)))
    assert abs(float(drawn.var()) - 1) < 0.04  # four standard errors: 4 * sqrt(2 / 20,000)
