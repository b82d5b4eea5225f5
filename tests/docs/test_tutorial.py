"""docs/plugins/tutorial.md and combining.md are true: their plugins keep the contract of their kind and train."""

import re
from pathlib import Path

import pytest

from ganrun.testing import Example, Plugin, checks_of
from ganrun.training.run import train

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
