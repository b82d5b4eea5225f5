"""docs/plugins/tutorial.md is true: each of its plugins keeps the contract of its kind and trains."""

import re
from pathlib import Path

import pytest

from ganrun.testing import Example, Plugin, checks_of
from ganrun.training.run import train

TEXT = (Path(__file__).parents[1] / "docs/plugins/tutorial.md").read_text()
FILES = dict(re.findall(r"^```python plugin (\w+\.py)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
SMALL = {"generator": {"resnet-translator": {"blocks": 1, "width": 4}}, "discriminator": {"dcgan": {"width": 4}}}
EXAMPLES = {"restorer.py": Example(recipe={**SMALL, "dataset": {"digits": {"size": 8}}})}


@pytest.mark.parametrize("name", FILES)
def test_a_plugin_of_the_tutorial_keeps_its_contract_and_trains(name, tmp_path):
    (tmp_path / name).write_text(FILES[name])
    kind, plugin = re.search(r'yield Component\("(\w+)", "([\w-]+)"', FILES[name]).groups()
    tried = Plugin(f"{kind}.{plugin}", modules=[tmp_path / name], example=EXAMPLES.get(name))
    for check in checks_of(tried):
        check(tried)
    recipe = {**tried.recipe, "train": {**tried.recipe["train"], "steps": 2}}
    assert train(tried.load(recipe), tried.catalog, tmp_path / "run").step == 2


def test_the_tutorial_has_a_loss_a_trick_and_a_variant():
    kinds = [re.search(r'yield Component\("(\w+)"', code)[1] for code in FILES.values()]
    assert kinds == ["loss", "trick", "variant"]
